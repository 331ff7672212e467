"""Parity: on the common subset our trades are those of two independent engines, trade by trade, on real bars.

Where the engines differ by design, and what the tests do about it:

- Quantities. vectorbt goes to fractions of a unit, we to whole lots: where it decides by itself our lot is 1e-12. backtesting.py
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
    prices = {name: np.ascontiguousarray(getattr(whole, name)[rows, s : s + 1]) for name in ("open", "high", "low", "close", "volume")}
    return Panel(whole.market, whole.timeframe, (whole.symbols[s],), whole.opened_at[rows], whole.event_at[rows], **prices), rows


def simulated(panel, market, params):
    return simulate.run(panel, peers.served().forecasts(panel), market, params, model_version="crossing")


def assert_same_fills(found, expected):
    """Hold each fill's bar, symbol, signed quantity, price and fee equal."""
    np.testing.assert_array_equal(found.row, expected.row)
    np.testing.assert_array_equal(found.symbol, expected.symbol)
    for name in ("quantity", "price", "fee"):
        values, fee_unknown = getattr(expected, name), name == "fee" and np.isnan(expected.fee).all()
        if not fee_unknown:
            np.testing.assert_allclose(getattr(found, name), values, err_msg=name, **CLOSE)


def assert_demanding(fills, *, shortable):
    """Hold that the trades open, add, reduce partly, and, where shorts are possible, go through zero: else equality means little."""
    held: dict[int, float] = {}
    kinds = set()
    for s, quantity in zip(fills.symbol.tolist(), fills.quantity.tolist(), strict=True):
        before, after = held.get(s, 0.0), held.get(s, 0.0) + quantity
        kinds.add("opens" if before == 0.0 else "adds" if before * quantity > 0.0 else "flips" if before * after < 0.0 else "reduces")
        held[s] = after
    assert kinds >= {"opens", "adds", "reduces"} | ({"flips"} if shortable else set())
    assert len(fills.row) > 300


@pytest.mark.parametrize("drive", ["simulated", "replayed"])
def test_a_crossing_that_vectorbt_decides_by_itself_trades_alike(panel, drive, tmp_path):
    """Its averages, its weights of its own equity, its fills: ours match fill by fill, in cash and in equity at every close."""
    market, params = peers.terms(panel.market, lot=1e-12)
    found = (
        simulated(panel, market, params)
        if drive == "simulated"
        else loop.replay(panel, peers.served(), market, params, tmp_path)
    )
    shortable = market.instrument.shortable
    wanted = peers.weights(panel, peers.WEIGHT, shortable=shortable)

    theirs = peers.vectorbt_weights(panel, market, params.fills.capital, wanted)

    assert_demanding(peers.ours(found), shortable=shortable)
    assert_same_fills(peers.ours(found), peers.vectorbt_fills(theirs))
    np.testing.assert_allclose(found.equity, theirs.value(), **CLOSE)


def test_our_orders_fill_alike_in_vectorbt(panel, tmp_path):
    """As the market is shipped, its lots, bands and limits at work, but for impact, borrow and volume: the replay's orders alone."""
    cost = {"impact": 0.0, "borrow_bps_year": 0.0}
    market, params = recorded.terms(
        panel.market, markets={panel.market: {"cost": cost}}, risk={"participation_max": 9.0}, fills={"participation_max": 9.0}
    )
    found = loop.replay(panel, peers.served(), market, params, tmp_path)

    theirs = peers.vectorbt_orders(panel, market, params.fills.capital, found)

    assert (~panel.present[found.ordered.row[found.ordered.row < panel.bars - 1] + 1, found.ordered.symbol[found.ordered.row < panel.bars - 1]]).any()
    assert_same_fills(peers.ours(found), peers.vectorbt_fills(theirs))
    np.testing.assert_allclose(found.equity, theirs.value(), **CLOSE)
