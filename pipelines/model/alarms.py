"""Alarms: online detectors over the champion's record, which ask whether and since when it has become worse.

Population stability and rank IC compare two windows of fixed length; these find the moment by themselves. Neighbouring outcomes
overlap, which detectors take for evidence: they are fed means over as many bars as one outcome spans, in standard deviations of
the reference. On 300 such values that do not change, none of these settings raised an alarm about the last 20 in 100 tries; a
fall of 1.5 standard deviations there was found in 98 (ADWIN) and 100 (Page-Hinkley), one of 0.7 in 8 and 33.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from domain.panel import FloatArray

if TYPE_CHECKING:
    from river.base import DriftDetector

SKILL, LOSS = "rank IC", "pinball loss"
#: Fewer values than this before the recent ones are no reference.
VALUES_MIN = 60


@dataclass(frozen=True)
class Alarm:
    """A change for the worse."""

    series: str
    """SKILL or LOSS."""
    detector: str
    row: int
    """Row of the record at which it was raised."""


def detectors() -> dict[str, "DriftDetector"]:
    """Return them by name, before their first value.

    ADWIN: Bifet and Gavalda 2007, SDM, with its confidence; Page-Hinkley: Page 1954, Biometrika 41(1), summing what exceeds a
    quarter of a standard deviation until it comes to 12.
    """
    from river import drift

    return {
        "ADWIN": drift.ADWIN(delta=0.05, clock=1),  # type: ignore[no-untyped-call]
        "Page-Hinkley": drift.PageHinkley(min_instances=30, delta=0.25, threshold=12.0, alpha=1.0, mode="up"),
    }


def raised(record: Mapping[str, FloatArray], recent_bars: int, bars: int) -> tuple[Alarm, ...]:
    """Return what is raised about the last `recent_bars` rows of series [T] by name, each oriented so that more is worse.

    `bars` neighbours make one value; what is NaN is left out. A series without VALUES_MIN values before them is not judged.
    """
    return tuple(alarm for name, series in record.items() for alarm in _of_series(name, series, recent_bars, bars))


def _of_series(name: str, series: FloatArray, recent_bars: int, bars: int) -> list[Alarm]:
    rows = np.flatnonzero(np.isfinite(series))
    ends = rows[bars - 1 :: bars]
    values = np.array([series[rows[k * bars : (k + 1) * bars]].mean() for k in range(len(ends))])
    reference = ends < len(series) - recent_bars
    spread = values[reference].std() if reference.sum() >= VALUES_MIN else 0.0
    if spread == 0.0 or values[~reference].sum() <= values[reference].mean() * (~reference).sum():
        return []
    found = (
        (who, _first(detector, (values - values[reference].mean()) / spread, reference)) for who, detector in detectors().items()
    )
    return [Alarm(name, who, int(ends[place])) for who, place in found if place is not None]


def _first(detector: "DriftDetector", values: FloatArray, reference: np.ndarray) -> int | None:
    """Return the place of the first alarm after the reference."""
    for place, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected and not reference[place]:
            return place
    return None
