"""The Data Docs of Great Expectations, made readable without a network."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

ROWS_SHOWN = 200

#: What becomes of a row, by the severity of its defect.
WORDS = {"critical": "quarantined", "warning": "flagged"}

#: What the generated pages fetch from elsewhere or start there: style sheets, scripts, logos that count their readers.
FOREIGN = re.compile(
    r"<script\b.*?</script>|<footer\b.*?</footer>|<link\b[^>]*>|<img\b[^>]*\bsrc=\"https?:[^>]*>|background: url\('https?:[^;]*;",
    re.DOTALL,
)

#: Stands in for Bootstrap, its tables and Font Awesome; without scripts every tab is open and no dialog appears.
STYLE = """<style>
body { font: 14px/1.5 system-ui, sans-serif; color: #1d2733; margin: 0; background: #fff }
a { color: #1a5fb4; text-decoration: none } h1 { font-size: 22px } h2, h5 { font-size: 16px; margin: 0 }
h2 { margin-top: 24px } .when { white-space: nowrap }
main, .container-fluid { padding: 12px 28px } .row { display: flex; flex-wrap: wrap; gap: 24px }
.col-lg-2, .col-md-2 { flex: 0 0 210px } .col-md-10, .col-lg-10 { flex: 1; min-width: 0 } .col-12 { width: 100% }
.modal, .popover, .btn, .ge-walkthrough-modal, .d-none:not([class*="d-md-"]) { display: none !important }
.d-md-block { display: block }
.card { border: 1px solid #d5dbe1; border-radius: 4px } .card-header { padding: 4px 8px; background: #eef1f4 }
.card:has(.btn) { display: none } .mb-4 + .sticky { margin-top: 12px } .sticky { top: 12px !important }
nav ul, ol.breadcrumb { list-style: none; padding: 4px 10px; margin: 0 } ol.breadcrumb { display: flex; gap: 8px }
.navbar { height: auto !important; border: 0; padding: 8px 18px 0 }
.alert { background: #eef1f4; border-radius: 4px; padding: 8px 12px; margin-bottom: 8px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { border-top: 1px solid #d5dbe1; padding: 4px 8px; text-align: left; vertical-align: top } th { color: #5a6773 }
.number { text-align: right } .badge { background: #e3e8ed; border-radius: 3px; padding: 1px 5px }
.ge-section { margin-bottom: 12px !important; padding-bottom: 4px !important }
.text-success, .ok { color: #1e7d3c } .text-danger, .critical { color: #b3261e } .text-warning, .warning { color: #a15c00 }
i.fas { font-style: normal; font-weight: bold } i.fa-check-circle::before { content: "\\2713" }
i.fa-times::before { content: "\\2717" } i.fa-exclamation-triangle::before { content: "!" }
</style>"""


@dataclass(frozen=True)
class Page:
    """What the front page shows."""

    title: str
    suite: str
    """Name of the suite of expectations, the table that it is about."""
    rows: int
    """Rows of the batch."""
    summary: pl.DataFrame
    """`defect`, `rows`, `share`, `severity`, and `promise`, what rows without the defect hold to."""
    quarantined: pl.DataFrame
    """`symbol`, `opened_at`, `reason` of the rows that left the batch."""
    flagged: pl.DataFrame
    """The same of rows that stayed and are suspicious."""
    coverage: pl.DataFrame
    """`symbol`, `bars`, `first`, `last`, `remark`."""


def publish(built: Path, folder: Path, page: Page) -> Path:
    """Copy the pages that the library built into `folder`, self-contained, and return the front page written for them.

    The front page shows the summary, the first quarantined and the first flagged rows with their reasons, and every validation
    kept in the folder, newest first; the generated one fills its tables by script, from elsewhere.
    """
    for kind in ("expectations", "validations"):
        for generated in sorted(built.glob(f"{kind}/**/*.html")):
            _close_in(generated, folder / generated.relative_to(built))
    index = folder / "index.html"
    index.write_text(_front(folder, page), encoding="utf-8")
    return index


def _close_in(page: Path, to: Path) -> None:
    text = FOREIGN.sub("", page.read_text(encoding="utf-8"))
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(text.replace("</head>", f"{STYLE}\n</head>", 1), encoding="utf-8")


def _front(folder: Path, page: Page) -> str:
    title = escape(page.title)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Data quality: {title}</title>{STYLE}</head><body><main>
<h1>Data quality: {title}</h1>
<p>Of {page.rows:,} rows {len(page.quarantined):,} are impossible and went to quarantine, {len(page.flagged):,} more are suspicious
and stay with a flag; bars outside regular hours are marked and counted below. Nothing was repaired.</p>
{_counts(page.summary)}
<h2>Quarantined: {_counted(page.quarantined)}</h2>
{_reasons(page.quarantined)}
<h2>Suspicious: {_counted(page.flagged)}</h2>
{_reasons(page.flagged)}
<h2>Coverage: {len(page.coverage):,} symbols to know about</h2>
{_coverage(page.coverage)}
<h2>Validations</h2><ul>{_validations(folder)}</ul>
<p><a href="expectations/{page.suite}.html">The suite of expectations</a></p>
</main></body></html>
"""


def _counts(summary: pl.DataFrame) -> str:
    rows = [
        f'<tr><td>{row["defect"]}</td><td>{escape(row["promise"])}</td><td class="{_colour(row)}">{WORDS[row["severity"]]}</td>'
        f'<td class="number">{row["rows"]:,}</td><td class="number">{row["share"]:.4%}</td></tr>'
        for row in summary.iter_rows(named=True)
    ]
    named = "".join(f"<th>{name}</th>" for name in ("Defect", "What is checked", "Otherwise"))
    head = f'<tr>{named}<th class="number">Rows</th><th class="number">Share</th></tr>'
    return f"<table>{head}{''.join(rows)}</table>"


def _counted(rows: pl.DataFrame) -> str:
    return f"{len(rows):,} rows" + (f", the first {ROWS_SHOWN} of them" if len(rows) > ROWS_SHOWN else "")


def _reasons(rows: pl.DataFrame) -> str:
    def line(row: dict[str, Any]) -> str:
        opened = f'<td class="when">{row["opened_at"]:%Y-%m-%d %H:%M}</td>'
        return f"<td>{escape(row['symbol'])}</td>{opened}<td>{escape(row['reason'])}</td>"

    return _listed("<th>Symbol</th><th>Opened at (UTC)</th><th>Reason</th>", rows, line)


def _coverage(rows: pl.DataFrame) -> str:
    def line(row: dict[str, Any]) -> str:
        span = "".join(f"<td>{row[end]:%Y-%m-%d %H:%M}</td>" for end in ("first", "last"))
        return f'<td>{escape(row["symbol"])}</td><td class="number">{row["bars"]:,}</td>{span}<td>{escape(row["remark"])}</td>'

    head = '<th>Symbol</th><th class="number">Bars</th><th>First (UTC)</th><th>Last (UTC)</th><th>Remark</th>'
    return _listed(head, rows, line)


def _listed(head: str, rows: pl.DataFrame, line: Callable[[dict[str, Any]], str]) -> str:
    """Return the first rows as a table."""
    if rows.is_empty():
        return "<p>None.</p>"
    lines = (f"<tr>{line(row)}</tr>" for row in rows.head(ROWS_SHOWN).iter_rows(named=True))
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _validations(folder: Path) -> str:
    pages = sorted(folder.glob("validations/**/*.html"), key=lambda page: page.parent.name, reverse=True)
    return "".join(f'<li><a href="{page.relative_to(folder).as_posix()}">{escape(page.parent.name)}</a></li>' for page in pages)


def _colour(row: dict[str, object]) -> str:
    return str(row["severity"]) if row["rows"] else "ok"
