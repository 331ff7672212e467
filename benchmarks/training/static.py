"""What static covariates are worth: one market with and without the family `static`: `python -m benchmarks.training.static`.

Rows are the same for both, since columns are taken away from one dataset. The newest QUARTER of them is forecast by a model that
was fitted to what was known before.
"""

import argparse
from dataclasses import replace

import numpy as np

from domain import panel as panels
from domain import params as parameters
from domain.forecast import LEVELS, MEDIAN
from domain.params import Params
from features import catalog, labels
from features.engine import FeatureEngine
from flows import home as homes
from models import family, metrics
from models.contract import Dataset
from models.inputs import Places
from pipelines.data import covariates
from pipelines.data.sources.simulated import Simulated
from pipelines.model import datasets

QUARTER = 0.25
#: Share of the rows before them that early stopping watches.
VALID = 0.15
LEARNERS = ("tft", "trees")


def simulated(seed: int, bars: int) -> tuple[Dataset, Params]:
    """Return the simulated market of a seed, its sectors told."""
    params = parameters.load(homes.parameters(), "sim_equity")
    market = params.market("sim_equity")
    source = Simulated(params.sources.simulated.model_copy(update={"seed": seed, "bars": bars}))
    panel = panels.from_bars(source.bars(market, None, None), market.name, market.timeframe)
    panel = replace(panel, covariates=covariates.sectors(source.listings(market, None, None), panel))
    chosen = catalog.select((*params.features.families, "static"))
    values = np.ascontiguousarray(FeatureEngine(chosen, len(panel.symbols)).advance(panel))
    return datasets.build(panel, values, tuple(each.name for each in chosen), market, params), params


def plain(dataset: Dataset) -> Dataset:
    """Return the dataset without what is static."""
    kept = list(Places.of(dataset.names).varying)
    return replace(dataset, features=dataset.features[..., kept], names=tuple(dataset.names[place] for place in kept))


def figures(dataset: Dataset, params: Params, learner: str) -> str:
    """Return rank IC and pinball loss of the newest rows, and what was static in the model."""
    first = int(dataset.bars * (1.0 - QUARTER))
    known = first - labels.known_after(dataset.horizon) - params.training.embargo_bars
    rows = np.arange(known, dtype=np.int64)
    model, cut = family.create(params.training, dataset.horizon, family=learner), int(known * (1.0 - VALID))
    model.fit(dataset, rows[: cut - labels.known_after(dataset.horizon)], rows[cut:])
    begin = first - model.context_bars + 1
    told = model.predict(dataset.features[begin:], dataset.scale[begin:])[first - begin :]
    ranked = metrics.rank_ic(told[..., MEDIAN], dataset.forward[first:])
    loss = metrics.mean(metrics.pinball_rows(told, dataset.forward[first:], LEVELS))
    static = sum(share for name, share in model.importance().items() if name not in plain(dataset).names)
    return (
        f"rank IC {metrics.mean(ranked):.4f} (t {metrics.overlap_t(ranked, dataset.horizon):.1f}), pinball {1e4 * loss:.2f} bp, "
        f"{model.rounds} rounds, static {static:.0%}"
    )


def main() -> None:
    """Print a line for each seed, learner and set of features."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    asked.add_argument("--bars", type=int, default=2500)
    asked.add_argument("--learners", nargs="+", default=list(LEARNERS))
    told = asked.parse_args()
    for seed in told.seeds:
        dataset, params = simulated(seed, told.bars)
        params = params.model_copy(update={"training": params.training.model_copy(update={"seed": seed})})
        for learner in told.learners:
            for name, held in (("without", plain(dataset)), ("with", dataset)):
                print(f"seed {seed}, {learner} {name}: {figures(held, params, learner)}", flush=True)


if __name__ == "__main__":
    main()
