"""The compiled simulation against its naive twin."""

import pytest

from pipelines.execution import simulate
from tests.pipelines.execution import naive, recorded

CASES = {
    "as shipped": {},
    "no limit binds": {"risk": {"gross_max": 50.0, "net_max": 50.0, "turnover_max": 50.0, "symbol_weight_max": 9.0}},
    "every limit binds": {
        "decisions": {"volatility_target": 1.0},
        "risk": {"gross_max": 0.9, "net_max": 0.1, "turnover_max": 0.2, "order_notional_max": 60_000, "participation_max": 0.02},
    },
    "stops and drawdowns": {"decisions": {"volatility_target": 2.0}, "risk": {"stop_loss": 0.03, "drawdown_max": 0.12}},
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
    columns = (panel.open, panel.close, panel.volume, forecasts, sigma)
    return ours, twin.run(*(values.tolist() for values in columns))


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
