"""The live record: every forecast of a version scored once its outcome is known, and what may be concluded from that at any time.

Bounds are asked about at every bar, so a test made for one look would end by firing at anything. Here each bound is a bet: a
gambler who starts with 1 stakes on the next bar breaking it, at odds that are fair or worse for as long as the version keeps it.
By Ville's inequality the gambler is ever worth `1 / a` with probability `a` at most, over a run without end (Ville 1939; betting on
bounded means: Waudby-Smith and Ramdas 2024, JRSSB 86(1); forecasts against a reference, conditionally on what was known: Henzi and
Ziegel 2022, Biometrika 109(3), and Choe and Ramdas 2024, Operations Research 72(4)).

- `skill`: the pinball loss is expected to be no larger than that of climatology. Given two forecasts their losses differ by no more
  than a bound that is known beforehand, whatever comes, so that tails need no assumption.
- `coverage`: of the outcomes no fewer than promised, less a tolerance, are expected in the widest range.
- `ranking`: the rank correlation across symbols is expected not to be negative.

An outcome is known `horizon + 1` bars after its forecast. Bets are therefore placed by as many gamblers in turn, each of whom knows
how the bet before came out; that one of them is ever worth `gamblers * bounds / a` has probability `a` at most.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from domain.params import Serving
from features import labels
from models import metrics
from pipelines.execution import accounts
from pipelines.journal import Journal

KIND = "score"
BOUNDS = ("skill", "coverage", "ranking")
#: Shares of the largest bearable stake, one gambler's money spread evenly over them.
STAKES = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
#: Share of outcomes that the widest range of a forecast promises to hold.
PROMISED = LEVELS[-1] - LEVELS[0]
#: How far the loss at each level can move with its quantile: pinball loss has this slope at most.
_SLOPES = np.maximum(LEVELS, 1.0 - np.array(LEVELS))
#: Climatology's quantiles are those of outcomes without their sign, and opposite at opposite levels.
_SIDES = np.round(2.0 * np.array(LEVELS) - 1.0, 12)


@dataclass(frozen=True)
class Score:
    """One bar's forecast against what came of it; NaN where that could not be told."""

    bar: int
    """Number of the bar that was forecast from, in the account's bars."""
    loss: float
    """Pinball loss, the mean over symbols and levels."""
    reference: float
    """That of climatology for the same symbols."""
    excess: float
    """The first less the second, as a share of the largest difference that these two forecasts could have made: -1 to 1."""
    rank_ic: float
    covered: float
    """Share of the outcomes within the widest range."""


def score(bar: int, forecast: FloatArray, reference: FloatArray, outcome: FloatArray) -> Score | None:
    """Return the score of quantiles [S, Q] against outcomes [S], both log returns; None where nothing can be compared."""
    said = np.isfinite(forecast).all(axis=1) & np.isfinite(reference).all(axis=1)
    known = said & np.isfinite(outcome)
    if not known.any():
        return None
    losses, references = (_losses(quantiles[known], outcome[known]) for quantiles in (forecast, reference))
    largest = float((_SLOPES * np.abs(forecast[said] - reference[said])).mean(axis=1).sum())
    excess = float((losses - references).sum()) / largest if largest > 0.0 else 0.0
    ic = float(metrics.rank_ic(forecast[None, :, MEDIAN], outcome[None])[0])
    covered = (outcome[known] > forecast[known, 0]) & (outcome[known] <= forecast[known, -1])
    return Score(bar, float(losses.mean()), float(references.mean()), excess, ic, float(covered.mean()))


def _losses(quantiles: FloatArray, outcome: FloatArray) -> FloatArray:
    """Return [N] pinball losses of [N, Q] quantiles, the mean over levels."""
    return np.asarray(np.mean([metrics.pinball(quantiles[:, k], outcome, level) for k, level in enumerate(LEVELS)], axis=0))


class _Said(NamedTuple):
    bar: int
    scale: FloatArray
    forecast: FloatArray | None
    reference: FloatArray


class Waiting:
    """The forecasts of one version whose outcomes are still to come, and climatology beside them.

    At each bar first `hear` its opens, then `say` what is forecast at its close. Climatology forecasts the quantiles of the last
    `bars` outcomes, in volatilities of the horizon and without their sign: nothing moves on average, as far as things did move.
    """

    def __init__(self, horizon: int, bars: int) -> None:
        self.horizon = horizon
        self._opens: deque[FloatArray] = deque(maxlen=horizon + 1)
        self._said: deque[_Said] = deque(maxlen=labels.known_after(horizon))
        self._moves: deque[FloatArray] = deque(maxlen=bars)

    def hear(self, opened: FloatArray) -> Score | None:
        """Take in a bar's opens [S] and return the score of the forecast whose outcome they make known, if there was one."""
        self._opens.append(np.array(opened))
        if len(self._said) < labels.known_after(self.horizon):
            return None
        outcome, said = np.log(self._opens[-1] / self._opens[0]), self._said[0]
        self._moves.append(np.abs(labels.scaled(outcome, said.scale, self.horizon)))
        return None if said.forecast is None else score(said.bar, said.forecast, said.reference, outcome)

    def say(self, bar: int, scale: FloatArray, forecast: FloatArray | None) -> None:
        """Note what is forecast at a bar's close: quantiles [S, Q], or nothing; `scale` [S] is the one-bar volatility."""
        reference = np.empty(0) if forecast is None else self._climatology(scale)
        self._said.append(_Said(bar, np.array(scale), None if forecast is None else np.array(forecast), reference))

    def _climatology(self, scale: FloatArray) -> FloatArray:
        moves = np.concatenate(self._moves) if self._moves else np.empty(0)
        known = moves[np.isfinite(moves)]
        quantiles = np.sign(_SIDES) * np.quantile(known, np.abs(_SIDES)) if len(known) else np.full(len(LEVELS), np.nan)
        return np.asarray(quantiles * (scale * math.sqrt(self.horizon))[:, None])


class Evidence:
    """What the scores of one version weigh against each of its bounds, bet by bet."""

    def __init__(self, horizon: int, serving: Serving) -> None:
        self._serving, self._gamblers = serving, labels.known_after(horizon)
        self._worth = np.zeros((self._gamblers, len(BOUNDS), len(STAKES)))
        self.bars = 0
        self.broken: str | None = None
        """The bound that was broken, for good: whoever broke one is not believed again."""

    @property
    def against(self) -> dict[str, float]:
        """Return for each bound how far the richest gambler came: 1 is where the bound counts as broken."""
        worth = np.logaddexp.reduce(self._worth, axis=2) - math.log(len(STAKES))
        asked = math.log(self._gamblers * len(BOUNDS) / self._serving.false_alarm_max)
        return {name: max(float(found) / asked, 0.0) for name, found in zip(BOUNDS, worth.max(axis=0), strict=True)}

    def add(self, found: Score) -> None:
        """Settle the bets on one bar; bars come in their order."""
        self._worth[found.bar % self._gamblers] += np.log1p(STAKES * self._payoffs(found)[:, None])
        self.bars += 1
        broken = [name for name, share in self.against.items() if share >= 1.0]
        if self.broken is None and broken and self.bars >= self._serving.judged_bars_min:
            self.broken = broken[0]

    def _payoffs(self, found: Score) -> FloatArray:
        """Return what a stake of 1 on each bound being broken wins: -1 at least, 0 on average at most while it is kept."""
        asked = PROMISED - self._serving.coverage_error_max
        payoffs = np.array([found.excess, (asked - found.covered) / (1.0 - asked), -found.rank_ic])
        return np.asarray(np.nan_to_num(payoffs, nan=0.0))


class LiveRecord:
    """The evidence on every version that an account has lived with, champion or challenger."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._versions: dict[str, Evidence] = {}

    def add(self, fact: dict[str, Any]) -> None:
        """Take in one record of the journal, of KIND."""
        evidence = self._versions.setdefault(fact["version"], Evidence(int(fact["horizon"]), self._serving))
        evidence.add(told(fact))

    def of(self, version: str) -> Evidence | None:
        """Return the evidence on a version, None where nothing of it was scored."""
        return self._versions.get(version)

    @property
    def broken(self) -> dict[str, str]:
        """Return the versions that broke a bound, and which."""
        return {version: each.broken for version, each in self._versions.items() if each.broken is not None}


def fact(version: str, role: str, horizon: int, found: Score) -> dict[str, Any]:
    """Return a score as a record of the journal; what could not be told is null."""
    numbers = {name: None if math.isnan(value) else value for name, value in asdict(found).items()}
    return {"version": version, "role": role, "horizon": horizon, **numbers}


def told(fact: dict[str, Any]) -> Score:
    """Return the score that a record of the journal holds, to the last bit."""
    numbers = {name: math.nan if fact[name] is None else float(fact[name]) for name in Score.__dataclass_fields__ if name != "bar"}
    return Score(int(fact["bar"]), **numbers)


def read(journal: Journal, market: str, serving: Serving) -> tuple[LiveRecord, list[dict[str, Any]]]:
    """Return the live record of a market in a journal and the facts that it is made of, oldest first."""
    record, facts = LiveRecord(serving), [stored.payload for stored in accounts.of(market, journal.records(KIND))]
    _fill(record, facts)
    return record, facts


def _fill(record: LiveRecord, facts: Iterable[dict[str, Any]]) -> None:
    for each in facts:
        record.add(each)
