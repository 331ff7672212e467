"""How well headlines are linked to names: `python -m benchmarks.news.linking`; the table lies beside it.

SEntFiN names the entities of each headline as they are written there. Every entity that begins with a capital letter becomes a
symbol with that one name; spellings that differ in capitals alone, or in a company's form, are one. The linker reads all headlines
knowing all of them. Recall is the share of named entities that it links, precision the share of its links that are named. What the
annotators passed over counts against precision, and so does a person who bears a company's first name.
"""

import json
import os
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl

from pipelines.data.news import entities
from pipelines.data.news.entities import Entities

HERE = Path(__file__).parent
DATA = Path(os.environ.get("NIGHTSHIFT_DATA", HERE.parents[2] / "shared" / "data"))
EXAMPLES = 12


def named(written: str) -> dict[str, str]:
    """Return the names of one headline's entities by what they are told apart by: the words, but for a company's form."""
    names = [name.strip() for name in json.loads(written) if name.strip()[:1].isupper()]
    words = [[word for word in name.casefold().split() if word not in entities.FORMS] for name in names]
    return {" ".join(kept): name for kept, name in zip(words, names, strict=True) if kept}


def linker(names: dict[str, str]) -> tuple[Entities, dict[str, str]]:
    """Return the linker that knows all names, and which name each of its symbols stands for."""
    symbols = {f"S{number}": key for number, key in enumerate(sorted(names))}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "names.csv"
        pl.DataFrame({"symbol": list(symbols), "name": [names[key] for key in symbols.values()], "aliases": ""}).write_csv(path)
        return entities.read(path), symbols


def main() -> None:
    """Measure, print, and write the table."""
    table = pl.read_parquet(DATA / "sentiment_sentfin.parquet")
    wanted = [named(written) for written in table["entity_labels"]]
    knows, symbols = linker({key: name for each in wanted for key, name in each.items()})
    missed: Counter[str] = Counter()
    extra: Counter[str] = Counter()
    for text, keys in zip(table["text"], wanted, strict=True):
        found = {symbols[symbol] for symbol in knows.link(text)}
        missed.update(keys.keys() - found)
        extra.update(found - keys.keys())
    mentions = sum(map(len, wanted))
    right = mentions - missed.total()
    lines = [
        "# How well headlines are linked", "",
        f"`python -m benchmarks.news.linking`, {len(table):,} headlines, {len(symbols):,} names, {mentions:,} mentions.", "",
        f"Recall {right / mentions:.3f}, precision {right / (right + extra.total()):.3f}.", "",
        f"Missed most: {', '.join(f'{name} ({count})' for name, count in missed.most_common(EXAMPLES))}.", "",
        f"Linked but not named most: {', '.join(f'{name} ({count})' for name, count in extra.most_common(EXAMPLES))}.",
    ]  # fmt: skip
    print("\n".join(lines))
    (HERE / "linking.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
