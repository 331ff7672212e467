"""What cannot be read is refused in one sentence; what is bad but readable passes through as it is."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.error import UnreadableFile
from pipelines.data.sources import files
from tests.pipelines.data.sources.shelf import crypto, equity, fx, real

GOOD = "date,open,high,low,close,volume\n2024-03-05,1,2,0.5,1.5,100\n2024-03-06,1.5,2,1,1.8,90\n"


def refusal(path: Path, said: str) -> str:
    """Read, and return the sentence of the refusal, which is one line and names the file."""
    with pytest.raises(UnreadableFile, match=said) as caught:
        files.read(path, equity("1d"))
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert path.name in sentence
    return sentence


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("macro_series.parquet", "'value'"),
        ("news_headlines.parquet", "'headline'"),
        ("news_market.parquet", "'raw_time'"),
        ("sentiment_phrasebank.parquet", "'agreement'"),
        ("corporate_actions_pit.parquet", "'implied_cash'"),
        ("raw/yahoo_chart_json/chart-AAPL.json", "'response'"),
    ],
)
def test_a_file_of_another_kind_is_told_what_it_has_and_what_is_needed(name: str, found: str) -> None:
    """The sentence names the columns found and those that bars need."""
    sentence = refusal(real(name), found)

    assert "needed" in sentence


def test_a_funding_rate_is_no_bar() -> None:
    """Freqtrade keeps it in the columns of bars, with zeros for high, low and close."""
    refusal(real("raw/freqtrade/XRP_USDT_USDT-8h-funding_rate.feather"), "0 in every row")


WRONG: dict[str, tuple[bytes, str]] = {
    "empty.csv": (b"", "it is empty"),
    "blank.csv": (b"\n \n", "it is empty"),
    "header.csv": (b"date,open,high,low,close,volume\n", "columns and no rows"),
    "other.csv": (b"title,author\nUlysses,Joyce\n", "its columns are 'title', 'author'"),
    "prose.txt": (b"It was a dark and stormy night.\n", "needed are a date or time"),
    "shapeless.csv": (b"1,2,3,4,5\n2,3,4,5,6\n", "no header and its 5 columns"),
    "cut.csv": (GOOD.encode()[:-9], "line 3: 5 fields were found where 6 are needed, in '2024-03-06,1.5,2,1,'|line 3"),
    "number.csv": (GOOD.replace("1.8", "abc").encode(), "line 3: 'abc' in column 'close' is not a number"),
    "comma.csv": (GOOD.replace("1.5,100", '"1,5",100').encode(), "line 2: '1,5' in column 'close' is not a number"),
    "stamp.csv": (GOOD.replace("2024-03-06", "2024-13-06").encode(), "line 3: '2024-13-06' in column 'date' is not a date"),
    "century.csv": (GOOD.replace("2024-03-06", "0024-03-06").encode(), "line 3: '0024-03-06' in column 'date' is not a date"),
    "nostamp.csv": (GOOD.replace("2024-03-06", "").encode(), "line 3: '.*' in column 'date' is not a date"),
    "quotes.csv": (GOOD.replace("1.8", '"1.8').encode(), "line 3: the quotes do not match"),
    "ambiguous.csv": (
        b"date,open,high,low,close\n05/03/2024,1,2,1,2\n06/04/2024,1,2,1,2\n",
        "day or month first",
    ),
    "latin.csv": ("date,open,high,low,close\n2024-03-05,1,2,1,2\x01 \u20ac\n".encode("cp1252"), "no UTF-8"),
    "junk.csv": (bytes(range(256)) * 4, "neither a known format nor text"),
    "zero.csv": (b"date,open\0,high", "zero byte"),
    "cut.parquet": (b"PAR1" + b"\x15\x04\x15" * 40, "damaged parquet file of 124 bytes"),
    "cut.feather": (b"ARROW1\0\0" + b"\1" * 40, "damaged feather file"),
    "cut.zip": (b"PK\x03\x04" + b"\1" * 40, "damaged zip file"),
    "cut.csv.gz": (gzip.compress(GOOD.encode())[:-6], "damaged gzip file"),
    "cut.json": (b"[[1514764800000,1,2,", "begins like JSON but is not"),
    "object.json": (b'{"a": 1}', "JSON dict with 'a': needed is a list of bars"),
    "nothing.json": (b"[]", "its list is empty"),
    "ragged.json": (b"[[1514764800000,1,2,1,2,5],[1514764860000,1,2]]", "row 2: .* is not a row of 6 values"),
    "odd.json": (b"[[1,2],[2,3]]", "its rows look like"),
    "close.csv": (b"date,open,high,low\n2024-03-05,1,2,1\n", "its columns are 'date', 'open', 'high', 'low': needed are"),
    "page.csv": (b"<!DOCTYPE html>\n<html>Not found, sorry</html>\n", "a page of a website or XML .* needed is a table"),
    "book.xls": (b"\xd0\xcf\x11\xe0" + bytes(600), "a workbook: save each of its sheets as CSV"),
    "cut.tar": (b"x" * 257 + b"ustar" + bytes(300), "damaged tar file"),
    "cut.csv.bz2": (b"BZh91AY&SY" + b"\1" * 40, "damaged bzip2 file"),
    "cut.csv.xz": (lzma.compress(GOOD.encode())[:-6], "damaged xz file"),
    "deep.json": (b"[" * 100_000, "begins like JSON but is not"),
    "truth.json": (b"[[true,1,2,1,2,5]]", "row 1: 'True' in column 'stamp' is not a date"),
    "half.jsonl": (b'{"a": 1}\n{"a"', "begins like JSON but is not"),
    "price.csv": (b"date,price,volume\n2024-03-05,1,2\n2024-03-06,1,2\n2024-03-07,1,2\n", "one price a day"),
    "weeks.csv": (
        b"date,open,high,low,close\n2024-03-04,1,2,1,2\n2024-03-11,1,2,1,2\n2024-03-18,1,2,1,2\n",
        "weekly bars, which are not read: .* import 1d bars or finer ones",
    ),
    "months.csv": (b"date,open,high,low,close\n2024-03-01,1,2,1,2\n2024-04-01,1,2,1,2\n2024-05-01,1,2,1,2\n", "monthly bars"),
    "offsets.csv": (b"date,open,high,low,close\n2024-03-04T10:00Z,1,2,1,2\n2024-03-04T10:01,1,2,1,2\n", "in all or none"),
}


@pytest.mark.parametrize("name", WRONG)
def test_damage_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    """Each way a file can be wrong has its own sentence, which names line and field where there are any."""
    content, said = WRONG[name]
    path = tmp_path / name
    path.write_bytes(content)

    refusal(path, said)


def test_an_archive_with_a_nameless_member_is_damaged(tmp_path: Path) -> None:
    """Python's own reader stumbles over an empty name."""
    path = tmp_path / "bars.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AAA.csv", GOOD)
    path.write_bytes(path.read_bytes().replace(b"AAA.csv", b"\0AA.csv"))

    refusal(path, "damaged zip file")


def test_a_truncated_real_parquet_file_is_refused(tmp_path: Path) -> None:
    """The first half of a good file."""
    path = tmp_path / "half.parquet"
    whole = real("index_daily.parquet").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    refusal(path, "damaged parquet file")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path without a file."""
    refusal(tmp_path / "nowhere.csv", "no such file or folder")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """A folder without files, and one with files that cannot be bars."""
    refusal(tmp_path, "holds no file that could have any")

    (tmp_path / "notes.md").write_text("# notes")
    (tmp_path / ".hidden.csv").write_text(GOOD)

    refusal(tmp_path, "holds no file that could have any")


def test_a_folder_is_read_with_all_its_folders_in_order(tmp_path: Path) -> None:
    """Sub-folders count; one symbol a file."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "AAA_data.csv").write_text(GOOD)
    (tmp_path / "BBB.csv").write_text(GOOD)

    bars = files.read(tmp_path, equity("1d"))

    assert bars["symbol"].to_list() == ["BBB", "BBB", "AAA", "AAA"]


def test_a_folder_without_any_bars_says_why(tmp_path: Path) -> None:
    """The first refusal stands for all."""
    (tmp_path / "README.txt").write_text("Nothing to see, in any of these lines\n")

    with pytest.raises(
        UnreadableFile, match=r"none of the 1 files .* holds bars: .*README\.txt .* its columns are .Nothing to see.* needed are"
    ):
        files.read(tmp_path, equity("1d"))


def test_one_damaged_file_refuses_its_folder(tmp_path: Path) -> None:
    """Otherwise a symbol would be missing and nobody would know."""
    (tmp_path / "AAA.csv").write_text(GOOD)
    (tmp_path / "BBB.csv").write_text(GOOD + "2024-03-0")

    with pytest.raises(UnreadableFile, match=r"BBB\.csv, line 4: 1 fields were found where 6 are needed, in '2024-03-0'"):
        files.read(tmp_path, equity("1d"))


BESIDE = {
    "no close": "date,open,high,low\n2024-03-05,1,2,1\n",
    "no names": "2024,1,2,1,2,5,6\n2025,1,2,1,2,5,6\n",
    "a web page": "<html>\n",
    "an answer": '{"Error Message": "Invalid API call"}',
    "news": "time,headline\n2024-03-05,Nothing happened\n",
    "noise": "hello\n",
}


@pytest.mark.parametrize("kind", BESIDE)
def test_a_file_without_bars_refuses_the_folder_of_good_ones(tmp_path: Path, kind: str) -> None:
    """Otherwise a symbol could be missing and nobody would know; the sentence says what was found and what is needed."""
    (tmp_path / "AAA.csv").write_text(GOOD)
    (tmp_path / "BBB.csv").write_text(BESIDE[kind])

    with pytest.raises(UnreadableFile, match=r"BBB\.csv was to be read as bars, but it.* needed"):
        files.read(tmp_path, equity("1d"))


def test_what_comes_along_with_downloads_is_left_out(tmp_path: Path) -> None:
    """A licence with commas in it, the shadow files of a Mac, a picture: none of them refuses the bars beside them."""
    prose = 'MIT License\n\nPermission is hereby granted, free of charge, to any person "as is", and so on.\n'
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for name, text in {"AAA.csv": GOOD, "__MACOSX/._AAA.csv": "\0\5\26\7", "plot.png": "\0PNG", "status.txt": prose}.items():
            archive.writestr(name, text)
    (tmp_path / "LICENSE.txt").write_text(prose)

    bars = files.read(tmp_path, equity("1d"))

    assert bars["symbol"].to_list() == ["AAA", "AAA"]


def test_a_workbook_in_a_folder_refuses_it(tmp_path: Path) -> None:
    """A spreadsheet may well hold a symbol that no other file has."""
    (tmp_path / "AAA.csv").write_text(GOOD)
    with zipfile.ZipFile(tmp_path / "BBB.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")

    with pytest.raises(UnreadableFile, match=r"BBB\.xlsx .* a workbook"):
        files.read(tmp_path, equity("1d"))


def test_bad_prices_pass_through_unrepaired(tmp_path: Path) -> None:
    """Nothing, NaN, negative and absurd prices are for quality to judge: all rows stay, in their order, duplicates too."""
    path = tmp_path / "AAA.csv"
    rows = ["2024-03-06,-1,2,0.5,1.5,100", "2024-03-05,NaN,null,,1.5,-5", "2024-03-05,9,1,5,inf,0", "2024-03-07,1,1,1,1,1"]
    path.write_text("date,open,high,low,close,volume\n" + "\n".join(rows))

    bars = files.read(path, equity("1d"))

    assert bars["open"].to_list() == [-1.0, None, 9.0, 1.0]
    assert bars.select("high", "low", "volume").row(1) == (None, None, -5.0)
    assert bars["close"][2] == float("inf")
    assert (bars["flags"] == 0).all()


def test_nan_in_parquet_stays_nan(tmp_path: Path) -> None:
    """The tidy layout with a price that is not a number."""
    path = tmp_path / "tidy.parquet"
    stamps = pl.Series(["2024-03-05T15:00:00", "2024-03-05T16:00:00"]).str.to_datetime(time_zone="UTC", time_unit="us")
    prices = {name: [1.0, float("nan")] for name in ("open", "high", "low", "close")}
    pl.DataFrame({"symbol": ["A", "A"], "ts": stamps, **prices, "volume": [1.0, -2.0]}).write_parquet(path)

    bars = files.read(path, crypto("1h"))

    assert bars["open"].is_nan().to_list() == [False, True]
    assert bars["volume"].to_list() == [1.0, -2.0]


def test_a_missing_price_in_a_sum_is_seen(tmp_path: Path) -> None:
    """One minute without prices makes the five minutes around it NaN, for quality to refuse, and leaves the others alone."""
    path = tmp_path / "BTC.csv"
    minutes = [f"2024-03-05 00:{m:02d}:00," + (",,,,1" if m == 7 else "1,2,0.5,1.5,1") for m in range(15)]
    path.write_text("date,open,high,low,close,volume\n" + "\n".join(minutes))

    bars = files.read(path, crypto("5m"))

    assert bars["high"].is_nan().to_list() == [False, True, False]
    assert bars["volume"].to_list() == [5.0, 5.0, 5.0]


def test_archives_are_read_member_by_member(tmp_path: Path) -> None:
    """A zip and tars of files, one of them about something else, and files that are compressed alone."""
    with zipfile.ZipFile(tmp_path / "bars.zip", "w") as archive:
        archive.writestr("AAA_data.csv", GOOD)
        archive.writestr("readme.txt", "about these files")
    for mode, symbol in (("w:gz", "BBB"), ("w", "CCC")):
        with tarfile.open(tmp_path / f"bars {symbol}.tar", mode) as archive:  # type: ignore[call-overload]
            for name, text in ((f"{symbol}.csv", GOOD), ("reports.csv", "symbol,fiscal_year\nA,2014\n")):
                info = tarfile.TarInfo(name)
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
    (tmp_path / "DDD.csv.bz2").write_bytes(bz2.compress(GOOD.encode()))
    (tmp_path / "EEE.csv.xz").write_bytes(lzma.compress(GOOD.encode()))

    bars = files.read(tmp_path, equity("1d"))

    assert bars["symbol"].to_list() == [name for name in ("DDD", "EEE", "BBB", "CCC", "AAA") for _ in range(2)]


def test_kept_records_of_json_are_read_by_their_names(tmp_path: Path) -> None:
    """A list of objects, numbers and text mixed."""
    path = tmp_path / "AAA.json"
    path.write_text(
        json.dumps([{"date": "2024-03-05", "open": "1,234.5", "high": 1300, "low": 1e3, "close": 1250.5, "volume": None}])
    )

    bars = files.read(path, equity("1d"))

    assert bars.select("open", "high", "low", "close", "volume").row(0) == (1234.5, 1300.0, 1000.0, 1250.5, None)


def test_what_only_later_records_have_is_read_too(tmp_path: Path) -> None:
    """A first bar without a volume; and a number too long for 64 bits."""
    path = tmp_path / "AAA.json"
    prices = {"open": 1, "high": 2, "low": 1, "close": 2}
    path.write_text(json.dumps([{"date": "2024-03-05", **prices}, {"date": "2024-03-06", **prices, "volume": 10**20}]))

    bars = files.read(path, equity("1d"))

    assert bars["volume"].to_list() == [None, 1e20]


FUZZED = [
    GOOD.encode(),
    b"20200101 170000065,1.1,1.2,0\n20200101 170010447,1.1,1.2,0\n",
    b"[[1514764800000,13763,13753,13788,13752.1,5.1],[1514764860000,13763,13772,13773,13741,15.5]]",
    gzip.compress(GOOD.encode()),
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), content=st.sampled_from(FUZZED), into=st.sampled_from([equity("1d"), equity("5m"), fx("1h"), crypto("1m")]))
def test_any_damage_is_read_or_refused_and_never_crashes(tmp_path: Path, data: st.DataObject, content: bytes, into: object) -> None:
    """Cut and flip bytes anywhere: bars, or one sentence."""
    place = data.draw(st.integers(0, len(content)))
    damaged = content[:place] + data.draw(st.binary(max_size=3)) + content[place + data.draw(st.integers(0, 8)) :]
    path = tmp_path / "file"
    path.write_bytes(damaged)

    try:
        outcome = f"{files.read(path, into).height} bars"  # type: ignore[arg-type]
    except UnreadableFile as problem:
        outcome = str(problem)

    assert "\n" not in outcome
    assert outcome != "0 bars"
