"""The side of nautilus_trader in `benchmarks.execution.events`, for an interpreter that has it: `python _nautilus.py BARS WEIGHT`.

Reads an .npz of bars, runs the crossing once over them and prints one line of JSON: seconds of wall and processor time of the run
alone, its fills, and the final equity. Reading bars and building the engine are not timed.
"""

import json
import math
import sys
import time

import numpy as np
import pandas as pd
from nautilus_trader import __version__
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model import BarType, Money, TraderId, Venue
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

CAPITAL, FAST, SLOW = 1_000_000, 20, 100
INSTRUMENT = TestInstrumentProvider.equity(symbol="AAPL", venue="XNAS")
BARS = BarType.from_str("AAPL.XNAS-1-MINUTE-LAST-EXTERNAL")


class Crossing(Strategy):
    """Long in whole units of a share of equity from each crossing upward to the next one downward, else flat."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight, self.above, self.held, self.cash, self.fills = weight, None, 0, float(CAPITAL), []

    def on_start(self) -> None:
        """Register the two means and ask for the bars."""
        self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)
        self.register_indicator_for_bars(BARS, self.fast)
        self.register_indicator_for_bars(BARS, self.slow)
        self.subscribe_bars(BARS)

    def on_bar(self, bar) -> None:
        """Go in or out where the fast mean has changed side."""
        above = self.fast.value > self.slow.value
        if not self.indicators_initialized() or above == self.above:
            return
        self.above, close = above, float(bar.close)
        wanted = math.floor(self.weight * (self.cash + self.held * close) / close) if above else 0
        if wanted != self.held:
            side = OrderSide.BUY if wanted > self.held else OrderSide.SELL
            self.submit_order(self.order_factory.market(INSTRUMENT.id, side, INSTRUMENT.make_qty(abs(wanted - self.held))))

    def on_order_filled(self, event) -> None:
        """Keep the position, the cash and what was filled when."""
        quantity = float(event.last_qty) * (1 if event.order_side == OrderSide.BUY else -1)
        self.held, self.cash = self.held + quantity, self.cash - quantity * float(event.last_px)
        self.fills.append((event.ts_event, quantity, float(event.last_px)))


def main() -> None:
    """Run once and print."""
    columns, weight = np.load(sys.argv[1]), float(sys.argv[2])
    table = pd.DataFrame({name: columns[name] for name in ("open", "high", "low", "close", "volume")})
    table.index = pd.DatetimeIndex(columns["event_at"].astype("datetime64[ns]"), tz="UTC")
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("T-001"),
            logging=LoggingConfig(bypass_logging=True),
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    money = [Money(CAPITAL, USD)]
    engine.add_venue(
        Venue("XNAS"), oms_type=OmsType.NETTING, account_type=AccountType.MARGIN, base_currency=USD, starting_balances=money
    )
    engine.add_instrument(INSTRUMENT)
    engine.add_data(BarDataWrangler(BARS, INSTRUMENT).process(table))
    strategy = Crossing(weight)
    engine.add_strategy(strategy)
    wall, own = time.perf_counter(), time.process_time()
    engine.run()
    wall, own = time.perf_counter() - wall, time.process_time() - own
    equity = strategy.cash + strategy.held * float(columns["close"][-1])
    print(json.dumps({"version": __version__, "wall": wall, "own": own, "fills": strategy.fills, "equity": equity}))


if __name__ == "__main__":
    main()
