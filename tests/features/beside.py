"""How features are held beside a naive twin: a table in pandas, one symbol at a time, over the bars that it really had."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from domain.panel import FloatArray, Panel
from features.engine import FeatureEngine
from features.feature import Feature
from tests.features import panels


def market(bars: int, symbols: int, seed: int, gaps: float = 0.0) -> Panel:
    """Return random walks with covariates as a market has them: prices within the bar, few sectors, sessions of a day."""
    panel = panels.random(bars, symbols, seed, gaps)
    draw, shape = np.random.default_rng(seed + 1), panel.close.shape
    lean = draw.random(shape)
    values = {
        "vwap": lean * panel.high + (1.0 - lean) * panel.low,
        "trades": np.round(np.exp(draw.normal(5.0, 0.5, shape))),
        "buy_volume": panel.volume * draw.random(shape),
        "spread": np.exp(draw.normal(-8.0, 0.3, shape)),
        "sector": np.tile(draw.integers(1, 4, symbols).astype(float), (bars, 1)),
        "since_open": np.full(shape, 390.0),
        "until_close": np.full(shape, 0.0),
    }
    return replace(panel, covariates={name: np.where(panel.present, column, np.nan) for name, column in values.items()})


def without(panel: Panel, *names: str) -> Panel:
    """Return the panel without some covariates."""
    return replace(panel, covariates={name: values for name, values in panel.covariates.items() if name not in names})


def values(features: Sequence[Feature], panel: Panel) -> FloatArray:
    """Return the features in double precision, [T, S, F]."""
    made: FloatArray = FeatureEngine(features, len(panel.symbols), precision=np.float64).advance(panel)
    return made


def compare(features: Sequence[Feature], twin: Callable[[pd.DataFrame], pd.DataFrame], panel: Panel, rtol: float = 1e-9) -> None:
    """Assert that each symbol's features equal its twin's columns over its own bars."""
    found = values(features, panel)
    for s in range(len(panel.symbols)):
        own = panel.present[:, s]
        frame = pd.DataFrame({name: column[own, s] for name, column in panel.columns().items()})
        frame["opened_at"], frame["event_at"] = panel.opened_at[own], panel.event_at[own]
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = twin(frame)
        assert set(expected.columns) == {feature.name for feature in features}
        for f, feature in enumerate(features):
            table = expected[feature.name].to_numpy(float)
            np.testing.assert_allclose(found[own, s, f], table, rtol=rtol, atol=1e-10, err_msg=feature.name)


def check_promises(features: Sequence[Feature], symbols: int = 10, seed: int = 51) -> None:
    """Assert what the catalogue promises: NaN for exactly the warm-up, finite ever after, free of scale, unique and explained."""
    bars = max(feature.warm_up for feature in features) + 60
    panel = market(bars, symbols, seed)
    found = values(features, panel)
    for f, feature in enumerate(features):
        assert np.isnan(found[: feature.warm_up, :, f]).all(), feature.name
        assert np.isfinite(found[feature.warm_up :, :, f]).all(), feature.name
        assert feature.meaning, feature.name
    assert len({feature.name for feature in features}) == len(features)
    np.testing.assert_allclose(values(features, rescaled(panel)), found, rtol=1e-7, atol=1e-9)

    check_pieces(features, symbols, seed)


def check_pieces(features: Sequence[Feature], symbols: int, seed: int) -> None:
    """Assert that with covariates and gaps any pieces, single bars too, give the bits of one call, and missing bars nothing."""
    bars = max(feature.warm_up for feature in features) + 150
    panel = market(bars, symbols, seed, 0.08)
    whole = values(features, panel)
    for edges in ([0, 1, 2, bars // 3, bars // 3, bars - 40, bars], range(bars + 1)):
        machine = FeatureEngine(features, symbols, precision=np.float64)
        pieces = np.concatenate([machine.advance(panel.rows(a, b)) for a, b in pairwise(edges)])
        np.testing.assert_array_equal(pieces, whole)
    assert np.isnan(whole[~panel.present]).all()


def rescaled(panel: Panel) -> Panel:
    """Return the panel in another currency and another lot: all prices and all volumes times 64."""
    scaled = {name: column * 64.0 for name, column in panel.columns().items() if name in SCALED}
    covariates = {name: scaled.get(name, column) for name, column in panel.covariates.items()}
    return replace(panel, **{name: scaled[name] for name in SCALED[:5]}, covariates=covariates)


SCALED = ("open", "high", "low", "close", "volume", "vwap", "buy_volume")
