"""Replay: one version of a model over a stretch of stored bars, simulated in one call or lived through bar by bar."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np

from domain.error import NoData
from domain.panel import Panel
from domain.params import Params
from flows import evidence, trade
from flows.home import Home
from flows.retrain import known_by
from pipelines.data import materialize
from pipelines.data.covariates import Wanted
from pipelines.execution import loop, simulate
from pipelines.execution.outcome import Outcome
from pipelines.execution.serving import Served
from pipelines.registry import Registry, Version
from pipelines.store import Store
from pipelines.store.versions import line

CHARACTERS = 12


@dataclass(frozen=True)
class Stretch:
    """What is to be replayed: a verified model, the bars it may see, and the close from which on it trades."""

    home: Home
    params: Params
    version: Version
    served: Served
    panel: Panel
    since: np.datetime64
    tables: str
    """Versions of the tables that the bars were read from."""

    @property
    def folder(self) -> Path:
        """Where this very replay keeps its journal: the same question finds the same facts, another one starts anew."""
        asked = f"{self.since.astype('datetime64[D]')}-{self.panel.event_at[-1].astype('datetime64[D]')}"
        seen = f"{materialize.digest(self.panel)[:CHARACTERS]}-{self.params.digest()[:CHARACTERS]}"
        return self.home.replays / self.panel.market / str(self.version.number) / f"{asked}-{seen}"

    @property
    def bars(self) -> int:
        """Bars that are traded."""
        return int((self.panel.event_at >= self.since).sum())

    @property
    def in_sample_bars(self) -> int:
        """Bars traded that the model was fitted on: any at all makes the result a description, not a test."""
        last = evidence.moment(self.version.lineage.last)
        traded = self.panel.event_at[self.panel.event_at >= self.since]
        return int((traded <= last).sum())


def stretch(market: str, since: date, until: date | None, which: str | int, home: Home, params: Params) -> Stretch:
    """Fetch and verify a version and cut its bars.

    `which` is a number or an alias; bars before `since` only warm the features up. Raises NoChampion, CorruptBundle or NoData.
    """
    registry = Registry(home.mlflow)
    version = registry.version(market, which)
    served = trade.serve(evidence.fetched(registry, version, home), str(version.number), params.market(market), params)
    versions = materialize.versions(Store(home.store))
    wanted = Wanted.by(params, served.features)
    panel = materialize.read(Store(home.store).at(versions), params.market(market), until=known_by(until), wanted=wanted)
    start = np.datetime64(datetime.combine(since, time.min), "us")
    if panel.event_at[-1] < start:
        newest = np.datetime_as_string(panel.event_at[-1], unit="s")
        asked = f"market '{market}' was to be replayed from {since}" + (f" to {until}" if until is not None else "")
        raise NoData(f"{asked}, but the newest bar known by then closed at {newest}Z: begin before that")
    return Stretch(home, params, version, served, panel, start, line(versions))


def simulated(asked: Stretch) -> Outcome:
    """Trade the stretch in one compiled call."""
    forecasts, scale = asked.served.feed(len(asked.panel.symbols)).advance(asked.panel)
    market, terms = asked.params.market(asked.panel.market), asked.served.terms(asked.params)
    return simulate.run(asked.panel, forecasts, market, terms, model_version=asked.served.version, since=asked.since, scale=scale)


def replayed(asked: Stretch, progress: Callable[[int], None] | None = None) -> Outcome:
    """Live through the stretch bar by bar, through broker and journal; a replay that was cut short goes on where it stopped.

    `progress` is told the number of bars done.
    """
    market = asked.params.market(asked.panel.market)
    return loop.replay(asked.panel, asked.served, market, asked.params, asked.folder, since=asked.since, progress=progress)


def told(asked: Stretch, outcome: Outcome) -> dict[str, Any]:
    """Return what a command prints."""
    first, last = outcome.event_at[0], outcome.event_at[-1]
    return {
        "market": asked.panel.market,
        "version": asked.version.number,
        "since": _iso(first),
        "until": _iso(last),
        "symbols": len(asked.panel.symbols),
        **outcome.metrics,
        "halted": outcome.halted,
        "in_sample_bars": asked.in_sample_bars,
        "tables": asked.tables,
        "orders_digest": outcome.orders_digest,
    }


def _iso(at: np.datetime64) -> str:
    return datetime.fromisoformat(str(at.astype("datetime64[s]"))).replace(tzinfo=UTC).isoformat()
