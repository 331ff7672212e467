"""Decision: why we want to hold what we want, and what the gate can say of it, as codes that compiled steps branch on."""

from enum import IntEnum


class Reason(IntEnum):
    """Why a target is what it is."""

    HOLD = 0  # the change is not worth its cost
    FORECAST = 1  # the forecast pays for the trade
    NO_EDGE = 2  # nothing worth holding is believed
    NO_FORECAST = 3  # input missing: no new exposure


class Outcome(IntEnum):
    """The gate's answer."""

    NONE = 0  # nothing was asked
    APPROVED = 1
    REDUCED = 2
    DENIED = 3
    FORCED = 4  # the gate itself asked for this order: a stop-loss or the kill latch


class Rule(IntEnum):
    """The rule that decided, in the order in which the gate asks: the account, then each symbol, then the whole book."""

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
