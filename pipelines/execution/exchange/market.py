"""Market: what the exchange has lived through, as Alpaca's market data API tells of it to its genuine clients.

Bars are the exchange's own, or summed up from them. A trade or a quote is the close of a bar, unless quotes were given to it: what
happened within bars is not known here.
"""

import base64
import binascii
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.venue import Refused
from pipelines.execution.exchange import wire
from pipelines.execution.exchange.floor import Floor
from pipelines.execution.exchange.timeframe import Timeframe
from pipelines.execution.exchange.wire import Json
from pipelines.execution.matching.prices import Bar, Quote

STOCKS, CRYPTO = "/v2/stocks", "/v1beta3/crypto/us"
BARS_USUAL, BARS_MAX = 1000, 10_000
DAY = Timeframe.parsed("1Day")


class Unanswerable(Exception):
    """A question that Alpaca would refuse, too, or that is not answered here."""


class Market:
    """The market data API of one floor."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor

    def routes(self) -> list[Route]:
        """Return every path that is served."""
        newest: dict[str, Callable[[str], Json]] = {"bars": self._bar, "trades": self._trade, "quotes": self._quote}
        table: list[tuple[str, Callable[[Request], Awaitable[Json]]]] = []
        for name, tell in newest.items():
            table.append((f"{STOCKS}/{name}/latest", self._latest(name, tell)))
            table.append((f"{CRYPTO}/latest/{name}", self._latest(name, tell)))
        table.append((f"{CRYPTO}/latest/orderbooks", self._latest("orderbooks", self._book)))
        for root in (STOCKS, CRYPTO):
            table += [(f"{root}/bars", self.bars), (f"{root}/snapshots", self.snapshots)]
            table += [(f"{root}/trades", self.trades), (f"{root}/quotes", self.quotes)]
        return [Route(path, _answered(handler), methods=["GET"]) for path, handler in table]

    async def bars(self, request: Request) -> Json:
        """Return bars page by page, symbol by symbol, of a length that is made of those that the exchange lives through."""
        frame = _frame(request.query_params.get("timeframe", "1Day"))
        return self._paged(request, "bars", lambda symbol: self._made(symbol, frame), lambda bar: bar.opened_at, bar_of)

    async def trades(self, request: Request) -> Json:
        """Return the trades that are known of: a bar's last one."""
        return self._paged(request, "trades", self._lived, lambda bar: bar.event_at, trade_of)

    async def quotes(self, request: Request) -> Json:
        """Return the quotes that are known of: both sides at a bar's close."""
        return self._paged(request, "quotes", self._lived, lambda bar: bar.event_at, lambda bar: quote_of(bar, None))

    def _paged(
        self, request: Request, name: str, series: Callable[[str], Sequence[Bar]], at: Callable[[Bar], datetime],
        tell: Callable[[Bar], Json],
    ) -> Json:  # fmt: skip
        asked, symbols = request.query_params, self._symbols(request)
        since, until = _time(asked.get("start")), _time(asked.get("end"))
        limit, newest_first = _limit(asked.get("limit")), asked.get("sort", "asc") == "desc"
        found = [
            (symbol, bar)
            for symbol in sorted(symbols)
            for bar in _ordered(series(symbol), newest_first=newest_first)
            if (since is None or at(bar) >= since) and (until is None or at(bar) <= until)
        ]
        first = _place(asked.get("page_token"))
        told: dict[str, list[Json]] = {}
        for symbol, bar in found[first : first + limit]:
            told.setdefault(symbols[symbol], []).append(tell(bar))
        more = first + limit < len(found)
        return {name: told, "next_page_token": _token(first + limit) if more else None}

    async def snapshots(self, request: Request) -> Json:
        """Return the newest of everything, and the last two days."""
        told = {name: self._snapshot(symbol) for symbol, name in self._symbols(request).items() if symbol in self.floor.bars}
        return {"snapshots": told} if request.url.path.startswith(CRYPTO) else told

    def _latest(self, name: str, tell: Callable[[str], Json]) -> Callable[[Request], Awaitable[Json]]:
        async def answer(request: Request) -> Json:
            return {name: {said: tell(symbol) for symbol, said in self._symbols(request).items() if symbol in self.floor.bars}}

        return answer

    def _symbols(self, request: Request) -> dict[str, str]:
        """Return our names of the symbols asked for, each with the one that it was asked by."""
        said = [each for each in request.query_params.get("symbols", "").split(",") if each]
        if not said:
            raise Unanswerable("symbols are missing")
        try:
            return {wire.known_symbol(each, self.floor.exchange): each for each in said}
        except Refused as problem:
            raise Unanswerable(f"invalid symbol: {problem.message}") from None

    def _lived(self, symbol: str) -> Sequence[Bar]:
        return self.floor.bars.get(symbol, ())

    def _made(self, symbol: str, frame: Timeframe) -> Sequence[Bar]:
        """Return a timeframe's bars, summed up from the exchange's own where whole ones fill its windows."""
        kept = self._lived(symbol)
        own = kept[0].event_at - kept[0].opened_at if kept else None
        if own is None or frame.is_of(own):
            return kept
        if not frame.is_made_of(own):
            raise Unanswerable(
                f"invalid timeframe: this exchange lives through bars of {own}, of which none of {frame.said} can be made"
            )
        return [_summed(list(each)) for _, each in itertools.groupby(kept, lambda bar: frame.window(bar.opened_at))]

    def _book(self, symbol: str) -> Json:
        quote = self._quote(symbol)
        return {"t": quote["t"], "b": [{"p": quote["bp"], "s": quote["bs"]}], "a": [{"p": quote["ap"], "s": quote["as"]}]}

    def _bar(self, symbol: str) -> Json:
        return bar_of(self.floor.bars[symbol][-1])

    def _trade(self, symbol: str) -> Json:
        return trade_of(self.floor.bars[symbol][-1])

    def _quote(self, symbol: str) -> Json:
        return quote_of(self.floor.bars[symbol][-1], self.floor.exchange.quotes.get(symbol))

    def _snapshot(self, symbol: str) -> Json:
        newest = itertools.groupby(reversed(self.floor.bars[symbol]), lambda bar: DAY.window(bar.opened_at))
        day, *before = (bar_of(_summed(list(bars)[::-1])) for _, bars in itertools.islice(newest, 2))
        last = {"latestTrade": self._trade(symbol), "latestQuote": self._quote(symbol), "minuteBar": self._bar(symbol)}
        return last | {"dailyBar": day, "prevDailyBar": before[0] if before else None}


def _summed(bars: Sequence[Bar]) -> Bar:
    """Return the bar that several in a row make together."""
    return replace(
        bars[-1], opened_at=bars[0].opened_at, open=bars[0].open, high=max(bar.high for bar in bars),
        low=min(bar.low for bar in bars), volume=sum(bar.volume for bar in bars),
    )  # fmt: skip


def bar_of(bar: Bar) -> Json:
    """Return a bar; how many trades made it is not known, and its mean price is that of its four."""
    mean = (bar.open + bar.high + bar.low + bar.close) / 4
    prices = {"o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close}
    return {"t": wire.moment(bar.opened_at), **prices, "v": bar.volume, "n": 0, "vw": mean}


def trade_of(bar: Bar) -> Json:
    """Return the last trade that a bar knows of: all of its volume at its close."""
    return {"t": wire.moment(bar.event_at), "p": bar.close, "s": bar.volume, "i": 0, "x": "V", "c": [], "z": "C", "tks": "B"}


def quote_of(bar: Bar, quote: Quote | None) -> Json:
    """Return a quote; without one, both sides at the bar's close."""
    if quote is None:
        sides = {"bp": bar.close, "ap": bar.close, "bs": bar.volume, "as": bar.volume}
    else:
        sides = {"bp": float(quote.bid), "ap": float(quote.ask), "bs": float(quote.bid_size), "as": float(quote.ask_size)}
    at = bar.event_at if quote is None else quote.at
    return {"t": wire.moment(at), **sides, "bx": "V", "ax": "V", "c": [], "z": "C"}


def _answered(handler: Callable[[Request], Awaitable[Json]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await handler(request))
        except Unanswerable as problem:
            return JSONResponse({"message": str(problem)}, 400)

    return answer


def _ordered(bars: Sequence[Bar], *, newest_first: bool) -> Iterable[Bar]:
    return reversed(bars) if newest_first else bars


def _frame(said: str) -> Timeframe:
    try:
        return Timeframe.parsed(said)
    except ValueError as problem:
        raise Unanswerable(str(problem)) from None


def _time(said: str | None) -> datetime | None:
    if said is None:
        return None
    try:
        at = datetime.fromisoformat(said.replace(" ", "+").replace("Z", "+00:00"))
    except ValueError:
        raise Unanswerable(f"invalid time: {said}") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _limit(said: str | None) -> int:
    if said is None:
        return BARS_USUAL
    if not said.isdigit() or not 0 < int(said) <= BARS_MAX:
        raise Unanswerable(f"invalid limit: {said} is not within 1 and {BARS_MAX}")
    return int(said)


def _token(place: int) -> str:
    return base64.urlsafe_b64encode(str(place).encode()).decode()


def _place(said: str | None) -> int:
    try:
        return 0 if not said else int(base64.urlsafe_b64decode(said.encode()))
    except (ValueError, binascii.Error):
        raise Unanswerable(f"invalid page_token: {said}") from None
