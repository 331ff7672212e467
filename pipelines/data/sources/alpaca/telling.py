"""Telling: Alpaca's live messages as rows of the store's tables. Plain dictionaries: a busy market sends thousands a second."""

import logging
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from domain.bar import BAR_SCHEMA
from domain.clock import Clock
from domain.market import AssetClass, Market
from pipelines.data.sources.alpaca import rows
from pipelines.data.sources.alpaca.minutes import MINUTE, Minutes, Values, placed
from pipelines.data.sources.contract import Update

LOG = logging.getLogger(__name__)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
#: Clocks may differ by this; what claims to come from further ahead is wrong.
AHEAD = timedelta(minutes=5)
#: Prints whose time is remembered, for the corrections that name them.
PRINTS = 200_000
#: From New York's midnight, with which a day is stamped, to a moment of every session.
NOON = timedelta(hours=12)
PRICES = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
EMPTY_BAR = dict.fromkeys(BAR_SCHEMA)
Message = Mapping[str, Any]


class Stamp(Protocol):
    """A moment as msgpack has it."""

    seconds: int
    nanoseconds: int


class Teller:
    """Turns messages into updates; `known_at` is when each was received, a microsecond apart, so that their order is kept."""

    def __init__(self, market: Market, clock: Clock, lag: timedelta) -> None:
        """Tell of `market`; `lag` is how much later the feed is than the market."""
        self.market, self.clock, self.lag = market, clock, lag
        self.minutes = Minutes(market)
        self._last = EPOCH
        self._prints: dict[str, datetime] = {}
        self._sequence: dict[str, tuple[datetime, int]] = {}
        self._asked = {name: symbol for symbol in market.symbols for name in (symbol, rows.written(symbol))}
        daily = market.timeframe == "1d" and market.asset_class is AssetClass.EQUITY
        straight = market.bar == MINUTE
        self._of: dict[str, Callable[[Message], list[Update]]] = {
            "b": self._bar if straight else self._minute,
            "u": self._bar if straight else self._minute,
            "d": self._day if daily else self._nothing,
            "t": self._trade,
            "c": self._correction,
            "x": self._cancel,
            "q": self._quote,
            "n": self._news,
        }

    def connected(self) -> None:
        """Note that a connection begins: what was missed before it is for history to bring."""
        self.minutes.connected(self.clock.now() - self.lag)

    def tell(self, message: Message) -> list[Update]:
        """Return the updates of one message, possibly none; what makes no row is left out with a word in the log."""
        try:
            return self._of.get(message["T"], self._nothing)(message)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
            LOG.warning("left out a message of Alpaca that cannot be read (%s): %s", type(problem).__name__, dict(message))
            return []

    def due(self) -> list[Update]:
        """Return the bars that are over by the clock and were not told yet."""
        return [self._told(key) for key in self.minutes.over(self.clock.now() - self.lag)]

    def _bar(self, message: Message) -> list[Update]:
        opened_at, event_at = placed(self.market, _moment(message["t"]))
        return [self._bar_row(self._symbol(message), opened_at, event_at, _values(message))]

    def _minute(self, message: Message) -> list[Update]:
        key = self.minutes.add(self._symbol(message), _moment(message["t"]), _values(message))
        return [] if key is None else [self._told(key)]

    def _day(self, message: Message) -> list[Update]:
        key = self.minutes.whole(self._symbol(message), _moment(message["t"]) + NOON, _values(message))
        return [] if key is None else [self._told(key)]

    def _told(self, key: tuple[str, datetime]) -> Update:
        event_at, values = self.minutes.bar(key)
        return self._bar_row(*key, event_at, values)

    def _bar_row(self, symbol: str, opened_at: datetime, event_at: datetime, values: Values) -> Update:
        named = {"market": self.market.name, "symbol": symbol, "timeframe": self.market.timeframe, "flags": 0}
        times = {"opened_at": opened_at, "event_at": event_at, "known_at": self._known(event_at)}
        return Update("bars", {**EMPTY_BAR, **named, **times, **values})

    def _trade(self, message: Message) -> list[Update]:
        event_at, identity = _moment(message["t"]), _identity(message.get("x"), message["i"])
        self._prints[identity] = event_at
        if len(self._prints) > PRINTS:
            del self._prints[next(iter(self._prints))]
        return [self._print(message, identity, event_at, message["p"], message["s"], message.get("c"))]

    def _correction(self, message: Message) -> list[Update]:
        """Take the print back, and tell the one that takes its place under its own number, as history has them."""
        wrong, right = (_identity(message["x"], message[number]) for number in ("oi", "ci"))
        event_at = self._prints.get(wrong, _moment(message["t"]))
        self._prints[right] = event_at
        return [
            self._print(message, wrong, event_at, message["op"], 0.0, message.get("oc")),
            self._print(message, right, event_at, message["cp"], message["cs"], message.get("cc")),
        ]

    def _cancel(self, message: Message) -> list[Update]:
        identity = _identity(message["x"], message["i"])
        event_at = self._prints.get(identity, _moment(message["t"]))
        return [self._print(message, identity, event_at, message["p"], 0.0, None)]

    def _print(
        self, message: Message, identity: str, event_at: datetime, price: float, size: float, codes: list[str] | None
    ) -> Update:
        return Update("trades", {
            "market": self.market.name, "symbol": self._symbol(message), "event_at": event_at, "known_at": self._known(event_at),
            "price": _finite(price), "size": _finite(size), "side": rows.SIDES.get(message.get("tks", "")), "trade_id": identity,
            "exchange": message.get("x"), "conditions": " ".join(codes) if codes is not None else None,
        })  # fmt: skip

    def _quote(self, message: Message) -> list[Update]:
        symbol, event_at = self._symbol(message), _moment(message["t"])
        before, sequence = self._sequence.get(symbol, (EPOCH, 0))
        sequence = sequence + 1 if before == event_at else 0
        self._sequence[symbol] = (event_at, sequence)
        bid, ask = _finite(message["bp"]), _finite(message["ap"])
        bid_exchange, ask_exchange = message.get("bx"), message.get("ax")
        exchange = bid_exchange if bid_exchange == ask_exchange else f"{bid_exchange}/{ask_exchange}"
        return [Update("quotes", {
            "market": self.market.name, "symbol": symbol, "event_at": event_at, "known_at": self._known(event_at),
            "sequence": sequence, "bid": bid or None, "bid_size": _finite(message["bs"]) if bid else None,
            "ask": ask or None, "ask_size": _finite(message["as"]) if ask else None, "exchange": exchange,
        })]  # fmt: skip

    def _news(self, message: Message) -> list[Update]:
        event_at, line = _moment(message["created_at"]), rows.headline(message["headline"])
        symbols = dict.fromkeys(self._asked[name] for name in message["symbols"] if name in self._asked)
        return [
            Update("news", {
                "market": self.market.name, "symbol": symbol, "event_at": event_at, "known_at": self._known(event_at),
                "headline": line, "source": message.get("source") or rows.VENDOR, "sentiment": None,
            })
            for symbol in symbols if line
        ]  # fmt: skip

    def _nothing(self, _: Message) -> list[Update]:
        return []

    def _symbol(self, message: Message) -> str:
        if message["S"] not in self.market.symbols:
            raise ValueError(message["S"])
        return str(message["S"])

    def _known(self, event_at: datetime) -> datetime:
        """Return the moment of reception: never before the event, however our clock and theirs differ, nor before the last one."""
        now = self.clock.now()
        if event_at > now + AHEAD:
            raise ValueError(f"{event_at} is still to come")
        self._last = max(now, event_at, self._last + TICK)
        return self._last


def _moment(stamp: Stamp) -> datetime:
    return EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanoseconds // 1000)


def _values(message: Message) -> Values:
    numbers: Values = {ours: float(message[theirs]) for ours, theirs in PRICES.items()}
    vwap = message.get("vw")
    return {**numbers, "vwap": None if vwap is None else float(vwap), "trades": message.get("n")}


def _identity(exchange: str | None, number: int) -> str:
    return str(number) if exchange is None else f"{exchange}:{number}"


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return float(value)
