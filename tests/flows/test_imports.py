"""Headlines, macro series and labelled sentences from a person's files, through the command line into a real store."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from flows import cli
from models.sentiment import LABELS
from models.sentiment.classifier import Classifier
from pipelines.store import Store

MARKET = "us_equity"
MOMENTS = [datetime(2020, 1, day, 15, tzinfo=UTC) for day in (2, 2, 3)]
GOOD, BAD = ("profit rose", "record sales", "earnings beat", "orders up"), ("profit fell", "heavy loss", "sales down", "a warning")


def run(*words: object) -> Result:
    """Run one command as a person would."""
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def told(*words: object) -> dict[str, Any]:
    """Return what a command that does well says."""
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    said: dict[str, Any] = json.loads(result.stdout)
    return said


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a new home."""
    place = tmp_path / "home"
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(place))
    return place


def test_headlines_are_stored_once_each(home: Path, tmp_path: Path) -> None:
    """Their moments and words are those of the file; a second run changes nothing, not even the version."""
    table = pl.DataFrame({"symbol": ["AAA", "BBB", "AAA"], "ts": MOMENTS, "headline": ["AAA soars", "BBB sinks", "AAA is sued"]})
    path = tmp_path / "headlines.parquet"
    table.write_parquet(path)

    first, second = (told("import-news", path, "--market", MARKET) for _ in range(2))

    stored = Store(home / "store").read("news")
    assert (first["rows"], first["symbols"], first["skipped"]) == (3, 2, 0)
    assert second == first
    assert sorted(zip(stored["symbol"], stored["headline"], strict=True)) == sorted(
        zip(table["symbol"], table["headline"], strict=True)
    )
    assert stored["event_at"].sort().to_list() == MOMENTS


def test_a_series_is_stored_once_and_known_after_its_day(home: Path, tmp_path: Path) -> None:
    """A value of a day is not known before that day is over; a second run changes nothing."""
    path = tmp_path / "series.csv"
    path.write_text(
        "series,date,value\nDCOILBRENTEU,2020-01-02,66.2\nDCOILBRENTEU,2020-01-03,69.1\nVIXCLS,2020-01-02,12.5\n", encoding="utf-8"
    )

    first, second = (told("import-macro", path) for _ in range(2))

    stored = Store(home / "store").read("macro")
    assert (first["rows"], first["series"], first["skipped"]) == (3, 2, 0)
    assert second == first
    assert sorted(stored["value"]) == [12.5, 66.2, 69.1]
    # The index is computed until 16:15 in New York.
    assert stored.filter(pl.col("series") == "VIXCLS")["known_at"].item() >= datetime(2020, 1, 2, 21, 15, tzinfo=UTC)
    assert (stored["known_at"] >= stored["event_at"]).all()


def test_a_reader_is_trained_on_labelled_sentences(home: Path, tmp_path: Path) -> None:
    """What was saved tells good words from bad ones, and is the same the second time."""
    texts = [f"{words} in quarter {quarter}" for words in GOOD + BAD for quarter in range(16)]
    labels = ["positive"] * 64 + ["negative"] * 64
    plain = [f"the meeting of number {i} was held" for i in range(64)]
    path = tmp_path / "sentences.csv"
    pl.DataFrame({"text": texts + plain, "label": labels + ["neutral"] * 64}).write_csv(path)

    first = told("train-sentiment", path, "--folder", tmp_path / "one")
    told("train-sentiment", path, "--folder", tmp_path / "two")

    one, two = (Classifier.load(tmp_path / name) for name in ("one", "two"))
    asked = ["record sales this year", "heavy loss this year"]
    assert first["sentences"] == 192
    assert [LABELS[i] for i in one.probabilities(asked).argmax(axis=1)] == ["positive", "negative"]
    np.testing.assert_array_equal(one.probabilities(asked), two.probabilities(asked))


def test_a_series_of_unknown_publication_is_refused(home: Path, tmp_path: Path) -> None:
    """Nobody knows how long after its day such a value was to be read: taking the day itself would look ahead."""
    path = tmp_path / "series.csv"
    path.write_text("series,date,value\nOWN_SERIES,2020-01-02,61.2\n", encoding="utf-8")

    result = run("import-macro", path)

    assert result.exit_code == 1
    assert "give the file a column known_at" in result.stderr
    assert not (home / "store" / "macro").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import-news", "{}", "--market", MARKET], "one must be called headline"),
        (["import-macro", "{}"], "a series, a day and a value are needed"),
        (["train-sentiment", "{}", "--folder", "reader"], "text and label"),
    ],
)
def test_a_file_of_something_else_is_one_sentence(home: Path, tmp_path: Path, words: list[str], said: str) -> None:
    """Which file, what it holds, what it should; nothing is stored."""
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")

    result = run(*(word.format(path) for word in words))

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert str(path) in result.stderr
    assert said in result.stderr
    assert not (home / "store").exists() or not any((home / "store").iterdir())


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("import-news", "--market", MARKET), "headlines"),
        (("import-macro",), "series"),
        (("train-sentiment", "--folder", "reader"), "labelled sentences"),
    ],
)
def test_a_file_that_is_not_there_is_one_sentence(home: Path, tmp_path: Path, words: tuple[str, ...], what: str) -> None:
    """What was to be read, from where, and what the system says; nothing is stored."""
    missing = tmp_path / "missing.csv"

    result = run(words[0], missing, *words[1:])

    assert result.exit_code == 1
    assert result.output.strip() == (
        f"nightshift: {what} were to be read from {missing}, but the system says: No such file or directory"
    )
    assert not (home / "store").exists()
