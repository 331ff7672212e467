"""News: the suite of headlines."""

from datetime import timedelta

import polars as pl

from domain import session
from pipelines.data.quality.suite import Expectation
from pipelines.data.quality.tables.rule import DUPLICATE, EARLY, FUTURE, MISSING, Around, Rule, Suite, at, keyed, timed, value

#: A headline is a line: longer ones are bodies of articles, or several lines that ran together.
LONG = 300
#: A stamp at midnight is only a date where the source has more of them than the minutes around would give with this chance.
CHANCE = 1e-3
#: Minutes on each side of midnight that say how many headlines come in one.
NEAR = 30
#: A text that comes back under other numbers and dates on so many days, or that was said of so many symbols at once, is a list.
LIST_DAYS, LIST_SYMBOLS = 4, 3

_DATES = r"\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b|\b(mon|tues|wednes|thurs|fri|satur|sun)day\b"
_SAID = value("headline").str.slice(0, 80)

RULES = (
    Rule("headline_empty", "A headline says something",
         pl.format("headline_empty: found '{}' at {}; expected words", _SAID, at("event_at")), impossible=True),
    Rule("sentiment_range", "A sentiment is null or lies between -1 and 1",
         pl.format("sentiment_range: found {}; expected a number from -1 to 1", value("sentiment")), impossible=True),
    Rule("known_too_early", "What has a date and no time is not known before that day is over",
         pl.format("known_too_early: found '{}' with the date {} known at {}; expected it to be known after that day", _SAID,
                   at("event_at"), at("known_at")), impossible=True),
    MISSING, DUPLICATE, EARLY, FUTURE,
    Rule("headline_long", "A headline is one line",
         pl.format("headline_long: found {} characters, '{}'; expected a line", pl.col("headline").str.len_chars(), _SAID)),
    Rule("markup", "A headline is text", pl.format("markup: found '{}'; expected text without tags or entities", _SAID)),
    Rule("date_only", "A headline has the time at which it was published",
         pl.format("date_only: found '{}' at {}, a date without a time; expected a time of day", _SAID, at("event_at"))),
    Rule("headline_repeated", "A symbol's headline is said once",
         pl.format("headline_repeated: found '{}' of {} again; expected it once", _SAID, at("event_at"))),
    Rule("headline_list", "A headline is about its symbol",
         pl.format("headline_list: found '{}', said on {} days and of {} symbols at once; expected news of one symbol", _SAID,
                   pl.col("days"), pl.col("together"))),
)  # fmt: skip


def examine(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Examine headlines: single rows, keys, time, dates without a time, repetitions and lists."""
    text = pl.col("headline").str.strip_chars()
    rows = rows.with_columns(
        headline_empty=text.is_null() | ~text.str.contains(r"\w").fill_null(value=False),
        headline_long=text.str.len_chars() > LONG,
        markup=text.str.contains(r"</?[a-zA-Z][^>]*>|&[a-z]+;|&#\d+;"),
        sentiment_range=~pl.col("sentiment").is_between(-1, 1) | pl.col("sentiment").is_nan(),
    )
    rows = keyed(rows, ["symbol", "event_at", "known_at", "headline", "source"], ["sentiment"])
    zone = "UTC" if around.market is None else session.zone(around.market.calendar)
    return _lists(_repeated(_dated(timed(rows, around), zone)))


def _dated(rows: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Add `date_only` and `known_too_early`: stamps at midnight, where a source has more of them than of the minutes around.

    A midnight alone may be the minute in which a headline came; the binomial tail says from how many on it is not. Summer time
    makes a day an hour shorter.
    """
    after = pl.col("known_at") >= pl.col("event_at") + timedelta(hours=23)
    return rows.with_columns(date_only=_midnights(rows, zone)).with_columns(known_too_early=pl.col("date_only") & ~after)


def _midnights(rows: pl.DataFrame, zone: str) -> pl.Series:
    """Return which rows are stamped at midnight of a zone, in sources that are so too often."""
    from scipy import stats

    local = pl.col("event_at").dt.convert_time_zone(zone)
    minute = local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute()
    placed = rows.select("source", midnight=local.dt.time() == pl.time(0, 0), near=pl.min_horizontal(minute, 1440 - minute) <= NEAR)
    counts = placed.group_by("source").agg(found=pl.col("midnight").sum(), of=pl.col("near").sum())
    chance = stats.binom.sf(counts["found"].to_numpy() - 1, counts["of"].to_numpy(), 1 / (2 * NEAR + 1))
    often = counts.filter(pl.Series(chance < CHANCE))["source"]
    return placed["midnight"] & placed["source"].is_in(often.implode(), nulls_equal=True)


def _repeated(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `headline_repeated` to every telling of a text of one symbol but the first: by its words, not by its spelling."""
    words = pl.col("headline").str.to_lowercase().str.replace_all(r"[^\w]+", " ").str.strip_chars()
    rows = rows.with_columns(words=words).sort("event_at", "known_at", "row")
    first = pl.col("row") == pl.col("row").first().over("symbol", "words")
    return rows.with_columns(headline_repeated=~first & (pl.col("words") != "") & ~pl.col("duplicate_key")).sort("row")


def _lists(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `headline_list`, with `days` and `together`: a text without its numbers and dates, by how often it came."""
    template = pl.col("words").str.replace_all(_DATES, "@").str.replace_all(r"\d+(st|nd|rd|th)?", "#")
    rows = rows.with_columns(template=template).with_columns(
        days=pl.col("event_at").dt.date().n_unique().over("template"),
        together=pl.col("symbol").n_unique().over("words", pl.col("event_at").dt.date()),
    )
    often = (pl.col("days") >= LIST_DAYS) | (pl.col("together") >= LIST_SYMBOLS)
    return rows.with_columns(headline_list=often & (pl.col("words") != ""))


SUITE = Suite(
    "news", RULES, examine,
    (
        Expectation("ExpectColumnValuesToNotBeNull", {"column": "headline"}),
        Expectation("ExpectColumnValueLengthsToBeBetween", {"column": "headline", "min_value": 1}),
        Expectation("ExpectColumnValuesToBeBetween", {"column": "sentiment", "min_value": -1, "max_value": 1}),
        Expectation("ExpectCompoundColumnsToBeUnique", {"column_list": ["symbol", "event_at", "known_at", "headline", "source"]}),
    ),
)  # fmt: skip
