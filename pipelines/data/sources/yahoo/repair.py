"""Repair: takes over what yfinance's repair corrected, names the rule, and keeps what Yahoo had answered.

The library does the work (`repair=True`): units a hundred times off, splits missing from earlier prices or applied twice,
dividends in the wrong unit, phantom dividends, capital gains counted twice. One case it makes worse is done here: a lone row that
missed a split so steep that it looks like a mixed-up unit. `benchmarks/sources/yahoo_repair.md` measures both on recorded defects.

A repair looks at the rows on both sides, as quality's flags do: it says what is known after the answer, not at the bar.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from domain.panel import FloatArray

PRICES = ("open", "high", "low", "close")
BARS = (*PRICES, "volume")
CASH = ("dividend", "capital_gain")

#: Relative change below which a number was only rounded on its way through the library.
SAME = 1e-6
#: Rows on each side by which a lone row is judged.
NEAR = 5
#: A split at least this steep, either way, cannot be a day's move.
STEEP = 3.0
#: How far a row may lie from its neighbours, a factor; never so far that the split itself would go unseen.
ROOM = 2.5
#: How near a hundred a price must be multiplied to say that it was in another unit.
UNIT_ROOM = 0.05
#: Pence to pounds, and the fils of a dinar.
UNITS = (100.0, 1000.0)

Columns = Mapping[str, FloatArray]
Mask = npt.NDArray[np.bool_]


def merge(told: Columns, repaired: Columns) -> dict[str, FloatArray | list[str | None]]:
    """Return the columns of `told` with the repaired rows in place, `told_*` of what they replaced, and `reason`.

    Columns are float64 [N] by our names in the order of time; NaN in `repaired` is no repair. A row that the repair left alone,
    but for rounding, keeps its own numbers to the last bit; its `told_*` are NaN and its reason None.
    """
    better = {name: np.where(np.isnan(values), told[name], values) for name, values in repaired.items()}
    for row, ratio in _missed_splits(told, better):
        for name in PRICES:
            better[name][row] = told[name][row] / ratio
        better["volume"][row] = np.rint(told["volume"][row] * ratio)
    changed = {name: _differs(told[name], better[name]) for name in told}
    touched = np.any(list(changed.values()), axis=0)
    kept = {name: np.where(changed[name], better[name], told[name]) for name in told}
    before = {f"told_{name}": np.where(touched, told[name], np.nan) for name in BARS}
    splits = told["split"][told["split"] != 0.0]
    reasons = [_reason(row, told, kept, splits) if touched[row] else None for row in range(len(touched))]
    return {**kept, **before, "reason": reasons}


def _missed_splits(told: Columns, better: Columns) -> list[tuple[int, float]]:
    """Return the rows, with the ratio by which they are off, that a split missed and the library did not set right."""
    found = []
    for ex_date in np.flatnonzero(told["split"]):
        ratio = told["split"][ex_date]
        if max(ratio, 1.0 / ratio) >= STEEP:
            found += [(row, off) for row in range(ex_date) for off in (ratio, 1.0 / ratio) if _lone(row, off, told, better)]
    return found


def _lone(row: int, off: float, told: Columns, better: Columns) -> bool:
    """Say whether the four prices of a row are near those around it once divided by `off`, and are not as the library left them."""
    around = np.r_[max(row - NEAR, 0) : row, row + 1 : row + 1 + NEAR]
    around = around[around < len(told["close"])]
    near = float(np.median([better[name][around] for name in PRICES]))
    room = min(max(off, 1.0 / off) ** 0.5, ROOM)
    ours = np.array([told[name][row] for name in PRICES]) / off
    library = np.array([better[name][row] for name in PRICES])
    return _fits(ours / near, room) and not _fits(library / near, room)


def _fits(ratios: FloatArray, room: float) -> bool:
    """Say whether all ratios are within a factor of one; NaN, zero and negative ones are not."""
    return bool(((ratios < room) & (ratios > 1.0 / room)).all())


def _differs(told: FloatArray, better: FloatArray) -> Mask:
    """Say where a number was replaced, one that was missing included."""
    with np.errstate(invalid="ignore"):
        moved = np.abs(better - told) > SAME * np.maximum(np.abs(told), np.abs(better))
    return moved | (np.isnan(told) & ~np.isnan(better))


def _reason(row: int, told: Columns, kept: Columns, splits: FloatArray) -> str:
    before, after = ({name: float(columns[name][row]) for name in (*BARS, *CASH, "split")} for columns in (told, kept))
    changed = [name for name in before if not np.array_equal(before[name], after[name], equal_nan=True)]
    ratios = {name: after[name] / before[name] if before[name] else np.inf for name in changed}
    found, right = (", ".join(f"{name} {values[name]:.7g}" for name in changed) for values in (before, after))
    return f"repaired: {_rule(ratios, splits)}: found {found}; expected {right}"


def _rule(ratios: Mapping[str, float], splits: FloatArray) -> str:
    """Name what went wrong, told by the ratios by which numbers were changed."""
    prices = [ratio for name, ratio in ratios.items() if name in PRICES]
    if not prices:
        return "distribution" if ratios.keys() & set(CASH) else "volume"
    if _all_near(prices, np.concatenate([splits, 1.0 / splits])):
        return "split"
    return "unit" if _all_near(prices, np.concatenate([UNITS, np.divide(1.0, UNITS)])) else "price"


def _all_near(ratios: list[float], wanted: FloatArray) -> bool:
    return all((np.abs(ratio / wanted - 1.0) < UNIT_ROOM).any() for ratio in ratios)
