"""What stamps mean: zones, ends and opens, points, and events of which the world knows the minute."""

import zipfile
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from domain.error import UnreadableFile
from pipelines.data.sources import files
from tests.pipelines.data.sources.shelf import at, crypto, equity, fx, market, real

NEW_YORK = ZoneInfo("America/New_York")
BARS = ["symbol", "opened_at", "open", "high", "low", "close", "volume"]


def write(path: Path, stamps: list[str]) -> Path:
    """Write one plain bar a stamp."""
    rows = [f"{stamp},{i + 10},{i + 12},{i + 9},{i + 11},{i + 100}" for i, stamp in enumerate(stamps)]
    path.write_text("\n".join(["date,open,high,low,close,volume", *rows]))
    return path


def session(first: str, minutes: int, count: int, shift: timedelta = timedelta(0)) -> list[str]:
    """Return stamps of a session on three days in a row."""
    start = at(first)
    each = [start + timedelta(days=day, minutes=minutes * i) + shift for day in range(3) for i in range(count)]
    return [moment.strftime("%Y-%m-%d %H:%M:%S") for moment in each]


def hour(symbol: str, bars: pl.DataFrame, moment: str) -> dict[str, float]:
    """Return the bar of that symbol that opened at that moment."""
    return bars.filter(pl.col("symbol") == symbol, pl.col("opened_at") == at(moment)).row(0, named=True)


EVENTS = [
    ("GBPUSD", "2016-10-06 23:00", 0.08),  # the flash crash of the pound at 23:07Z
    ("GBPJPY", "2019-01-02 22:00", 0.03),  # the flash crash against the yen at 22:35Z
]


@pytest.mark.parametrize(("symbol", "moment", "fall"), EVENTS)
def test_the_tidy_hours_hold_the_crashes_of_which_the_minute_is_known(symbol: str, moment: str, fall: float) -> None:
    """The hour of the crash, and not the one before, falls by that much from its open."""
    bars = files.read(real("fx_1h.parquet"), fx("1h"))

    crash, before = (hour(symbol, bars, stamp) for stamp in (moment, f"{at(moment) - timedelta(hours=1):%Y-%m-%d %H:%M}"))

    assert crash["low"] / crash["open"] < 1 - fall
    assert before["low"] / before["open"] > 1 - fall / 4


CLOCKS = {
    "New York + 7 h, as MetaTrader": (NEW_YORK, timedelta(hours=7)),
    "UTC": (ZoneInfo("UTC"), timedelta(0)),
    "New York": (NEW_YORK, timedelta(0)),
    "EST without daylight saving": (ZoneInfo("Etc/GMT+5"), timedelta(0)),
    "Eastern Europe": (ZoneInfo("Europe/Athens"), timedelta(0)),
    "London": (ZoneInfo("Europe/London"), timedelta(0)),
    "two hours ahead of UTC all year": (ZoneInfo("Etc/GMT-2"), timedelta(0)),
    "three hours ahead of UTC all year": (ZoneInfo("Etc/GMT-3"), timedelta(0)),
}


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("symbol", ["GBPUSD", "GBPJPY", "XAUUSD"])
def test_integer_points_on_any_broker_clock_come_back_as_the_utc_decimals(tmp_path: Path, symbol: str, clock: str) -> None:
    """The tidy hours of two years, written as a terminal exports them, in points and on its clock, read back as they were."""
    tidy = pl.read_parquet(real("fx_1h.parquet")).filter(pl.col("symbol") == symbol, pl.col("ts").dt.year().is_in([2015, 2016]))
    zone, ahead = CLOCKS[clock]
    points = {"GBPUSD": 100_000, "GBPJPY": 1_000, "XAUUSD": 100}[symbol]
    local = pl.col("ts").dt.convert_time_zone(zone.key).dt.replace_time_zone(None) + ahead
    path = tmp_path / f"{symbol}h1.csv"
    tidy.select(
        local.dt.strftime("%Y-%m-%d %H:%M:%S").alias("Date"),
        *((pl.col(name) * points).round() for name in ("open", "high", "low", "close")),
        pl.col("volume").alias("tick_volume"),
    ).write_csv(path)

    bars = files.read(path, fx("1h"))

    assert bars.select(BARS).equals(tidy.rename({"ts": "opened_at"}).select(BARS))


@pytest.mark.parametrize("month", [3, 11])
def test_one_odd_week_does_not_move_a_terminals_clock(tmp_path: Path, month: int) -> None:
    """Easter Sunday of 2016 began an hour late and the 4th of November ended one early: those months read back as they were."""
    tidy = pl.read_parquet(real("fx_1h.parquet")).filter(pl.col("symbol") == "GBPUSD")
    local = pl.col("ts").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None) + timedelta(hours=7)
    tidy = tidy.with_columns(local=local).filter(pl.col("local").dt.year() == 2016, pl.col("local").dt.month() == month)
    path = tmp_path / "GBPUSD_H1.csv"
    tidy.select(
        pl.col("local").dt.strftime("%Y.%m.%d").alias("<DATE>"),
        pl.col("local").dt.strftime("%H:%M:%S").alias("<TIME>"),
        *(pl.col(name).alias(f"<{name.upper()}>") for name in ("open", "high", "low", "close")),
        pl.col("volume").alias("<TICKVOL>"),
    ).write_csv(path, separator="\t")

    bars = files.read(path, fx("1h"))

    assert bars.select(BARS).equals(tidy.rename({"ts": "opened_at"}).select(BARS))


def test_the_francs_release_is_in_the_broker_bar_that_holds_it(tmp_path: Path) -> None:
    """2015-01-15 09:30Z was 11:30 on a broker's clock: the four-hour bar stamped 08:00 there holds the fall of the euro."""
    tidy = pl.read_parquet(real("fx_4h.parquet")).filter(pl.col("ts").dt.year() == 2015)
    local = pl.col("ts").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None) + timedelta(hours=7)
    path = tmp_path / "EURUSDh4.csv"
    tidy.select(
        local.dt.strftime("%Y.%m.%d %H:%M").alias("Date"),
        *((pl.col(name) * 100_000).round() for name in ("open", "high", "low", "close")),
        pl.col("volume").alias("tick_volume"),
    ).write_csv(path)

    bars = files.read(path, fx("4h"))

    assert "2015.01.15 08:00" in path.read_text()
    assert hour("EURUSD", bars, "2015-01-15 06:00")["low"] == 1.15728
    assert bars.select(BARS).equals(tidy.rename({"ts": "opened_at"}).select(BARS))


@pytest.mark.parametrize("minutes", [1, 5, 15, 30])
def test_an_exchange_file_is_end_stamped_when_its_days_end_on_the_close(tmp_path: Path, minutes: int) -> None:
    """The same session stamped by opens (09:30 first) and by ends (16:00 last) gives the same bars."""
    count = 390 // minutes
    timeframe = f"{minutes}m" if minutes != 30 else "1h"
    opens = write(tmp_path / "AAA.csv", session("2024-03-05 09:30", minutes, count))
    ends = write(tmp_path / "AAA_ends.csv", session("2024-03-05 09:30", minutes, count, timedelta(minutes=minutes)))

    first, second = (files.read(path, equity(timeframe)) for path in (opens, ends))

    assert first.drop("symbol").equals(second.drop("symbol"))
    assert first["opened_at"][0] == at("2024-03-05 14:30")


def test_extended_hours_do_not_turn_opens_into_ends(tmp_path: Path) -> None:
    """A file from 04:00 to 20:00 has bars at 09:30 and at 16:00 both; its day begins at the pre-market's open."""
    path = write(tmp_path / "AAA.csv", session("2024-03-05 04:00", 5, 192))

    bars = files.read(path, equity("5m"))

    assert bars["opened_at"][0] == at("2024-03-05 09:00")


def test_a_print_after_each_days_end_does_not_turn_opens_into_ends(tmp_path: Path) -> None:
    """SPY with extended hours has a bar at 20:00 every day: written in local time its minutes come back as they were."""
    tidy = pl.read_parquet(real("equities_1m_extended.parquet"))
    local = pl.col("ts").dt.convert_time_zone("America/New_York").dt.strftime("%Y-%m-%d %H:%M:%S")
    path = tmp_path / "SPY_1min.csv"
    tidy.select(local.alias("datetime"), "open", "high", "low", "close", "volume").write_csv(path)

    bars = files.read(path, equity("1m"))

    assert bars.select(BARS).equals(tidy.rename({"ts": "opened_at"}).select(BARS))


def test_a_terminals_short_file_is_on_the_brokers_clock(tmp_path: Path) -> None:
    """Three hours tell nothing by themselves: a count of ticks says MetaTrader, anything else is UTC."""
    text = "date,open,high,low,close,volume\n" + "\n".join(f"2024-07-03 {h:02d}:00:00,1.1,1.2,1.0,1.1,5" for h in (10, 11, 12))
    plain, terminal = tmp_path / "EURUSD.csv", tmp_path / "EURUSDh1.csv"
    plain.write_text(text)
    terminal.write_text(text.replace("volume", "tick_volume"))

    first, second = (files.read(path, fx("1h"))["opened_at"][0] for path in (plain, terminal))

    assert first == at("2024-07-03 10:00")
    assert second == at("2024-07-03 07:00")


def test_stamps_without_a_zone_are_utc_when_only_then_they_lie_in_the_session(tmp_path: Path) -> None:
    """14:30 to 21:00 is New York's winter session in UTC, and half of it would be after hours as local time."""
    path = write(tmp_path / "AAA.csv", session("2024-03-05 14:30", 5, 78))

    bars = files.read(path, equity("5m"))

    assert bars["opened_at"][0] == at("2024-03-05 14:30")
    assert bars["opened_at"].dt.time().max() == at("2024-03-05 20:55").time()


def test_stooqs_minutes_of_another_country_are_on_the_clock_of_warsaw(tmp_path: Path) -> None:
    """New York's winter session ends at 22:00 there; 15:35 is the end of its first five minutes."""
    path = tmp_path / "aapl.us.txt"
    stamps = session("2020-01-14 15:35", 5, 78)
    rows = [f"AAPL.US,5,{stamp[:10].replace('-', '')},{stamp[11:].replace(':', '')},1,2,0.5,1.5,10,0" for stamp in stamps]
    path.write_text("\n".join(["<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>", *rows]))

    bars = files.read(path, equity("5m"))

    assert bars["symbol"].unique().to_list() == ["AAPL"]
    assert (bars["opened_at"][0], bars["event_at"][-1]) == (at("2020-01-14 14:30"), at("2020-01-16 21:00"))


def test_a_half_day_closes_early(tmp_path: Path) -> None:
    """The day after Thanksgiving ends at 13:00 New York, 18:00Z."""
    path = write(tmp_path / "AAA.csv", ["2024-11-27", "2024-11-29"])

    bars = files.read(path, equity("1d"), publication_delay_s=60)

    assert bars["event_at"].to_list() == [at("2024-11-27 21:00"), at("2024-11-29 18:00")]
    assert bars["known_at"].to_list() == [at("2024-11-27 21:01"), at("2024-11-29 18:01")]


def test_a_row_of_a_holiday_keeps_its_place_for_quality_to_see(tmp_path: Path) -> None:
    """Independence Day has no session: the row stays, at the hours of the session before."""
    path = write(tmp_path / "AAA.csv", ["2024-07-02", "2024-07-03", "2024-07-04", "2024-07-05"])

    bars = files.read(path, equity("1d"))

    assert bars["opened_at"][2] == at("2024-07-04 13:30")
    assert bars.height == 4


def test_a_single_row_in_the_middle_of_a_long_holiday_is_read(tmp_path: Path) -> None:
    """Tokyo was closed from the 31st of December 2019 to the 5th of January: the hours are those of the 30th, 09:00 to 15:00."""
    path = write(tmp_path / "7203.csv", ["2020-01-02"])

    bars = files.read(path, equity("1d", "XTKS"))

    assert bars.select("opened_at", "event_at").rows() == [(at("2020-01-02 00:00"), at("2020-01-02 06:00"))]


def test_dated_currency_days_are_trading_days_unless_there_are_sundays(tmp_path: Path) -> None:
    """Monday to Friday: 17:00 to 17:00 New York. With a Sunday: days of UTC, cut at the week's open and close."""
    weekdays = write(tmp_path / "EURUSD.csv", ["2024-03-05", "2024-03-06", "2024-03-07"])
    calendar_days = write(tmp_path / "EURUSD_days.csv", ["2024-03-07", "2024-03-08", "2024-03-10", "2024-03-11"])

    trading, calendar = (files.read(path, fx("1d")) for path in (weekdays, calendar_days))

    assert trading.select("opened_at", "event_at").row(0) == (at("2024-03-04 22:00"), at("2024-03-05 22:00"))
    assert calendar.select("opened_at", "event_at").rows() == [
        (at("2024-03-07 00:00"), at("2024-03-08 00:00")),
        (at("2024-03-08 00:00"), at("2024-03-08 22:00")),
        (at("2024-03-10 21:00"), at("2024-03-11 00:00")),
        (at("2024-03-11 00:00"), at("2024-03-12 00:00")),
    ]


def test_fxcm_days_are_known_only_when_they_end(tmp_path: Path) -> None:
    """LEAN's FXCM days run from midnight to midnight EST: Sunday's from the open, Friday's to the close, others to 05:00Z."""
    bars = files.read(real("raw/lean/Data/forex/fxcm/daily/eurusd.zip"), fx("1d"))

    week = bars.filter(pl.col("opened_at").is_between(at("2014-05-01"), at("2014-05-06")))
    assert week.select("opened_at", "event_at").rows() == [
        (at("2014-05-01 05:00"), at("2014-05-02 05:00")),
        (at("2014-05-02 05:00"), at("2014-05-02 21:00")),
        (at("2014-05-04 21:00"), at("2014-05-05 05:00")),
        (at("2014-05-05 05:00"), at("2014-05-06 05:00")),
    ]


def test_lean_equity_is_in_deci_cents_and_new_york_time(tmp_path: Path) -> None:
    """34,200,000 ms after midnight is 09:30; a price of 1,673,600 is 167.36 dollars."""
    folder = tmp_path / "equity" / "usa" / "minute" / "spy"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "20131007_trade.zip", "w") as archive:
        rows = ["34200000,1673600,1674100,1673500,1674000,1200", "34260000,1674000,1674000,1673900,1673900,300"]
        archive.writestr("20131007_spy_minute_trade.csv", "\n".join(rows))

    bars = files.read(folder / "20131007_trade.zip", equity("1m"))

    assert bars.select(BARS).row(0) == ("SPY", at("2013-10-07 13:30"), 167.36, 167.41, 167.35, 167.4, 1200.0)


POINTS = {"EURUSD": (11223, 1.1223), "USDJPY": (11012, 110.12), "USDTHB": (33123, 33.123), "BTCUSD": (30_123, 30_123)}


@pytest.mark.parametrize("symbol", POINTS)
def test_points_of_a_broker_with_fewer_decimals_are_no_tenth_of_the_price(tmp_path: Path, symbol: str) -> None:
    """Four decimals for the dollar and two for the yen, as before 2009; whole dollars are no points."""
    point, price = POINTS[symbol]
    path = tmp_path / f"{symbol}.csv"
    path.write_text(
        "date,open,high,low,close\n" + "\n".join(f"2024-03-05 {at}:00,{point},{point},{point},{point}" for at in (10, 11))
    )

    bars = files.read(path, fx("1h"))

    assert bars["close"].to_list() == [price, price]


def test_a_day_summed_from_hours_has_the_hour_in_which_its_session_opens(tmp_path: Path) -> None:
    """LEAN stamps the first hour of New York 09:00, and it holds what traded from 09:30 on; 08:00 is before the session."""
    folder = tmp_path / "equity" / "usa" / "hour"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "aapl.zip", "w") as archive:
        rows = [f"20200102 {hour:02d}:00,{hour}0000,990000,10000,{hour}5000,100" for hour in range(8, 16)]
        archive.writestr("aapl.csv", "\n".join(rows))

    bars = files.read(folder / "aapl.zip", equity("1d"))

    assert bars.select(BARS).rows() == [("AAPL", at("2020-01-02 14:30"), 9.0, 99.0, 1.0, 15.5, 700.0)]


def test_a_reading_that_no_clock_has_is_refused(tmp_path: Path) -> None:
    """New York went from 02:00 to 03:00 on the 10th of March 2024, and every stamp of the file lies between."""
    path = write(tmp_path / "AAA.csv", ["2024-03-10 02:30:00", "2024-03-10 02:35:00"])

    with pytest.raises(UnreadableFile, match="02:30:00, which the clock of America/New_York skipped"):
        files.read(path, equity("5m"))


def test_four_hour_bars_of_currencies_begin_at_the_fx_day(tmp_path: Path) -> None:
    """Hours are summed from 17:00 New York on, as brokers do: their bars of four hours and ours agree in every price."""
    hours = pl.read_parquet(real("fx_1h.parquet")).filter(pl.col("symbol") == "GBPUSD", pl.col("ts").dt.year() == 2016)
    path = tmp_path / "gbpusd.parquet"
    hours.write_parquet(path)

    bars = files.read(path, fx("4h"))

    midnight = bars["opened_at"].dt.convert_time_zone("America/New_York").dt.hour().unique().sort().to_list()
    assert midnight == [1, 5, 9, 13, 17, 21]
    assert bars["volume"].sum() == hours["volume"].sum()


@pytest.mark.parametrize(
    ("name", "into", "said"),
    [
        ("raw/kaggle_csv/AAPL_data.csv", equity("5m"), "holds daily bars"),
        ("raw/alphavantage_csv/SPY_15min.csv", equity("5m"), "holds 15-minute bars"),
        ("raw/yfinance_bad_data/AV-L-1wk-bad-stock-split.csv", equity("1d", "XLON"), "weekly bars"),
        ("crypto_1h.parquet", crypto("1m"), "holds 1-hour bars"),
    ],
)
def test_bars_longer_than_the_markets_are_refused(name: str, into: object, said: str) -> None:
    """Five minutes cannot be made of a day."""
    path = real(name)

    with pytest.raises(UnreadableFile, match=said):
        files.read(path, into)  # type: ignore[arg-type]


@pytest.mark.parametrize("stamp", ["2024-03-05", "20240305", "05-Mar-2024"])
def test_a_single_row_without_a_time_is_a_day(tmp_path: Path, stamp: str) -> None:
    """It is no hour from midnight, and at 00:00 it is."""
    path = tmp_path / "BTC.csv"

    day, hour = write(path, [stamp]), write(tmp_path / "ETH.csv", [f"{stamp} 00:00"])

    assert files.read(day, crypto("1d"))["event_at"].to_list() == [at("2024-03-06")]
    assert files.read(hour, crypto("1h"))["event_at"].to_list() == [at("2024-03-05 01:00")]
    with pytest.raises(UnreadableFile, match="holds daily bars"):
        files.read(day, crypto("1h"))


def test_a_sum_that_would_hide_a_doubled_bar_is_refused(tmp_path: Path) -> None:
    """Two rows of one minute would make twice the volume: the finer market takes both and lets quality judge."""
    path = write(tmp_path / "BTC.csv", ["2024-03-05 00:00:00", "2024-03-05 00:01:00", "2024-03-05 00:01:00", "2024-03-05 00:02:00"])

    with pytest.raises(UnreadableFile, match="more than one bar of BTC at 2024-03-05 00:01"):
        files.read(path, crypto("5m"))

    assert files.read(path, crypto("1m")).height == 4


def test_the_only_symbol_of_the_universe_names_a_file_without_a_name() -> None:
    """A folder of Bitfinex files that are called by their hours."""
    path = real("raw/bitfinex_json")

    bars = files.read(path, market("crypto", "24/7", "1m", ("BTCUSD",)))

    assert bars["symbol"].unique().to_list() == ["BTCUSD"]
