"""What laying actions, rules and lengths on stored bars costs, beside reading them: `python -m benchmarks.data.reading`.

500 symbols of 2,520 days, 20 actions each; 257,289 real minutes; two million trades. Times are of the processor, the best of three.
"""

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from domain import bar, session
from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import AssetClass, Market, Universe
from pipelines.data import adjustment, reading, resampling, sampling
from pipelines.data.reading import Following
from pipelines.data.sampling import Rule
from pipelines.store import TABLES, Store

SYMBOLS, BARS, ACTIONS, TRADES = 500, 2520, 20, 2_000_000
FREE = Cost(fee_bps=0, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=0)
STOCKS = Market("m", AssetClass.EQUITY, "XNYS", "1d", "files", 5, FREE, Instrument())
CHOSEN = Market("m", AssetClass.EQUITY, "XNYS", "1d", "files", 5, FREE, Instrument(), universe=Universe(top=100))
COINS = Market("c", AssetClass.CRYPTO, "24/7", "1h", "files", 5, FREE, Instrument())
NAMES = [f"S{i:03d}" for i in range(SYMBOLS)]


def made() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return random walks on the exchange's days and random dividends and splits."""
    random = np.random.default_rng(1)
    days = session.sessions("XNYS", datetime(2014, 1, 1, tzinfo=UTC).date(), datetime(2024, 6, 1, tzinfo=UTC).date()).head(BARS)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.01, (SYMBOLS, BARS)), axis=1)).ravel()
    times = {name: pl.concat([days[name]] * SYMBOLS) for name in ("opened_at", "closed_at")}
    table = pl.DataFrame({"symbol": np.repeat(NAMES, BARS), "opened_at": times["opened_at"], "event_at": times["closed_at"]})
    table = table.with_columns(
        **{p: pl.Series(close) for p in ("open", "high", "low", "close")}, volume=pl.Series(random.uniform(1e4, 1e6, len(close)))
    )
    table = table.with_columns(known_at="event_at", market=pl.lit("m"), timeframe=pl.lit("1d"), flags=pl.lit(0))
    ex = days["opened_at"].gather(random.integers(1, BARS, SYMBOLS * ACTIONS))
    split = random.random(SYMBOLS * ACTIONS) < 0.05
    told = pl.DataFrame(
        {"symbol": np.repeat(NAMES, ACTIONS), "event_at": ex, "known_at": ex, "kind": np.where(split, "split", "dividend")}
    )
    told = told.with_columns(market=pl.lit("m"), value=pl.Series(np.where(split, 2.0, 0.2)), other=pl.lit(None, pl.String))
    return bar.conform(table), told.select(TABLES["actions"].schema.names())


def trades() -> pl.DataFrame:
    """Return random prints of one day."""
    random = np.random.default_rng(2)
    at = pl.Series(np.sort(random.integers(0, 86_400_000_000, TRADES))).cast(pl.Duration("us")) + datetime(2024, 1, 2)  # noqa: DTZ001
    moment = at.dt.replace_time_zone("UTC")
    price = 100 + np.cumsum(random.choice([-0.01, 0.0, 0.01], TRADES))
    columns = {"event_at": moment, "known_at": moment, "price": price, "size": random.exponential(1.0, TRADES)}
    empty = dict.fromkeys(("side", "exchange", "conditions"))
    named = {"market": "c", "symbol": "A", "trade_id": np.arange(TRADES).astype(str)}
    return pl.DataFrame({**columns, **empty, **named}).select(TABLES["trades"].schema.names()).cast(TABLES["trades"].schema)


def best(work: Callable[[], object]) -> float:
    """Return the least processor time of three runs after one, in seconds."""
    work()
    spent = []
    for _ in range(3):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return min(spent)


def live(store: Store, bars: pl.DataFrame) -> float:
    """Return the least processor time of three looks at a store that has learnt of a day each, in seconds."""
    following, spent = Following(store, STOCKS), []
    following.news()
    for days in range(1, 5):
        times = [(pl.col(name) + pl.duration(days=days)).alias(name) for name in ("opened_at", "event_at", "known_at")]
        store.upsert("bars", bars.filter(pl.col("opened_at") == pl.col("opened_at").max()).with_columns(times))
        begun = time.process_time()
        following.news()
        spent.append(time.process_time() - begun)
    return min(spent[1:])


def rows(folder: Path) -> list[tuple[str, int, float]]:
    """Return what was measured: name, rows, seconds."""
    bars, told = made()
    raw, acted = Store(folder / "raw"), Store(folder / "acted")
    for store in (raw, acted):
        store.upsert("bars", bars)
    acted.upsert("actions", told)
    prints = trades()
    real = pl.read_parquet("../shared/data/crypto_1m.parquet") if Path("../shared/data/crypto_1m.parquet").exists() else None
    found = [
        ("store: read all bars", bars.height, best(lambda: raw.bars("m", "1d"))),
        ("adjustment alone, 10,000 actions", bars.height, best(lambda: adjustment.adjusted(bars, told, "America/New_York"))),
        ("reading: all bars, no action", bars.height, best(lambda: reading.bars(raw, STOCKS))),
        ("reading: all bars, adjusted", bars.height, best(lambda: reading.bars(acted, STOCKS))),
        ("reading: adjusted, the largest 100 a day", bars.height, best(lambda: reading.bars(acted, CHOSEN))),
        ("live: a day's bars, no action", SYMBOLS, live(raw, bars)),
        ("live: a day's bars, adjusted", SYMBOLS, live(acted, bars)),
        ("sampling: minutes", TRADES, best(lambda: sampling.bars(prints, COINS))),
        ("sampling: dollar bars", TRADES, best(lambda: sampling.bars(prints, COINS, rule=Rule("dollar", 1e5)))),
    ]
    if real is not None:
        minutes = bar.conform(real.with_columns(
            opened_at="ts", event_at=pl.col("ts") + pl.duration(minutes=1), known_at=pl.col("ts") + pl.duration(minutes=1),
            market=pl.lit("c"), timeframe=pl.lit("1m"), flags=pl.lit(0),
        ))  # fmt: skip
        found.append(("resampling: minutes to hours", minutes.height, best(lambda: resampling.resampled(minutes, COINS))))
    return found


def main() -> None:
    """Print the table and write it beside this file."""
    lines = [
        "# What a reading costs beside the store's own",
        "",
        "| what | rows | processor ms | ns a row |",
        "|---|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, count, seconds in rows(Path(folder)):
            lines.append(f"| {name} | {count:,} | {seconds * 1e3:,.0f} | {seconds / count * 1e9:,.0f} |")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
