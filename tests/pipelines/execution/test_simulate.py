"""The compiled simulation against its naive twin."""

import pytest

from domain import session
from domain.params import Sizing
from pipelines.execution import gaps, simulate
from tests.pipelines.execution import naive, recorded

CASES = {
    "as shipped": {},
    "no limit binds": {"risk": {"gross_max": 50.0, "net_max": 50.0, "turnover_max": 50.0, "symbol_weight_max": 9.0}},
    "every limit binds": {
        "decisions": {"volatility_target": 1.0},
        "risk": {"gross_max": 0.9, "net_max": 0.1, "turnover_max": 0.2, "order_notional_max": 60_000, "participation_max": 0.02},
    },
    "stops and drawdowns": {"decisions": {"volatility_target": 2.0}, "risk": {"stop_loss": 0.03, "drawdown_max": 0.12}},
    "days that lose, and trailing stops": {
        "decisions": {"volatility_target": 1.0},
        "risk": {"daily_loss_max": 0.01, "trailing_stop": 0.06, "stop_loss": 0.5, "drawdown_max": 0.9},
    },
    "limits of the account": {
        "decisions": {"volatility_target": 1.0, "rate": 1.0},
        "risk": {
            "volatility_max": 0.1,
            "sector_gross_max": 1.1,
            "market_gross_max": 1.0,
            "leverage_max": 0.9,
            "liquidity_max": 0.01,
            "order_quantity_max": 4000,
            "orders_max": 5,
            "daily_loss_max": 0.2,
        },
    },
    "hours in which nothing trades": {
        "decisions": {"volatility_target": 1.0, "rate": 1.0},
        "risk": {"overnight_gross_max": 0.4, "weekend_gross_max": 0.0},
    },
    "trades at once": {"decisions": {"rate": 1.0, "band": 0.0}},
    "volume caps nothing": {"risk": {"participation_max": 1e6}, "fills": {"participation_max": 1e6}},
    "volume caps everything": {"risk": {"participation_max": 0.9}, "fills": {"participation_max": 0.002}},
}


def both(name, sections, seed, bars=120, symbols=8, **keys):
    market, params = recorded.terms(name, **sections)
    panel = recorded.panel(bars, symbols, seed)
    sigma = recorded.scale(panel)
    forecasts = recorded.forecasts(panel, sigma, seed=seed, **keys)
    ours = simulate.run(panel, forecasts, market, params, model_version="1", scale=sigma)
    twin = naive.Twin(market, params, symbols, params.fills.capital)
    columns = (*columns_of(panel, forecasts, sigma, market), gaps.most(market, params.risk, panel.event_at))
    return ours, twin.run(*(values.tolist() for values in columns))


def columns_of(panel, forecasts, sigma, market):
    """Return what the twin lives through."""
    return panel.open, panel.close, panel.volume, forecasts, sigma, session.days(market, panel.opened_at)


@pytest.mark.parametrize("market", ["us_equity", "crypto", "fx"])
@pytest.mark.parametrize("case", CASES)
def test_simulation_equals_the_naive_twin_to_the_bit(market, case):
    """Equity, every order with its verdict and every fill are those of plain Python floats, with gaps and all limits at work."""
    for seed in range(3):
        ours, theirs = both(market, CASES[case], seed)

        orders = ours.orders.select("asked", "quantity", "outcome", "rule", "reason").rows()
        assert ours.equity.tolist() == theirs.equity
        assert ours.curve.charge.tolist() == theirs.charge
        assert list(zip(ours.ordered.row, ours.ordered.symbol, *zip(*orders, strict=True), strict=True)) == theirs.orders
        assert list(zip(*(column.tolist() for column in ours.filled[:6]), strict=True)) == theirs.fills
        assert ours.filled.row.size > 0


def test_settings_that_take_over_decide_from_their_row_on():
    """The naive twin's settings are changed by hand before the same bars: the same account, order by order."""
    market, params = recorded.terms()
    panel = recorded.panel(120, 8, 6)
    sigma = recorded.scale(panel)
    forecasts = recorded.forecasts(panel, sigma, seed=6)
    sized = [(40, Sizing(edge_sigma_full=0.1, band=0.0, rate=1.0)), (90, Sizing(edge_sigma_full=1.0, band=3.0, rate=0.2))]
    at = dict(sized)

    class Changed(naive.Twin):
        decided = 0

        def decide(self, *bar):
            self.params = params.sized(at[self.decided]) if self.decided in at else self.params
            self.decided += 1
            return super().decide(*bar)

    ours = simulate.run(panel, forecasts, market, params, model_version="1", scale=sigma, sized=sized)
    columns = columns_of(panel, forecasts, sigma, market)
    theirs = Changed(market, params, 8, params.fills.capital).run(*(values.tolist() for values in columns))

    orders = ours.orders.select("asked", "quantity", "outcome", "rule", "reason").rows()
    assert ours.equity.tolist() == theirs.equity
    assert list(zip(ours.ordered.row, ours.ordered.symbol, *zip(*orders, strict=True), strict=True)) == theirs.orders
    assert list(zip(*(column.tolist() for column in ours.filled[:6]), strict=True)) == theirs.fills
    assert ours.equity[-1] != simulate.run(panel, forecasts, market, params, model_version="1", scale=sigma).equity[-1]


def test_the_last_settings_before_trading_starts_are_those_that_count():
    """Rows are of the panel: what took over before `since` decides from the first bar traded."""
    market, params = recorded.terms()
    panel = recorded.panel(100, 6, 7)
    sigma = recorded.scale(panel)
    forecasts = recorded.forecasts(panel, sigma, seed=7)
    first, second = Sizing(edge_sigma_full=9.0, band=9.0, rate=0.1), Sizing(edge_sigma_full=0.1, band=0.0, rate=1.0)
    keys = {"model_version": "1", "scale": sigma, "since": panel.event_at[50]}

    ours = simulate.run(panel, forecasts, market, params, sized=[(10, first), (30, second)], **keys)

    assert ours.orders.equals(simulate.run(panel, forecasts, market, params.sized(second), **keys).orders)
    assert ours.metrics["trades"] > 0
