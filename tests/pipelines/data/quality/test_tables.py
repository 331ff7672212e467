"""The suites of the tables beside bars: each rule finds what it names, and nothing is wrong with what is sound."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from domain.error import DataError
from pipelines.data.quality import tables
from pipelines.data.quality.tables import Around
from tests.pipelines.data import clean
from tests.pipelines.data.quality import ticks_made as made

QUOTES = made.quotes()
TRADES = made.trades(QUOTES)
CRYPTO = clean.market("24/7", "1h")
AROUND = Around(clean.LIMITS, CRYPTO)
DAILY = clean.market()
BARS = clean.bars(DAILY, date(2024, 1, 2), date(2024, 6, 28), symbols=1)
DAYS = BARS["opened_at"].to_list()
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def broken(table: str, frame: pl.DataFrame, around: Around = AROUND) -> dict[str, list[int]]:
    """Return the rows that break each rule."""
    examined = tables.inspection.examine(table, frame, around)
    found = {rule.name: examined.filter(rule.name)["row"].to_list() for rule in tables.SUITES[table].rules}
    return {name: rows for name, rows in found.items() if rows}


def news(*headlines: tuple[str, datetime], **columns: object) -> pl.DataFrame:
    """Return headlines of one symbol, known a minute after they were published."""
    at = [moment for _, moment in headlines]
    filled = {"known_at": [moment + timedelta(minutes=1) for moment in at], "source": ["wire"] * len(at), **columns}
    return made.rows("news", headline=[text for text, _ in headlines], event_at=at, **filled)


def macro(values: list[float | None], days: int, first: date = date(2010, 1, 1), lag: int = 45) -> pl.DataFrame:
    """Return a series that is published `lag` days after each stamp; `days` apart, or monthly for 30."""
    every = "1mo" if days == 30 else f"{days}d"
    stamps = pl.date_range(first, first + timedelta(days=31 * len(values) * max(days // 30, 1)), every, eager=True)[: len(values)]
    at = stamps.cast(pl.Datetime("us")).dt.replace_time_zone("America/New_York").dt.convert_time_zone("UTC")
    frame = pl.DataFrame({"source": "fred", "series": "CPI", "event_at": at, "known_at": at + timedelta(days=lag), "value": values})
    return frame.select(pl.col(name) for name in ("source", "series", "event_at", "known_at", "value"))


def action(kind: str, value: float, place: int, **columns: object) -> pl.DataFrame:
    """Return one action whose ex-date is a day of BARS."""
    at = columns.pop("event_at", DAYS[place])
    return made.rows("actions", symbol=["S0"], event_at=[at], known_at=[DAYS[0]], kind=[kind], value=[value], **columns)


def test_sound_ticks_break_no_rule() -> None:
    """A seeded walk with spreads of one to three ticks and trades at bid or ask."""
    assert broken("quotes", QUOTES) == {}
    assert broken("trades", TRADES, replace(AROUND, quotes=QUOTES)) == {}


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"bid": 60_500.0, "ask": 60_499.0}, "crossed"),
        ({"bid": 60_000.0, "ask": 60_000.0}, "locked"),
        ({"bid": None, "ask": None}, "missing_price"),
        ({"ask": float("nan"), "bid": None}, "missing_price"),
        ({"ask": None}, "one_sided"),
        ({"bid": 0.0}, "nonpositive_price"),
        ({"bid_size": -1.0}, "impossible_size"),
        ({"ask_size": float("inf")}, "impossible_size"),
        ({"known_at": made.START}, "time_backwards"),
        ({"bid": 59_900.0, "ask": 60_100.0}, "wide_spread"),
        ({"bid": 66_000.0, "ask": 66_000.1}, "price_spike"),
    ],
)
def test_a_wrong_quote_is_named(values: dict[str, Any], rule: str) -> None:
    """One planted row is found by its name; whether it is kept depends on whether it can be true."""
    found = broken("quotes", made.change(QUOTES, 200, **values))

    assert found[rule] == [200]


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"price": None}, "missing_price"),
        ({"price": -3.0}, "nonpositive_price"),
        ({"size": -0.5}, "impossible_size"),
        ({"size": float("nan")}, "impossible_size"),
        ({"size": 1e12}, "improbable_size"),
        ({"price": 66_000.0}, "price_spike"),
        ({"price": 60_500.0}, "outside_quote"),
        ({"known_at": made.START}, "time_backwards"),
    ],
)
def test_a_wrong_trade_is_named(values: dict[str, Any], rule: str) -> None:
    """Quotes are around: what lies beyond all of them was not traded there."""
    found = broken("trades", made.change(TRADES, 200, **values), replace(AROUND, quotes=QUOTES))

    assert found[rule] == [200]


def test_ids_that_come_twice_and_rows_out_of_order_are_named() -> None:
    """The same print again is a copy; another price under its id contradicts it, and nobody knows which is right."""
    copied = pl.concat([TRADES, TRADES[5:6]])
    contradicted = pl.concat([TRADES, made.change(TRADES[5:6], 0, price=60_000.0)])
    corrected = pl.concat([TRADES, made.change(TRADES[5:6], 0, price=60_000.0, known_at=LATER)])

    assert broken("trades", copied) == {"duplicate_key": [400], "out_of_order": [400]}
    assert broken("trades", contradicted)["duplicate_key"] == [5, 400]
    assert "duplicate_key" not in broken("trades", corrected)


def test_a_receive_clock_behind_the_exchange_is_named() -> None:
    """Every print of the recorded Binance file was received 1.27 s before it happened."""
    behind = TRADES.with_columns(pl.col("known_at") - timedelta(milliseconds=1270))

    assert len(broken("trades", behind)["time_backwards"]) == len(TRADES)


def test_what_happens_while_the_market_is_closed_is_named() -> None:
    """A Saturday is no session of New York; a coin has no night."""
    saturday = TRADES.with_columns(pl.col("event_at", "known_at") + timedelta(days=2))

    assert len(broken("trades", saturday, Around(clean.LIMITS, DAILY))["market_closed"]) == len(TRADES)
    assert broken("trades", saturday) == {}


def test_nothing_comes_from_the_future() -> None:
    """A stamp later than now is a wrong clock or a wrong zone."""
    now = TRADES["event_at"][300]

    assert broken("trades", TRADES, replace(AROUND, now=now))["from_the_future"] == list(range(301, 400))


def test_headlines_are_judged_by_their_words() -> None:
    """Empty ones say nothing, bodies are no headlines, tags are no words, a sentiment is no more than one."""
    at = datetime(2024, 3, 5, 15, 7, tzinfo=UTC)
    texts = ["Profit rises", "  ", "word " * 100, "<b>Profit</b> rises again", "Fine", "Profit rises!"]
    frame = news(
        *((text, at + timedelta(minutes=place)) for place, text in enumerate(texts)), sentiment=[0.1, None, 1.0, -1.0, 2.0, 0.0]
    )

    assert broken("news", frame, Around(clean.LIMITS)) == {
        "headline_empty": [1], "headline_long": [2], "markup": [3], "sentiment_range": [4], "headline_repeated": [5],
    }  # fmt: skip


def test_dates_without_a_time_are_named_and_must_not_be_known_that_day() -> None:
    """Known at midnight, a headline of the afternoon would be traded upon in the morning."""
    days = [datetime(2024, 3, day, tzinfo=UTC) for day in range(1, 9)]
    early = news(*((f"News number {place} of many", day) for place, day in enumerate(days)))
    late = early.with_columns(known_at=pl.col("event_at") + timedelta(days=1))
    minutes = news(*((f"Note {place}", days[0] + timedelta(minutes=7 * place - 21)) for place in range(7)))

    assert broken("news", early)["known_too_early"] == list(range(8))
    assert "known_too_early" not in broken("news", late)
    assert broken("news", late)["date_only"] == list(range(8))
    assert "date_only" not in broken("news", minutes)


def test_lists_of_symbols_are_no_news_of_one() -> None:
    """The same words under another date, day after day, tell which stocks moved and nothing of any of them."""
    days = [datetime(2024, 3, day, 15, 4, tzinfo=UTC) for day in range(4, 9)]
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
    frame = news(
        *((f"12 Biggest Movers For {name}", day) for name, day in zip(names, days, strict=True)), ("Merger agreed", days[0])
    )

    assert broken("news", frame)["headline_list"] == list(range(5))


@pytest.mark.parametrize(("days", "lag", "wrong"), [(30, 0, True), (30, 20, True), (30, 45, False), (1, 0, True), (1, 1, False)])
def test_nothing_is_known_before_the_period_that_it_measures_is_over(days: int, lag: int, wrong: bool) -> None:
    """A month's prices stamped on its first day were published weeks later: the trap of series stamped by observation date."""
    found = broken("macro", macro([100.0 + place for place in range(24)], days, lag=lag), Around(clean.LIMITS))

    assert ("known_too_early" in found) is wrong


def test_moves_of_a_series_are_judged_by_its_own_past() -> None:
    """A lone value that the next one takes back, a jump that stays, and a value that is none."""
    steady = [100.0 + 0.1 * place + 0.3 * (place % 3) for place in range(90)]
    spiked, jumped = [*steady], [value + (40.0 if place >= 60 else 0.0) for place, value in enumerate(steady)]
    spiked[60] += 40.0
    missing: list[float | None] = [*steady]
    missing[60] = None

    assert broken("macro", macro(list(spiked), 30)) == {"value_spike": [60]}
    assert broken("macro", macro(list(jumped), 30)) == {"value_jump": [60]}
    assert broken("macro", macro(missing, 30)) == {"missing_value": [60]}


def test_a_split_without_its_price_jump_is_implausible() -> None:
    """Two for one halves the price on the ex-date; a price that goes on as before says that the factor is wrong."""
    prices = ("open", "high", "low", "close")
    halved = BARS.with_columns(pl.when(pl.col("opened_at") >= DAYS[60]).then(pl.col(name) / 2).otherwise(name) for name in prices)
    split = action("split", 2.0, 60)

    assert broken("actions", split, Around(clean.LIMITS, DAILY, bars=halved)) == {}
    assert broken("actions", split, Around(clean.LIMITS, DAILY, bars=BARS)) == {"factor_implausible": [0]}


def test_impossible_actions_are_named() -> None:
    """Kinds that do not exist, values that none can have, cash above the price, ex-dates without a session, and copies."""
    around = Around(clean.LIMITS, DAILY, bars=BARS)
    sunday = datetime(2024, 3, 10, 13, 30, tzinfo=UTC)
    dividend = action("dividend", 0.1, 60)

    assert broken("actions", action("splitt", 2.0, 60), around)["impossible_action"] == [0]
    assert broken("actions", action("split", 0.0, 60), around)["impossible_action"] == [0]
    assert broken("actions", action("dividend", 1e6, 60), around)["cash_exceeds_price"] == [0]
    assert broken("actions", action("dividend", 0.1, 0, event_at=sunday), around) == {"no_session": [0]}
    assert broken("actions", pl.concat([dividend, dividend]), around) == {"duplicate_key": [1]}


def listing(*events: tuple[str, datetime]) -> pl.DataFrame:
    """Return listings and delistings of S0."""
    at = [moment for _, moment in events]
    return made.rows("listings", symbol=["S0"] * len(at), event_at=at, known_at=at, kind=[kind for kind, _ in events])


def test_listings_are_judged_by_where_bars_begin_and_end() -> None:
    """Bars before a listing or after a delisting are another symbol's, or the dates are wrong."""
    around, month = Around(clean.LIMITS, DAILY, bars=BARS), timedelta(days=30)
    first, last = DAYS[0], DAYS[-1]

    assert broken("listings", listing(("listed", first), ("delisted", last)), around) == {}
    assert broken("listings", listing(("listed", first + month)), around) == {"bars_before_listing": [0]}
    assert broken("listings", listing(("delisted", last - month)), around) == {"bars_after_delisting": [0]}
    assert broken("listings", listing(("listed", first), ("listed", last)), around) == {"out_of_turn": [1]}
    assert broken("listings", listing(("lsited", first)), around)["unknown_kind"] == [0]


@pytest.mark.fault("F33")
def test_impossible_rows_leave_with_a_reason_and_suspicious_ones_stay(tmp_path: Path) -> None:
    """The checkpoint fails with the first kind only, and its pages need no network."""
    frame = made.change(made.change(QUOTES, 100, bid=60_500.0, ask=60_499.0), 200, bid=60_000.0, ask=60_000.0)

    found = tables.inspect("quotes", frame, AROUND, docs_in=tmp_path)

    assert (len(found.kept), len(found.quarantined), len(found.flagged)) == (399, 1, 1)
    assert found.quarantined["reason"][0].startswith("crossed: found bid 60500.0 x ")
    assert found.flagged["reason"][0].startswith("locked: ")
    assert not found.success
    assert found.docs is not None
    assert "https://" not in found.docs.read_text(encoding="utf-8")


def test_the_library_agrees_that_sound_rows_are_sound() -> None:
    """What Great Expectations says natively of raw columns and what the rules say are the same verdict."""
    assert tables.inspect("quotes", QUOTES, AROUND).success
    assert tables.inspect("news", news(("Profit rises", made.START)), AROUND).success


def test_a_table_without_a_suite_is_refused() -> None:
    """One sentence with the nearest name; a missing key column likewise."""
    with pytest.raises(DataError, match="did you mean 'trades'"):
        tables.inspect("trade", TRADES, AROUND)
    with pytest.raises(DataError, match="event_at missing"):
        tables.inspect("trades", TRADES.drop("event_at"), AROUND)


@pytest.mark.parametrize("column", ["event_at", "known_at", "symbol"])
def test_rows_without_name_or_time_are_impossible_and_harm_no_other(column: str) -> None:
    """Nobody knows where they belong; the others are judged as if they were not there."""
    nameless = QUOTES.with_columns(pl.when(pl.int_range(pl.len()) == 9).then(None).otherwise(column).alias(column))

    assert broken("quotes", nameless) == {"missing_key": [9]}
    assert broken("quotes", nameless[9:10]) == {"missing_key": [0]}
