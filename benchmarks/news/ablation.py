"""What headlines add to forecasts: the same folds and trees with and without `news`, simulated and real.

Run with `python -m benchmarks.news.ablation [--seeds 3] [--bars 1500]`; the table lies beside it. The simulated market plants a
lead of headlines over prices, or nothing at all; the real one is the few symbols with recorded headlines and recorded bars.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from domain import panel as panels
from domain import params as parameters
from domain import session
from domain.bar import BAR_SCHEMA
from domain.forecast import LEVELS
from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params
from features import catalog
from features.engine import FeatureEngine
from flows import home as homes
from models import metrics
from pipelines.data import news
from pipelines.data.sources.simulated import Simulated
from pipelines.model import datasets, evaluation, training
from pipelines.store import Store

HERE = Path(__file__).parent
DATA = Path(os.environ.get("NIGHTSHIFT_DATA", HERE.parents[2] / "shared" / "data"))
WITHOUT = ("average", "momentum", "volatility", "volume", "statistics", "cross_section", "calendar")
#: Where recorded daily bars of the symbols with headlines lie, the longest history of each.
FILES = ("equities_daily_sp500", "equities_daily_broad_pit", "equities_daily_yahoo_adj")


def simulated(params: Params, market: Market, edge: float, seed: int, bars: int) -> Panel:
    """Return a simulated market's panel with its headlines."""
    made = params.sources.simulated.model_copy(update={"edge": edge, "seed": seed, "bars": bars})
    source = Simulated(made)
    panel = panels.from_bars(source.bars(market, None, None), market.name, market.timeframe)
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place))
        store.upsert("news", source.news(market, None, None))
        return replace(panel, covariates=news.join(store, panel, params.sources.news))


def recorded(params: Params, market: Market) -> Panel:
    """Return the recorded daily bars of the symbols that have recorded headlines, with them and with the market's headlines."""
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place))
        news.store_file(DATA / "news_headlines.parquet", market, params, store)
        named = store.read("news")["symbol"].unique().to_list()
        panel = panels.from_bars(_bars(market, named), market.name, market.timeframe)
        return replace(panel, covariates=news.join(store, panel, params.sources.news))


def _bars(market: Market, symbols: list[str]) -> pl.DataFrame:
    kept: list[pl.DataFrame] = []
    for name in FILES:
        table = pl.read_parquet(DATA / f"{name}.parquet").filter(pl.col("symbol").is_in(symbols)).drop_nulls(["open", "close"])
        seen = [symbol for frame in kept for symbol in frame["symbol"].unique()]
        kept.append(
            table.filter(~pl.col("symbol").is_in(seen)).select("symbol", "session", "open", "high", "low", "close", "volume")
        )
    table = pl.concat(kept)
    days = session.sessions(market.calendar, table["session"].min(), table["session"].max())  # type: ignore[arg-type]
    table = table.join(days, on="session").with_columns(event_at="closed_at", known_at="closed_at")
    return table.with_columns(market=pl.lit(market.name)).select([name for name in BAR_SCHEMA if name in table.columns])


def compared(panel: Panel, market: Market, params: Params, seed: int) -> tuple[dict[str, float], FloatArray]:
    """Return the figures with and without news, and the difference of rank IC row by row."""
    params = params.model_copy(update={"training": params.training.model_copy(update={"seed": seed})})
    found, series = {}, []
    # Both variants begin at the same bar, so that folds are equal.
    for name, families in (("without", WITHOUT), ("with", (*WITHOUT, "news"))):
        chosen = catalog.select(families)
        values = np.ascontiguousarray(FeatureEngine(chosen, len(panel.symbols)).advance(panel))
        dataset = datasets.build(panel, values, tuple(feature.name for feature in chosen), market, params)
        forecasts, _ = training.walk(dataset, params, market, training.split(dataset, params, market), "trees")
        ranked, loss = evaluation.ranking(forecasts, dataset), metrics.pinball_rows(forecasts, dataset.forward, LEVELS)
        found |= {f"IC {name}": metrics.mean(ranked), f"t {name}": metrics.overlap_t(ranked, market.horizon)}
        found |= {f"pinball {name}, bp": 1e4 * float(np.nanmean(loss))}
        series.append((ranked, loss))
    gain, saved = series[1][0] - series[0][0], series[0][1] - series[1][1]
    found |= {
        "t of IC gain": metrics.overlap_t(gain, market.horizon),
        "t of pinball saved": metrics.overlap_t(saved, market.horizon),
    }
    return found, gain


def rows(seeds: int, bars: int) -> Iterator[str]:
    """Yield the lines of the table."""
    params = parameters.load(homes.parameters(), "sim_equity")
    market = params.market("sim_equity")
    head = True
    for name, edge in (("simulated, planted", 1.0), ("simulated, nothing planted", 0.0)):
        for seed in range(100, 100 + seeds):
            found, _ = compared(simulated(params, market, edge, seed, bars), market, params, seed)
            yield from _lines(name, seed, found, head=head)
            head = False
    params = parameters.load(homes.parameters(), "us_equity")
    market = params.market("us_equity")
    panel = recorded(params, market)
    name = f"recorded, {len(panel.symbols)} symbols, {panel.bars} bars"
    for seed in range(100, 100 + seeds):
        found, _ = compared(panel, market, params, seed)
        yield from _lines(name, seed, found, head=False)


def _lines(name: str, seed: int, found: dict[str, float], *, head: bool) -> Iterator[str]:
    if head:
        yield "| market | seed | " + " | ".join(found) + " |"
        yield "|---|---:|" + "---:|" * len(found)
    yield f"| {name} | {seed} | " + " | ".join(f"{value:.3f}" for value in found.values()) + " |"


def main() -> None:
    """Measure and write ablation.md."""
    parser = argparse.ArgumentParser(description="Compare forecasts with and without news.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bars", type=int, default=1500)
    asked = parser.parse_args()
    homes.quiet()
    command = f"`python -m benchmarks.news.ablation --seeds {asked.seeds} --bars {asked.bars}`"
    lines = [
        "# What headlines add",
        "",
        f"{command}; seven classic families with and without `news`, the lexicon, the same folds.",
        "",
    ]
    for line in rows(asked.seeds, asked.bars):
        print(line, flush=True)
        lines.append(line)
    (HERE / "ablation.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
