"""Bootstrap: how far luck could have moved a result, from the result's own rows resampled in blocks of random length."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from domain.error import DataError
from domain.panel import FloatArray
from models import metrics

#: Fewer rows than this tell nothing of how rows depend on each other.
ROWS_MIN = 30
DRAWS = 1000


@dataclass(frozen=True)
class Interval:
    """A statistic, and where its true value may lie."""

    found: float
    low: float
    high: float
    block_rows: float
    """Mean length of the blocks resampled."""


@dataclass(frozen=True)
class Superiority:
    """Probabilities, one a baseline, of a best model so good if none were better than that baseline; small ones speak for it."""

    spa: FloatArray
    """[B] Hansen's consistent p value of studentised differences: models that are far worse do not blunt it."""
    reality_check: FloatArray
    """[B] White's p value of plain differences: every model counts as if it were as good as the baseline."""

    @property
    def spa_p(self) -> float:
        """Return the p value that some baseline is not beaten, the largest of all: claims against each must hold (Berger 1982)."""
        return float(self.spa.max())

    @property
    def reality_check_p(self) -> float:
        """Return the same by White's test."""
        return float(self.reality_check.max())


def interval(
    returns: FloatArray, statistic: Callable[[FloatArray], float], confidence: float, seed: int, draws: int = DRAWS
) -> Interval:
    """Return `statistic` of returns [T] and the interval that holds its true value with probability `confidence`.

    The interval lies between percentiles of the statistic over `draws` stationary bootstrap samples, whose blocks follow each other
    in time, begin anywhere and have geometric lengths. NaN rows are dropped; the same seed gives the same bits. Series that depend
    strongly on their past are covered a little less often than promised, and a drawdown's interval tells how it spreads over
    histories like this one, which is biased as an estimate of the true one.

    Raises DataError for fewer than ROWS_MIN returns. Politis and Romano 1994, JASA 89(428); block length by Politis and White 2004,
    Econometric Reviews 23(1), corrected by Patton, Politis and White 2009, Econometric Reviews 28(4).
    """
    known = returns[np.isfinite(returns)]
    _refuse_short(known)
    block = block_rows(known)
    resampled = _bootstrap().StationaryBootstrap(block, known, seed=np.random.default_rng(seed))
    drawn = [statistic(sample[0]) for sample, _ in resampled.bootstrap(draws)]
    low, high = np.quantile(drawn, (0.5 - 0.5 * confidence, 0.5 + 0.5 * confidence))
    return Interval(statistic(known), float(low), float(high), block)


def superior(models: FloatArray, baselines: FloatArray, seed: int, draws: int = DRAWS) -> Superiority:
    """Return p values that no model of losses [T, M] is better than a baseline, for each of baselines [T, B]; [T] is one of either.

    Hand over all models that were tried, not the best alone: the tests know what picking the best of M does. Rows where any loss is
    unknown are dropped for all; the same seed gives the same bits. 1 against a baseline from which no model differs.

    Raises DataError for fewer than ROWS_MIN rows. White 2000, A Reality Check for Data Snooping, Econometrica 68(5); Hansen 2005, A
    Test for Superior Predictive Ability, JBES 23(4). Blocks are as long as Politis and White 2004 ask of the slowest difference.
    """
    first, second = (losses[:, None] if losses.ndim == 1 else losses for losses in (models, baselines))
    known = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    _refuse_short(first[known])
    gains = [column[:, None] - first[known] for column in second[known].T]
    return Superiority(*np.array([_p_values(gain, seed, draws) for gain in gains]).T)


def block_rows(series: FloatArray) -> float:
    """Return the mean block length that suits series [T] or [T, K], of the column that needs the longest; at least one row.

    Politis and White 2004, corrected by Patton, Politis and White 2009. Columns that never vary need one row.
    """
    columns = series.reshape(len(series), -1)
    varied = columns[:, np.ptp(columns, axis=0) > 0.0]
    if not varied.size:
        return 1.0
    return max(float(_bootstrap().optimal_block_length(varied)["stationary"].max()), 1.0)


def compounded_drawdown(returns: FloatArray) -> float:
    """Return the largest fall, as a fraction of the peak, of what simple returns [T] compound to; NaN returns count as none."""
    return metrics.drawdown(np.concatenate([[1.0], np.cumprod(1.0 + np.nan_to_num(returns))]))


def _p_values(gain: FloatArray, seed: int, draws: int) -> tuple[float, float]:
    """Return Hansen's consistent and White's p value for gains [T, M] over one baseline, positive where a model lost less."""
    varied = gain[:, np.ptp(gain, axis=0) > 0.0]
    if not varied.size:
        return (0.0, 0.0) if (gain > 0.0).any() else (1.0, 1.0)
    block = math.ceil(block_rows(varied))
    # arch 8.0 takes `studentize` and leaves it unused. Deviations are fixed over draws, so that dividing beforehand is the same.
    deviation = np.sqrt([metrics.hac_variance(column, block) for column in varied.T])
    return _spa(varied / deviation, block, seed, draws)["consistent"], _spa(varied, block, seed, draws)["upper"]


def _spa(gain: FloatArray, block: int, seed: int, draws: int) -> dict[str, float]:
    """Return arch's p values by name for gains [T, M] over a baseline of no loss."""
    test = _bootstrap().SPA(np.zeros(len(gain)), -gain, block_size=block, reps=draws, studentize=False, seed=seed)
    test.compute()
    return {str(name): float(value) for name, value in test.pvalues.items()}


def _refuse_short(known: FloatArray) -> None:
    if len(known) < ROWS_MIN:
        raise DataError(f"a bootstrap was asked of {len(known)} known rows, but {ROWS_MIN} or more are needed")


def _bootstrap() -> Any:
    import arch.bootstrap

    return arch.bootstrap
