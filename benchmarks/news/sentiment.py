"""How well each reader understands labelled sentences: five folds, the other data set, and by how many annotators agreed.

Run with `python -m benchmarks.news.sentiment [--finbert PLACE]`; the tables lie beside it. The sentences are the user's own copies
of the Financial PhraseBank and of SEntFiN (headlines whose entities all have one label); no model is kept.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from domain.panel import FloatArray
from models import sentiment
from models.sentiment import LABELS
from models.sentiment.classifier import Classifier
from models.sentiment.lexicon import Lexicon

HERE = Path(__file__).parent
DATA = Path(os.environ.get("NIGHTSHIFT_DATA", HERE.parents[2] / "shared" / "data"))
FOLDS, SEED = 5, 7
SAID = """`python -m benchmarks.news.sentiment`, five folds, seed 7. The lexicon's vocabulary was written by us; its two
constants were fitted to these very sentences, and some words were added after looking at its mistakes here,
so its rows are a little too good. FinBERT is in the table only where its library is installed."""
AGREEMENTS = {"50Agree": "half", "66Agree": "two thirds", "75Agree": "three quarters", "AllAgree": "all"}


@dataclass(frozen=True)
class Sentences:
    """Labelled sentences of one source."""

    name: str
    texts: list[str]
    classes: np.ndarray
    agreement: list[str]


def phrasebank() -> Sentences:
    """Return the PhraseBank, with how many annotators agreed."""
    table = pl.read_parquet(DATA / "sentiment_phrasebank.parquet")
    classes = np.array([LABELS.index(label) for label in table["label"]])
    return Sentences("PhraseBank", table["text"].to_list(), classes, table["agreement"].to_list())


def sentfin() -> Sentences:
    """Return SEntFiN's headlines whose entities agree."""
    table = pl.read_parquet(DATA / "sentiment_sentfin.parquet")
    labels = [set(json.loads(entities).values()) for entities in table["entity_labels"]]
    kept = [(text, next(iter(label))) for text, label in zip(table["text"], labels, strict=True) if len(label) == 1]
    return Sentences("SEntFiN", [text for text, _ in kept], np.array([LABELS.index(label) for _, label in kept]), [""] * len(kept))


def crossed(sentences: Sentences, read: Callable[[list[str], np.ndarray, list[str]], FloatArray]) -> FloatArray:
    """Return each sentence's probabilities, read by what learned from the other folds."""
    out = np.zeros((len(sentences.texts), len(LABELS)))
    texts = np.array(sentences.texts, dtype=object)
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(texts, sentences.classes):
        out[test] = read(texts[train].tolist(), sentences.classes[train], texts[test].tolist())
    return out


def majority(_: list[str], classes: np.ndarray, test: list[str]) -> FloatArray:
    """Say of every sentence how common the labels are."""
    return np.tile(np.bincount(classes, minlength=len(LABELS)) / len(classes), (len(test), 1))


def learned(texts: list[str], classes: np.ndarray, test: list[str]) -> FloatArray:
    """Train our classifier and read with it."""
    model = Classifier()
    model.fit(texts, [LABELS[place] for place in classes], SEED)
    return model.probabilities(test)


def row(name: str, data: str, probabilities: FloatArray, classes: np.ndarray) -> str:
    """Return a line of the table: accuracy, macro F1, Brier score, expected calibration error over ten bins."""
    guess, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = guess == classes
    brier = ((probabilities - np.eye(len(LABELS))[classes]) ** 2).sum(axis=1).mean()
    bins = np.minimum((sure * 10).astype(int), 9)
    error = sum(abs(right[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins))
    f1 = f1_score(classes, guess, average="macro")
    return f"| {name} | {data} | {len(classes):,} | {right.mean():.3f} | {f1:.3f} | {brier:.3f} | {error:.3f} |"


def reliability(probabilities: FloatArray, classes: np.ndarray) -> list[str]:
    """Return, by the probability of the likeliest label, how often it was right."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == classes
    lines = []
    for low in (0.3, 0.5, 0.6, 0.7, 0.8, 0.9):
        high = {0.3: 0.5, 0.9: 1.001}.get(low, low + 0.1)
        chosen = (sure >= low) & (sure < high)
        if chosen.any():
            lines.append(
                f"| {low:.1f} to {min(high, 1.0):.1f} | {chosen.sum():,} | {sure[chosen].mean():.3f} | {right[chosen].mean():.3f} |"
            )
    return lines


def measure(finbert: str | None) -> list[str]:
    """Return the tables."""
    head = [
        "| reader | sentences | number | accuracy | macro F1 | Brier | calibration error |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    bank, fin = phrasebank(), sentfin()
    lines, kept = [*head], {}
    for data in (bank, fin):
        lines.append(row("majority class", data.name, crossed(data, majority), data.classes))
        lines.append(row("lexicon", data.name, Lexicon().probabilities(data.texts), data.classes))
        kept[data.name] = crossed(data, learned)
        lines.append(row("classifier, other folds", data.name, kept[data.name], data.classes))
        print(lines[-3:], flush=True)
        if finbert is not None:
            lines.append(row("FinBERT", data.name, sentiment.load("finbert", finbert).probabilities(data.texts), data.classes))
    for train, test in ((bank, fin), (fin, bank)):
        lines.append(
            row(f"classifier, learned from {train.name}", test.name, learned(train.texts, train.classes, test.texts), test.classes)
        )
        print(lines[-1], flush=True)
    lines += ["", "PhraseBank by how many annotators agreed:", "", *head]
    lexicon = Lexicon().probabilities(bank.texts)
    for key, said in AGREEMENTS.items():
        own = np.array([agreement == key for agreement in bank.agreement])
        lines.append(row("lexicon", said, lexicon[own], bank.classes[own]))
        lines.append(row("classifier, other folds", said, kept[bank.name][own], bank.classes[own]))
    for data in (bank, fin):
        lines += [
            "",
            f"Reliability of the classifier on {data.name}: probability of the likeliest label, how often it was right.",
            "",
        ]
        lines += ["| said | number | mean | right |", "|---|---:|---:|---:|", *reliability(kept[data.name], data.classes)]
    return lines


def main() -> None:
    """Measure and write sentiment.md."""
    parser = argparse.ArgumentParser(description="Measure readers of headlines on labelled sentences.")
    parser.add_argument("--finbert", help="a folder or a hub's name; needs the extra finbert")
    lines = measure(parser.parse_args().finbert)
    said = ["# How well headlines are read", "", SAID, ""]
    (HERE / "sentiment.md").write_text("\n".join([*said, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
