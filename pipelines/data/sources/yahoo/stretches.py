"""Stretches: how far back Yahoo goes at each bar length, and how much of it one question may ask."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.error import ConfigurationError
from domain.market import Market


@dataclass(frozen=True)
class Limit:
    """What Yahoo gives of one bar length. Source: the messages of its v8 chart answers, and yfinance's documentation."""

    interval: str
    """In Yahoo's words."""
    back: timedelta | None = None
    """Older bars it does not have; None: it has them all."""
    request: timedelta | None = None
    """More than this it does not give at once."""


LIMITS: dict[str, Limit] = {
    "1m": Limit("1m", timedelta(days=30), timedelta(days=7)),
    "5m": Limit("5m", timedelta(days=60), timedelta(days=60)),
    "15m": Limit("15m", timedelta(days=60), timedelta(days=60)),
    "1h": Limit("1h", timedelta(days=730), timedelta(days=730)),
    "1d": Limit("1d"),
}
#: Yahoo counts its days back from when it reads the question.
SLACK = timedelta(hours=1)
#: Days that go with a question for later ones.
CONTEXT = timedelta(days=90)


def limit(market: Market) -> Limit:
    """Return what Yahoo gives of the market's bars; raise ConfigurationError for a bar length that it does not have."""
    if market.timeframe not in LIMITS:
        raise ConfigurationError(
            f"market '{market.name}' asks Yahoo for {market.timeframe} bars; it has {', '.join(LIMITS)}: "
            f"set markets.{market.name}.stored to one of them, and the market's bars are made of those"
        )
    return LIMITS[market.timeframe]


def earliest(market: Market, since: datetime | None, now: datetime) -> datetime | None:
    """Return from when on to ask: `since`, or as far back as Yahoo goes, or None for everything.

    Raises ConfigurationError when bars are asked for that it no longer has.
    """
    back = limit(market).back
    if back is None:
        return since
    first = now - back + SLACK
    if since is not None and since < first - SLACK:
        raise ConfigurationError(
            f"market '{market.name}' asks Yahoo for {market.timeframe} bars from {since:%Y-%m-%d %H:%M} on; it keeps them for "
            f"{back.days} days: ask from {first:%Y-%m-%d %H:%M} on, or for longer bars"
        )
    return first if since is None else max(since, first)


def context(market: Market, through: datetime, now: datetime) -> datetime:
    """Return from when on to ask beside bars that are held until `through`: a repair judges by what came before."""
    first = earliest(market, None, now)
    begin = through - (CONTEXT if market.timeframe == "1d" else timedelta(days=1))
    return begin if first is None else max(begin, first)


def cut(market: Market, since: datetime | None, until: datetime) -> list[tuple[datetime | None, datetime]]:
    """Return the questions that together cover `since` to `until`, in order of time."""
    longest = limit(market).request
    if longest is None or since is None:
        return [(since, until)]
    step = longest - SLACK
    count = max(-((since - until) // step), 1)
    return [(since + i * step, min(since + (i + 1) * step, until)) for i in range(count)]
