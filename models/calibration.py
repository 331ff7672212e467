"""Calibration: where the quantiles of a forecast lie around its median, refitted while all that was learned stays.

Each outcome is measured in the range of its own forecast, from the lowest to the highest quantile; where the empirical quantiles of
that lie, the model's should have lain. This is split conformal prediction with locally weighted residuals (Lei et al. 2018, JASA
113(523), 5.2), one-sided at every level, where location and spread are the model's and only the quantiles move.
"""

import numpy as np

from domain.error import ModelError
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from models import metrics

#: Fewer outcomes than this have hardly ten beyond the outermost quantiles.
SAMPLES_MIN = 200


def refitted(quantiles: FloatArray, forecasts: FloatArray, outcome: FloatArray, horizon: int) -> FloatArray:
    """Return [Q] what `quantiles` [Q] should have been, around the same location and in the same unit.

    `forecasts` [T, S, Q] were made with such quantiles for rows, in the order of time, that their models had not seen; `outcome`
    [T, S] is what came, NaN where it is not known yet. The median moves as far as its move is certain: a market that rose for
    a while says little about where it goes. Raises ModelError for fewer than SAMPLES_MIN outcomes.
    """
    reach = forecasts[..., -1] - forecasts[..., 0]
    place = np.full(outcome.shape, np.nan)
    np.divide(outcome - forecasts[..., MEDIAN], reach, out=place, where=reach > 0.0)
    known = place[np.isfinite(place)]
    if len(known) < SAMPLES_MIN:
        asked = f"a calibration was to be refitted on {len(outcome)} bars of {outcome.shape[1]} symbols"
        raise ModelError(f"{asked}, but only {len(known)} of their outcomes were forecast and are known: {SAMPLES_MIN} are needed")
    found = np.quantile(known, LEVELS)
    doubt = 1.0 - metrics.certainty(metrics.row_mean(place), horizon)
    moved: FloatArray = quantiles[MEDIAN] + (quantiles[-1] - quantiles[0]) * (found - doubt * found[MEDIAN])
    return moved
