"""Conformal: ranges that follow how far outcomes fall.

Each level has an offset, in the range of the forecast from its lowest to its highest quantile. Row by row, as outcomes become
known, a pair of quantiles that held too few between them moves apart, one that held too many moves together: adaptive conformal
inference (Gibbs and Candes 2021, NeurIPS), in the form that moves the quantiles (Angelopoulos, Candes and Tibshirani 2023,
NeurIPS, eq. 5). Whatever the market does, the share held is right in the long run. A market that rose for a while says little
about where it goes: letting each level follow on its own covered to the third decimal and cost up to 2.8% of pinball loss, see
LOG.md.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from domain.error import ModelError
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from models import metrics
from models.calibration import SAMPLES_MIN

#: How far an offset moves in one row that missed altogether, in ranges of the forecast.
RATE = 0.005


@dataclass(frozen=True)
class Offsets:
    """Where the quantiles are moved to."""

    values: tuple[float, ...] = (0.0,) * len(LEVELS)
    """One a level, in ranges of the forecast as its model made it."""

    def apply(self, forecasts: FloatArray) -> FloatArray:
        """Return [..., Q] forecasts with their quantiles moved, sorted."""
        return np.sort(forecasts + _reach(forecasts) * np.array(self.values), axis=-1)

    def followed(self, forecasts: FloatArray, outcome: FloatArray, delay: int) -> tuple[FloatArray, Self]:
        """Return [T, S, Q] each row moved by the offsets known then, and the offsets after the last outcome.

        `forecasts` [T, S, Q] as their model made them, NaN where there is none; `outcome` [T, S] becomes known `delay` rows after
        its row.
        """
        offsets, reach = np.array(self.values), _reach(forecasts)
        moved = np.full_like(forecasts, np.nan)
        for row in range(len(forecasts)):
            heard = row - delay
            if heard >= 0:
                offsets = offsets + RATE * _short(moved[heard], outcome[heard])
            moved[row] = np.sort(forecasts[row] + reach[row] * offsets, axis=-1)
        for heard in range(max(len(forecasts) - delay, 0), len(forecasts)):
            offsets = offsets + RATE * _short(moved[heard], outcome[heard])
        return moved, replace(self, values=tuple(offsets.tolist()))

    def refitted(self, forecasts: FloatArray, outcome: FloatArray, horizon: int) -> Self:
        """Return the offsets with which `forecasts` [T, S, Q], made with these, would have covered what they should.

        Conformalised quantile regression (Romano, Patterson and Candes 2019, NeurIPS), one-sided at each level. The median moves as
        far as its move is certain. Raises ModelError for fewer than SAMPLES_MIN outcomes.
        """
        reach = _reach(forecasts)
        with np.errstate(invalid="ignore", divide="ignore"):
            missed = np.where(reach > 0.0, (outcome[..., None] - forecasts) / reach, np.nan)
        known = np.isfinite(missed[..., MEDIAN])
        if known.sum() < SAMPLES_MIN:
            asked = f"offsets were to be refitted on {len(outcome)} bars of {outcome.shape[1]} symbols"
            raise ModelError(f"{asked}, but only {known.sum()} outcomes were forecast and are known: {SAMPLES_MIN} are needed")
        moves = np.array([np.quantile(missed[..., k][known], level) for k, level in enumerate(LEVELS)])
        sure = metrics.certainty(metrics.row_mean(missed[..., MEDIAN]), horizon)
        moves -= (1.0 - sure) * moves[MEDIAN]
        wider = 1.0 + self.values[-1] - self.values[0]
        return replace(self, values=tuple((np.array(self.values) + wider * moves).tolist()))


def _reach(forecasts: FloatArray) -> FloatArray:
    return forecasts[..., -1:] - forecasts[..., :1]


def _short(moved: FloatArray, outcome: FloatArray) -> FloatArray:
    """Return [Q] by how much each pair of quantiles [S, Q] held too few of the outcomes [S]: up for the upper one of the pair.

    0 without any outcome, and for the median.
    """
    known = np.isfinite(outcome) & np.isfinite(moved[:, MEDIAN])
    if not known.any():
        return np.zeros(len(LEVELS))
    short = np.array(LEVELS) - (outcome[known, None] <= moved[known]).mean(axis=0)
    return np.asarray(0.5 * (short - short[::-1]))
