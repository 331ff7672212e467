"""Decision: why we want to hold what we want, and what the gate can say of it, as codes that compiled steps branch on."""

from enum import IntEnum, StrEnum


class Reason(IntEnum):
    """Why a target is what it is."""

    HOLD = 0  # the change is not worth its cost
    FORECAST = 1  # the forecast pays for the trade
    NO_EDGE = 2  # nothing worth holding is believed
    NO_FORECAST = 3  # input missing: no new exposure
    HAND = 4  # a person asked for it


class Mode(StrEnum):
    """Who decides. Orders that the gate forces, to close what must be closed, are sent in every mode."""

    AUTONOMOUS = "autonomous"
    """The model's orders are sent."""
    ASSISTED = "assisted"
    """The model's orders become proposals."""
    MANUAL = "manual"
    """The model's orders are written down and go no further."""


class Outcome(IntEnum):
    """The gate's answer."""

    NONE = 0  # nothing was asked
    APPROVED = 1
    REDUCED = 2
    DENIED = 3
    FORCED = 4  # the gate itself asked for this order: a stop-loss, the hours to come, the kill latch


class TradingState(IntEnum):
    """What the account may do."""

    ACTIVE = 0
    REDUCING = 1  # no order may increase the size of a position
    HALTED = 2  # nothing but what closes positions, if that


class Rule(IntEnum):
    """The rule that decided. Codes are never renumbered: in which order the gate asks is told in `pipelines/execution/risk.py`."""

    NONE = 0
    KILL_LATCH = 1
    DRAWDOWN = 2
    STOP_LOSS = 3
    MISSING_PRICE = 4
    SHORT = 5
    SYMBOL_WEIGHT = 6
    ORDER_NOTIONAL = 7
    PARTICIPATION = 8
    GROSS = 9
    NET = 10
    TURNOVER = 11
    MIN_NOTIONAL = 12
    DAILY_LOSS = 13
    TRAILING_STOP = 14
    PRICE_COLLAR = 15
    SELF_TRADE = 16
    ORDER_QUANTITY = 17
    LIQUIDITY = 18
    SECTOR_GROSS = 19
    MARKET_GROSS = 20
    VOLATILITY = 21
    LEVERAGE = 22
    BUYING_POWER = 23
    ORDER_RATE = 24
    REPEATED_ORDER = 25
    SESSION = 26
    TRADING_HALT = 27
    STALE_SYMBOL = 28
    STALE_FEED = 29
    STALE_ACCOUNT = 30
    CLOCK_OFFSET = 31
    LOOP_LAG = 32
    MODEL = 33
    FLIP = 34  # the broker lets no order close a position and open the opposite one
    PERSON = 35  # a person is asked first, or is the only one who orders
    GAP = 36  # what may be held while the market is closed
