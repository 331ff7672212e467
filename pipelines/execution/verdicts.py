"""Verdicts: the gate's answers to one bar, and the ways in which a rule changes one."""

import math
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from domain.compiled import money
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


@money
def rule_out(out: Verdicts, s: int, order: float, rule: int, found: float, limit: float) -> None:
    """Change one order and note who did it."""
    out.order[s], out.rule[s], out.found[s], out.limit[s] = order, rule, found, limit


@money
def cap(out: Verdicts, s: int, most: float, rule: int, found: float, limit: float) -> None:
    """Cut one order to `most` units of quantity, but never below what only reduces; a `most` that is not a number allows none."""
    left = abs(out.kept[s])
    left = max(left, most)
    if left < abs(out.order[s]):
        rule_out(out, s, math.copysign(left, out.order[s]), rule, found, limit)


@money
def closable(held: float, buying: float, selling: float) -> float:
    """Return the order that closes what is held but for what working orders may close already: none can turn it around."""
    left = held - selling if held > 0.0 else -held - buying
    if not left > 0.0:
        return 0.0
    return -left if held > 0.0 else left


@money
def reduction(order: float, held: float, buying: float, selling: float) -> float:
    """Return the part of an order that only closes what is held, whatever fills."""
    if order * held >= 0.0:
        return 0.0
    return math.copysign(min(abs(order), abs(closable(held, buying, selling))), order)
