"""Metrics: each is a name, a statistic over rows, and an aggregation of it. All pure functions of arrays."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from domain.panel import FloatArray
from models.contract import BoolArray, IntArray

EULER_MASCHERONI = 0.5772156649015329
#: Fewer names in a row than this rank nothing.
NAMES_MIN = 3
#: Horizons of lags in the standard errors of anything that overlapping labels correlate.
OVERLAP_LAGS = 3


def rank_ic(forecast: FloatArray, outcome: FloatArray) -> FloatArray:
    """Return [T] the Spearman correlation across symbols in each row of two [T, S] arrays (ties get mean ranks).

    NaN where fewer than NAMES_MIN pairs are known or either side is constant. Grinold and Kahn 2000, Active Portfolio Management,
    chapter 6.
    """
    known = np.isfinite(forecast) & np.isfinite(outcome)
    return _row_correlation(row_ranks(forecast, known), row_ranks(outcome, known), known)


def ic(forecast: FloatArray, outcome: FloatArray) -> FloatArray:
    """Return [T] the Pearson correlation across symbols in each row of two [T, S] arrays; NaN as in `rank_ic`."""
    known = np.isfinite(forecast) & np.isfinite(outcome)
    return _row_correlation(forecast, outcome, known)


def pooled_ic(forecast: FloatArray, outcome: FloatArray) -> FloatArray:
    """Return [T] each row's contribution to the Spearman correlation over all pairs of [T, S]; its NaN-mean is that correlation.

    For panels too narrow to rank within a row: both sides are ranked over the whole sample and standardised, and a row contributes
    the mean product of its pairs times its share of pairs, so that the series can be tested like any other.
    """
    known = np.isfinite(forecast) & np.isfinite(outcome)
    out = np.full(len(forecast), np.nan)
    if known.sum() < NAMES_MIN:
        return out
    first, second = (_standard_ranks(values[known]) for values in (forecast, outcome))
    product = np.zeros(known.shape)
    product[known] = first * second
    rows = known.any(axis=1)
    out[rows] = product[rows].sum(axis=1) * (rows.sum() / known.sum())
    return out


def icir(series: FloatArray) -> float:
    """Return mean over standard deviation of an IC series: the information ratio of one row. Grinold and Kahn 2000, ch. 6."""
    values = series[np.isfinite(series)]
    return _ratio(float(values.mean()), float(values.std(ddof=1))) if len(values) > 1 else math.nan


def hac_variance(series: FloatArray, lags: int) -> float:
    """Return the long-run variance g0 + 2 sum_{k=1..lags} (1 - k / (lags + 1)) g_k, g_k autocovariances with divisor n.

    Newey and West 1987, Econometrica 55(3), eq. 5. NaN values are dropped beforehand. Never negative by construction.
    """
    values = series[np.isfinite(series)]
    if len(values) < 2:
        return math.nan
    centred = values - values.mean()
    total = float(np.sum(centred * centred))
    for lag in range(1, min(lags, len(values) - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float(np.sum(centred[lag:] * centred[:-lag]))
    return max(total / len(values), 0.0)


def hac_t(series: FloatArray, lags: int) -> float:
    """Return the t statistic of the mean with Newey-West standard errors over `lags`."""
    values = series[np.isfinite(series)]
    if len(values) < 2:
        return math.nan
    return _ratio(float(values.mean()), math.sqrt(hac_variance(values, lags) / len(values)))


def overlap_t(series: FloatArray, horizon: int) -> float:
    """Return the HAC t of a series that labels over `horizon` bars make overlap, with OVERLAP_LAGS horizons of lags.

    Bartlett weights reach zero too soon otherwise: at one horizon they miss a quarter of the overlap's variance, at three a tenth.
    """
    return hac_t(series, OVERLAP_LAGS * horizon)


def certainty(series: FloatArray, horizon: int) -> float:
    """Return the share of a series' mean to believe, `max(0, 1 - 1 / t^2)` with its overlap t; 0 where there is no t.

    James and Stein 1961, Proc. 4th Berkeley Symp. 1, positive part, for one mean.
    """
    t = overlap_t(series, horizon)
    return max(0.0, 1.0 - 1.0 / t**2) if t != 0.0 and not math.isnan(t) else 0.0


def hit_rate(forecast: FloatArray, outcome: FloatArray) -> float:
    """Return the share of pairs whose signs agree, of those where both are known and neither is zero."""
    known = np.isfinite(forecast) & np.isfinite(outcome) & (forecast != 0.0) & (outcome != 0.0)
    return float(np.mean((forecast > 0.0)[known] == (outcome > 0.0)[known])) if known.any() else math.nan


def pinball(quantile: FloatArray, outcome: FloatArray, level: float) -> FloatArray:
    """Return max(a e, (a - 1) e) with e = outcome - quantile and a = level, element by element; NaN where either is missing.

    Koenker and Bassett 1978, Econometrica 46(1).
    """
    error = outcome - quantile
    return np.maximum(level * error, (level - 1.0) * error)


def pinball_rows(quantiles: FloatArray, outcome: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """Return [T] pinball loss of [T, S, Q] averaged over symbols and levels; NaN for rows without a pair."""
    losses = np.mean([pinball(quantiles[..., k], outcome, level) for k, level in enumerate(levels)], axis=0)
    return row_mean(losses)


def coverage(quantile: FloatArray, outcome: FloatArray) -> float:
    """Return the share of outcomes at or below their quantile; a calibrated quantile of level a has coverage a."""
    known = np.isfinite(quantile) & np.isfinite(outcome)
    return float(np.mean(outcome[known] <= quantile[known])) if known.any() else math.nan


def crps(quantiles: FloatArray, outcome: FloatArray, levels: tuple[float, ...]) -> float:
    """Return twice the mean pinball loss over levels: the CRPS's quantile form. Gneiting and Ranjan 2011, JBES 29(3), eq. 11."""
    return 2.0 * float(np.nanmean(pinball_rows(quantiles, outcome, levels)))


def skill(loss: float, reference: float) -> float:
    """Return 1 - loss / reference: the share by which a loss beats the reference's; 0 is no better."""
    return 1.0 - _ratio(loss, reference)


def sharpe(returns: FloatArray, periods_a_year: float = 1.0) -> float:
    """Return mean over standard deviation times sqrt(periods a year); 0 when nothing varies. Sharpe 1994, JPM 21(1)."""
    values = returns[np.isfinite(returns)]
    if len(values) < 2:
        return math.nan
    deviation = float(values.std(ddof=1))
    return float(values.mean()) / deviation * math.sqrt(periods_a_year) if deviation > 0.0 else 0.0


def sharpe_se(returns: FloatArray, periods_a_year: float = 1.0) -> float:
    """Return the standard error sqrt((1 - g3 SR + (g4 - 1) / 4 SR^2) / (n - 1)) of the Sharpe ratio, annualised like it.

    SR is per period, g3 skewness, g4 kurtosis (3 for a normal). Mertens 2002, which is Lo 2002 (FAJ 58(4)) for normal returns;
    the form with n - 1 is Bailey and Lopez de Prado 2012, Journal of Risk 15(2), eq. 8. Returns are taken as independent.
    """
    values = returns[np.isfinite(returns)]
    if len(values) < 3 or not float(values.std()) > 0.0:
        return math.nan
    ratio = sharpe(values)
    skew, kurtosis = float(stats.skew(values)), float(stats.kurtosis(values, fisher=False))
    variance = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    return math.sqrt(max(variance, 0.0) / (len(values) - 1) * periods_a_year)


def probabilistic_sharpe(returns: FloatArray, benchmark: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio of one period exceeds `benchmark`; NaN when nothing varies.

    Bailey and Lopez de Prado 2012, Journal of Risk 15(2), eq. 11: Phi((SR - benchmark) / se).
    """
    error = sharpe_se(returns)
    return float(stats.norm.cdf(_ratio(sharpe(returns) - benchmark, error))) if math.isfinite(error) else math.nan


def expected_best_sharpe(trials: int, deviation: float) -> float:
    """Return the Sharpe ratio that the best of `trials` worthless strategies is expected to show.

    deviation * ((1 - g) Phi^-1(1 - 1/N) + g Phi^-1(1 - 1/(N e))), g Euler-Mascheroni, `deviation` the spread of Sharpe ratios over
    trials. Bailey and Lopez de Prado 2014, JPM 40(5), eq. 1. 0 for one trial.
    """
    if trials <= 1:
        return 0.0
    first, second = stats.norm.ppf(1.0 - 1.0 / trials), stats.norm.ppf(1.0 - 1.0 / (trials * math.e))
    return deviation * ((1.0 - EULER_MASCHERONI) * float(first) + EULER_MASCHERONI * float(second))


def deflated_sharpe(returns: FloatArray, trials: int, deviation: float | None = None) -> float:
    """Return the probabilistic Sharpe ratio against the best of `trials` by luck. Bailey and Lopez de Prado 2014, JPM 40(5), eq. 2.

    `deviation` is the spread of one-period Sharpe ratios over the trials; by default the standard error of this one.
    """
    spread = sharpe_se(returns) if deviation is None else deviation
    return probabilistic_sharpe(returns, expected_best_sharpe(trials, spread))


def drawdown(equity: FloatArray) -> float:
    """Return the largest fall from a peak as a fraction of it, at least 0; NaN points are skipped."""
    values = equity[np.isfinite(equity)]
    if not len(values):
        return math.nan
    return float(np.max(1.0 - values / np.maximum.accumulate(values)))


def turnover(weights: FloatArray) -> float:
    """Return the mean over rows of sum |w[t] - w[t-1]| of [T, S] weights, NaN weights being no position."""
    held = np.nan_to_num(weights)
    return float(np.abs(np.diff(held, axis=0)).sum(axis=1).mean()) if len(held) > 1 else 0.0


def paired_p(first: FloatArray, second: FloatArray, lags: int) -> float:
    """Return the one-sided p value that `first` is no larger on average than `second`, from the HAC t of their differences.

    Diebold and Mariano 1995, JBES 13(3), with the small-sample factor of Harvey, Leybourne and Newbold 1997, IJF 13(2), eq. 9, and
    a Student t of n - 1 degrees. For losses, hand over the old model's as `first`. 1 when the two never differ.
    """
    difference = (first - second)[np.isfinite(first) & np.isfinite(second)]
    count, steps = len(difference), min(lags, max(len(difference) - 1, 0)) + 1
    if count < 3:
        return math.nan
    if not np.ptp(difference) > 0.0:
        return 1.0 if difference[0] <= 0.0 else 0.0
    small = math.sqrt(max(count + 1 - 2 * steps + steps * (steps - 1) / count, 0.0) / count)
    return float(stats.t.sf(small * hac_t(difference, lags), count - 1))


def row_mean(values: FloatArray) -> FloatArray:
    """Return [T] the mean over symbols of what is known, NaN for rows without any."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def row_demean(values: FloatArray) -> FloatArray:
    """Return [T, S] less each row's mean of what is known."""
    return values - row_mean(values)[:, None]


def row_median(values: FloatArray) -> FloatArray:
    """Return [T] the median of each row of [T, S] without its NaNs, NaN for rows of nothing else: `np.nanmedian`, much faster."""
    ordered, count, row = np.sort(values, axis=1), (~np.isnan(values)).sum(axis=1), np.arange(len(values))
    # NaNs are sorted to the end: in a row of nothing else place -1 is one as well.
    return np.asarray(0.5 * (ordered[row, (count - 1) // 2] + ordered[row, count // 2]))


def row_ranks(values: FloatArray, known: BoolArray) -> FloatArray:
    """Return [T, S] ranks within each row, 1 the smallest, ties getting their mean; NaN where not known."""
    ranked: FloatArray = stats.rankdata(np.where(known, values, np.nan), axis=1, nan_policy="omit")
    return ranked


def normal_scores(values: FloatArray, known: BoolArray) -> FloatArray:
    """Return [T, S] Phi^-1((rank - 1/2) / n) within each row, as a normal sample of that size would lie; NaN where not known."""
    count = known.sum(axis=1, keepdims=True)
    scores: FloatArray = stats.norm.ppf((row_ranks(values, known) - 0.5) / np.maximum(count, 1))
    return scores


def mean(series: FloatArray) -> float:
    """Return the mean of what is known, NaN when nothing is."""
    values = series[np.isfinite(series)]
    return float(values.mean()) if len(values) else math.nan


@dataclass(frozen=True)
class Metric:
    """A name, a statistic of each row of [T, S] forecast and outcome, and what becomes of the series."""

    name: str
    statistic: Callable[[FloatArray, FloatArray], FloatArray]
    aggregation: Callable[[FloatArray, int], float]
    """Takes the [T] series and the horizon."""


#: What is said of the location of a forecast, its median.
METRICS: tuple[Metric, ...] = (
    Metric("rank_ic", rank_ic, lambda series, horizon: mean(series)),
    Metric("rank_ic_t", rank_ic, overlap_t),
    Metric("rank_icir", rank_ic, lambda series, horizon: icir(series)),
    Metric("ic", ic, lambda series, horizon: mean(series)),
    Metric("ic_t", ic, overlap_t),
    Metric("pooled_ic", pooled_ic, lambda series, horizon: mean(series)),
    Metric("pooled_ic_t", pooled_ic, overlap_t),
)


def _ratio(above: float, below: float) -> float:
    """Return above / below, infinite with the sign of `above` when `below` is 0, NaN for 0 / 0."""
    if below != 0.0:
        return above / below
    return math.copysign(math.inf, above) if above != 0.0 and not math.isnan(above) else math.nan


def _standard_ranks(values: FloatArray) -> FloatArray:
    ranked = stats.rankdata(values)
    deviation = float(ranked.std())
    centred: FloatArray = ranked - ranked.mean()
    return centred / deviation if deviation > 0.0 else np.full(len(values), np.nan)


def _row_correlation(first: FloatArray, second: FloatArray, known: BoolArray) -> FloatArray:
    count = known.sum(axis=1)
    left, right = (_centred(values, known, count) for values in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = (left * right).sum(axis=1) / np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    varied = _varies(first, known) & _varies(second, known)
    return np.where((count >= NAMES_MIN) & varied, correlation, np.nan)


def _varies(values: FloatArray, known: BoolArray) -> BoolArray:
    highest, lowest = np.where(known, values, -np.inf).max(axis=1), np.where(known, values, np.inf).min(axis=1)
    return np.asarray(highest > lowest)


def _centred(values: FloatArray, known: BoolArray, count: IntArray) -> FloatArray:
    held = np.where(known, values, 0.0)
    return np.where(known, held - (held.sum(axis=1) / np.maximum(count, 1))[:, None], 0.0)
