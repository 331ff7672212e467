"""News: headlines and macro series into the home's store, and the reader of headlines that a user trains."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from domain.error import UnreadableFile
from domain.params import Params
from flows.home import Home
from models.sentiment import LABELS
from models.sentiment.classifier import Classifier
from pipelines.data import macro, news, plain
from pipelines.data.news import entities
from pipelines.store import Store


def headlines(path: Path, market: str, home: Home, params: Params, names: Path | None) -> dict[str, Any]:
    """Store a file of headlines; `names` is a CSV of symbols with the names that headlines without symbols are linked by."""
    linked = None if names is None else entities.read(names)
    return asdict(news.store_file(path, params.market(market), params, Store(home.store), linked))


def series(path: Path, home: Home, params: Params) -> dict[str, Any]:
    """Store a file of macro series."""
    return asdict(macro.store_file(path, params.quality, Store(home.store)))


def train_reader(paths: Iterable[Path], folder: Path, seed: int) -> dict[str, Any]:
    """Train the sentiment classifier on labelled sentences and save it; neither sentences nor model belong to this house."""
    tables = [labelled(path) for path in paths]
    sentences = pl.concat(tables)
    model = Classifier()
    model.fit(sentences["text"].to_list(), sentences["label"].to_list(), seed)
    model.save(folder)
    return {"sentences": len(sentences), "folder": str(folder), "use": f"sources.news: {{sentiment: classifier, model: {folder}}}"}


def labelled(path: Path) -> pl.DataFrame:
    """Return `text` and `label` from parquet or CSV; of `entity_labels` (JSON, entity to label) those rows that agree.

    Raises UnreadableFile for other columns.
    """
    table = plain.table(path, "labelled sentences")
    if {"text", "entity_labels"} <= set(table.columns):
        agreed = [_agreed(entities) for entities in table["entity_labels"]]
        table = table.with_columns(label=pl.Series(agreed, dtype=pl.String)).drop_nulls("label")
    if not {"text", "label"} <= set(table.columns):
        raise UnreadableFile(
            f"labelled sentences were to be read from {path}, but it has the columns {', '.join(table.columns)}: "
            f"text and label ({', '.join(LABELS)}) are needed"
        )
    return table.select("text", "label")


def _agreed(written: str) -> str | None:
    labels = set(json.loads(written).values())
    return labels.pop() if len(labels) == 1 else None
