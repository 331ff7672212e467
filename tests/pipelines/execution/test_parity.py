"""Parity: on the common subset our trades are those of two independent engines, trade by trade, on real bars.

Where the engines differ by design, and what the tests do about it:

- Quantities. vectorbt goes to fractions of a unit, we to whole lots: where it decides by itself our lot is 1e-11. backtesting.py
  trades whole units, ours is 1 there.
- Missing bars. An order of ours expires with a bar that is missing, as vectorbt ignores one without a price. backtesting.py refuses
  gaps: it sees each symbol's own bars only, and no order that a missing bar would have let expire.
- Symbols. backtesting.py trades one: each symbol gets an account of its own, and what they earned is added up.
- Spread. backtesting.py charges it when a trade is opened and not when it is closed: prices agree where it opens, and where it
  closes they differ by the touch, which is told to the cent. Everything else is compared with it at a touch of 0.
"""

import numpy as np
import pytest

from domain.panel import Panel
from pipelines.execution import loop, simulate
from tests.pipelines.execution import peers, recorded

#: Relative difference that is still equal; quantities and money near zero are compared to a billionth of a unit or a cent.
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(scope="module", params=["us_equity", "crypto"])
def panel(request):
    """Real bars of a few symbols, some listed late; one bar in forty is taken out, so that orders meet holes."""
    if not recorded.exists(request.param):
        pytest.skip(f"the real data of '{request.param}' is not on this machine: set NIGHTSHIFT_DATA")
    return holed(recorded.real(request.param))


def holed(whole):
    """Return the panel without a few of its bars."""
    missing = np.random.default_rng(11).random(whole.close.shape) < 1 / 40
    prices = {name: np.where(missing, np.nan, getattr(whole, name)) for name in ("open", "high", "low", "close", "volume")}
    return Panel(whole.market, whole.timeframe, whole.symbols, whole.opened_at, whole.event_at, **prices)


def alone(whole, s):
    """Return one symbol's own bars, and the rows that they are in."""
    rows = np.flatnonzero(whole.present[:, s])
    prices = {
        name: np.ascontiguousarray(getattr(whole, name)[rows, s : s + 1]) for name in ("open", "high", "low", "close", "volume")
    }
    return Panel(whole.market, whole.timeframe, (whole.symbols[s],), whole.opened_at[rows], whole.event_at[rows], **prices), rows


def simulated(panel, market, params):
    return simulate.run(panel, peers.served().forecasts(panel), market, params, model_version="crossing")


def replayed(panel, market, params, home):
    return loop.replay(panel, peers.served(), market, params, home)


def met_holes(panel, found):
    """Say which orders were sent before a bar that is missing."""
    row = found.ordered.row
    return ~np.vstack((panel.present[1:], np.ones(panel.present.shape[1], dtype=bool)))[row, found.ordered.symbol]


def assert_same_fills(found, expected):
    """Hold each fill's bar, symbol, signed quantity, price and fee equal."""
    np.testing.assert_array_equal(found.row, expected.row)
    np.testing.assert_array_equal(found.symbol, expected.symbol)
    for name in ("quantity", "price", "fee"):
        values, fee_unknown = getattr(expected, name), name == "fee" and np.isnan(expected.fee).all()
        if not fee_unknown:
            np.testing.assert_allclose(getattr(found, name), values, err_msg=name, **CLOSE)


def assert_demanding(fills, *, shortable):
    """Hold that the trades open, add, reduce partly, and, with shorts, go through zero: else equality means little."""
    held: dict[int, float] = {}
    kinds = set()
    for s, quantity in zip(fills.symbol.tolist(), fills.quantity.tolist(), strict=True):
        before, after = held.get(s, 0.0), held.get(s, 0.0) + quantity
        kinds.add(
            "opens" if before == 0.0 else "adds" if before * quantity > 0.0 else "flips" if before * after < 0.0 else "reduces"
        )
        held[s] = after
    assert kinds >= {"opens", "adds", "reduces"} | ({"flips"} if shortable else set())
    assert len(fills.row) > 300


# Said by numba when it compiles vectorbt's averages for the first time.
@pytest.mark.filterwarnings("ignore::numba.core.errors.NumbaPendingDeprecationWarning")
@pytest.mark.parametrize("drive", ["simulated", "replayed"])
def test_a_crossing_that_vectorbt_decides_by_itself_trades_alike(panel, drive, tmp_path):
    """Its averages, its weights of its own equity, its fills: ours match fill by fill, in cash and in equity at every close."""
    market, params = peers.terms(panel.market, lot=1e-11)
    found = simulated(panel, market, params) if drive == "simulated" else replayed(panel, market, params, tmp_path)
    shortable = market.instrument.shortable
    wanted = peers.weights(panel, peers.WEIGHT, shortable=shortable)

    theirs = peers.vectorbt_weights(panel, market, params.fills.capital, wanted)

    assert_demanding(peers.ours(found), shortable=shortable)
    assert_same_fills(peers.ours(found), peers.vectorbt_fills(theirs))
    np.testing.assert_allclose(found.equity, theirs.value(), **CLOSE)


def test_our_orders_fill_alike_in_vectorbt(panel, tmp_path):
    """Lots, bands and limits at work as the market is shipped, but for impact, borrow and volume: the replay's orders alone."""
    cost = {"impact": 0.0, "borrow_bps_year": 0.0}
    market, params = recorded.terms(
        panel.market, markets={panel.market: {"cost": cost}}, risk={"participation_max": 9.0}, fills={"participation_max": 9.0}
    )
    found = replayed(panel, market, params, tmp_path)

    theirs = peers.vectorbt_orders(panel, market, params.fills.capital, found)

    assert met_holes(panel, found).any()
    assert_same_fills(peers.ours(found), peers.vectorbt_fills(theirs))
    np.testing.assert_allclose(found.equity, theirs.value(), **CLOSE)


def test_our_orders_earn_alike_in_backtesting_py_symbol_by_symbol(panel):
    """Whole units at a touch of 0: each symbol's fills are those of its own account, and together they earn what ours does."""
    market, params = peers.terms(panel.market, lot=1.0, spread_bps=0.0, slippage_bps=0.0)
    found = simulated(panel, market, params)
    fills, sent, earned = peers.ours(found), ~met_holes(panel, found), 0.0

    for s in range(len(panel.symbols)):
        bars, rows = alone(panel, s)
        place = {row: k for k, row in enumerate(rows.tolist())}
        mine = sent & (found.ordered.symbol == s)
        orders = {place[row]: each for row, each in zip(found.ordered.row[mine], found.ordered.quantity[mine], strict=True)}
        theirs = peers.backtesting_orders(bars, market, 1e9, orders)
        filled = fills.symbol == s
        np.testing.assert_array_equal(rows[theirs.fills.row], fills.row[filled])
        np.testing.assert_allclose(fills.quantity[filled], theirs.fills.quantity, **CLOSE)
        np.testing.assert_allclose(fills.price[filled], theirs.fills.price, **CLOSE)
        earned += theirs.equity[-1] - 1e9

    assert_demanding(fills, shortable=market.instrument.shortable)
    # Each of theirs is a difference of numbers near a billion, which a double knows to a ten-millionth.
    assert found.equity[-1] - params.fills.capital == pytest.approx(earned, abs=1e-5)


def test_a_crossing_that_backtesting_py_decides_by_itself_trades_alike(panel):
    """Its own means, its own equity in whole units, its next open, its fee: fills and equity at every close, symbol by symbol."""
    market, params = peers.terms(panel.market, lot=1.0, weight=0.9, spread_bps=0.0, slippage_bps=0.0)
    for s in range(len(panel.symbols)):
        bars, _ = alone(panel, s)
        found = simulated(bars, market, params)
        theirs = peers.backtesting_crossing(bars, market, params.fills.capital, 0.9)
        assert_same_fills(peers.ours(found), theirs.fills)
        np.testing.assert_allclose(found.equity, theirs.equity, **CLOSE)


def test_backtesting_py_charges_the_touch_where_a_trade_opens_and_nowhere_else(panel):
    """The known difference, to the cent: entries at our price, exits at the open that we pay the touch against."""
    market, params = peers.terms(panel.market, lot=1.0, weight=0.9)
    rates = market.cost.rates()
    bars, _ = alone(panel, 0)
    found = simulated(bars, market, params)
    fills = peers.ours(found)
    sent = dict(zip(found.ordered.row.tolist(), found.ordered.quantity.tolist(), strict=True))

    theirs = peers.backtesting_orders(bars, market, params.fills.capital, sent)

    opens, side = np.isfinite(theirs.entries[fills.row]), np.sign(fills.quantity)
    closes = np.isfinite(theirs.exits[fills.row])
    extra = theirs.closed[fills.row] * bars.open[fills.row, 0] * rates.touch * (1.0 + side * rates.fee)
    np.testing.assert_array_equal(fills.row, theirs.fills.row)
    np.testing.assert_allclose(fills.quantity, theirs.fills.quantity, **CLOSE)
    np.testing.assert_allclose(fills.price[opens], theirs.entries[fills.row][opens], **CLOSE)
    np.testing.assert_allclose(bars.open[fills.row, 0][closes], theirs.exits[fills.row][closes], **CLOSE)
    spared = np.zeros(bars.bars)
    spared[fills.row] = extra
    np.testing.assert_allclose(found.equity + spared.cumsum(), theirs.equity, **CLOSE)
    assert opens.any()
    assert closes.any()
