"""Sizing: how much of a forecast is acted upon, chosen by what each setting would have earned out of sample.

Every setting of a small grid trades the same out-of-sample forecasts on the paper exchange. The settings of params.yaml stay unless
another one has more utility than they have, and than holding nothing, beyond the luck of picking among so many. Of such the one
with the best Sharpe ratio is chosen, if that is better as well. Utility is that of the net returns to whoever finds the volatility
target right for a Sharpe ratio of one: it holds costs against gains, while a ratio alone praises whoever hardly trades. Recent bars
count more. So a market without an edge leaves params.yaml alone; and the target, the budget, is not among what is chosen.

Each fold is traded by settings chosen on the rows that its model could have learned from; what goes on is chosen on all rows.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params, Sizing
from models import metrics
from models.bootstrap import ROWS_MIN
from models.splits import Fold
from pipelines.execution import simulate


@dataclass(frozen=True)
class Tried:
    """One setting and what it would have earned."""

    sizing: Sizing
    utility: float
    """Yearly certainty equivalent of the weighted net returns, a fraction of equity."""
    sharpe: float
    """Yearly Sharpe ratio of the weighted net returns."""
    p: float
    """p value that it is no better than params.yaml's settings or than holding nothing, corrected for the number tried."""


@dataclass(frozen=True)
class Sized:
    """What a search came to."""

    turns: tuple[tuple[int, Sizing], ...]
    """First row of each fold and the settings that it is traded by, which know nothing later."""
    chosen: Sizing | None
    """The settings to go on with; None leaves those of params.yaml."""
    tried: tuple[Tried, ...]
    """All settings on all rows, those of params.yaml first."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "turns": [{"row": row, "sizing": sizing.model_dump()} for row, sizing in self.turns],
            "chosen": self.chosen.model_dump() if self.chosen is not None else None,
            "tried": [asdict(each) | {"sizing": each.sizing.model_dump()} for each in self.tried],
        }


def turns(told: dict[str, Any]) -> list[tuple[int, Sizing]]:
    """Return the turns that `Sized.to_dict` told of."""
    return [(int(each["row"]), Sizing.model_validate(each["sizing"])) for each in told["turns"]]


def grid(params: Params) -> list[Sizing]:
    """Return the settings that are tried: those of params.yaml first, then every other combination of what is listed with them."""
    own, search = params.decisions.sizing, params.learning.sizing
    values = [sorted({getattr(own, name), *getattr(search, name)}) for name in Sizing.model_fields]
    combined = [Sizing(**dict(zip(Sizing.model_fields, each, strict=True))) for each in itertools.product(*values)]
    return [own, *(each for each in combined if each != own)]


def search(panel: Panel, forecasts: FloatArray, market: Market, params: Params, folds: Sequence[Fold], scale: FloatArray) -> Sized:
    """Choose settings for each fold and for afterwards by what out-of-sample forecasts [T, S, Q] would have earned on the panel."""
    own, settings, p_max = params.decisions.sizing, grid(params), params.learning.sizing.p_max
    known = np.flatnonzero(np.isfinite(forecasts).any(axis=(1, 2)))
    if len(settings) == 1 or not len(known):
        return Sized((), None, ())
    earned = returns(panel, forecasts, market, params, settings, scale, int(known[0]))
    turned = []
    for fold in folds:
        before = judge(earned[fold.train], settings, market, params)
        turned.append((int(fold.test[0]), best(before, p_max) if before else own))
    tried = judge(earned, settings, market, params)
    chosen = best(tried, p_max) if tried else own
    return Sized(tuple(turned), chosen if chosen != own else None, tuple(tried))


def returns(
    panel: Panel, forecasts: FloatArray, market: Market, params: Params, settings: Sequence[Sizing], scale: FloatArray, first: int
) -> FloatArray:
    """Return [T, K] the net simple return in each bar of an account that trades by each setting from row `first`, before it NaN."""
    earned = np.full((panel.bars, len(settings)), np.nan)
    for k, sizing in enumerate(settings):
        outcome = simulate.run(
            panel, forecasts, market, params.sized(sizing), model_version="", since=panel.event_at[first], scale=scale
        )
        earned[first:, k] = np.diff(outcome.equity, prepend=outcome.capital) / np.append(outcome.capital, outcome.equity[:-1])
    return earned


def judge(earned: FloatArray, settings: Sequence[Sizing], market: Market, params: Params) -> list[Tried]:
    """Return what net returns [T, K] of settings, params.yaml's own first, say of each; nothing of fewer than ROWS_MIN known rows.

    Utility is E[r] - E[r^2] / (2 target): the risk aversion by which a strategy with a yearly Sharpe ratio of 1 is held at the
    volatility target (Markowitz 1959, Portfolio Selection). The p value is Bonferroni's, of paired tests with HAC errors
    (Diebold and Mariano 1995); both claims must hold (Berger 1982). Bars are weighed by age, see `weights`.
    """
    known = earned[np.isfinite(earned).all(axis=1)]
    if len(known) < ROWS_MIN:
        return []
    weight = weights(len(known), params.learning.sizing.half_life)[:, None]
    utility = weight * (known - known**2 / (2.0 * params.decisions.volatility_target))
    others, lags = (utility[:, 0], np.zeros(len(known))), metrics.OVERLAP_LAGS * market.horizon
    claims = [max(metrics.paired_p(mine, other, lags) for other in others) for mine in utility.T]
    corrected = np.minimum(np.array(claims) * max(len(settings) - 1, 1), 1.0)
    columns = utility.mean(axis=0) * market.bars_a_year, sharpe(known, weight, market.bars_a_year), corrected
    return [Tried(*each) for each in zip(settings, *(column.tolist() for column in columns), strict=True)]


def best(tried: Sequence[Tried], p_max: float) -> Sizing:
    """Return the setting with the best Sharpe ratio of those whose utility is beyond luck; the first where none is better."""
    own = tried[0]
    return max((own, *(each for each in tried if each.p <= p_max)), key=lambda each: each.sharpe).sizing


def weights(rows: int, half_life: float) -> FloatArray:
    """Return [T] weights with mean 1 that halve every `half_life` of the rows toward the oldest, the first.

    >>> weights(3, 1 / 3).tolist()
    [0.42857142857142855, 0.8571428571428571, 1.7142857142857142]
    """
    raw: FloatArray = 0.5 ** (np.arange(rows - 1, -1, -1) / (half_life * rows))
    scaled: FloatArray = raw * (rows / raw.sum())
    return scaled


def sharpe(earned: FloatArray, weight: FloatArray, bars_a_year: float) -> FloatArray:
    """Return [K] yearly Sharpe ratios of returns [T, K] under weights [T, 1] with mean 1; 0 for one that never varies."""
    mean = (weight * earned).mean(axis=0)
    deviation = np.sqrt((weight * (earned - mean) ** 2).mean(axis=0))
    ratios: FloatArray = np.where(deviation > 0.0, mean / np.where(deviation > 0.0, deviation, 1.0), 0.0) * np.sqrt(bars_a_year)
    return ratios
