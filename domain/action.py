"""Action: what a company does to its shares, and by what factor prices must then be multiplied to be returns.

The factors run forward. A holder of one share the evening before the ex-date, at close `P`, holds `N` shares and cash `D` after it,
and the price is expected to open at `(P - D) / N`. Multiplied by `N / (1 - D / P)` it is `P` again, so that what is left over is
what the market did. Nothing before the ex-date changes. The same factor, turned round and laid on the past, is CRSP's factor to
adjust prices and Yahoo's adjusted close.

Source: CRSP, Data Descriptions Guide, "Factor to Adjust Price in Period" and "Total Return"; Yahoo Finance Help, "What is the
adjusted close?".
"""

from collections.abc import Mapping
from enum import StrEnum

import polars as pl

from domain.compiled import money
from domain.error import DataError, nearest


class Kind(StrEnum):
    """What may happen to a share; `value` counts what the comment says, for a share held before the ex-date."""

    DIVIDEND = "dividend"  # cash, in the currency of the price
    SPECIAL_DIVIDEND = "special_dividend"  # the same; a kind of its own, so that both may fall on one day
    CAPITAL_GAIN = "capital_gain"  # cash that a fund hands out
    SPINOFF = "spinoff"  # what the shares handed out are worth, in the currency of the price
    SPLIT = "split"  # new shares for an old one: 2 doubles them, 0.1 leaves a tenth, 1 takes a split back
    STOCK_DIVIDEND = "stock_dividend"  # shares on top of each: 0.05 makes 1.05
    SYMBOL_CHANGE = "symbol_change"  # nothing; `other` is the new symbol


#: Kinds that hand out something worth `value`.
CASH = (Kind.DIVIDEND, Kind.SPECIAL_DIVIDEND, Kind.CAPITAL_GAIN, Kind.SPINOFF)
#: Kinds that change the number of shares.
SHARES = (Kind.SPLIT, Kind.STOCK_DIVIDEND)


@money
def factor(cash: float, shares: float, close: float) -> float:
    """Return what a price must be multiplied by from the ex-date on: shares / (1 - cash / close).

    `cash` is handed out a share and `shares` held after it for each one, `close` is the last raw close before the ex-date. Cash of
    the whole close or more has no factor: infinite or negative, for the caller to refuse. NaN in any gives NaN.
    """
    return shares / (1.0 - cash / close)


def refuse(actions: pl.DataFrame) -> None:
    """Raise DataError, naming the first, for rows of an unknown kind and for values that no action can have.

    Cash must be finite and not negative, a split above zero, a stock dividend above -1; a symbol change must name the `other`.
    """
    unknown = actions.filter(~pl.col("kind").is_in(list(Kind)))
    if not unknown.is_empty():
        symbol, kind = unknown.select("symbol", "kind").row(0)
        raise DataError(f"an action of '{symbol}' has the kind '{kind}': {nearest(str(kind), list(Kind))}")
    wrong = actions.filter(~_possible().fill_null(value=False))
    if not wrong.is_empty():
        row = wrong.row(0, named=True)
        raise DataError(
            f"the {row['kind']} of '{row['symbol']}' on {row['event_at']:%Y-%m-%d} has the value {row['value']}: cash is zero or "
            "more, a split's new shares are above zero, a change names the other symbol"
        )


def _possible() -> pl.Expr:
    value = pl.col("value")
    limits: Mapping[Kind, pl.Expr] = {
        **dict.fromkeys(CASH, value >= 0.0),
        Kind.SPLIT: value > 0.0,
        Kind.STOCK_DIVIDEND: value > -1.0,
    }
    possible = pl.col("other").is_not_null()
    for kind, limit in limits.items():
        possible = pl.when(pl.col("kind") == kind).then(limit & value.is_finite()).otherwise(possible)
    return possible
