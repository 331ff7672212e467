"""Tests of the feature engine: any number of rows a call, gaps, state, threads."""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.compiled import kernel
from domain.error import ConfigurationError, DataError
from domain.panel import Panel
from features import catalog, engine, indicators
from features.engine import FeatureEngine
from features.feature import Feature
from tests.features import panels

PLAIN: tuple[Feature, ...] = (
    indicators.sma("close", 7),
    indicators.deviation("close", 7),
    indicators.wma("close", 5),
    indicators.tema("close", 4),
    indicators.trix("close", 4),
    indicators.highest("high", 6),
    indicators.lowest("low", 5),
    indicators.correlation("close", "volume", 6),
    indicators.beta("close", "open", 6),
    indicators.macd_histogram("close", 3, 6, 4),
    indicators.adx(4),
    indicators.mfi(4),
    indicators.ad(),
    indicators.band("close", 7, 2.0),
)
EVERYTHING = catalog.CATALOG + PLAIN


def compute(panel: Panel, features: tuple[Feature, ...] = EVERYTHING, cuts: list[int] | None = None) -> npt.NDArray[np.float64]:
    """Return the features over the panel, computed in the pieces that `cuts` makes."""
    machine = FeatureEngine(features, len(panel.symbols), precision=np.float64)
    edges = [0, *sorted(cuts or []), panel.bars]
    return np.concatenate([machine.advance(panel.rows(a, b)) for a, b in pairwise(edges)])


def equal(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
    """Return whether two arrays are the same to the last bit; any NaN equals any other."""
    x, y = np.ascontiguousarray(a), np.ascontiguousarray(b)
    same = x.view(np.int64) == y.view(np.int64)
    return bool((same | (np.isnan(x) & np.isnan(y))).all())


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.02, 0.4]), st.lists(st.integers(0, 300), max_size=8))
def test_random_pieces_give_the_bits_of_one_call(seed: int, gaps: float, cuts: list[int]) -> None:
    """Cutting the history anywhere, into empty pieces too, changes no bit of any feature."""
    panel = panels.random(300, 11, seed, gaps)

    pieces = compute(panel, cuts=cuts)

    assert equal(pieces, compute(panel))


def test_bar_by_bar_gives_the_bits_of_one_call_on_real_data() -> None:
    """On real stocks with their gaps, a live trader's features are the backtest's."""
    panel = panels.real(24)

    live = compute(panel, cuts=list(range(1, panel.bars)))

    assert equal(live, compute(panel))


@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_bar_by_bar_gives_the_bits_of_one_call_past_every_anchor(gaps: float) -> None:
    """Running sums that are computed anew every so many bars do so at the same bars however the history is cut."""
    panel = panels.random(900, 5, 3, gaps)

    live = compute(panel, cuts=list(range(1, panel.bars)))

    assert equal(live, compute(panel))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_a_gap_leaves_the_state_untouched(seed: int, holes: int) -> None:
    """Rows without any bar, put in anywhere, change no bit of what a symbol's own bars give, and yield NaN themselves."""
    panel = panels.random(250, 3, seed)
    alone = tuple(f for f in EVERYTHING if f.family not in {"calendar", "session"})
    draw = np.random.default_rng(seed)
    at = np.sort(draw.choice(panel.bars, size=holes * 20))
    wide = panels.from_prices({name: np.insert(getattr(panel, name), at, np.nan, axis=0) for name in engine_columns()})
    kept = ~np.isnan(wide.close[:, 0])

    values = compute(wide, alone)

    assert equal(values[kept], compute(panel, alone))
    assert np.isnan(values[~kept]).all()


def engine_columns() -> tuple[str, ...]:
    """Return the price columns of a panel."""
    return ("open", "high", "low", "close", "volume")


def test_a_symbol_is_the_same_whatever_the_others_miss() -> None:
    """A symbol's own features depend on no other symbol's gaps, except where they compare symbols."""
    panel = panels.random(700, 9, 5)
    own = tuple(f for f in EVERYTHING if not compares(f))
    missing = np.random.default_rng(1).random(panel.close.shape) < 0.2
    missing[:, 4] = False

    values = compute(panels.mask(panel, missing), own)

    assert equal(values[:, 4], compute(panel, own)[:, 4])


def compares(feature: Feature) -> bool:
    """Return whether a feature looks at other symbols."""
    return feature.whole_row or any(compares(i) for i in feature.inputs if isinstance(i, Feature))


def test_any_block_of_columns_gives_the_same_bits() -> None:
    """Splitting the symbols changes no bit of the features that do not compare them."""
    panel = panels.random(400, 37, 2, 0.05)
    own = tuple(f for f in EVERYTHING if not compares(f))
    together = compute(panel, own)

    for first, last in ((0, 1), (1, 3), (3, 10), (10, 26), (26, 37)):
        assert equal(compute(panels.columns(panel, slice(first, last)), own), together[:, first:last])


def test_threads_give_the_bits_of_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of columns computed at the same time change no bit."""
    panel = panels.random(400, 30, 4, 0.05)
    monkeypatch.setattr(engine, "PARALLEL_SYMBOLS", 0)
    monkeypatch.setattr(engine, "TILE", 900)
    machine = FeatureEngine(EVERYTHING, 30, precision=np.float64, threads=3)

    values = machine.advance(panel)

    assert equal(values, compute(panel))


def test_threads_give_a_live_bar_the_bits_of_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for each other where symbols are compared change no bit, bar after bar."""
    monkeypatch.setattr(engine, "PARALLEL_SYMBOLS", 0)
    panel = panels.random(120, 30, 14, 0.05)
    machine = FeatureEngine(EVERYTHING, 30, precision=np.float64, threads=3)

    values = np.concatenate([machine.advance(panel.rows(0, 70)), *(machine.advance(bar) for bar in panel.rows(70, 120).each())])

    assert equal(values, compute(panel))


def test_a_restored_engine_continues_to_the_bit() -> None:
    """State written to a file in the middle and read by a new engine changes no bit."""
    panel = panels.random(500, 8, 6, 0.1)
    whole = compute(panel)
    machine = FeatureEngine(EVERYTHING, 8, precision=np.float64)
    machine.advance(panel.rows(0, 333))
    file = io.BytesIO()
    np.savez(file, **machine.state())
    file.seek(0)

    successor = FeatureEngine(EVERYTHING, 8, precision=np.float64)
    with np.load(file, allow_pickle=False) as state:
        successor.restore(dict(state))

    assert equal(successor.advance(panel.rows(333, 500)), whole[333:])


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 3)])
def test_a_state_is_no_business_of_threads(monkeypatch: pytest.MonkeyPatch, before: int, after: int) -> None:
    """A state that one number of threads left is continued by another to the bit; to have saved it changes nothing."""
    monkeypatch.setattr(engine, "PARALLEL_SYMBOLS", 0)
    panel = panels.random(500, 20, 21, 0.1)
    whole = compute(panel)
    machine, successor = (FeatureEngine(EVERYTHING, 20, precision=np.float64, threads=n) for n in (before, after))
    machine.advance(panel.rows(0, 333))
    successor.advance(panel.rows(100, 217))

    successor.restore(machine.state())

    assert equal(successor.advance(panel.rows(333, 500)), whole[333:])
    assert equal(machine.advance(panel.rows(333, 500)), whole[333:])


def test_the_state_of_other_features_is_refused() -> None:
    """A state that does not fit is one clear error, and the engine goes on as before."""
    machine = FeatureEngine(catalog.select(["average"]), 4)
    other = FeatureEngine(catalog.select(["average"]), 5).state()

    with pytest.raises(DataError, match="has shape"):
        machine.restore(other)


def test_another_number_of_symbols_is_refused() -> None:
    """A panel of other symbols is one clear error."""
    machine = FeatureEngine(catalog.select(["average"]), 4)

    with pytest.raises(DataError, match="3 symbols"):
        machine.advance(panels.random(5, 3))


def test_two_features_of_one_name_are_refused() -> None:
    """A name stands for one recipe."""
    twins = (indicators.sma("close", 5), Feature("close_sma_5", indicators.ema("close", 5).kernel, ("close",), (5,), 2))

    with pytest.raises(ConfigurationError, match="close_sma_5"):
        FeatureEngine(twins, 2)


def test_deleting_the_future_changes_nothing_before_it() -> None:
    """Every feature's value at a row is the same when the rows after it do not exist."""
    panel = panels.random(320, 7, 8, 0.05)
    whole = compute(panel)

    for bars in (1, 17, 64, 65, 200, 319):
        assert equal(compute(panel.rows(0, bars)), whole[:bars])


def test_the_result_is_float32_over_contiguous_features() -> None:
    """Training reads [F, T, S] without a copy; the float32 values are the rounded float64 ones."""
    panel = panels.random(50, 4)
    machine = FeatureEngine(catalog.CATALOG, 4)

    values = machine.advance(panel)

    assert values.dtype == np.float32
    assert values.shape == (50, 4, len(catalog.CATALOG))
    assert values.transpose(2, 0, 1).flags.c_contiguous
    np.testing.assert_array_equal(values, compute(panel, catalog.CATALOG).astype(np.float32))


def test_a_missing_bar_is_nan_in_every_feature() -> None:
    """No feature speaks for a bar that does not exist."""
    panel = panels.random(300, 12, 9, 0.2)

    values = compute(panel, catalog.CATALOG)

    assert np.isnan(values[np.isnan(panel.close)]).all()


@kernel
def both(a, b, state, out, first, last):  # type: ignore[no-untyped-def]
    """Write a + b and a - b."""
    for t in range(a.shape[0]):
        for s in range(first, last):
            out[0, t, s] = a[t, s] + b[t, s]
            out[1, t, s] = a[t, s] - b[t, s]


def tripled(a, state, out, first, last):  # type: ignore[no-untyped-def]
    """Write 3 a in plain Python."""
    out[:, first:last] = 3.0 * a[:, first:last]


PAIR = Feature("pair", both, ("high", "low"), parts=2)
ADDED, GAP = (Feature(name, both, (PAIR,), part=i) for i, name in enumerate(("added", "gap")))


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_step_may_write_several_series(monkeypatch: pytest.MonkeyPatch, precision: type, threads: int) -> None:
    """Its parts are features and inputs like any other, in any order, whole or bar by bar."""
    monkeypatch.setattr(engine, "PARALLEL_SYMBOLS", 0)
    panel = panels.random(150, 6, 31, 0.1)
    features = (indicators.sma(GAP, 5), ADDED, Feature("again", both, (PAIR,), part=1), indicators.difference(ADDED, GAP))
    machine = FeatureEngine(features, 6, precision=precision, threads=threads)

    values = np.concatenate([machine.advance(panel.rows(a, b)) for a, b in ((0, 100), (100, 101), (101, 102), (102, 150))])

    np.testing.assert_array_equal(values[:, :, 1], (panel.high + panel.low).astype(precision))
    np.testing.assert_array_equal(values[:, :, 2], (panel.high - panel.low).astype(precision))
    np.testing.assert_allclose(values[:, :, 3], 2.0 * panel.low, rtol=1e-6)
    whole = FeatureEngine(features, 6, precision=precision).advance(panel)
    np.testing.assert_array_equal(values, whole)


def test_a_kernel_may_be_plain_python() -> None:
    """What a person writes without compiling it stands between compiled steps, live too."""
    panel = panels.random(60, 4, 32, 0.1)
    features = (indicators.sma(Feature("tripled", tripled, (indicators.typical(),)), 5), indicators.sma("close", 5))

    live = compute(panel, features, list(range(1, panel.bars)))

    assert equal(live, compute(panel, features))
    np.testing.assert_allclose(compute(panel, features[:1]), 3.0 * compute(panel, (indicators.sma(indicators.typical(), 5),)))


def test_an_unknown_covariate_is_nan_and_an_unknown_name_is_refused() -> None:
    """A panel without trades has no volume-weighted price; a misspelt column is one sentence."""
    panel = panels.random(20, 3, 33)

    assert np.isnan(compute(panel, (indicators.difference("close", "vwap"),))).all()
    with pytest.raises(ConfigurationError, match="did you mean 'vwap'"):
        FeatureEngine((indicators.sma("vvwap", 3),), 3)


def test_covariates_are_inputs_like_prices() -> None:
    """What else was known of a bar is read by name."""
    panel = panels.random(20, 3, 34)
    known = replace(panel, covariates={"vwap": panel.close + 1.0})

    np.testing.assert_allclose(compute(known, (indicators.difference("vwap", "close"),))[:, :, 0], 1.0, rtol=1e-9)


def test_read_only_columns_are_computed_alike() -> None:
    """Arrays mapped from a file read-only give the same values and are left alone."""
    panel = panels.random(40, 3)
    expected = compute(panel)
    for name in engine_columns():
        getattr(panel, name).setflags(write=False)

    assert equal(compute(panel), expected)
