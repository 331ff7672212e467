"""Market: what is traded where, at which bar length, and when it is open."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from domain.cost import Cost
from domain.instrument import Instrument


class AssetClass(StrEnum):
    """Decides how bars are stamped and what may be traded."""

    EQUITY = "equity"
    CRYPTO = "crypto"
    FX = "fx"


TIMEFRAMES: dict[str, timedelta] = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
}

#: Trading hours of an ordinary year, by calendar: what annualising divides by.
HOURS_A_YEAR = {"24/7": 8760.0, "24/5": 6240.0}
EXCHANGE_HOURS_A_YEAR = 252 * 6.5


@dataclass(frozen=True)
class Market:
    """One tradable market as params.yaml describes it."""

    name: str
    asset_class: AssetClass
    calendar: str
    """A pandas_market_calendars name such as XNYS, or "24/7" (crypto) or "24/5" (FX, Sunday to Friday 17:00 New York)."""
    timeframe: str
    source: str
    horizon: int
    """Bars that a forecast looks ahead."""
    cost: Cost
    instrument: Instrument
    symbols: tuple[str, ...] = ()
    """The universe; empty means every symbol that the store holds."""

    @property
    def bar(self) -> timedelta:
        """Length of one bar."""
        return TIMEFRAMES[self.timeframe]

    @property
    def bars_a_year(self) -> float:
        """Bars in an ordinary year of this calendar, for annualising."""
        if self.timeframe == "1d":
            return {"24/7": 365.0, "24/5": 260.0}.get(self.calendar, 252.0)
        return HOURS_A_YEAR.get(self.calendar, EXCHANGE_HOURS_A_YEAR) / (self.bar.total_seconds() / 3600)
