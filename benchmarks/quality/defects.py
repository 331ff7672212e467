"""Make one table of every defect that the shared data's README records: which rule catches it, how much of it, and false alarms.

Run from the project's root: `python -m benchmarks.quality.defects [--data FOLDER]`. Writes defects.md beside this file. Bars are
judged as in `measure`; the other tables by their suites, with rows as a naive importer would hand them over, so that the traps
which our own importers avoid are there to be found.
"""

import argparse
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl

from benchmarks.quality import measure, recorded
from domain.error import NightshiftError
from pipelines.data.quality import Knowledge, coverage, freshness, inspection, reconciliation, tables
from pipelines.data.quality.tables import Around
from pipelines.data.sources import files
from pipelines.store import TABLES

HERE = Path(__file__).parent
AROUND = Around(measure.LIMITS)
UTC = pl.Datetime("us", "UTC")
REMARKS = 6
COVERED = ("crypto_1h", "equities_5m", "fx_1m", "index_daily", "equities_1m_2019")


def conformed(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with the columns of a table, those that it lacks null."""
    schema = TABLES[table].schema
    absent = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in frame.columns]
    return frame.with_columns(absent).select(schema.names()).cast(schema)


def line(file: str, defect: str, rule: str, found: tuple[int, int], false: str = "") -> str:
    """Return one line of the table."""
    return f"| {file} | {defect} | {rule} | {found[0]:,}/{found[1]:,} | {false} |"


def hit(examined: pl.DataFrame, rows: pl.Series, rules: tuple[str, ...]) -> tuple[int, int]:
    """Return how many of the rows on record break one of the rules, and how many there are."""
    caught = examined.select(pl.any_horizontal(rules)).to_series()
    return int((caught & rows).sum()), int(rows.sum())


def alarms(examined: pl.DataFrame, on_record: pl.Series, rules: tuple[str, ...]) -> str:
    """Return the share of all rows that break a rule and are not on record."""
    caught = examined.select(pl.any_horizontal(rules)).to_series()
    count = int((caught & ~on_record).sum())
    return f"{count} ({count / len(examined):.4%})"


def actions(data: Path) -> pl.DataFrame:
    """Return the point-in-time panel's actions as rows of the table `actions`."""
    raw = pl.read_parquet(data / "corporate_actions_pit.parquet")
    split = pl.col("kind").str.contains("split")
    return conformed(
        "actions",
        raw.select(
            "symbol", market=pl.lit("us"), event_at="ts", known_at="ts",
            kind=pl.when(split).then(pl.lit("split")).otherwise(pl.lit("dividend")),
            value=pl.when(split).then(1 / pl.col("factor")).otherwise("implied_cash"),
        ),
    )  # fmt: skip


def bars(name: str, data: Path) -> list[str]:
    """Return the lines of one file of bars; its false alarms stand in the first."""
    where, known = measure.market(name), measure.records(name, data)
    knowledge = Knowledge(actions=actions(data)) if name == "equities_daily_broad_pit" else Knowledge()
    table = inspection.examine(files.read(data / f"{name}.parquet", where), where, measure.LIMITS, knowledge)
    false = int(measure.unrecorded(table, name, known)["false"].sum())
    said = [f"{false} ({false / len(table):.4%})"]
    lines = []
    for record in known:
        rules = ", ".join(inspection.column(flag) for flag in record.flags)
        found = measure.caught(table, record)
        if found[1]:
            lines.append(line(name, record.text, rules, found, said.pop() if said else ""))
    if name in COVERED:
        remarks = coverage.coverage(table).head(REMARKS).to_dicts()
        lines += [line(name, f"{row['symbol']}: {row['remark']}", "coverage", (1, 1)) for row in remarks]
    return lines or [line(name, "none on record", "", (0, 0), said[0])]


def ticks(data: Path) -> list[str]:
    """Return the lines of trades and quotes."""
    crypto, fx = measure.market("crypto_1h"), measure.market("fx_1h")
    raw = pl.read_parquet(data / "ticks_crypto_quotes.parquet")
    quotes = conformed("quotes", raw.rename({"update_id": "sequence", "ts": "event_at"}).with_columns(
        market=pl.lit("crypto"), known_at=pl.col("recv_ts").cast(UTC)).drop("recv_ts"))  # fmt: skip
    raw = pl.read_parquet(data / "ticks_crypto_trades.parquet").rename({"ts": "event_at", "aggressor": "side"})
    trades = conformed("trades", raw.with_columns(market=pl.lit("crypto"), known_at=pl.col("recv_ts").cast(UTC)))
    all_of = pl.Series([True] * len(trades))
    examined = tables.inspection.examine("trades", trades, replace(AROUND, market=crypto, quotes=quotes))
    others = tuple(rule.name for rule in tables.SUITES["trades"].rules if rule.name != "time_backwards")
    lines = [
        line("ticks_crypto_trades", "receive clock 1.27 s behind the exchange", "time_backwards",
             hit(examined, all_of, ("time_backwards",)), alarms(examined, ~all_of, others))
    ]  # fmt: skip
    rules = tuple(rule.name for rule in tables.SUITES["quotes"].rules)
    examined = tables.inspection.examine("quotes", quotes, replace(AROUND, market=crypto))
    none = pl.Series([False] * len(quotes))
    lines.append(line("ticks_crypto_quotes", "none on record beside the clock", "", (0, 0), alarms(examined, none, rules)))
    raw = pl.read_parquet(data / "ticks_fx_quotes.parquet").rename({"ts": "event_at"})
    quotes = conformed("quotes", raw.with_columns(market=pl.lit("fx"), known_at="event_at", sequence=pl.int_range(pl.len())))
    examined = tables.inspection.examine("quotes", quotes, replace(AROUND, market=fx))
    wide = (quotes["ask"] - quotes["bid"]) >= 0.0005
    lines.append(line("ticks_fx_quotes", "spreads of 5 pips and more at the open", "wide_spread",
                      hit(examined, wide, ("wide_spread",)), alarms(examined, wide, rules)))  # fmt: skip
    return lines


def news(data: Path) -> list[str]:
    """Return the lines of headlines."""
    exchange = measure.market("equities_daily_sp500")
    raw = pl.read_parquet(data / "news_headlines.parquet").rename({"ts": "event_at"})
    table = conformed("news", raw.with_columns(market=pl.lit("us"), known_at="event_at", source=pl.lit("benzinga")))
    examined = tables.inspection.examine("news", table, replace(AROUND, market=exchange))
    local = table["event_at"].dt.convert_time_zone(recorded.NEW_YORK)
    midnight = local.dt.strftime("%H:%M:%S") == "00:00:00"
    again = table.select(~pl.struct("symbol", "headline").is_first_distinct()).to_series()
    dated, repeated = ("date_only", "known_too_early"), ("duplicate_key", "headline_repeated")
    lines = [
        line("news_headlines", "stamps of a date only", ", ".join(dated), hit(examined, midnight, dated),
             alarms(examined, midnight, dated)),
        line("news_headlines", "headlines of a symbol repeated to the letter", ", ".join(repeated), hit(examined, again, repeated),
             alarms(examined, again, repeated)),
    ]  # fmt: skip
    template = table.select(pl.col("headline").str.replace_all(r"\d+", "#")).to_series()
    listed = template.is_in(template.value_counts().filter(pl.col("count") >= 8).to_series(0).implode())
    lines.append(line("news_headlines", "list-style headlines, eight and more of one form", "headline_list",
                      hit(examined, listed, ("headline_list",)), alarms(examined, listed, ("headline_list",))))  # fmt: skip
    raw = pl.read_parquet(data / "news_market.parquet").rename({"ts": "event_at"})
    table = conformed("news", raw.with_columns(market=pl.lit("us"), known_at="event_at"))
    examined = tables.inspection.examine("news", table, replace(AROUND, market=exchange))
    every = pl.Series([True] * len(table))
    rest = ("headline_empty", "headline_long", "markup", "sentiment_range")
    lines.append(line("news_market", "dates without a time", ", ".join(dated), hit(examined, every, dated),
                      alarms(examined, ~every, rest)))  # fmt: skip
    return lines


def macro(data: Path) -> list[str]:
    """Return the lines of macro series."""
    raw = pl.read_parquet(data / "macro_series.parquet").rename({"ts": "event_at", "symbol": "series"})
    table = conformed("macro", raw.with_columns(source=pl.lit("fred"), known_at="event_at"))
    examined = tables.inspection.examine("macro", table, AROUND)
    monthly = table["series"].is_in(["CPILFESL", "MOODYS_AAA", "MOODYS_BAA", "BRENT_SPOT", "WTI_SPOT"])
    late = table.with_columns(known_at=pl.col("event_at") + timedelta(days=45))
    settled = tables.inspection.examine("macro", late, AROUND)
    none = pl.Series([False] * len(table))
    return [
        line("macro_series", "monthly values stamped by observation date", "known_too_early",
             hit(examined, monthly, ("known_too_early",)), alarms(settled, none, ("known_too_early",))),
        line("macro_series", "daily values known at midnight of their day", "known_too_early",
             hit(examined, ~monthly, ("known_too_early",)), alarms(settled, none, ("value_jump", "value_spike"))),
    ]  # fmt: skip


def acted(data: Path) -> list[str]:
    """Return the lines of actions, against the panel's prices."""
    where = measure.market("equities_daily_broad_pit")
    prices = files.read(data / "equities_daily_broad_pit.parquet", where)
    table = actions(data)
    examined = tables.inspection.examine("actions", table, replace(AROUND, market=where, bars=prices))
    wrong = (table["symbol"] == "ZAIS") & (table["event_at"].dt.strftime("%Y-%m-%d") == "2016-06-28")
    rule = ("factor_implausible",)
    return [line("corporate_actions_pit", "ZAIS 2016-06-28: no price moved with the factor", *rule, hit(examined, wrong, rule),
                 alarms(examined, wrong, rule))]  # fmt: skip


def pairs(data: Path) -> list[str]:
    """Return what only a second source tells, with the share of common closes that agree as its last column."""
    where = measure.market("equities_daily_sp500")
    left, right, panel = (
        files.read(data / f"{name}.parquet", where)
        for name in ("equities_daily_sp500", "equities_daily_yahoo_adj", "equities_daily_broad_pit")
    )
    found = reconciliation.reconcile(left, right, where, measure.LIMITS, ("sp500", "yahoo"))
    agree = float((found.symbols["agree"] * found.symbols["common"]).sum() / found.symbols["common"].sum())
    apart = found.steps.filter(pl.col("kind") == "spinoff_adjustment")["symbol"].unique().to_list()
    known = [symbol for symbol in ("HON", "DHR", "PPL") if symbol in found.symbols["symbol"].to_list()]
    lines = [line("sp500 with yahoo_adj", f"spin-offs that only Yahoo adjusts ({', '.join(known)})", "spinoff_adjustment",
                  (len(set(known) & set(apart)), len(known)), f"{agree:.2%} agree")]  # fmt: skip
    splits = reconciliation.reconcile(panel, left, where, measure.LIMITS, ("pit", "sp500")).steps
    # What is no whole number of shares for one, or one for several, is a spin-off that the panel calls a split.
    whole = pl.max_horizontal("value", 1 / pl.col("value"))
    exact = actions(data).filter((pl.col("kind") == "split") & ((whole - whole.round()).abs() < 0.01))
    truth = exact.join(left, on="symbol", how="semi")["symbol"].unique()
    seen = splits.filter(pl.col("kind").is_in(["split_factor", "unit"]))["symbol"].unique()
    lines.append(line("broad_pit with sp500", "splits that only sp500 adjusts", "split_factor",
                      (int(truth.is_in(seen.implode()).sum()), len(truth))))  # fmt: skip
    tenth = right.with_columns(volume=pl.when(pl.col("symbol") == "AAPL").then(pl.col("volume") / 10).otherwise("volume"))
    scaled = reconciliation.reconcile(tenth, right, where, measure.LIMITS, ("planted", "yahoo")).summary
    count = dict(scaled.select("kind", "bars").iter_rows()).get("volume_scale", 0)
    lines.append(line("yahoo_adj, planted", "volume not adjusted for a split of 10:1 (NVDA)", "volume_scale",
                      (count, len(right.filter((pl.col("symbol") == "AAPL") & (pl.col("volume") > 0))))))  # fmt: skip
    return lines


def partial(data: Path) -> list[str]:
    """Return whether a last day that ends early is named: the newest day of a file cut at noon of New York."""
    where = measure.market("equities_5m")
    opened = files.read(data / "equities_5m.parquet", where).select("symbol", "opened_at")
    last = opened["opened_at"].max()
    cut = last.replace(hour=17, minute=0)  # type: ignore[union-attr]
    status = freshness.bars(opened.filter(pl.col("opened_at") < cut), where, last + timedelta(hours=4))  # type: ignore[operator]
    active = status.filter(pl.col("status") != "ended")
    return [line("equities_5m, cut at noon", "a partial last day", "freshness: stalled",
                 (int((active["status"] == "stalled").sum()), len(active)))]  # fmt: skip


def garbled(data: Path) -> list[str]:
    """Return what the reader says of the file whose last line is garbled."""
    path = data / "raw" / "other_csv" / "ticksample.csv"
    try:
        rows = len(files.read(path, measure.market("crypto_1m")))
        said = f"read as {rows} rows"
    except NightshiftError as problem:
        said = f"refused: {problem}"
    return [f"| raw/other_csv/ticksample.csv | garbled last line | reader | {said.replace('|', '/')} | |"]


def main() -> None:
    """Judge every file that is there and write the table."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--data", type=Path, default=Path(os.environ.get("NIGHTSHIFT_DATA", "../shared/data")))
    data = asked.parse_args().data
    lines = [said for step in (ticks, news, macro, acted, pairs, partial, garbled) for said in step(data)]
    for name in recorded.RECORDED:
        if (data / f"{name}.parquet").exists():
            lines += bars(name, data)
            print(name, flush=True)
    head = ["| file | recorded defect | caught as | caught | false alarms (share of rows) |", "|---|---|---|---|---|"]
    (HERE / "defects.md").write_text("\n".join([*head, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
