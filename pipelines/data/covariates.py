"""Covariates: what is joined to a panel beside its bars, because some feature reads it: headlines, published series, sectors."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import polars as pl

from domain.error import NoData
from domain.market import Market
from domain.panel import COVARIATES, FloatArray, Panel
from domain.params import News, Params
from domain.session import naive
from features import catalog
from features.feature import Feature
from pipelines.data import macro, news
from pipelines.store import TABLES, Store

SECTOR = "sector"


@dataclass(frozen=True)
class Wanted:
    """The covariates that some features read, and how headlines become numbers."""

    names: frozenset[str]
    news: News

    @classmethod
    def by(cls, params: Params, features: Sequence[Feature] | None = None) -> Self:
        """Return what the features read, by default those of the families in params.yaml."""
        chosen = catalog.select(params.features.families) if features is None else features
        return cls(frozenset(name for feature in chosen for name in feature.columns if name in COVARIATES), params.sources.news)


def joined(store: Store, market: Market, panel: Panel, wanted: Wanted, after: np.datetime64 | None = None) -> Panel:
    """Return the panel with what is wanted of the covariates, each row as it was known at its close.

    `after` is the close of the row before the panel's first, where there was one: what was known by then belongs to that. Those
    covariates that nothing is stored for are left out: features that read them have no value. What the bars brought stays.
    """
    found: dict[str, FloatArray] = {}
    if _some(wanted.names, "news_"):
        found |= news.join(store, panel, wanted.news, after=after)
    if _some(wanted.names, "macro_"):
        found |= macro.join(store, panel)
    if SECTOR in wanted.names:
        found |= sectors(_listings(store, market), panel)
    kept = {name: values for name, values in found.items() if name in wanted.names}
    return replace(panel, covariates={**panel.covariates, **kept}) if kept else panel


def sectors(listings: pl.DataFrame, panel: Panel) -> dict[str, FloatArray]:
    """Return each symbol's sector as a number, float64 [T, S]; NaN while it is unknown, nothing when all are.

    A row holds the sector that was told, and in force, by its close. Sectors are numbered in the order in which they were first
    told, those of one moment by name: a new one leaves the numbers of the others as they were, which models have learned.
    """
    told = listings.filter(pl.col("sector").is_not_null()).with_columns(since=pl.max_horizontal("event_at", "known_at"))
    if told.is_empty():
        return {}
    order = told.group_by("sector").agg(pl.col("since").min()).sort("since", "sector")["sector"]
    code = {name: float(i) for i, name in enumerate(order)}
    values = np.full(panel.close.shape, np.nan)
    place = {symbol: column for column, symbol in enumerate(panel.symbols)}
    rows = told.filter(pl.col("symbol").is_in(list(place))).sort("since", "event_at")
    first = np.searchsorted(panel.event_at, naive(rows["since"]), side="left")
    for symbol, sector, row in zip(rows["symbol"], rows["sector"], first, strict=True):
        values[row:, place[symbol]] = code[sector]
    return {SECTOR: values}


def _listings(store: Store, market: Market) -> pl.DataFrame:
    try:
        return store.read("listings", where={"market": market.name})
    except NoData:
        return pl.DataFrame(schema=TABLES["listings"].schema)


def _some(names: Collection[str], start: str) -> bool:
    return any(name.startswith(start) for name in names)
