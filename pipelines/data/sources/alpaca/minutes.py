"""Minutes: live minute bars put together to the bars of a market, told when they are over and again when they are corrected."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np

from domain import session
from domain.market import Market
from pipelines.data.sources.alpaca import rows

MINUTE = timedelta(minutes=1)
#: A minute without trades is never sent: a bar that lacks its last minute is over this long after its close.
GRACE = timedelta(seconds=5)
#: Corrections come half a minute late; bars older than this are final.
KEPT = timedelta(minutes=30)
Values = dict[str, float | int | None]


@dataclass
class Held:
    """A bar in the making."""

    event_at: datetime
    parts: dict[datetime, Values] = field(default_factory=dict)
    """What each minute holds, by its first moment; a day that is sent whole has one part."""
    told: bool = False


@dataclass
class Minutes:
    """Bars in the making of one market, by symbol and first moment."""

    market: Market
    since: datetime | None = None
    """Bars that opened before this were not heard from their beginning: they are for history to bring."""
    held: dict[tuple[str, datetime], Held] = field(default_factory=dict)
    _at: tuple[datetime, datetime] | None = None
    """Open and close of the bar that was last asked for: most minutes are of the same one."""

    def connected(self, at: datetime) -> None:
        """Forget the bars that a lost connection cut short; those that were told may still be corrected."""
        self.since = at
        self.held = {key: held for key, held in self.held.items() if held.told}

    def add(self, symbol: str, opened_at: datetime, values: Values) -> tuple[str, datetime] | None:
        """Add one minute, or put right what it held; return the bar's key when the bar must be told at once, else None."""
        bar_opened, event_at = self._placed(opened_at)
        key = (symbol, bar_opened)
        if key not in self.held:
            if self.since is not None and bar_opened < self.since:
                return None
            self.held[key] = Held(event_at)
        held = self.held[key]
        changed = held.parts.get(opened_at) != values
        held.parts[opened_at] = values
        over = opened_at + MINUTE >= held.event_at
        return key if changed and (held.told or over) else None

    def whole(self, symbol: str, opened_at: datetime, values: Values) -> tuple[str, datetime] | None:
        """Put a day's bar as it stands in the place of what it was; return its key when a told one is corrected, else None."""
        bar_opened, event_at = self._placed(opened_at)
        held = self.held.setdefault((symbol, bar_opened), Held(event_at))
        changed = held.parts.get(bar_opened) != values
        held.parts[bar_opened] = values
        return (symbol, bar_opened) if held.told and changed else None

    def _placed(self, moment: datetime) -> tuple[datetime, datetime]:
        if self._at is None or not self._at[0] <= moment < self._at[1]:
            self._at = placed(self.market, moment)
        return self._at

    def over(self, now: datetime) -> Iterator[tuple[str, datetime]]:
        """Yield the keys of bars that are over and were not told yet, oldest first, and let go of those that are final."""
        self.held = {key: held for key, held in self.held.items() if held.event_at + KEPT > now or not held.told}
        due = [(held.event_at, key) for key, held in self.held.items() if not held.told and held.event_at + GRACE <= now]
        for _, key in sorted(due):
            yield key

    def bar(self, key: tuple[str, datetime]) -> tuple[datetime, Values]:
        """Return close and values of a bar, and note that it was told."""
        held = self.held[key]
        held.told = True
        return held.event_at, _together([held.parts[at] for at in sorted(held.parts)])


@lru_cache(maxsize=4096)
def placed(market: Market, moment: datetime) -> tuple[datetime, datetime]:
    """Return open and close of the market's bar that holds a moment."""
    first, last = rows.placed(market, np.array([session.moment(moment)]))
    return first[0].astype(datetime).replace(tzinfo=UTC), last[0].astype(datetime).replace(tzinfo=UTC)


def _together(parts: list[Values]) -> Values:
    """Return first, highest, lowest, last and sums. vwap is weighted by volume, and unknown where a part's is."""
    if len(parts) == 1:
        return parts[0]
    volumes = [part["volume"] or 0.0 for part in parts]
    total, counts = sum(volumes), [part["trades"] for part in parts]
    priced = [part["vwap"] * volume for part, volume in zip(parts, volumes, strict=True) if part["vwap"] is not None]
    return {
        "open": parts[0]["open"],
        "high": max(_numbers(parts, "high"), default=None),
        "low": min(_numbers(parts, "low"), default=None),
        "close": parts[-1]["close"],
        "volume": total,
        "vwap": sum(priced) / total if len(priced) == len(parts) and total > 0 else None,
        "trades": sum(count for count in counts if count is not None) if None not in counts else None,
    }


def _numbers(parts: list[Values], name: str) -> list[float | int]:
    return [value for part in parts if (value := part[name]) is not None]
