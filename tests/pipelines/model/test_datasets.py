"""A dataset pairs what was known at a bar with what came after it."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from domain import params
from domain.error import DataError
from domain.panel import Panel
from domain.params import Datasets, Params
from features import catalog
from pipelines.model import datasets

PARAMS = params.load(Path(__file__).parents[3] / "params.yaml", "sim_equity", "tiny")
MARKET = PARAMS.market("sim_equity")
NAMES = ("return_20", catalog.SCALE)
WARM_UP = datasets.warm_up(NAMES)


def _with(**chosen: object) -> Params:
    return PARAMS.model_copy(update={"datasets": PARAMS.datasets.model_copy(update=chosen)})


@pytest.fixture
def panel() -> Panel:
    """Return 200 bars of a random walk in 3 symbols, one bar missing."""
    rng = np.random.default_rng(1)
    log = np.cumsum(0.01 * rng.standard_normal((200, 3)), axis=0) + 3.0
    opened, closed = np.exp(log), np.exp(log + 0.002 * rng.standard_normal((200, 3)))
    opened[150, 2] = closed[150, 2] = math.nan
    times = np.datetime64("2020-01-01T14:30:00", "us") + np.arange(200) * np.timedelta64(1, "D")
    high, low = np.fmax(opened, closed), np.fmin(opened, closed)
    volume = np.where(np.isnan(opened), math.nan, 1e6)
    return Panel("sim_equity", "1d", ("A", "B", "C"), times, times + np.timedelta64(6, "h"), opened, high, low, closed, volume)


@pytest.fixture
def features(panel: Panel) -> np.ndarray:
    """Return two features as the engine gives them: a transposed view, NaN while warming up."""
    values = np.full((2, 200, 3), 0.01, dtype=np.float32)
    values[0] = np.random.default_rng(2).standard_normal((200, 3))
    values[:, :WARM_UP] = math.nan
    return values.transpose(1, 2, 0)


def test_a_label_is_the_return_from_the_next_open_over_the_horizon(panel: Panel, features: np.ndarray):
    """By hand for one bar: log(open[t + 1 + 5] / open[t + 1]), and that over 0.01 * sqrt(5)."""
    made = datasets.build(panel, features, NAMES, MARKET, PARAMS)
    row = 100 - WARM_UP

    expected = math.log(panel.open[106, 1] / panel.open[101, 1])
    assert made.forward[row, 1] == pytest.approx(expected)
    assert made.label[row, 1] == pytest.approx(expected / (0.01 * math.sqrt(5)), rel=1e-6)
    assert np.isnan(made.forward[-6:]).all()
    assert np.isfinite(made.forward[-7, :2]).all()


def test_rows_that_warm_the_features_up_are_left_out(panel: Panel, features: np.ndarray):
    """The dataset's rows are the last ones of the panel, from the first bar on whose features all can have a value."""
    made = datasets.build(panel, features, NAMES, MARKET, PARAMS)

    assert made.bars == 200 - WARM_UP
    assert (made.event_at == panel.event_at[WARM_UP:]).all()
    np.testing.assert_array_equal(made.features, features[WARM_UP:])
    assert WARM_UP >= 60


def test_only_the_newest_bars_are_used(panel: Panel, features: np.ndarray):
    """Older ones only warm the features up."""
    made = datasets.build(panel, features, NAMES, MARKET, _with(bars_max=100))

    assert made.bars == 100
    assert (made.event_at == panel.event_at[100:]).all()


def test_deleting_the_future_changes_no_label_that_was_known(panel: Panel, features: np.ndarray):
    """Built at bar 160, every label known by then is what it is in the whole history, and no other is known."""
    whole = datasets.build(panel, features, NAMES, MARKET, PARAMS)
    early = datasets.build(panel.rows(0, 160), features[:160], NAMES, MARKET, PARAMS)

    np.testing.assert_array_equal(early.label[:-6], whole.label[: early.bars - 6])
    assert np.isnan(early.label[-6:]).all()


def test_a_missing_bar_has_no_label_on_either_end(panel: Panel, features: np.ndarray):
    """The open of bar 150 is the entry of row 149 and the exit of row 144."""
    made = datasets.build(panel, features, NAMES, MARKET, PARAMS)

    assert np.isnan(made.forward[[149 - WARM_UP, 144 - WARM_UP], 2]).all()
    assert np.isfinite(made.forward[150 - WARM_UP, 2])


def test_a_symbol_that_never_moves_has_no_scale_and_no_label(panel: Panel, features: np.ndarray):
    """Nothing can be measured in units of zero."""
    features[:, 0, NAMES.index(catalog.SCALE)] = 0.0

    made = datasets.build(panel, features, NAMES, MARKET, PARAMS)

    assert np.isnan(made.scale[:, 0]).all()
    assert np.isnan(made.label[:, 0]).all()


def test_a_net_label_is_smaller_than_what_moved_by_a_round_trip(panel: Panel, features: np.ndarray):
    """Where the move paid for its cost, what is left is the move less twice the way in, touch and impact included."""
    free = replace(MARKET, cost=MARKET.cost.model_copy(update={"impact": 0.0}))
    made = datasets.build(panel, features, NAMES, free, _with(label="net"))
    kept = made.label * made.scale * math.sqrt(5)
    paid = np.abs(made.forward) > 1e-3

    # 0.5 bps of fee, half of 2 bps of spread and 1 bp of slippage, twice.
    np.testing.assert_allclose(np.abs(kept[paid]), np.abs(made.forward[paid]) - 5e-4, rtol=1e-9)
    assert (np.sign(kept[paid]) == np.sign(made.forward[paid])).all()


def test_a_barrier_label_stops_where_the_price_touches(panel: Panel, features: np.ndarray):
    """With barriers far away it is the forward return, with near ones it is the first close beyond them."""
    far = datasets.build(panel, features, NAMES, MARKET, _with(label="barrier", barrier_sigma=1e6))
    near = datasets.build(panel, features, NAMES, MARKET, _with(label="barrier", barrier_sigma=1e-6))
    row = 100 - WARM_UP

    np.testing.assert_allclose(far.label[:, 0], far.forward[:, 0] / (far.scale[:, 0] * math.sqrt(5)))
    assert near.label[row, 0] * near.scale[row, 0] * math.sqrt(5) == pytest.approx(
        math.log(panel.close[101, 0] / panel.open[101, 0])
    )


def test_every_word_for_a_label_means_another_one(panel: Panel, features: np.ndarray):
    """Two words for one thing would let a trial of both pass for two trials."""
    words = get_args(Datasets.model_fields["label"].annotation)
    made = [np.nan_to_num(datasets.build(panel, features, NAMES, MARKET, _with(label=word)).label) for word in words]

    assert set(words) == set(datasets.LABELS)
    assert not any(np.array_equal(one, other) for one, other in itertools.combinations(made, 2))


def test_a_history_shorter_than_the_warm_up_is_refused(panel: Panel, features: np.ndarray):
    """One sentence: what came, what is needed, what to do."""
    with pytest.raises(
        DataError, match=rf"^a dataset of 'sim_equity' was asked from 50 bars, but its features need {WARM_UP} bars"
    ):
        datasets.build(panel.rows(0, 50), features[:50], NAMES, MARKET, PARAMS)


def test_features_without_the_scale_are_refused(panel: Panel, features: np.ndarray):
    """The scale is what every label is measured in."""
    with pytest.raises(DataError, match=f"needs the feature '{catalog.SCALE}', but only these came: return_20, other"):
        datasets.build(panel, features, ("return_20", "other"), MARKET, PARAMS)
