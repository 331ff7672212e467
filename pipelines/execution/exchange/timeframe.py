"""Timeframe: the windows that bars are asked for by, in Alpaca's words, and which of them a bar lies in; days are those of UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY = timedelta(days=1)
#: The longest of an exchange's own bars that still count as a day: a session, or a whole one.
SHORTEST_DAY = timedelta(hours=2)
#: Weeks begin on Mondays: this was the first one of the epoch.
EPOCH, MONDAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 5, tzinfo=UTC)
#: What a unit lasts by its words, the most of them in a timeframe, and where windows are counted from; months have no length.
LASTING = {
    "Min": (timedelta(minutes=1), 59, EPOCH), "T": (timedelta(minutes=1), 59, EPOCH), "Hour": (timedelta(hours=1), 23, EPOCH),
    "H": (timedelta(hours=1), 23, EPOCH), "Day": (DAY, 1, EPOCH), "D": (DAY, 1, EPOCH), "Week": (7 * DAY, 1, MONDAY),
    "W": (7 * DAY, 1, MONDAY),
}  # fmt: skip
MONTHS, MONTH_COUNTS = ("Month", "M"), (1, 2, 3, 6, 12)


@dataclass(frozen=True)
class Timeframe:
    """A number of minutes to months."""

    said: str
    length: timedelta | None
    """None of months."""
    since: datetime = EPOCH
    months: int = 0

    @classmethod
    def parsed(cls, said: str) -> "Timeframe":
        """Read words such as 5Min, 1Day or 3Month; raise ValueError for what Alpaca does not know either."""
        found = re.fullmatch(r"([1-9][0-9]?)([A-Za-z]+)", said)
        count, unit = (int(found[1]), found[2]) if found else (0, "")
        if unit in MONTHS and count in MONTH_COUNTS:
            return cls(said, None, months=count)
        if unit not in LASTING or count > LASTING[unit][1]:
            raise ValueError(f"invalid timeframe: {said}")
        length, _, since = LASTING[unit]
        return cls(said, count * length, since)

    def is_of(self, own: timedelta) -> bool:
        """Return whether bars that last `own` are this timeframe's as they are."""
        return self.length == own or (self.length == DAY and SHORTEST_DAY < own <= DAY)

    def is_made_of(self, own: timedelta) -> bool:
        """Return whether whole bars that last `own` fill each window: within a day they divide the window, and that the day."""
        if self.length is None or self.length > DAY:
            return SHORTEST_DAY < own <= DAY or not DAY % own
        return not self.length % own and not DAY % self.length

    def window(self, at: datetime) -> int:
        """Return the number of the window that a moment lies in."""
        if self.length is None:
            return (at.year * 12 + at.month - 1) // self.months
        return (at - self.since) // self.length
