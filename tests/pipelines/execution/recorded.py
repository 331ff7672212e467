"""Small markets for the tests of execution: seeded bars with gaps, and a model whose forecasts depend on the bar alone."""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from domain import panel as panels
from domain import params as parameters
from domain.market import Market
from domain.panel import Panel
from domain.params import Params, Sizing
from features import catalog
from features.engine import FeatureEngine
from models import bundle, family
from models.bundle import Golden, Schema
from pipelines.execution.serving import Served
from pipelines.model import datasets

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("NIGHTSHIFT_DATA", ROOT / "../shared/data"))
#: market: file, bar length, symbols, the newest bars used
REAL = {
    "us_equity": ("equities_daily_sp500", timedelta(hours=16), 12, 420),
    "crypto": ("crypto_1h", timedelta(hours=1), 10, 420),
    "fx": ("fx_1h", timedelta(hours=1), 6, 420),
    "us_equity_5m": ("equities_5m", timedelta(minutes=5), 8, 420),
}
NORMAL = np.array([-1.6448536269514722, -0.6744897501960817, 0.0, 0.6744897501960817, 1.6448536269514722])


#: The numbers that the hand-made sums of the tests go by, whatever params.yaml says today.
PINNED = {
    "markets": {
        "us_equity": {"cost": {"fee_bps": 0.5, "spread_bps": 2, "slippage_bps": 1, "impact": 0.5, "borrow_bps_year": 50}},
        "crypto": {"cost": {"fee_bps": 7.5, "spread_bps": 2, "slippage_bps": 1.5, "impact": 0.5, "borrow_bps_year": 0}},
        "fx": {"cost": {"fee_bps": 0.2, "spread_bps": 1, "slippage_bps": 0.2, "impact": 0.0, "borrow_bps_year": 0}},
    },
    "decisions": {"volatility_target": 0.10, "edge_sigma_full": 0.25, "band": 1.0, "rate": 0.5},
    "risk": {
        "symbol_weight_max": 0.15, "gross_max": 1.5, "net_max": 0.75, "turnover_max": 0.5, "order_notional_max": 250_000,
        "participation_max": 0.05, "stop_loss": 0.15, "drawdown_max": 0.3, "sector_gross_max": 2.0, "market_gross_max": 2.0,
        "leverage_max": 2.0, "volatility_max": 0.5, "buying_power_max": 1.0, "order_quantity_max": 10_000_000, "price_collar": 0.1,
        "liquidity_max": 0.5, "trailing_stop": 0.8, "daily_loss_max": 0.1, "orders_max": 1000,
    },
    "orders": {"notional_min": 100},
    "fills": {"capital": 1_000_000, "participation_max": 0.1},
}  # fmt: skip


def terms(name: str = "us_equity", **sections: dict[str, object]) -> tuple[Market, Params]:
    """Return a market of params.yaml and its parameters, with PINNED, the market's own override and `sections` laid over them."""
    loaded = parameters.load(ROOT / "params.yaml", name)
    merged = parameters.overlay(loaded.model_dump(), PINNED)
    for over in (loaded.markets[name].override, sections):
        merged = parameters.overlay(merged, over)
    changed = parameters.check(merged)
    return changed.market(name), changed


def panel(bars: int = 60, symbols: int = 8, seed: int = 0, gaps: float = 0.08) -> Panel:
    """Return daily bars that wander by 2% a day, some of them missing."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.01, (bars, 1))
    close = 50.0 * np.exp(np.cumsum(common + rng.normal(0, 0.018, (bars, symbols)), axis=0))
    opened = close * np.exp(rng.normal(0, 0.004, close.shape))
    volume = np.round(rng.lognormal(10.0, 1.0, close.shape))
    missing = rng.random(close.shape) < gaps
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    for values in (opened, high, low, close, volume):
        values[missing] = np.nan
    at = np.datetime64("2016-01-04T14:30:00", "us") + np.arange(bars) * np.timedelta64(1, "D")
    names = tuple(f"S{s:02d}" for s in range(symbols))
    return Panel("us_equity", "1d", names, at, at + np.timedelta64(390, "m"), opened, high, low, close, volume)


def scale(bars: Panel) -> np.ndarray:
    """Return one-bar volatilities that differ between symbols and days, NaN where the bar is."""
    rng = np.random.default_rng(1)
    return np.where(bars.present, 0.02 * np.exp(rng.normal(0, 0.2, bars.close.shape)), np.nan)


def forecasts(bars: Panel, sigma: np.ndarray, strength: float = 0.3, horizon: int = 5, seed: int = 2) -> np.ndarray:
    """Return quantiles around persistent random views, missing where the bar is and now and then elsewhere."""
    rng = np.random.default_rng(seed)
    view = np.zeros(bars.close.shape)
    for t in range(1, bars.bars):
        view[t] = 0.8 * view[t - 1] + 0.6 * rng.normal(0, strength, bars.close.shape[1])
    view[rng.random(view.shape) < 0.02] = np.nan
    return (view[:, :, None] + NORMAL) * (sigma * np.sqrt(horizon))[:, :, None]


@dataclass
class Views:
    """A fake model: its view of a symbol is a fixed, jagged function of the symbol's volatility."""

    strength: float = 0.4
    horizon: int = 5
    context_bars: int = 1

    def predict(self, features: np.ndarray, scale: np.ndarray) -> np.ndarray:
        view = self.strength * np.sin(scale * 1e5)
        return (view[..., None] + NORMAL) * (scale * np.sqrt(self.horizon))[..., None]


def served(version: str = "1", **views: float) -> Served:
    """Return the fake model beside the real feature engine."""
    return Served(Views(**views), catalog.select(()), 5, version)


def exists(market: str) -> bool:
    """Say whether the real bars of a market are on this machine."""
    return (DATA / f"{REAL[market][0]}.parquet").exists()


def real(market: str) -> Panel:
    """Return the newest real bars of a few symbols, those with most gaps among them."""
    name, length, symbols, bars = REAL[market]
    table = (
        pl.read_parquet(DATA / f"{name}.parquet").rename({"ts": "opened_at"}).drop_nulls(["open", "high", "low", "close", "volume"])
    )
    counts = table.group_by("symbol").len().sort("len", "symbol")["symbol"].to_list()
    chosen = counts[: symbols // 2] + counts[len(counts) - (symbols - symbols // 2) :]
    table = table.with_columns(event_at=pl.col("opened_at") + length)
    whole = panels.from_bars(table, market, terms(market)[0].timeframe, tuple(sorted(chosen)))
    return whole.rows(whole.bars - bars, whole.bars)


def bundled(
    panel: Panel,
    folder: Path,
    families: tuple[str, ...] = ("average", "momentum", "volatility", "cross_section"),
    sizing: Sizing | None = None,
) -> Path:
    """Train a small tree model on the first half of a panel, write its bundle and return the folder."""
    market, params = terms(panel.market, training={"trees": {"rounds": 12, "depth": 3, "min_child_weight": 5}})
    features = catalog.select(families)
    engine = FeatureEngine(features, len(panel.symbols))
    dataset = datasets.build(panel, engine.advance(panel), engine.names, market, params)
    model = family.create(params.training, market.horizon, family="trees")
    model.fit(dataset, np.arange(dataset.bars // 2), np.arange(0))
    schema = Schema(engine.names, catalog.schema_hash(features))
    bundle.write(
        folder,
        model,
        schema,
        Golden.of(dataset),
        params_hash=params.digest(),
        lineage={"seed": 7, "last": f"{panel.event_at[panel.bars // 2]}Z"},
        sizing=sizing,
    )
    return folder
