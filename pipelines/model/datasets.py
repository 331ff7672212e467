"""Datasets: features and labels of one market, paired row by row."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from domain.error import DataError
from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params
from features import catalog, labels
from models.contract import Dataset, Float32Array


def build(panel: Panel, features: Float32Array, names: tuple[str, ...], market: Market, params: Params) -> Dataset:
    """Return the newest rows of `panel` whose features have warmed up, at most `datasets.bars_max` of them.

    `features` [T, S, F] and `panel` share their rows, and the dataset's rows are the last ones of both. Raises DataError when the
    scale was not measured or when no row is left.
    """
    if catalog.SCALE not in names:
        raise DataError(
            f"a dataset of '{market.name}' needs the feature '{catalog.SCALE}', but only these came: {', '.join(names)}"
        )
    first = max(warm_up(names), panel.bars - params.datasets.bars_max)
    if first >= panel.bars:
        asked = f"a dataset of '{market.name}' was asked from {panel.bars} bars"
        raise DataError(f"{asked}, but its features need {first} bars to warm up: import more history")
    scale = _positive(features[..., names.index(catalog.SCALE)])
    forward = labels.forward(panel, market.horizon)
    label = LABELS[params.datasets.label](panel, forward, scale, market, params)
    return Dataset(
        features=features[first:],
        forward=forward[first:],
        label=labels.scaled(label, scale, market.horizon)[first:],
        scale=scale[first:],
        event_at=panel.event_at[first:],
        names=names,
        symbols=panel.symbols,
        horizon=market.horizon,
        nearer={each: _near(panel, scale, each)[first:] for each in nearer(market.horizon)},
    )


def nearer(horizon: int) -> tuple[int, ...]:
    """Return the horizons that may be learned beside a market's own: one bar, and half of it."""
    return tuple(sorted({1, (horizon + 1) // 2} - {horizon}))


def _near(panel: Panel, scale: FloatArray, horizon: int) -> FloatArray:
    return labels.scaled(labels.forward(panel, horizon), scale, horizon)


def warm_up(names: Sequence[str]) -> int:
    """Return the bars before every one of the named features of the catalogue has a value."""
    return max((feature.warm_up for feature in catalog.CATALOG if feature.name in names), default=0)


def _positive(scale: Float32Array) -> FloatArray:
    """Return the scale in double precision, NaN where it is not positive: nothing can be measured by a symbol that never moves."""
    return np.where(scale > 0.0, scale, math.nan).astype(np.float64)


Labelled = Callable[[Panel, FloatArray, FloatArray, Market, Params], FloatArray]

#: What `datasets.label` means, as log returns; models get each in volatilities of the horizon.
LABELS: dict[str, Labelled] = {
    "scaled": lambda panel, forward, scale, market, params: forward,
    "net": lambda panel, forward, scale, market, params: labels.net(forward, market.cost, scale),
    "barrier": lambda panel, forward, scale, market, params: labels.barrier(
        panel, market.horizon, scale, params.datasets.barrier_sigma
    ),
}
