"""A table written in anyone's dialect reads back as it was."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.error import UnreadableFile
from pipelines.data.sources import files
from tests.pipelines.data.sources.shelf import at, bar, crypto, equity, real

STAMPS = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y.%m.%d %H:%M", "%Y%m%d %H%M%S", "%d-%b-%Y %H:%M", "ms", "s"]
NAMES = ("open", "high", "low", "close", "volume")
number = st.floats(0.0001, 1e7, allow_nan=False).map(lambda value: round(value, 6))
row = st.tuples(*[number] * 5)


@st.composite
def dialects(draw: st.DrawFn) -> tuple[str, list[tuple[object, ...]]]:
    """Return a text of hourly bars in some dialect, and the rows as they stand in it."""
    rows = draw(st.lists(row, min_size=3, max_size=12))
    start = draw(st.datetimes(datetime(2001, 1, 1), datetime(2030, 1, 1))).replace(minute=0, second=0, microsecond=0)  # noqa: DTZ001
    stamps = [start + timedelta(hours=i) for i in range(len(rows))]
    layout = draw(st.sampled_from(STAMPS))
    case = draw(st.sampled_from([str.lower, str.upper, str.title]))
    columns = draw(st.permutations(["stamp", *NAMES]))
    separator = draw(st.sampled_from([",", ";", "\t"]))
    descends = draw(st.booleans())
    stamp_name = draw(st.sampled_from(["date", "datetime", "timestamp", "time"]))
    lines = []
    for at_row, values in zip(stamps, rows, strict=True):
        seconds = int(at_row.replace(tzinfo=UTC).timestamp())
        text = {"ms": str(seconds * 1000), "s": str(seconds)}.get(layout) or at_row.strftime(layout)
        cells = {"stamp": text, **dict(zip(NAMES, map(repr, values), strict=True))}
        lines.append(separator.join(cells[column] for column in columns))
    header = separator.join(case(stamp_name if column == "stamp" else column) for column in columns)
    order = list(reversed(range(len(rows)))) if descends else list(range(len(rows)))
    body = [(stamps[i].replace(tzinfo=UTC), *rows[i]) for i in order]
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return newline.join([header, *(lines[i] for i in order)]) + draw(st.sampled_from(["", newline])), body


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dialect=dialects())
def test_hourly_bars_in_any_dialect_read_back_equal(tmp_path: Path, dialect: tuple[str, list[tuple[object, ...]]]) -> None:
    """Column order, case, separator, line ends, date layout and direction change nothing but the order of rows."""
    text, rows = dialect
    path = tmp_path / "BTC-USD.csv"
    path.write_bytes(text.encode())

    bars = files.read(path, crypto("1h"))

    assert bars.select("opened_at", *NAMES).rows() == rows
    assert bars["symbol"].unique().to_list() == ["BTC-USD"]


DATES = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%m/%d/%Y", "%d/%m/%Y"]


@pytest.mark.parametrize("layout", DATES)
@pytest.mark.parametrize("descending", [False, True])
def test_daily_bars_in_any_date_layout_read_back_equal(tmp_path: Path, layout: str, *, descending: bool) -> None:
    """Two hundred sessions of a real file, rewritten; the day of month decides between the layouts that look alike."""
    real_bars = files.read(real("raw/kaggle_csv/AAPL_data.csv"), equity("1d")).head(200)
    days = real_bars["opened_at"].dt.convert_time_zone("America/New_York").dt.strftime(layout)
    frame = real_bars.select(days.alias("Date"), *(pl.col(name).alias(name.title()) for name in NAMES))
    path = tmp_path / "AAPL.csv"
    (frame.reverse() if descending else frame).write_csv(path, quote_style="always")

    bars = files.read(path, equity("1d"))

    assert bars.equals(real_bars.reverse() if descending else real_bars)


def test_numbers_are_read_however_they_are_written(tmp_path: Path) -> None:
    """Grouped thousands, a trailing .0, an exponent, a dollar sign, spaces."""
    path = tmp_path / "AAA.csv"
    path.write_text('date,open,high,low,close,volume\n2024-03-05,"1,234.5",$1300.0, 1e3 ,+1.2505E3,"12,345,678"\n')

    bars = files.read(path, equity("1d"))

    assert bar(bars, 0)[3:] == (1234.5, 1300.0, 1000.0, 1250.5, 12345678.0)


def test_a_terminals_own_export_is_read(tmp_path: Path) -> None:
    """MetaTrader writes UTF-16, tabs, angle brackets, and date and time apart."""
    path = tmp_path / "EURUSD_H1.csv"
    rows = ["2024.03.05\t00:00:00\t1.1\t1.2\t1.0\t1.15\t10\t0\t2", "2024.03.05\t01:00:00\t1.15\t1.2\t1.1\t1.12\t20\t0\t2"]
    path.write_text(
        "\n".join(["<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>", *rows]), encoding="utf-16"
    )

    bars = files.read(path, crypto("1h"))

    assert bar(bars, 1) == ("EURUSD", at("2024-03-05 01:00"), at("2024-03-05 02:00"), 1.15, 1.2, 1.1, 1.12, 20.0)


def test_the_download_with_three_header_lines_is_read(tmp_path: Path) -> None:
    """The layout of yfinance since 2025; two tickers side by side are refused."""
    path, both = tmp_path / "download.csv", tmp_path / "both.csv"
    path.write_text("Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n2024-03-05,4,5,2,3,100\n")
    both.write_text("Price,Close,High,Low,Open,Volume\nTicker,AAPL,MSFT,AAPL,AAPL,AAPL\nDate,,,,,\n2024-03-05,4,5,2,3,100\n")

    bars = files.read(path, equity("1d"))

    assert bar(bars, 0) == ("AAPL", at("2024-03-05 14:30"), at("2024-03-05 21:00"), 3.0, 5.0, 2.0, 4.0, 100.0)
    with pytest.raises(UnreadableFile, match="2 tickers side by side"):
        files.read(both, equity("1d"))


def test_the_source_gives_what_opened_within_its_bounds() -> None:
    """Both bounds are included; no bound is no limit."""
    source = files.Files(real("raw/binance_klines_csv/ADABTC-1m-2021-11-28.csv"), publication_delay_s=2)

    bars = source.bars(crypto("1m"), at("2021-11-28 00:02"), at("2021-11-28 00:04"))

    assert bars["opened_at"].to_list() == [at("2021-11-28 00:02"), at("2021-11-28 00:03"), at("2021-11-28 00:04")]
    assert bars["known_at"][0] == at("2021-11-28 00:03:02")
    assert source.bars(crypto("1m"), None, None).height == 11


TIDY = [
    ("equities_5m.parquet", equity("5m"), 570_360),
    ("crypto_1h.parquet", crypto("1h"), 261_546),
    ("equities_daily_sp500.parquet", equity("1d"), 297_342),
]


@pytest.mark.parametrize(("name", "into", "rows"), TIDY)
def test_tidy_files_are_taken_row_for_row(name: str, into: object, rows: int) -> None:
    """Every row, in order, with the values of the file; stamps of days become the session's open."""
    tidy = pl.read_parquet(real(name))

    bars = files.read(real(name), into)  # type: ignore[arg-type]

    assert bars.height == rows == tidy.height
    assert bars.select("symbol", *NAMES).equals(tidy.select("symbol", *NAMES))
    if "session" in tidy.columns:
        assert bars["opened_at"].dt.date().equals(tidy["session"].alias("opened_at"))
    else:
        assert bars["opened_at"].equals(tidy["ts"].alias("opened_at"))
