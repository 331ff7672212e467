"""Calendar: where in the week, the year and the day a bar lies."""

import math

import numpy as np
import numpy.typing as npt

from domain.compiled import kernel
from domain.panel import FloatArray

MicrosecondArray = npt.NDArray[np.int64]

DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US
#: The Gregorian year, 365.2425 days.
YEAR_US = 31_556_952_000_000
#: 1970-01-01 was a Thursday: three days into a week that begins on Monday.
THURSDAY_US = 3 * DAY_US


@kernel
def cycle(
    at: MicrosecondArray,
    x: FloatArray,
    period_us: int,
    offset_us: int,
    quarter: int,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write sin(2 pi (phase + quarter / 4)) of each row's moment in a cycle: quarter 0 gives the sine, 1 the cosine.

    `at` holds microseconds since 1970 as int64 [T]; a column without a bar gets NaN.
    """
    for t in range(at.size):
        phase = ((at[t] + offset_us) % period_us) / period_us
        value = math.sin(2.0 * math.pi * (phase + 0.25 * quarter))
        row, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = value if not math.isnan(row[s]) else np.nan
