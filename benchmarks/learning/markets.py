"""Markets that learning is measured on: recorded ones, and a simulated one whose planted relation changes without notice."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from domain import panel as panels
from domain import params as parameters
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params
from features import catalog
from features.engine import FeatureEngine
from flows import home as homes
from flows import learn, stages
from flows.home import Home
from flows.stages import Job
from models.contract import Dataset, IntArray
from pipelines.data import imports
from pipelines.data.sources import world
from pipelines.data.sources.simulated import Simulated
from pipelines.data.sources.world import World
from pipelines.model import datasets
from pipelines.store import Store

HERE = Path(__file__).parent
DATA = Path(os.environ.get("NIGHTSHIFT_DATA", HERE.parents[2] / "shared" / "data"))
#: Recorded markets: the section of params.yaml and the file.
RECORDED = {
    "daily equities": ("us_equity", "equities_daily_long"),
    "hourly crypto": ("crypto", "crypto_1h"),
    "hourly FX": ("fx", "fx_1h"),
}
SIMULATED = "simulated, regimes"
#: A regime of the simulated market lasts so many bars, drawn evenly.
STAY = (300, 900)
#: Half-life of the second relation's memory, in bars.
VOLUME_DECAY = np.exp(-1.0 / 20.0)


@dataclass(frozen=True)
class Case:
    """A market ready to be learned from."""

    name: str
    market: Market
    params: Params
    dataset: Dataset


def simulated(seed: int, bars: int) -> Case:
    """Return the simulated market of a seed, `bars` long before its features have warmed up."""
    params = parameters.load(homes.parameters(), "sim_equity")
    market = params.market("sim_equity")
    source = Shifting(params.sources.simulated.model_copy(update={"seed": seed, "bars": bars}))
    panel = panels.from_bars(source.bars(market, None, None), market.name, market.timeframe)
    chosen = catalog.select(params.features.families)
    values = np.ascontiguousarray(FeatureEngine(chosen, len(panel.symbols)).advance(panel))
    return Case(SIMULATED, market, params, datasets.build(panel, values, tuple(each.name for each in chosen), market, params))


def recorded(name: str, place: Path) -> Case:
    """Return a recorded market, imported and measured as `nightshift learn` would."""
    section, file = RECORDED[name]
    params = parameters.load(homes.parameters(), section)
    market, home = params.market(section), Home(place)
    imports.bring(DATA / f"{file}.parquet", market, params, Store(home.store), home.docs / section)
    job = Job(place / "job", home, market, params)
    stages.run(job, skip=learn.MAKING)
    made = stages.load_dataset(job)
    return Case(name, market, params, replace(made, features=np.array(made.features), nearer={}))


def seeded(params: Params, seed: int) -> Params:
    """Return parameters whose training has another seed."""
    return params.model_copy(update={"training": params.training.model_copy(update={"seed": seed})})


class Shifting(Simulated):
    """The simulated source, its relation changing at moments that nobody is told."""

    def _world(self, market: Market) -> World:
        if market not in self._worlds:
            self._worlds[market] = _shifted(
                market, world.create(market, self.parameters), self._still(market), self.parameters.seed
            )
        return self._worlds[market]

    def _still(self, market: Market) -> World:
        """Return the same market without anything planted: its shocks are the same to the bit."""
        return world.create(market, self.parameters.model_copy(update={"edge": 0.0}))


def regimes(bars: int, seed: int) -> IntArray:
    """Return the relation of each bar: 0 the planted one, 1 its opposite, 2 another one. None follows itself."""
    draw = np.random.default_rng([seed, *b"shift"])
    kind, kinds = int(draw.integers(3)), np.empty(0, dtype=np.int64)
    while len(kinds) < bars:
        kinds = np.concatenate([kinds, np.full(int(draw.integers(*STAY)), kind)])
        kind = (kind + int(draw.integers(1, 3))) % 3
    return kinds[:bars]


def _shifted(market: Market, planted: World, still: World, seed: int) -> World:
    """Return the world whose drift is the planted one, the opposite of it, or follows volume, by its regimes."""
    drift = planted.day - still.day
    ways = np.stack([drift, -drift, _by_volume(still, float(drift.std()))])
    kind = regimes(len(drift), seed)
    return replace(planted, day=still.day + ways[kind, np.arange(len(kind))])


def _by_volume(still: World, size: float) -> FloatArray:
    """Return [T, S] a drift of standard deviation `size`: who was traded more than usual of late falls."""
    surprise = np.log(still.volume)
    surprise -= np.median(surprise, axis=0)
    held = np.zeros_like(surprise)
    for row in range(1, len(held)):
        held[row] = VOLUME_DECAY * held[row - 1] + np.clip(surprise[row - 1], -3.0, 3.0)
    held = -(held - held.mean(axis=1, keepdims=True)) * still.sigma
    return np.asarray(held * (size / held.std()))


def known(dataset: Dataset, now: int, memory: int) -> Dataset:
    """Return what was known when row `now` began: the newest `memory` rows before it, outcomes still to come missing."""
    rows, unheard = slice(max(now - memory, 0), now), dataset.horizon + 1
    forward, label = dataset.forward[rows].copy(), dataset.label[rows].copy()
    forward[-unheard:], label[-unheard:] = np.nan, np.nan
    return replace(
        dataset,
        features=dataset.features[rows],
        forward=forward,
        label=label,
        scale=dataset.scale[rows],
        event_at=dataset.event_at[rows],
        nearer={},
    )


def blocks(dataset: Dataset, first: int, step: int) -> Iterator[slice]:
    """Yield the rows that are forecast between one night and the next, from row `first` on."""
    for start in range(first, dataset.bars, step):
        yield slice(start, min(start + step, dataset.bars))
