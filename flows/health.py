"""Health: one self-contained HTML page a market on the state of its data, and the rows that the command prints."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from domain.clock import Clock, SystemClock
from domain.error import NoData
from domain.market import Market
from domain.params import Params
from flows import report
from flows.home import Home
from pipelines.data import health, ingest
from pipelines.data.health import Health
from pipelines.data.quality import reconciliation
from pipelines.data.quality.reconciliation import Reconciliation
from pipelines.data.sources import files
from pipelines.store import Store

TEMPLATE = Path(__file__).with_name("health.html")
#: Symbols in the picture of coverage and lines of a table.
SYMBOLS_SHOWN, ROWS_SHOWN = 40, 15
#: What a defect is drawn in.
COLOURS = {
    "price_spike": "#b3261e",
    "price_jump": "#e0862e",
    "volume_break": "#2456a6",
    "unlikely": "#7b4fa3",
    "decimal_shift": "#16794a",
    "market_closed": "#5b6875",
}
OTHERS = "#9aa5b1"


def write(market: str, home: Home, params: Params, clock: Clock | None = None) -> tuple[Health, Path]:
    """Examine a market's data, write the page, and return what was found and where the page is."""
    found = health.examine(Store(home.store), params.market(market), params, (clock or SystemClock()).now(), home.root)
    path = home.reports / f"{market}-health.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(found), encoding="utf-8")
    return found, path


def learn(market: str, until: datetime | None, home: Home, params: Params) -> dict[str, Any]:
    """Learn a market's profile from what was known by a moment, keep it, and tell what it is."""
    learned = health.learn(Store(home.store), params.market(market), params, home.root, until)
    return {
        "market": market, "known_at": learned.known_at.isoformat(), "symbols": len(learned.symbols),
        "measures": ", ".join(learned.usual), "digest": learned.digest,
    }  # fmt: skip


def nightly(market: str, until: datetime | None, home: Home, params: Params) -> Path:
    """Write the page, judged by the profile of the night before, learn a new one, and return the page."""
    _, path = write(market, home, params)
    # A young market has no history to learn from yet: its page says so.
    with suppress(NoData):
        learn(market, until, home, params)
    return path


def reconcile(path: Path, market: Market, home: Home, params: Params, clock: Clock | None = None) -> tuple[Reconciliation, Path]:
    """Compare a market's stored bars with those of a file of another source, keep what was found, and return it."""
    stored = ingest.at_rest(market)
    other = files.read(path, stored, params.store.publication_delay_s)
    symbols = other["symbol"].unique().sort().to_list()
    since, until = other["opened_at"].min(), other["opened_at"].max()
    bars = Store(home.store).bars(stored.name, stored.timeframe, symbols=symbols, since=since, until=until)  # type: ignore[arg-type]
    found = reconciliation.reconcile(bars, other, stored, params.quality, ("stored", path.name))
    return found, health.keep(found, market.name, home.root, (clock or SystemClock()).now())


def rows(found: Health) -> list[dict[str, str]]:
    """Return what the command prints: a check, what was found, and whether that is well."""
    told = health.answer(found)
    late = f"{told['late']} late, {told['ended']} ended, of {found.symbols}"
    checks = [
        ("bars", f"{found.bars:,} of {found.symbols} symbols, {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d %H:%M}", True),
        ("freshness", late, told["late"] == 0),
        ("coverage", f"{told['holes']} symbols with holes", told["holes"] == 0),
        ("flagged and quarantined", f"{told['flagged']:,} bars, {told['quarantined']:,} rows in quarantine", True),
        ("profile", _profile(found), True),
        ("drift", f"{told['drifted']} of {len(found.drift)} distributions", told["drifted"] == 0),
        ("volume regimes", f"{told['regimes']} sessions", not found.regimes["shared"].any()),
        ("jumps without an action", f"{told['unexplained']}", True),
        ("reconciliation", _reconciled(found), True),
    ]
    return [{"check": name, "found": said, "verdict": "well" if well else "look"} for name, said, well in checks]


def render(found: Health) -> str:
    """Return the page as HTML; every text that comes from data is escaped."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = report.number
    charts = {
        "coverage": report.safe(coverage_chart(found)),
        "freshness": report.safe(freshness_chart(found)),
        "defects": report.safe(defects_chart(found)),
        "drift": report.safe(drift_chart(found)),
        "unlikely": report.safe(unlikely_chart(found)) if len(found.unlikely) else "",
        "reconciled": report.safe(reconciled_chart(found.reconciled["summary"])) if found.reconciled else "",
    }
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(h=found, charts=charts, checks=rows(found), tables=_tables(found), problems=found.problems())


def coverage_chart(found: Health) -> str:
    """Draw the share of the bars that the calendar expects, symbol by time, the worst first; white is before a first bar."""
    shares = found.coverage.with_columns(share=pl.col("present") / pl.col("expected"))
    worst = shares.group_by("symbol").agg(pl.col("share").mean()).sort("share", "symbol").head(SYMBOLS_SHOWN)["symbol"]
    periods = shares["period"].unique().sort()
    grid = shares.filter(pl.col("symbol").is_in(worst.implode())).pivot("period", index="symbol", values="share")
    grid = worst.to_frame().join(grid, on="symbol", how="left", maintain_order="left")
    values = np.full((len(grid), len(periods)), np.nan)
    for column, period in enumerate(periods):
        name = str(period.replace(tzinfo=None))
        held = next((each for each in grid.columns if each.startswith(name)), None)
        if held is not None:
            values[:, column] = grid[held].to_numpy()
    drawn, axes = report.figure(10.4, 1.2 + 0.17 * len(grid))
    axes.grid(visible=False)
    picture = axes.imshow(values, aspect="auto", cmap="RdYlGn", vmin=0.0, vmax=1.0, interpolation="nearest")
    axes.set_yticks(range(len(grid)), grid["symbol"].to_list(), fontsize=7)
    ticks = range(0, len(periods), max(1, len(periods) // 8))
    axes.set_xticks(list(ticks), [f"{periods[tick]:%Y-%m-%d}" for tick in ticks], fontsize=8)
    drawn.colorbar(picture, ax=axes, label="share of expected bars", pad=0.01)
    return report.svg(drawn)


def freshness_chart(found: Health) -> str:
    """Draw how many symbols stand where: fresh, late, stalled, ended."""
    drawn, axes = report.figure(5.0, 2.6)
    colours = {"fresh": "#16794a", "late": "#b3261e", "stalled": "#b3261e", "ended": OTHERS}
    counts = {name: len(found.fresh.filter(pl.col("status") == name)) for name in colours}
    axes.barh(list(counts)[::-1], list(counts.values())[::-1], color=list(colours.values())[::-1])
    for place, count in enumerate(list(counts.values())[::-1]):
        axes.text(count, place, f" {count}", va="center", fontsize=9)
    axes.set_xlabel("symbols")
    return report.svg(drawn)


def defects_chart(found: Health) -> str:
    """Draw flagged and quarantined bars over time, stacked by defect."""
    drawn, axes = report.figure(10.4, 2.9)
    periods = found.defects["period"].unique().sort()
    width = (found.last - found.first) / health.PERIODS
    base = np.zeros(len(periods))
    for name in found.defects.group_by("defect").agg(pl.col("rows").sum()).sort("rows", descending=True)["defect"]:
        one = found.defects.filter(pl.col("defect") == name).select("period", "rows")
        counts = periods.to_frame().join(one, on="period", how="left", maintain_order="left")["rows"].fill_null(0).to_numpy()
        axes.bar(periods.to_list(), counts, width, bottom=base, label=name, color=COLOURS.get(name, OTHERS), align="edge")
        base += counts
    axes.set(ylabel="rows", xlim=(found.first, found.last + width))
    axes.yaxis.get_major_locator().set_params(integer=True)
    if len(periods):
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=5, fontsize=8)
    return report.svg(drawn)


def drift_chart(found: Health) -> str:
    """Draw each distribution's index against how surprising its distance is; the drifted ones are red."""
    drawn, axes = report.figure(5.0, 2.6)
    surprise = -np.log10(np.maximum(found.drift["q"].to_numpy(), 1e-12))
    drifted = found.drift["drifted"].to_numpy()
    excess = (found.drift["psi"] - found.drift["psi_usual"]).to_numpy()
    axes.scatter(excess[~drifted], surprise[~drifted], s=10, color=OTHERS, label="as before")
    axes.scatter(excess[drifted], surprise[drifted], s=14, color=report.RED, label="drifted")
    axes.set(xlabel="stability index above what is usual", ylabel="-log10 q")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    return report.svg(drawn)


def unlikely_chart(found: Health) -> str:
    """Draw what the profile finds unlikely, over time, by measure."""
    drawn, axes = report.figure(5.0, 2.6)
    for name, colour in zip(("return", "gap", "range", "volume", "spread"), COLOURS.values(), strict=False):
        one = found.unlikely.filter(pl.col("measure") == name)
        if len(one):
            axes.scatter(one["opened_at"].to_list(), -np.log10(one["p"].to_numpy()), s=10, color=colour, label=name)
    axes.set_ylabel("-log10 p")
    axes.tick_params(axis="x", labelrotation=25, labelsize=8)
    axes.legend(frameon=False, fontsize=8, ncols=2)
    return report.svg(drawn)


def reconciled_chart(summary: Sequence[dict[str, Any]]) -> str:
    """Draw how many bars differ between two sources, by kind, on a logarithmic axis."""
    drawn, axes = report.figure(5.0, 2.6)
    kinds, counts = [row["kind"] for row in summary][::-1], [row["bars"] for row in summary][::-1]
    axes.barh(kinds, counts, color=report.BLUE)
    if counts:
        axes.set_xscale("log")
        axes.set_xlim(0.5, 3 * max(counts))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.minorticks_off()
    for place, count in enumerate(counts):
        axes.text(count, place, f" {count:,}", va="center", fontsize=9)
    axes.set_xlabel("bars")
    return report.svg(drawn)


def _profile(found: Health) -> str:
    if found.learned is None:
        return "none was learned yet"
    return f"learned up to {found.learned.known_at:%Y-%m-%d}, {len(found.unlikely)} newer values unlikely"


def _reconciled(found: Health) -> str:
    if found.reconciled is None:
        return "no other source was compared yet"
    told = found.reconciled
    return f"{told['left']} with {told['right']}: " + (
        ", ".join(f"{row['kind']} {row['bars']:,}" for row in told["summary"][:3]) or "no difference"
    )


def _tables(found: Health) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of the page's tables."""
    late = found.fresh.filter(pl.col("status") != "fresh")
    silent = found.rhythm.with_columns((pl.col("silent_s", "usual_s") / 86400).round(1)).rename(
        {"silent_s": "silent, days", "usual_s": "usual at most, days"}
    )
    return {
        "late": _lines(late.drop("late_s")),
        "rhythm": _lines(silent),
        "drift": _lines(found.drift.filter("drifted").select("symbol", "measure", "psi", "psi_usual", "ks", "q")),
        "regimes": _lines(found.regimes.sort("symbols", descending=True)),
        "unexplained": _lines(found.unexplained.sort("move").with_columns((pl.col("move").exp() - 1).round(4))),
        "unlikely": _lines(found.unlikely.select("symbol", "opened_at", "measure", "deviations", "p")),
    }


def _lines(table: pl.DataFrame) -> list[dict[str, Any]]:
    return table.head(ROWS_SHOWN).to_dicts()
