"""Audit: whether the future leaks into a dataset, or into what a model family learns from it.

What is known of an honest column decides what accuses one. It may go with any outcome that began before its row, since that is how
past returns are made: windows moved backwards accuse nobody. Of what comes after its row it knows little, and what it knows fades:
a slow edge goes nearly as well with the window that begins a horizon later, and a fast one is small from the start. A leak goes
with its own row's outcome and with what overlaps it, and with nothing beyond.

What cannot be told apart from outside: a leak no larger than an edge (a rank IC of 0.1, or what drowns in the standard errors of a
short or narrow history); one so slow that it is still there a horizon later (a centred average of years, a universe of survivors),
unless its size is absurd; one that tells only by where a column is missing; and an edge as large as a leak, which no market is
known to have had. That no feature changes when later bars do is for the tests of features: columns are taken as they come.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from domain.error import DataError
from domain.forecast import MEDIAN
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params
from models import metrics
from models.contract import Dataset, Float32Array
from models.splits import Fold
from pipelines.model import evaluation, training

#: Chance passes a t of 3 about once in 700 tries.
LUCK_T = 3.0
#: Standard errors that a size must do without.
DOUBT = 2.0
#: Fewer rows than this measure no column.
ROWS_MIN = 60
#: How large what replaces the future is: nothing that has seen it stays the same.
GARBAGE = 1e3


@dataclass(frozen=True)
class Finding:
    """A number found, and the largest that an honest one would be."""

    check: str
    subject: str
    found: float
    limit: float
    passed: bool
    meaning: str


@dataclass(frozen=True)
class Audit:
    """What every check found."""

    rows: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no check found a leak."""
        return all(row.passed for row in self.rows)

    @property
    def suspects(self) -> tuple[str, ...]:
        """Return whatever failed a check, each once, in the order of the checks."""
        return tuple(dict.fromkeys(row.subject for row in self.rows if not row.passed))

    def markdown(self) -> str:
        """Return a table, a finding a row."""
        lines = ["| check | subject | found | limit | | meaning |", "|---|---|---:|---:|---|---|"]
        for row in self.rows:
            verdict = "passed" if row.passed else "**suspect**"
            lines.append(f"| {row.check} | {row.subject} | {row.found:.3g} | {row.limit:g} | {verdict} | {row.meaning} |")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Outcome:
    """Forward returns, prepared for being held against many columns; see `against`."""

    forward: FloatArray
    """[T, S] log return from open[t + 1] to open[t + 1 + horizon]."""
    ranks: FloatArray
    """[T, S] its ranks within each row."""
    horizon: int
    wide: bool
    """Whether rows have enough symbols to be ranked."""

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Return the outcome of a dataset; raise DataError when fewer than ROWS_MIN rows have one."""
        known = np.isfinite(dataset.forward)
        if (rows := int(known.any(axis=1).sum())) < ROWS_MIN:
            raise DataError(f"an audit was asked of {rows} rows whose outcome is known, but {ROWS_MIN} or more are needed")
        wide = bool(known.sum(axis=1).max(initial=0) >= metrics.NAMES_MIN)
        return cls(dataset.forward, metrics.row_ranks(dataset.forward, known), dataset.horizon, wide)

    def against(self, column: FloatArray) -> Callable[[int], FloatArray]:
        """Return a function from rows that the outcome's window moves, later when positive, to the [T] rank IC of `column` [T, S].

        Within rows where they rank symbols; over time where rows are too narrow, and for a column that is the same for all symbols
        the same with their mean return.
        """
        known = np.isfinite(column)
        if not self.wide:
            return lambda rows: metrics.pooled_ic(column, _moved(self.forward, rows))
        if not (np.fmax.reduce(column, axis=1) > np.fmin.reduce(column, axis=1)).any():
            shared, market = (metrics.row_mean(each)[:, None] for each in (column, self.forward))
            return lambda rows: metrics.pooled_ic(shared, _moved(market, rows))
        ranks = metrics.row_ranks(column, known)
        return lambda rows: metrics.ic(ranks, _moved(self.ranks, rows))


@dataclass(frozen=True)
class Trait:
    """What would be absurd of one column."""

    check: str
    limit: float
    meaning: str
    found: Callable[[Callable[[int], FloatArray], int], float]
    """Takes what `Outcome.against` returns and the horizon."""


def audit(dataset: Dataset, params: Params, market: Market, name: str) -> Audit:
    """Return what becomes of model family `name` where there is nothing to learn, and which columns know too much.

    Costs three walks through all folds and two fits of the last one. Raises what `training.walk` raises, and DataError when fewer
    than ROWS_MIN rows have an outcome.
    """
    folds = training.split(dataset, params, market)

    def walked(changed: Dataset) -> FloatArray:
        return training.walk(changed, params, market, folds, name)[0]

    forecasts = walked(dataset)
    columns = [(label, dataset.features[..., k].astype(np.float64)) for k, label in enumerate(dataset.names)]
    columns.append((f"forecast of {name}", forecasts[..., MEDIAN]))
    mixed, late = shuffled(dataset, params.training.seed), delayed(dataset)
    findings = [
        _shuffled(walked(mixed), mixed, name),
        *suspicious(columns, dataset),
        _delayed(forecasts, walked(late), dataset, name),
        _poisoned(dataset, params, market, folds[-1], name),
    ]
    return Audit(tuple(findings))


def shuffled(dataset: Dataset, seed: int) -> Dataset:
    """Return the dataset with labels and forward returns, together, permuted among the symbols known in each row.

    Over time, a symbol at a time, where rows are too narrow to rank. What features say of outcomes is gone: whoever still ranks
    them has been told the answers. A leak within a feature is gone as well: it is for `suspicious` to find.
    """
    known = np.isfinite(dataset.label) & np.isfinite(dataset.forward)
    across = known.sum(axis=1).max(initial=0) >= metrics.NAMES_MIN
    held = known if across else known.T
    luck = np.where(held, np.random.default_rng(seed).random(held.shape), np.inf)
    # Both put what is known first, one in its order and one in any.
    places, sources = np.argsort(~held, axis=1, kind="stable"), np.argsort(luck, axis=1, kind="stable")

    def mixed(values: FloatArray) -> FloatArray:
        old = values if across else values.T
        new = np.empty_like(old)
        np.put_along_axis(new, places, np.take_along_axis(old, sources, axis=1), axis=1)
        return new if across else new.T

    nearer = {horizon: mixed(label) for horizon, label in dataset.nearer.items()}
    return replace(dataset, label=mixed(dataset.label), forward=mixed(dataset.forward), nearer=nearer)


def delayed(dataset: Dataset) -> Dataset:
    """Return the dataset whose features are those of the row before; the first row has none."""
    features = np.full_like(dataset.features, np.nan)
    features[1:] = dataset.features[:-1]
    return replace(dataset, features=features)


def poisoned(dataset: Dataset, cut: int, seed: int) -> Dataset:
    """Return the dataset with garbage in every column from row `cut` on: features, labels, forward returns and scale."""
    rng = np.random.default_rng(seed)

    def spoilt(values: FloatArray) -> FloatArray:
        new = values.copy()
        new[cut:] = GARBAGE * rng.standard_normal(new[cut:].shape)
        return new

    features: Float32Array = spoilt(dataset.features.astype(np.float64)).astype(np.float32)
    features[:cut] = dataset.features[:cut]
    nearer = {horizon: spoilt(label) for horizon, label in dataset.nearer.items()}
    scale = np.abs(spoilt(dataset.scale))
    return replace(
        dataset, features=features, forward=spoilt(dataset.forward), label=spoilt(dataset.label), scale=scale, nearer=nearer
    )


def suspicious(columns: Iterable[tuple[str, FloatArray]], dataset: Dataset) -> list[Finding]:
    """Return every column [T, S] that has a trait no honest one has, and for traits that none has, the column that comes closest.

    All sizes are those beyond doubt, DOUBT standard errors less than was found.
    """
    outcome = Outcome.of(dataset)
    found = {name: _traits(outcome.against(column), dataset.horizon) for name, column in columns}
    findings = []
    for number, trait in enumerate(TRAITS):
        sizes = {name: each[number] for name, each in found.items()}
        worst = max(sizes, key=lambda name: sizes[name])
        named = [name for name, size in sizes.items() if size > trait.limit] or [worst]
        findings += [_finding(trait.check, name, sizes[name], trait.limit, trait.meaning) for name in named]
    return findings


def _traits(series: Callable[[int], FloatArray], horizon: int) -> list[float]:
    return [trait.found(series, horizon) for trait in TRAITS]


def _size(series: Callable[[int], FloatArray], horizon: int) -> float:
    own = series(0)
    return _beyond_doubt(own, _side(own), horizon)


def _steady(series: Callable[[int], FloatArray], horizon: int) -> float:
    own = series(0)
    error = _error(own, horizon)
    return abs(metrics.mean(own)) / error if error > 0.0 else 0.0


def _confined(series: Callable[[int], FloatArray], horizon: int) -> float:
    """Return how much is gone a horizon later, from the row's own window or the next row's, which a leak may be aligned with."""
    return max(_gone(series(rows), series(rows + horizon), horizon) for rows in (0, 1))


def _immediate(series: Callable[[int], FloatArray], horizon: int) -> float:
    """Return the correlation with the next bar alone.

    Windows of `horizon` bars of equal variance, one of them without the next bar, differ by that correlation over sqrt(horizon).
    """
    return math.sqrt(horizon) * _gone(series(0), series(1), horizon)


#: What no honest column is, in the order of the report.
TRAITS: tuple[Trait, ...] = (
    Trait("size", 0.3, "rank IC with the row's own outcome, beyond doubt: markets have shown a few hundredths", _size),
    Trait("steadiness", 30.0, "HAC t of that rank IC: an edge has bad years", _steady),
    Trait(
        "confinement", 0.1, "rank IC that is gone once the outcome begins a horizon later: an edge so large would fade", _confined
    ),
    Trait("immediacy", 0.3, "correlation with the next bar alone, gone once the outcome begins a row later", _immediate),
)


def _shuffled(forecasts: FloatArray, mixed: Dataset, name: str) -> Finding:
    # Permuted rows know nothing of each other, so that the plain standard error is the right one.
    t = metrics.hac_t(evaluation.ranking(forecasts, mixed), lags=0)
    return _finding("shuffled labels", name, t, LUCK_T, "t of the rank IC out of sample where features say nothing of labels")


def _delayed(forecasts: FloatArray, late: FloatArray, dataset: Dataset, name: str) -> Finding:
    """Compare skill: only features that lie a row too early, or outcomes a horizon too late, gain by a delay.

    Outcomes that are late by less overlap their neighbours: what gives them away is the size of the past returns in them.
    """
    gain = evaluation.ranking(late, dataset) - evaluation.ranking(forecasts, dataset)
    t = metrics.overlap_t(gain, dataset.horizon)
    return _finding("shifted features", name, t, LUCK_T, "t of the rank IC gained by knowing every feature a row later")


def _poisoned(dataset: Dataset, params: Params, market: Market, fold: Fold, name: str) -> Finding:
    """Fit on the last fold and forecast its first half, with and without garbage from there on."""
    half = len(fold.test) // 2
    kept = Fold(fold.train, fold.test[:half])
    spoilt = poisoned(dataset, int(fold.test[half]), params.training.seed)
    before, after = (training.walk(each, params, market, [kept], name)[0] for each in (dataset, spoilt))
    changed = (before.view(np.uint64) != after.view(np.uint64)) & ~(np.isnan(before) & np.isnan(after))
    return _finding("poisoned future", name, float(changed.sum()), 0.0, "forecasts that garbage in later rows changed, by any bit")


def _finding(check: str, subject: str, found: float, limit: float, meaning: str) -> Finding:
    # Where nothing could be measured nothing was found.
    return Finding(check, subject, found, limit, not found > limit, meaning)


def _gone(first: FloatArray, second: FloatArray, horizon: int) -> float:
    """Return the rank IC beyond doubt of series `first` that `second` lacks; never more than all of it."""
    side = _side(first)
    return min(_beyond_doubt(first, side, horizon), _beyond_doubt(first - second, side, horizon))


def _beyond_doubt(series: FloatArray, side: float, horizon: int) -> float:
    """Return the mean of a series toward `side`, less DOUBT standard errors, and 0 where that is less."""
    error = _error(series, horizon)
    return max(side * metrics.mean(series) - DOUBT * error, 0.0) if math.isfinite(error) else 0.0


def _error(series: FloatArray, horizon: int) -> float:
    """Return the HAC standard error of the mean, or the plain one where that is larger; NaN for fewer than ROWS_MIN rows."""
    count = int(np.isfinite(series).sum())
    lags = (0, metrics.OVERLAP_LAGS * horizon)
    return math.sqrt(max(metrics.hac_variance(series, each) for each in lags) / count) if count >= ROWS_MIN else math.nan


def _side(series: FloatArray) -> float:
    return math.copysign(1.0, metrics.mean(series))


def _moved(outcome: FloatArray, rows: int) -> FloatArray:
    """Return [T, S] the outcome of `rows` later for each row; NaN where there is none."""
    moved = np.full_like(outcome, np.nan)
    moved[: len(outcome) - rows] = outcome[rows:]
    return moved
