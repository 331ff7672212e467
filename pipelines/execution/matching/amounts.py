"""Amounts: money and quantities that add up to the last digit.

Products and sums are taken in a context that raises where a digit would be lost, so that an account is exactly the sum of its
entries. Python's own context rounds to 28 digits: coins of nine decimals at prices of seventeen have more. Averages, which are no
part of that sum, may be rounded.
"""

from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

#: Room for the products of quantities, prices and ratios of some twenty digits each, summed over a lifetime.
EXACT = Context(prec=400, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])


def times(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact product."""
    return EXACT.multiply(one, other)


def plus(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact sum."""
    return EXACT.add(one, other)
