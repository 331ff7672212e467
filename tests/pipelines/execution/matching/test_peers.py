"""The paper exchange trades as two engines of other people's do: vectorbt and backtesting.py, market orders, real days.

A crossing of averages is written in each engine's own way, and all three must come to the same trades without having seen each
other's: fixed fees, no spread, no impact, no limit on volume, whole units, long and short.
"""

import numpy as np
import pandas as pd
import pytest

from domain.cost import Cost
from domain.market import AssetClass
from domain.order import TimeInForce
from domain.panel import Panel
from domain.venue import Ask, Side
from pipelines.execution.fills import Venue
from pipelines.execution.matching.account import Asset, Terms
from pipelines.execution.matching.exchange import Exchange
from pipelines.execution.matching.prices import Bar, exact
from tests.pipelines.execution import recorded

pytestmark = [
    pytest.mark.skipif(not recorded.exists("us_equity"), reason="the recorded days are not on this machine: set NIGHTSHIFT_DATA"),
    pytest.mark.filterwarnings("ignore"),
]
FEE = 5e-4
COST = Cost(fee_bps=5, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=0)
FAST, SLOW, UNITS = 10, 30, 100
CASH = 10_000_000


@pytest.fixture(scope="module")
def days() -> Panel:
    return recorded.real("us_equity")


def dense(panel: Panel, place: int) -> pd.DataFrame:
    """Return one symbol's bars without its gaps."""
    names = {"Open": panel.open, "High": panel.high, "Low": panel.low, "Close": panel.close, "Volume": panel.volume}
    table = pd.DataFrame({name: values[:, place] for name, values in names.items()}, index=pd.DatetimeIndex(panel.event_at))
    return table.dropna()


def ours(bars: pd.DataFrame):
    """Return (bar, signed quantity, price) of a crossing traded through the paper exchange, one bar after the other."""
    venue = Venue(COST.rates(), 1.0, 2.0, 0.0)
    account = Exchange(
        [Asset("A", AssetClass.EQUITY, venue, shortable=True)], Terms(exact(CASH), multiplier=exact(100), flips=True),
        bars.index[0].to_pydatetime().replace(tzinfo=pd.Timestamp.now("UTC").tzinfo),
    )  # fmt: skip
    closes, found = [], []
    for number, (at, row) in enumerate(bars.iterrows()):
        moment = at.to_pydatetime().replace(tzinfo=account.now.tzinfo)
        before = len(account.executions)
        account.on_bar(Bar("A", moment, moment, *(float(row[name]) for name in ("Open", "High", "Low", "Close", "Volume"))))
        found += [(number, float(done.signed), float(done.price), float(done.fee)) for done in account.executions[before:]]
        closes.append(float(row["Close"]))
        if len(closes) <= SLOW:
            continue  # backtesting.py decides from the bar after its averages are whole
        up = sum(closes[-FAST:]) / FAST > sum(closes[-SLOW:]) / SLOW
        wanted, held = UNITS if up else -UNITS, int(account.holdings.of("A").quantity)
        if wanted != held:
            side = Side.BUY if wanted > held else Side.SELL
            account.submit(Ask("A", side, exact(abs(wanted - held)), time_in_force=TimeInForce.IOC))
    return found, float(account.worth().equity)


def by_vectorbt(bars: pd.DataFrame):
    """Return the same by vectorbt, with its own averages and targets."""
    import vectorbt

    fast, slow = (vectorbt.MA.run(bars["Close"], window).ma for window in (FAST, SLOW))
    target = pd.Series(np.where(fast > slow, UNITS, -UNITS), bars.index).where(slow.shift(1).notna())
    peer = vectorbt.Portfolio.from_orders(
        bars["Close"], target.shift(1), price=bars["Open"], size_type="targetamount", fees=FEE, init_cash=CASH, freq="1D"
    )
    told = peer.orders.records
    sign = np.where(told["side"] == 0, 1.0, -1.0)
    rows = zip(told["idx"], told["size"] * sign, told["price"], told["fees"], strict=True)
    return list(rows), float(peer.value().iloc[-1])


def by_backtesting(bars: pd.DataFrame):
    """Return the same by backtesting.py: its trades, which begin and end, taken apart into executions."""
    from backtesting import Backtest, Strategy

    class Crossing(Strategy):
        def init(self):
            self.fast, self.slow = (self.I(lambda x, w=w: pd.Series(x).rolling(w).mean(), self.data.Close) for w in (FAST, SLOW))

        def next(self):
            wanted = UNITS if self.fast[-1] > self.slow[-1] else -UNITS
            if wanted > self.position.size:
                self.buy(size=wanted - self.position.size)
            elif wanted < self.position.size:
                self.sell(size=self.position.size - wanted)

    told = Backtest(bars, Crossing, cash=CASH, commission=FEE, margin=0.01, finalize_trades=False).run()
    done = {}
    for trade in told["_strategy"].closed_trades + tuple(told["_strategy"].trades):
        done.setdefault((trade.entry_bar, trade.entry_price), 0)
        done[trade.entry_bar, trade.entry_price] += trade.size
        if trade.exit_bar is not None:
            done.setdefault((trade.exit_bar, trade.exit_price), 0)
            done[trade.exit_bar, trade.exit_price] -= trade.size
    return sorted((bar, float(size), price) for (bar, price), size in done.items()), float(told["_equity_curve"]["Equity"].iloc[-1])


def test_a_crossing_written_three_times_trades_the_same(days):
    """Bar, quantity and price of every trade, and the account in the end, long and short, of every symbol with enough days."""
    tables = [bars for place in range(len(days.symbols)) if len(bars := dense(days, place)) > 200]
    assert len(tables) >= 5
    for bars in tables[:5]:
        mine, equity = ours(bars)
        theirs, worth = by_vectorbt(bars)
        others, value = by_backtesting(bars)
        assert len(mine) >= 5
        assert {each[1] for each in mine[1:]} == {2.0 * UNITS, -2.0 * UNITS}
        assert [each[0] for each in mine] == [each[0] for each in theirs] == [each[0] for each in others]
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)
        np.testing.assert_allclose([each[:3] for each in mine], others, rtol=1e-9)
        assert equity == pytest.approx(worth, rel=1e-9)
        assert equity == pytest.approx(value, rel=1e-9)
