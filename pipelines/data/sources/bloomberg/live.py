"""Live: subscriptions to market data and to the bars that Bloomberg makes itself, as updates of the house's tables."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from domain import session
from domain.clock import Clock
from domain.error import ConfigurationError, NightshiftError, ResourceError
from domain.market import Market
from domain.params import Bloomberg as Parameters
from pipelines.data.sources.bloomberg.terminal import BACK_OFF_S, LOST, Answer, library, opened, said
from pipelines.data.sources.contract import Update

TICKS, BARS = "//blp/mktdata", "//blp/mktbar"
FIELDS = (
    "LAST_PRICE", "SIZE_LAST_TRADE", "EVT_TRADE_IDENTIFIER_RT", "TRADE_UPDATE_STAMP_RT",
    "BID", "BID_SIZE", "BID_UPDATE_STAMP_RT", "ASK", "ASK_SIZE", "ASK_UPDATE_STAMP_RT",
)  # fmt: skip
#: Milliseconds that a look for the next event may take: what a close has to wait for.
LOOK_MS = 200
#: Bars of more minutes are not made by Bloomberg.
BAR_MINUTES_MAX = 1440


async def updates(market: Market, names: Mapping[str, str], parameters: Parameters, clock: Clock) -> AsyncIterator[Update]:
    """Yield updates in the order of arrival until closed; `names` are our symbols by Bloomberg's.

    A session that is lost is opened again, `parameters.retries` times in a row before ResourceError. Raises ConfigurationError
    for a subscription that is refused, naming the security.
    """
    failed = 0
    while True:
        teller = Teller(market, names, clock)
        try:
            async for update in _session(market, names, teller):
                failed = 0
                yield update
        except ResourceError:
            failed += 1
            if failed > parameters.retries:
                raise
        await asyncio.sleep(BACK_OFF_S * failed)


async def _session(market: Market, names: Mapping[str, str], teller: "Teller") -> AsyncIterator[Update]:
    """Yield the updates of one session; raise ResourceError when it is lost."""
    api = library()
    line = await asyncio.to_thread(_subscribed, api, market, names)
    try:
        while True:
            event = await asyncio.to_thread(line.nextEvent, LOOK_MS)
            for message in event:
                for update in teller.tell(str(message.messageType()), _name(message), message.toPy()):
                    yield update
    finally:
        line.stop()


def _subscribed(api: Any, market: Market, names: Mapping[str, str]) -> Any:
    """Return a session that has subscribed to every security: single events, and bars where the market's are of minutes."""
    line = opened(api, TICKS)
    wanted = api.SubscriptionList()
    minutes = int(market.bar.total_seconds()) // 60
    made = minutes < BAR_MINUTES_MAX
    if made and not line.openService(BARS):
        line.stop()
        raise ResourceError(f"Bloomberg's terminal does not open {BARS}: ask for the permission, or make bars of its trades")
    for name in names:
        wanted.add(name, list(FIELDS), "", api.CorrelationId(name))
        if made:
            topic = f"{BARS}/ticker/{name}"
            wanted.add(topic, ["LAST_PRICE"], {"bar_size": str(minutes)}, api.CorrelationId(topic))
    line.subscribe(wanted)
    return line


def _name(message: Any) -> str:
    """Return the security that a message is about, empty for the session's own."""
    return next((str(each.value()).removeprefix(f"{BARS}/ticker/") for each in message.correlationIds()), "")


@dataclass
class Teller:
    """Turns messages into rows; remembers the best quote and the bar that is being made."""

    market: Market
    names: Mapping[str, str]
    clock: Clock
    _quotes: dict[str, dict[str, float | None]] = field(default_factory=dict)
    _bars: dict[str, dict[str, Any]] = field(default_factory=dict)
    _count: int = 0

    def tell(self, word: str, name: str, content: Answer) -> Iterator[Update]:
        """Yield what a message says; raise ResourceError for a lost session, ConfigurationError for a refused subscription."""
        _refuse(word, name, content)
        if name not in self.names:
            return
        if word == "MarketDataEvents":
            yield from self._event(name, content)
        elif word.startswith("MarketBar"):
            yield from self._bar(word, name, content)

    def _event(self, name: str, content: Answer) -> Iterator[Update]:
        kind, detail = content.get("MKTDATA_EVENT_TYPE"), content.get("MKTDATA_EVENT_SUBTYPE")
        # The first picture of a security repeats what happened before we listened.
        if detail == "INITPAINT":
            self._remember(name, content)
        elif kind == "TRADE" and detail == "NEW" and content.get("LAST_PRICE"):
            yield self._trade(name, content)
        elif kind == "QUOTE":
            self._remember(name, content)
            yield self._quote(name, content)

    def _remember(self, name: str, content: Answer) -> None:
        quote = self._quotes.setdefault(name, {"bid": None, "bid_size": None, "ask": None, "ask_size": None})
        for column in quote:
            if column.upper() in content:
                quote[column] = content[column.upper()] or None

    def _trade(self, name: str, content: Answer) -> Update:
        event_at, known_at = self._moments(content, "TRADE_UPDATE_STAMP_RT")
        # Without an identifier the place in our own order tells prints apart.
        identity = content.get("EVT_TRADE_IDENTIFIER_RT") or f"{known_at:%H%M%S%f}-{self._next()}"
        row = {"price": content["LAST_PRICE"], "size": float(content.get("SIZE_LAST_TRADE") or 0), "trade_id": str(identity)}
        return self._update("trades", name, {"event_at": event_at, "known_at": known_at, **row})

    def _quote(self, name: str, content: Answer) -> Update:
        event_at, known_at = self._moments(content, "BID_UPDATE_STAMP_RT", "ASK_UPDATE_STAMP_RT")
        row = {"event_at": event_at, "known_at": known_at, "sequence": self._next(), **self._quotes[name]}
        return self._update("quotes", name, row)

    def _bar(self, word: str, name: str, content: Answer) -> Iterator[Update]:
        """Gather a bar, and yield it when its interval has ended or the next one starts."""
        if word == "MarketBarStart" and name in self._bars:
            yield self._closed(name)
        if word == "MarketBarStart":
            self._bars[name] = dict(content)
        elif name in self._bars:
            # The stamp of what comes later is its own.
            self._bars[name] |= {key: value for key, value in content.items() if key != "DATE_TIME"}
        if word in {"MarketBarEnd", "MarketBarIntervalEnd"} and name in self._bars:
            yield self._closed(name)

    def _closed(self, name: str) -> Update:
        made = self._bars.pop(name)
        opened_at = _utc(made["DATE_TIME"])
        (closed,) = session.closes(self.market, session.naive(_series(opened_at))).tolist()
        event_at = closed.replace(tzinfo=UTC)
        volume, worth = float(made.get("VOLUME") or 0), float(made.get("VALUE") or 0)
        times = {"opened_at": opened_at, "event_at": event_at, "known_at": max(self.clock.now(), event_at)}
        numbers = {"volume": volume, "vwap": worth / volume if worth and volume else None, "trades": made.get("NUMBER_OF_TICKS")}
        prices = {price: float(made[price.upper()]) for price in ("open", "high", "low", "close")}
        constant = {"timeframe": self.market.timeframe, "buy_volume": None, "spread": None, "flags": 0}
        row = {**times, **prices, **numbers, **constant}
        return self._update("bars", name, row)

    def _moments(self, content: Answer, *stamps: str) -> tuple[datetime, datetime]:
        """Return when something happened and when it came; without a stamp that is the same."""
        now = self.clock.now()
        told = [_utc(content[stamp]) for stamp in stamps if isinstance(content.get(stamp), datetime)]
        return min(max(told, default=now), now), now

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _update(self, table: str, name: str, row: Mapping[str, Any]) -> Update:
        return Update(table, {"market": self.market.name, "symbol": self.names[name], **row})


def _refuse(word: str, name: str, content: Answer) -> None:
    if word in LOST:
        raise ResourceError(f"Bloomberg was listened to and the session was lost ({word}): start the terminal and run it again")
    if word in {"SubscriptionFailure", "SubscriptionTerminated"}:
        reason = content.get("reason") or {}
        raise _refusal(name, reason)


def _refusal(name: str, reason: Answer) -> NightshiftError:
    sentence = f"Bloomberg refuses a subscription to '{name}' ({said(reason, 'description')})"
    if reason.get("category") in {"BAD_SEC", "BAD_TOPIC", "NOT_AUTHORIZED", "BAD_FLD"}:
        return ConfigurationError(f"{sentence}: correct the market's symbols, or ask for the permission")
    return ResourceError(f"{sentence}: run it again")


def _series(moment: datetime) -> Any:
    import polars as pl

    return pl.Series([moment])


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
