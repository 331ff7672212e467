"""The whole of params.yaml, a section a stop of the path."""

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import Field

from domain.cost import Cost
from domain.error import UnknownMarket, nearest
from domain.instrument import Instrument
from domain.market import AssetClass, Market, Universe
from domain.params.learning import Datasets, Evaluation, Features, Learning, Registry, Training
from domain.params.section import Section
from domain.params.sources import Quality, Sources, Store
from domain.params.trading import AccountParams, Alerts, Decisions, Fills, Journal, Orders, Risk, Serving, Sizing

STOPS = (
    "sources", "store", "quality", "features", "datasets", "training", "evaluation", "registry",
    "serving", "decisions", "risk", "orders", "fills", "journal", "learning",
)  # fmt: skip


class Experiment(Section):
    """What `dvc repro` runs; no stop of the path reads it."""

    market: str


class MarketParams(Section):
    """One market of the list."""

    asset_class: AssetClass
    calendar: str
    timeframe: str
    source: Literal["simulated", "files", "yahoo", "alpaca", "bloomberg"]
    horizon: int = Field(ge=1)
    symbols: tuple[str, ...] = ()
    universe: Universe = Universe()
    """Which symbols belong to the market on each day; by default all that trade."""
    stored: str | None = None
    """Timeframe of the stored bars, where they are finer than the market's and summed up while they are read."""
    hours: Literal["regular", "extended"] = "regular"
    """Whether pre-market and post-market bars are part of the market."""
    cost: Cost
    instrument: Instrument
    override: dict[str, Any] = Field(default_factory=dict)
    """Parameters of any section that differ in this market."""


class Params(Section):
    """The whole of params.yaml after profile and market have been laid over it."""

    profile: Literal["tiny", "demo", "full"]
    experiment: Experiment
    markets: dict[str, MarketParams]
    accounts: tuple[AccountParams, ...]
    sources: Sources
    store: Store
    quality: Quality
    features: Features
    datasets: Datasets
    training: Training
    evaluation: Evaluation
    registry: Registry
    serving: Serving
    decisions: Decisions
    risk: Risk
    orders: Orders
    fills: Fills
    journal: Journal
    alerts: Alerts
    learning: Learning

    def market(self, name: str) -> Market:
        """Return one market; raise UnknownMarket with a suggestion."""
        if name not in self.markets:
            raise UnknownMarket(f"market '{name}' is not in params.yaml: {nearest(name, self.markets)}")
        chosen = self.markets[name]
        return Market(name, **{k: getattr(chosen, k) for k in MarketParams.model_fields if k != "override"})

    def fed_by(self, market: str) -> str:
        """Return where a market's bars come from: two feeds of one vendor are two, since they differ in volumes and in prices."""
        chosen = self.market(market)
        if chosen.source != "alpaca" or chosen.asset_class != AssetClass.EQUITY:
            return chosen.source
        # What comes late is of the same prints.
        return f"alpaca {self.sources.alpaca.feed.removeprefix('delayed_')}"

    def sized(self, sizing: Sizing | None) -> Self:
        """Return the parameters by which a model that brings `sizing` is traded; None brings nothing."""
        if sizing is None:
            return self
        return self.model_copy(update={"decisions": self.decisions.model_copy(update=sizing.model_dump())})

    def digest(self, *stops: str) -> str:
        """Return a SHA-256 over the named sections (all of them by default), stable across key order."""
        chosen = self.model_dump(mode="json", include=set(stops) or set(STOPS))
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()
