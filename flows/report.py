"""One self-contained HTML page a market: what was believed, what was traded, and where every number came from."""

import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

TEMPLATE = Path(__file__).with_name("report.html")
ROWS_SHOWN = 40
IMPORTANCES_SHOWN = 15
INK, BLUE, GREY, RED = "#16202b", "#2456a6", "#9aa5b1", "#b3261e"


@dataclass(frozen=True)
class Material:
    """Everything that the page shows; nothing is computed here but pictures."""

    title: str
    lead: str
    """One sentence under the title."""
    version: int
    promoted: bool
    cards: list[tuple[str, str]]
    """The headline figures, name and formatted value."""
    curve: pl.DataFrame
    """event_at, equity, benchmark: one row a bar, both in account currency."""
    calibration: list[tuple[float, float]]
    """(level, share of outcomes below the forecast quantile)."""
    importance: dict[str, float]
    gates: list[dict[str, Any]]
    """name, found, comparison, limit, passed, note."""
    chain: list[tuple[str, str]]
    """From an order back to model, table version and commit."""
    orders: pl.DataFrame
    """The newest orders with their fills, at most ROWS_SHOWN."""
    orders_total: int
    fills_total: int
    quality: pl.DataFrame
    """defect, rows, share, severity."""
    looked_for: int
    """Defects that the bars were inspected for."""
    footer: str


def write(material: Material, path: Path) -> Path:
    """Write the page and return its path; it needs no other file and no network."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(material), encoding="utf-8")
    return path


def render(material: Material) -> str:
    """Return the page as HTML; every text that comes from data is escaped."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = number
    charts = {
        "equity": safe(equity_chart(material.curve)),
        "calibration": safe(calibration_chart(material.calibration)),
        "importance": safe(importance_chart(material.importance)),
    }
    amounts = [name for name, kind in material.orders.schema.items() if kind.is_numeric()]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(m=material, charts=charts, amounts=amounts)


def number(value: object) -> str:
    """Format a cell: a time to the minute, six significant digits for floats, a dash for nothing, everything else as it is."""
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def safe(drawing: str) -> Any:
    """Return our own drawing as markup that a template shows as it is."""
    import markupsafe

    return markupsafe.Markup(drawing)  # noqa: S704  # our own drawing: matplotlib escapes the texts in it


def equity_chart(curve: pl.DataFrame) -> str:
    """Draw equity and, below it, its fall from the highest so far, each against the benchmark's."""
    drawn, (above, below) = figure(10.4, 4.8, nrows=2, height_ratios=[3, 1.2], sharex=True)
    at = curve["event_at"].to_numpy()
    above.plot(at, curve["benchmark"].to_numpy(), color=GREY, linewidth=1.1, label="benchmark: equal weight, held")
    above.plot(at, curve["equity"].to_numpy(), color=BLUE, linewidth=1.6, label="Nightshift")
    above.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    above.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    falls = {name: (curve[name] / curve[name].cum_max() - 1.0).to_numpy() * 100 for name in ("equity", "benchmark")}
    below.plot(at, falls["benchmark"], color=GREY, linewidth=1.1)
    below.fill_between(at, falls["equity"], 0.0, color=RED, alpha=0.35, linewidth=0)
    below.set_ylabel("drawdown, %")
    return svg(drawn)


def calibration_chart(calibration: list[tuple[float, float]]) -> str:
    """Draw the observed share of outcomes below each quantile against its level."""
    drawn, axes = figure(5.0, 3.6)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="as promised")
    axes.plot([level for level, _ in calibration], [found for _, found in calibration], color=BLUE, marker="o", label="as it came")
    axes.legend(frameon=False, loc="upper left")
    axes.set(xlabel="quantile level", ylabel="share of outcomes below", xlim=(0, 1), ylim=(0, 1))
    return svg(drawn)


def importance_chart(importance: dict[str, float]) -> str:
    """Draw the largest importances as bars."""
    drawn, axes = figure(5.0, 3.6)
    largest = sorted(importance.items(), key=lambda item: (-item[1], item[0]))[:IMPORTANCES_SHOWN][::-1]
    axes.barh([name for name, _ in largest], [share for _, share in largest], color=BLUE)
    axes.set_xlabel("share of gain")
    axes.tick_params(axis="y", labelsize=8)
    return svg(drawn)


def figure(width: float, height: float, **layout: Any) -> Any:
    """Return an empty figure of the house's style, inches wide and high, and its axes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(drawn)
    ratios = layout.pop("height_ratios", None)
    axes = drawn.subplots(gridspec_kw={"height_ratios": ratios} if ratios else None, **layout)
    for each in axes if layout.get("nrows", 1) > 1 else [axes]:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(visible=True, color="#eceff2", linewidth=0.8)
        each.set_axisbelow(True)
    return drawn, axes


def svg(drawn: Any) -> str:
    """Return a figure as SVG, the same bytes for the same picture."""
    import matplotlib as mpl

    buffer = io.StringIO()
    # A fixed salt and no date: the same run draws the same bytes. Nothing else of the metadata is said, addresses least of all.
    silent = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nightshift", "font.family": "sans-serif"}):
        drawn.savefig(buffer, format="svg", metadata=silent)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
