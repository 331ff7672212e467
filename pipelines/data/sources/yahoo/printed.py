"""Printed: undoes Yahoo's split adjustment, so that bars are what the exchange printed that day."""

import numpy as np
import numpy.typing as npt
import polars as pl

from domain.panel import FloatArray, TimeArray

PRICES = ("open", "high", "low", "close")
#: What is paid a share, and therefore adjusted like a price.
CASH = ("dividend", "capital_gain")
#: Half a unit in the last place of single precision, in which Yahoo keeps numbers: 2**-24 of the number, and room for our own.
SINGLE = 2.0**-24 * (1.0 + 1e-6)


def undo(rows: pl.DataFrame, split_at: TimeArray, ratio: FloatArray) -> pl.DataFrame:
    """Return the rows with prices and cash times the ratio of every split later than `opened_at`, and volume divided by it.

    `split_at` [N] is the open of each ex-date, `ratio` [N] the new shares for an old one. The prices of the ex-date itself count
    in new shares, its cash in old ones: it is paid for a share held before. Prices and cash are then the shortest decimals within
    single precision of the product (`shortest`); a volume that is divided is rounded to whole shares, which after a reverse split
    loses what Yahoo had rounded off, up to half a new share. NaN stays NaN.
    """
    opened = rows["opened_at"].dt.replace_time_zone(None).to_numpy()
    factor, paid = np.ones(len(opened)), np.ones(len(opened))
    for at, new in zip(split_at, ratio, strict=True):
        factor[opened < at] *= new
        paid[opened <= at] *= new
    printed = {name: shortest(rows[name].to_numpy() * factor) for name in PRICES}
    printed |= {name: shortest(rows[name].to_numpy() * paid) for name in CASH}
    volume = rows["volume"].to_numpy()
    return rows.with_columns(**printed, volume=np.where(factor == 1.0, volume, np.rint(volume / factor)))


def shortest(values: FloatArray) -> FloatArray:
    """Return for each number the decimal of fewest digits that single precision cannot tell from it.

    Yahoo keeps 129.04 as 129.03999328613281, and a later split divides and rounds it again: only the number that was printed is
    the same whenever it is asked for. Six digits always come back, cents below 10,000; of longer numbers the last may be off by
    one. NaN, infinity and zero stay.
    """
    sound = np.isfinite(values) & (values != 0.0)
    exact = values[sound]
    found = exact.copy()
    exponent = np.floor(np.log10(np.abs(exact)))
    left = np.ones(len(exact), dtype=np.bool_)
    for digits in range(1, 10):
        rounded = _rounded(exact, (digits - 1 - exponent).astype(np.int64))
        hit = left & (np.abs(rounded - exact) <= SINGLE * np.abs(exact))
        found[hit], left = rounded[hit], left & ~hit
    whole = values.copy()
    whole[sound] = found
    return whole


def _rounded(values: FloatArray, decimals: npt.NDArray[np.int64]) -> FloatArray:
    # Divided by a power of ten and not multiplied by its inverse: the quotient is the double nearest to the decimal.
    scale = 10.0 ** np.abs(decimals)
    return np.where(decimals >= 0, np.rint(values * scale) / scale, np.rint(values / scale) * scale)
