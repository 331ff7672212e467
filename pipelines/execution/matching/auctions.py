"""Auctions: until when the opening and the closing auction of a session take orders."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from domain import session
from domain.order import TimeInForce
from domain.venue import INVALID, Refused

#: The doors close this long before the session opens or closes, and open again in the evening ("Orders at Alpaca").
OPENING, CLOSING, EVENING = timedelta(minutes=2), timedelta(minutes=10), time(19)


def check(time_in_force: TimeInForce, calendar: str, now: datetime) -> None:
    """Raise Refused for an auction order that comes too late: from 09:28 or 15:50 to 19:00 New York, earlier on half days."""
    zone = ZoneInfo(session.zone(calendar))
    local = now.astimezone(zone)
    today = session.sessions(calendar, local.date(), local.date())
    if today.is_empty():
        return
    opening = time_in_force is TimeInForce.OPG
    begins: datetime = today["opened_at" if opening else "closed_at"].item()
    last = begins.astimezone(zone) - (OPENING if opening else CLOSING)
    if last <= local < datetime.combine(local.date(), EVENING, zone):
        name = "opening" if opening else "closing"
        raise Refused(INVALID, f"{name} auction orders are not accepted from {last:%H:%M} to {EVENING:%H:%M}")
