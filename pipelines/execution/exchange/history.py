"""History: what the account was worth, window by window, as Alpaca's portfolio history tells of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from domain import venue as venues
from domain.venue import Refused
from pipelines.execution.exchange.wire import Json

WINDOWS = {
    "1Min": timedelta(minutes=1), "5Min": timedelta(minutes=5), "15Min": timedelta(minutes=15), "1H": timedelta(hours=1),
    "1D": timedelta(days=1),
}  # fmt: skip
PERIODS = {"D": timedelta(days=1), "W": timedelta(weeks=1), "M": timedelta(days=30), "A": timedelta(days=365)}
#: Below which period a window is how short unless it is named.
USUAL = ((timedelta(days=7), "1Min"), (timedelta(days=30), "15Min"), (timedelta.max, "1D"))

#: When, and what the account was worth then.
Curve = Sequence[tuple[datetime, Decimal]]


def told(curve: Curve, capital: Decimal, period: str | None, window: str | None, since: datetime | None, until: datetime) -> Json:
    """Return the worth at the end of each window in which the market moved, each beside what it was at the first one's beginning.

    `since` takes the place of the period. Raises Refused for a period or a window that Alpaca does not know.
    """
    length = _period(period or "1M")
    first = until - length if since is None else since
    name = window or next(usual for most, usual in USUAL if until - first < most)
    if name not in WINDOWS:
        raise Refused(venues.MALFORMED, f"invalid timeframe: {name}")
    before = [worth for at, worth in curve if at <= first]
    base = before[-1] if before else capital
    ends = {_begin(at, WINDOWS[name]): worth for at, worth in curve if first < at <= until}
    return {
        "timestamp": [int(at.timestamp()) for at in ends],
        "equity": [float(worth) for worth in ends.values()],
        "profit_loss": [float(worth - base) for worth in ends.values()],
        "profit_loss_pct": [float((worth - base) / base) if base else None for worth in ends.values()],
        "base_value": float(base),
        "timeframe": name,
    }


def _begin(at: datetime, window: timedelta) -> datetime:
    """Return when the window begins that ends at a moment or holds it; what is known at a window's end belongs to that window."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if at == midnight:
        midnight -= timedelta(days=1)
    return midnight + (at - midnight - timedelta(microseconds=1)) // window * window


def _period(said: str) -> timedelta:
    count, unit = said[:-1], said[-1:]
    if unit not in PERIODS or not count.isdigit() or not int(count):
        raise Refused(venues.MALFORMED, f"invalid period: {said}")
    return int(count) * PERIODS[unit]
