"""Material: what a report shows, gathered from the store, the registry, the kept run and the account's journal."""

import json
from typing import Any

import numpy as np
import polars as pl

from domain.panel import FloatArray, Panel
from domain.params import Params
from flows import evidence, report
from flows.home import Home
from flows.report import Material
from pipelines.execution.outcome import Outcome
from pipelines.registry import Version
from pipelines.store import Store

DIGEST_CHARACTERS = 16
ORDER_COLUMNS = ("decided_at", "symbol", "quantity", "outcome", "rule", "found", "limit", "reason", "price", "fee")


def of(home: Home, params: Params, version: Version, panel: Panel, outcome: Outcome) -> Material:
    """Return the report of an account that `version` trades; `panel` holds the bars that the outcome lived through."""
    folder = evidence.run_folder(home, version.market, version.number)
    judged = json.loads((folder / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    gates = json.loads((folder / "gates.json").read_text(encoding="utf-8"))
    orders, inspected = with_fills(outcome), _inspected(home, version.market, params)
    return Material(
        title=f"Nightshift · {version.market}",
        lead=_lead(params, version, outcome),
        version=version.number,
        promoted=gates["promoted"],
        cards=_cards(outcome),
        curve=curve(panel, outcome),
        calibration=[(row["level"], row["observed"]) for row in judged["calibration"]],
        importance=judged["importance"],
        gates=gates["criteria"],
        chain=chain(version, outcome),
        orders=orders.tail(report.ROWS_SHOWN).select(ORDER_COLUMNS),
        orders_total=outcome.orders.height,
        fills_total=outcome.fills.height,
        quality=quality(inspected),
        looked_for=inspected["defect"].n_unique(),
        footer=f"Orders digest {outcome.orders_digest}. Paper account, net of fees, spread, slippage, impact and borrow.",
    )


def with_fills(outcome: Outcome) -> pl.DataFrame:
    """Return each order beside the price and fee of its fill, null where nothing was filled."""
    fills = outcome.fills.select("symbol", "price", "fee", decided_at="order_decided_at")
    return outcome.orders.join(fills, on=["decided_at", "symbol"], how="left", maintain_order="left")


def curve(panel: Panel, outcome: Outcome) -> pl.DataFrame:
    """Return event_at, equity and the benchmark: the capital spread equally over the universe at the first close and held."""
    first = int(np.searchsorted(panel.event_at, outcome.event_at[0]))
    held = benchmark(panel.close[first : first + len(outcome.event_at)]) * outcome.capital
    times = pl.Series(outcome.event_at).dt.replace_time_zone("UTC")
    return pl.DataFrame({"event_at": times, "equity": outcome.equity, "benchmark": held})


def benchmark(close: FloatArray) -> FloatArray:
    """Return [T] the worth of one unit spread equally over the symbols priced in row 0 and held, a missing bar at the last price.

    >>> benchmark(np.array([[1.0, 10.0], [2.0, np.nan], [2.0, 5.0]])).tolist()
    [1.0, 1.5, 1.25]
    """
    priced = ~np.isnan(close[0])
    held = close[:, priced]
    seen = np.maximum.accumulate(np.where(np.isnan(held), 0, np.arange(len(held))[:, None]), axis=0)
    filled = np.take_along_axis(held, seen, axis=0)
    mean: FloatArray = (filled / filled[0]).mean(axis=1)
    return mean


def chain(version: Version, outcome: Outcome) -> list[tuple[str, str]]:
    """Return the way from the newest filled order back to model, table version and commit; empty without a fill."""
    filled = with_fills(outcome).filter(pl.col("price").is_not_null())
    if filled.is_empty():
        return [("order", "none was filled")]
    order, lineage = filled.row(-1, named=True), version.lineage
    return [
        ("fill", f"{order['quantity']:g} {order['symbol']} at {order['price']:.6g}, fee {order['fee']:.4g}"),
        ("order", order["client_order_id"]),
        ("verdict", f"{order['outcome']}, rule {order['rule']}: found {order['found']:.6g}, limit {order['limit']:.6g}"),
        ("decision", f"{order['reason']} at {order['decided_at']:%Y-%m-%d %H:%M} UTC"),
        ("model", f"nightshift-{version.market} version {version.number} ({version.name}), run {version.run_id}"),
        ("trained on", f"{lineage.first} to {lineage.last}, snapshot {lineage.snapshot[:DIGEST_CHARACTERS]}"),
        ("tables", f"versions {lineage.tables}"),
        ("features", f"schema {lineage.features[:DIGEST_CHARACTERS]}"),
        ("parameters", f"digest {lineage.parameters[:DIGEST_CHARACTERS]}, seed {lineage.seed}"),
        ("code", f"commit {lineage.commit}"),
    ]


def quality(inspected: pl.DataFrame) -> pl.DataFrame:
    """Return defect, rows, share and severity of everything found so far, defects that never occurred left out."""
    latest = inspected.filter(pl.col("rows") > 0).sort("checked_at").group_by("defect", maintain_order=True).last()
    return latest.select("defect", "rows", "share", "severity").sort("rows", descending=True)


def _inspected(home: Home, market: str, params: Params) -> pl.DataFrame:
    return Store(home.store).read("quality", where={"market": market, "timeframe": params.market(market).timeframe})


def _lead(params: Params, version: Version, outcome: Outcome) -> str:
    market = params.market(version.market)
    first, last = (str(at.astype("datetime64[D]")) for at in (outcome.event_at[0], outcome.event_at[-1]))
    bars = f"{len(outcome.event_at):,} bars of {market.timeframe} from {first} to {last}"
    return f"{len(outcome.symbols)} symbols traded on paper, one bar at a time, through {bars}. Source: {market.source}."


def _cards(outcome: Outcome) -> list[tuple[str, str]]:
    found: dict[str, Any] = outcome.metrics
    return [
        ("return, net", f"{found['roi']:+.2%}"),
        ("Sharpe, yearly", f"{found['sharpe']:.2f} ± {found['sharpe_se']:.2f}"),
        ("worst drawdown", f"{found['max_drawdown']:.2%}"),
        ("fills", f"{found['trades']:,}"),
        ("win rate", f"{found['win_rate']:.1%}"),
        ("costs", f"{found['costs']:,.0f}"),
        ("turnover a year", f"{found['turnover']:.1f}x"),
    ]
