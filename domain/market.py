"""Market: what is traded where, at which bar length, and when it is open."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.cost import Cost
from domain.error import ConfigurationError, nearest
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
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "2h": timedelta(hours=2),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "1w": timedelta(days=7),
}

#: Trading hours of an ordinary year, by calendar: what annualising divides by.
HOURS_A_YEAR = {"24/7": 8760.0, "24/5": 6240.0}
EXCHANGE_HOURS_A_YEAR = 252 * 6.5


class Universe(BaseModel):
    """Who belongs to a market on a day, by what was known the evening before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top: int | None = Field(default=None, ge=1)
    """The symbols of the largest mean dollar volume; None takes all."""
    window_bars: int = Field(default=20, ge=1)
    """Bars of a symbol over which dollar volume is averaged; a symbol with fewer is no member yet."""
    price_min: float = Field(default=0.0, ge=0)
    """Last raw close below which a symbol is no member: pennies move in steps that no cost model holds for."""
    grace_sessions: int = Field(default=5, ge=1)
    """Sessions without a bar after which a symbol that nobody reported as delisted counts as gone."""

    @property
    def chooses(self) -> bool:
        """Whether membership depends on more than trading at all."""
        return self.top is not None or self.price_min > 0


#: The universe without a rule.
EVERYONE = Universe()


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
    """The symbols to choose from; empty means every symbol that the store holds."""
    universe: Universe = EVERYONE
    """Which of them belong to the market on each day; by default all that trade."""
    stored: str | None = None
    """Timeframe of the bars in the store where they are finer than the market's and summed up while they are read."""
    hours: Literal["regular", "extended"] = "regular"
    """Whether pre-market and post-market bars are part of the market."""

    @property
    def bar(self) -> timedelta:
        """Length of one bar."""
        return TIMEFRAMES[self.timeframe]

    @property
    def bars_a_year(self) -> float:
        """Bars in an ordinary year of this calendar's regular hours, for annualising."""
        if self.timeframe == "1w":
            return 52.0
        if self.timeframe == "1d":
            return {"24/7": 365.0, "24/5": 260.0}.get(self.calendar, 252.0)
        return HOURS_A_YEAR.get(self.calendar, EXCHANGE_HOURS_A_YEAR) / (self.bar.total_seconds() / 3600)


def check_lengths(name: str, timeframe: str, stored: str | None) -> None:
    """Raise ConfigurationError for bar lengths that do not exist, and for stored bars that the market's cannot be made of."""
    for key, length in (("timeframe", timeframe), ("stored", stored or timeframe)):
        if length not in TIMEFRAMES:
            raise ConfigurationError(f"markets.{name}.{key}: {nearest(length, TIMEFRAMES)}")
    if stored is not None and TIMEFRAMES[timeframe] % TIMEFRAMES[stored]:
        raise ConfigurationError(
            f"markets.{name} stores {stored} bars, of which no {timeframe} bars can be made: store a length that divides it"
        )
