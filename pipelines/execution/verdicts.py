"""Verdicts: the gate's answers to one bar, and the ways in which a rule changes one."""

import math
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from domain.compiled import money
from domain.decision import Rule
from domain.panel import FloatArray

CodeArray = npt.NDArray[np.int64]


class Verdicts(NamedTuple):
    """The gate's answer to one bar; every row is overwritten."""

    order: FloatArray
    """[S] signed quantity to send, 0 for none."""
    asked: FloatArray
    """[S] signed change that was wanted."""
    kept: FloatArray
    """[S] the part of the order that only closes what is held, which no limit takes away."""
    found: FloatArray
    """[S] what the deciding rule found before it changed the order: a fraction of equity, for ORDER_NOTIONAL and MIN_NOTIONAL an
    amount of currency, for PARTICIPATION, LIQUIDITY, ORDER_QUANTITY and SHORT a quantity, for PRICE_COLLAR and SELF_TRADE a
    price, for ORDER_RATE a count, a loss for stops, DAILY_LOSS and DRAWDOWN, and what a guard found for its rules."""
    limit: FloatArray
    """[S] what it allows, in the same unit; amounts of currency where there is no equity to take a fraction of."""
    outcome: CodeArray
    """[S] codes of Outcome."""
    rule: CodeArray
    """[S] codes of Rule: the last one that changed the order."""

    @classmethod
    def blank(cls, symbols: int) -> Self:
        """Return room for one bar."""
        return cls(*np.zeros((5, symbols)), *np.zeros((2, symbols), dtype=np.int64))


class Draft(NamedTuple):
    """One order on its way through the gate."""

    order: float
    """Signed quantity that is left of it."""
    kept: float
    """The part that only closes what is held."""
    forced: bool
    """The gate itself asks for it."""
    rule: int
    """Code of the Rule that changed it last, with what it found and what it allows."""
    found: float
    limit: float


# Leaves of the compiled gate take numbers and return numbers: to hand over an array for each symbol costs more than its arithmetic.


@money
def change(draft: Draft, order: float, rule: int, found: float, limit: float) -> Draft:
    """Return the draft with another quantity, and who did it."""
    return Draft(order, draft.kept, draft.forced, rule, found, limit)


@money
def cap(draft: Draft, most: float, rule: int, found: float, limit: float) -> Draft:
    """Return the draft cut to `most` units, but never below what only reduces; a `most` that is not a number allows none."""
    left = abs(draft.kept)
    left = max(left, most)
    if left < abs(draft.order):
        return change(draft, math.copysign(left, draft.order), rule, found, limit)
    return draft


@money
def closable(held: float, buying: float, selling: float) -> float:
    """Return the order that closes what is held but for what working orders may close already: none can turn it around."""
    left = held - selling if held > 0.0 else -held - buying
    if not left > 0.0:
        return 0.0
    return -left if held > 0.0 else left


@money
def begin(asked: float, held: float, closing: float) -> Draft:
    """Return the draft of a change that is asked for, nothing if it has no bounds; `closing` is the order that closes all."""
    order, kept = asked if abs(asked) < math.inf else 0.0, 0.0
    if order * held < 0.0:
        kept = math.copysign(min(abs(order), abs(closing)), order)
    return Draft(order, kept, False, Rule.NONE.value, 0.0, 0.0)
