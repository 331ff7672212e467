"""Inspection of tables: set the impossible rows apart, count the suspicious ones, repair nothing."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from domain.error import DataError, nearest
from pipelines.data.quality import coverage, docs, reasons, suite
from pipelines.data.quality.tables import actions, listings, macro, news, ticks
from pipelines.data.quality.tables.rule import Around, Rule, Suite
from pipelines.store import TABLES

SUITES: dict[str, Suite] = {
    each.table: each
    for each in (ticks.TRADE_SUITE, ticks.QUOTE_SUITE, news.SUITE, macro.SUITE, actions.SUITE, listings.SUITE)
}  # fmt: skip


#: What a row cannot be without; headlines may be about no symbol.
NAMED = {table: ("event_at", "known_at", *({"symbol", "series"} & set(TABLES[table].key))) for table in SUITES}
NAMED["news"] = ("event_at", "known_at")


@dataclass(frozen=True)
class Rows:
    """What was found in one batch of a table."""

    table: str
    kept: pl.DataFrame
    """The table's columns, in the order of the source."""
    quarantined: pl.DataFrame
    """The same of impossible rows, plus `reason`."""
    flagged: pl.DataFrame
    """The same of rows that were kept and are suspicious, plus `reason`."""
    summary: pl.DataFrame
    """One row a rule: `defect`, `rows`, `share` of all rows, `severity` (critical or warning)."""
    success: bool
    """Whether no row was impossible."""
    docs: Path | None
    """index.html of the Data Docs, if they were asked for."""


def inspect(table: str, frame: pl.DataFrame, around: Around, *, docs_in: Path | None = None) -> Rows:
    """Inspect rows of a table, in the source's own order, by the suite of that table.

    Impossible rows leave the batch with a reason, suspicious ones stay and are counted. The checkpoint of Great Expectations runs
    over the raw batch; with `docs_in` its Data Docs are written to that folder. Columns that are no part of the key may be left
    out. Raises DataError for a table without a suite and for a missing column of the key. What is found is known after the batch,
    not at the row: a feature must not read it.
    """
    chosen = of(table)
    schema, key = TABLES[table].schema, TABLES[table].key
    if missing := [name for name in key if name not in frame.columns]:
        raise DataError(f"rows of table '{table}' to inspect need the columns {', '.join(key)}; {', '.join(missing)} missing")
    absent = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in frame.columns]
    examined = examine(table, frame.with_columns(absent).select(schema.names()).cast(schema), around)
    wrong = pl.any_horizontal(rule.name for rule in chosen.rules if rule.impossible)
    suspicious = {rule.name: rule.found for rule in chosen.rules if not rule.impossible}
    impossible = {rule.name: rule.found for rule in chosen.rules if rule.impossible}
    kept = examined.filter(~wrong)
    flagged = reasons.explain(kept, suspicious).filter(pl.col("reason").is_not_null()).select(*schema, "reason")
    quarantined = reasons.explain(examined.filter(wrong), impossible).select(*schema, "reason")
    summary = _summary(examined, chosen.rules)
    success, index = _checked(chosen, examined, around, docs_in, (summary, quarantined, flagged))
    return Rows(table, kept.select(schema.names()), quarantined, flagged, summary, success, index)


def examine(table: str, frame: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Return the rows with `row`, one boolean column a rule of the table, and what the reasons quote."""
    chosen, count = of(table), len(frame)
    rows = frame if around.stored is None else pl.concat([frame, around.stored.select(frame.columns)])
    numbered = rows.with_row_index("row")
    lacking = pl.any_horizontal(pl.col(name).is_null() for name in NAMED[table])
    judged = chosen.examine(numbered.filter(~lacking), around).with_columns(missing_key=pl.lit(value=False))
    # Rows that cannot be told apart from others are judged by nothing else, and judge nothing.
    nameless = numbered.filter(lacking).with_columns(missing_key=pl.lit(value=True))
    examined = pl.concat([judged, nameless], how="diagonal").sort("row").filter(pl.col("row") < count)
    return examined.with_columns(pl.col(rule.name).fill_null(value=False) for rule in chosen.rules)


def of(table: str) -> Suite:
    """Return the suite of a table; raise DataError with the nearest name for one that has none."""
    if table not in SUITES:
        raise DataError(f"table '{table}' has no suite of rules: {nearest(table, SUITES)}")
    return SUITES[table]


def _summary(examined: pl.DataFrame, rules: tuple[Rule, ...]) -> pl.DataFrame:
    counts = examined.select(pl.col(rule.name).sum() for rule in rules).row(0)
    return pl.DataFrame(
        {
            "defect": [rule.name for rule in rules],
            "rows": list(counts),
            "share": [count / max(len(examined), 1) for count in counts],
            "severity": ["critical" if rule.impossible else "warning" for rule in rules],
        },
        schema={"defect": pl.String, "rows": pl.Int64, "share": pl.Float64, "severity": pl.String},
    )


def _checked(
    chosen: Suite,
    examined: pl.DataFrame,
    around: Around,
    folder: Path | None,
    found: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
) -> tuple[bool, Path | None]:
    """Run the checkpoint, publish its pages if they are asked for, and return whether it passed and their index."""
    rules = [suite.promised(rule.name, rule.promise, rule.impossible) for rule in chosen.rules]
    name = f"{around.market.name if around.market else 'all'}.{chosen.table}"
    batch = examined.select(*TABLES[chosen.table].schema, *(rule.name for rule in chosen.rules))
    with tempfile.TemporaryDirectory() as site:
        built = None if folder is None else Path(site)
        success = suite.checkpoint(batch, chosen.table, name, [*chosen.natively, *rules], built)
        index = None if folder is None else docs.publish(Path(site), folder, _page(chosen, name, len(examined), found))
    return success, index


def _page(chosen: Suite, name: str, rows: int, found: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]) -> docs.Page:
    summary, quarantined, flagged = found
    said = pl.DataFrame({"defect": [rule.name for rule in chosen.rules], "promise": [rule.promise for rule in chosen.rules]})
    shown = [_shown(frame) for frame in (quarantined, flagged)]
    return docs.Page(
        title=name.replace(".", ", "),
        suite=chosen.table,
        rows=rows,
        summary=summary.join(said, on="defect", how="left", maintain_order="left"),
        quarantined=shown[0],
        flagged=shown[1],
        coverage=coverage.NOTHING,
    )


def _shown(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows as the pages list them: symbol, opened_at, reason."""
    named = "symbol" if "symbol" in rows.columns else "series"
    return rows.select(symbol=pl.col(named).fill_null(""), opened_at=pl.col("event_at"), reason="reason")
