"""Live minutes put together: the same bars as pandas makes of them, told once each when they are over, and again when corrected."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgpack
import pandas as pd
import polars as pl
import pytest

from domain.clock import ReplayClock
from domain.market import Market
from pipelines.data.sources.alpaca.telling import Teller
from pipelines.data.sources.contract import Update
from tests.pipelines.data.sources.alpaca_shelf import COINS, DAILY

ROOT = Path(__file__).parents[4]
DATA = ROOT / os.environ.get("NIGHTSHIFT_DATA", "../shared/data")
FIVE = replace(COINS, symbols=("BTC/USD",))
START = datetime(2024, 3, 5, 12, tzinfo=UTC)
NO_LAG = timedelta(0)


def message(at: datetime, kind: str = "b", symbol: str = "BTC/USD", **more: Any) -> dict[str, Any]:
    """Return a minute as it comes over the wire."""
    values = {"o": 10.0, "h": 11.0, "l": 9.0, "c": 10.5, "v": 4.0, "vw": 10.25, "n": 2}
    return {"T": kind, "S": symbol, "t": msgpack.Timestamp(int(at.timestamp()), at.microsecond * 1000), **values, **more}


def minute(number: int, kind: str = "b", **more: Any) -> dict[str, Any]:
    """Return a minute after START."""
    return message(START + timedelta(minutes=number), kind, **more)


class Room:
    """A teller, and a clock that stands where a test puts it: by default a second after the minute that is told."""

    def __init__(self, market: Market, begin: datetime = START, lag: timedelta = NO_LAG) -> None:
        self.clock = ReplayClock(begin)
        self.teller = Teller(market, self.clock, lag)
        self.teller.connected()
        self.told: list[Update] = []

    def hear(self, told: dict[str, Any], late: timedelta = timedelta(seconds=1)) -> list[Update]:
        """Return what one message makes, and what is over by then."""
        at = datetime.fromtimestamp(told["t"].seconds, UTC) + timedelta(minutes=1) + late
        self.clock.advance(max(at, self.clock.now()))
        updates = self.teller.tell(told) + self.teller.due()
        self.told += updates
        return updates

    def wait(self, seconds: float) -> list[Update]:
        """Return what is over after a while."""
        self.clock.advance(self.clock.now() + timedelta(seconds=seconds))
        updates = self.teller.due()
        self.told += updates
        return updates


@pytest.mark.skipif(not (DATA / "crypto_1m.parquet").exists(), reason=f"crypto_1m.parquet is not in {DATA}")
@pytest.mark.parametrize(("timeframe", "rule"), [("5m", "5min"), ("1h", "1h"), ("4h", "4h")])
def test_real_minutes_make_the_bars_that_pandas_makes(timeframe: str, rule: str) -> None:
    """A day of a coin with missing minutes: first, highest, lowest, last and sum, each bar told once, within its grace."""
    first = datetime(2018, 1, 1, tzinfo=UTC)
    rows = pl.read_parquet(DATA / "crypto_1m.parquet").filter(
        pl.col("ts").is_between(first, first + timedelta(days=1), closed="left")
    )
    symbol = rows["symbol"].unique().sort()[0]
    rows = rows.filter(pl.col("symbol") == symbol).sort("ts")
    room = Room(replace(COINS, timeframe=timeframe, symbols=(symbol,)), first)

    for row in rows.to_dicts():
        prices = {"o": row["open"], "h": row["high"], "l": row["low"], "c": row["close"], "v": row["volume"]}
        room.hear(message(row["ts"], symbol=symbol, **prices))
    room.wait(4 * 3600)

    index = pd.DatetimeIndex(rows["ts"].to_list())
    frame = pd.DataFrame({name: rows[name].to_list() for name in ("open", "high", "low", "close", "volume")}, index=index)
    wanted = frame.resample(rule).agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}).dropna()
    told = pd.DataFrame([update.row for update in room.told]).set_index("opened_at")
    assert list(told.index) == list(wanted.index)
    for name in ("open", "high", "low", "close"):
        assert told[name].tolist() == wanted[name].tolist()
    assert told["volume"].tolist() == pytest.approx(wanted["volume"].tolist(), rel=1e-12)
    assert ((told["known_at"] - told["event_at"]) <= pd.Timedelta(hours=4)).all()


def test_a_bar_is_told_with_its_last_minute() -> None:
    """Not later, and by hand: the mean price is weighted by volume."""
    room = Room(FIVE)
    early = [room.hear(minute(i, v=1.0 + i, vw=10.0 + i)) for i in range(4)]

    told = room.hear(minute(4, v=5.0, vw=14.0, c=12.0))

    assert early == [[], [], [], []]
    row = told[0].row
    assert (row["opened_at"], row["event_at"]) == (START, START + timedelta(minutes=5))
    assert (row["close"], row["volume"], row["trades"]) == (12.0, 15.0, 10)
    assert row["vwap"] == pytest.approx((10 * 1 + 11 * 2 + 12 * 3 + 13 * 4 + 14 * 5) / 15)
    assert row["known_at"] == START + timedelta(minutes=5, seconds=1)


def test_a_bar_without_its_last_minute_is_told_after_a_grace() -> None:
    """A minute without trades is never sent: five seconds after the close nothing more is waited for."""
    room = Room(FIVE)
    room.hear(minute(1))

    before, after = room.wait(3 * 60 + 3), room.wait(2)

    assert before == []
    assert [update.row["opened_at"] for update in after] == [START]


def test_a_corrected_minute_tells_its_bar_again() -> None:
    """Known later; a correction that changes nothing tells nothing."""
    room = Room(FIVE)
    for i in range(5):
        room.hear(minute(i))

    nothing, again = room.hear(minute(2, "u")), room.hear(minute(2, "u", h=99.0), timedelta(seconds=31))

    assert nothing == []
    assert [update.row["high"] for update in again] == [99.0]
    assert again[0].row["known_at"] > room.told[0].row["known_at"]
    assert again[0].row["opened_at"] == START


def test_a_bar_that_was_not_heard_from_its_beginning_is_left_to_history() -> None:
    """After the start in the middle of one, and after a lost connection; a half bar would be taken for a whole one."""
    room = Room(FIVE, START + timedelta(minutes=2))
    for i in range(2, 8):
        room.hear(minute(i))
    room.teller.connected()
    for i in range(8, 15):
        room.hear(minute(i))

    assert [update.row["opened_at"] for update in room.told] == [START + timedelta(minutes=10)]


def test_on_the_delayed_feed_bars_are_over_a_quarter_of_an_hour_later() -> None:
    """By the wall they are long over while their first minute comes in: nothing is told by halves."""
    lag = timedelta(minutes=15)
    room = Room(FIVE, START + lag, lag)

    told = [room.hear(minute(i), lag) for i in range(5)]

    assert [len(each) for each in told] == [0, 0, 0, 0, 1]
    assert room.told[0].row["known_at"] == START + timedelta(minutes=20)


def test_hours_of_a_stock_begin_at_the_open_and_leave_out_what_follows_the_close() -> None:
    """New York, 5 March 2024, 14:30 to 21:00 UTC: the last hour is half an hour, the post-market begins a bar of its own."""
    market = replace(DAILY, timeframe="1h", symbols=("AAPL",))
    begin = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)
    room = Room(market, begin)

    for i in range(0, 7 * 60, 5):
        room.hear(message(begin + timedelta(minutes=i), symbol="AAPL"))
    room.wait(3600)

    opened = [f"{update.row['opened_at']:%H:%M}" for update in room.told]
    assert opened == ["14:30", "15:30", "16:30", "17:30", "18:30", "19:30", "20:30", "21:00"]
    assert [update.row["volume"] for update in room.told] == [48.0] * 6 + [24.0, 24.0]


def test_a_day_of_a_stock_is_told_when_its_session_is_over() -> None:
    """Alpaca sends it as it stands with every minute, stamped with New York's midnight; later a change is a correction."""
    market = replace(DAILY, symbols=("AAPL",))
    midnight, open_ = datetime(2024, 3, 5, 5, tzinfo=UTC), datetime(2024, 3, 5, 14, 30, tzinfo=UTC)
    room = Room(market, open_)

    for volume in (100.0, 200.0, 300.0):
        room.hear(message(midnight, "d", "AAPL", v=volume))
    during = list(room.told)
    room.clock.advance(datetime(2024, 3, 5, 21, 0, 6, tzinfo=UTC))
    after = room.wait(0)
    again = room.hear(message(midnight, "d", "AAPL", v=310.0))

    assert during == []
    assert [(each.row["opened_at"], each.row["event_at"], each.row["volume"]) for each in after] == [
        (open_, datetime(2024, 3, 5, 21, tzinfo=UTC), 300.0)
    ]
    assert [each.row["volume"] for each in again] == [310.0]


def test_an_unknown_mean_price_or_count_stays_unknown() -> None:
    """One minute without them makes the bar's null, and no other number out of the rest."""
    room = Room(FIVE)
    for i in range(4):
        room.hear(minute(i))
    last = minute(4)
    del last["vw"], last["n"]

    row = room.hear(last)[0].row

    assert (row["vwap"], row["trades"], row["volume"]) == (None, None, 20.0)
