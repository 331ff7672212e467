"""Promotion: the gates between a trained version and the account, each a row with its two numbers.

What carries the claim that a market without edge promotes nothing is the t statistic of the out-of-sample rank IC: at 3, with
standard errors that know of overlapping labels, chance passes it about once in 300 tries. The Sharpe gate asks whether the edge
survives its costs, coverage and pinball skill whether the forecast is a distribution and not only a direction, and the rest whether
the version can be run and made again. Missing evidence never passes.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from operator import ge, le
from typing import Any, Literal, Self

import numpy as np

from domain import params
from domain.panel import FloatArray
from models import metrics
from models.contract import BoolArray
from pipelines.registry import Lineage

Comparison = Literal[">=", "<="]
COMPARE: dict[Comparison, Callable[[float, float], bool]] = {">=": ge, "<=": le}
#: Fewer bars that both champion and challenger forecast say nothing about which is better.
COMMON_BARS_MIN = 30
CHALLENGER = "challenger_p"


@dataclass(frozen=True)
class Evidence:
    """What is known of a version, all of it out of sample and net of cost."""

    metrics: Mapping[str, float]
    """From evaluation: rank_ic_t, baseline_t, coverage_error, pinball_skill."""
    trades: float
    """Fills of the simulated account."""
    returns: FloatArray
    """[T] simple return of that account in each bar, net of cost; NaN where the version forecast nothing."""
    losses: FloatArray
    """[T] mean pinball loss of each bar, of champion and challenger on the same rows; NaN where either had seen the answer."""
    latency_ms: float
    """Time to forecast the whole universe once."""
    memory_mb: float
    """Memory that a process takes to load it and forecast the whole universe once."""
    lineage: Lineage
    horizon: int
    """Bars a forecast looks ahead, hence over which losses overlap."""
    trials: int = 1
    """Configurations tried before this one was chosen; deflates the Sharpe ratio."""


@dataclass(frozen=True)
class Gate:
    """One question that a version must answer."""

    name: str
    meaning: str
    found: Callable[[Evidence, Evidence | None], float]
    comparison: Comparison
    limit: str | float
    """A field of params.registry, or a number that no one may move."""


@dataclass(frozen=True)
class Criterion:
    """A gate's answer: two numbers and what follows."""

    name: str
    found: float | None
    """None where the evidence lacks it."""
    limit: float
    comparison: Comparison
    passed: bool
    note: str


@dataclass(frozen=True)
class Report:
    """The gate report of one version."""

    criteria: tuple[Criterion, ...]
    promoted: bool

    def refused_by(self) -> tuple[str, ...]:
        """Return the names of the gates that did not open."""
        return tuple(criterion.name for criterion in self.criteria if not criterion.passed)

    def markdown(self) -> str:
        """Return the report as a table, a row a gate, under the verdict."""
        refused = ", ".join(self.refused_by())
        verdict = "**Promoted**: every gate opened." if self.promoted else f"**Not promoted**: refused by {refused}."
        titles = ["| gate | found | must be | passed | |", "|---|---:|---:|---|---|"]
        return "\n".join([verdict, "", *titles, *(_line(each) for each in self.criteria), ""])

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """Return the report that `to_json` told."""
        return cls(tuple(Criterion(**each) for each in told["criteria"]), bool(told["promoted"]))

    def to_json(self) -> str:
        """Return the report as JSON; a number that is missing is null."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)


def judge(evidence: Evidence, gates: params.Registry, champion: Evidence | None = None) -> Report:
    """Put the evidence to every gate; with a champion the version must also beat it on the same bars.

    A number that is missing or not finite does not pass, and the report says so.
    """
    criteria = tuple(_ask(gate, evidence, gates, champion) for gate in GATES)
    return Report(criteria, all(criterion.passed for criterion in criteria))


def _ask(gate: Gate, evidence: Evidence, gates: params.Registry, champion: Evidence | None) -> Criterion:
    limit = float(getattr(gates, gate.limit)) if isinstance(gate.limit, str) else gate.limit
    if gate.name == CHALLENGER and champion is None:
        return Criterion(gate.name, None, limit, gate.comparison, passed=True, note="no champion to beat yet")
    meaning = gate.meaning + (_rule(evidence, champion) if gate.name == CHALLENGER else "")
    found = float(gate.found(evidence, champion))
    if not math.isfinite(found):
        return Criterion(gate.name, None, limit, gate.comparison, passed=False, note=f"missing: {meaning}")
    return Criterion(gate.name, found, limit, gate.comparison, COMPARE[gate.comparison](found, limit), meaning)


def _rule(evidence: Evidence, champion: Evidence | None) -> str:
    """Return how many bars the comparison rests on and what follows from too few: whoever is refused by it reads why."""
    bars = int(_common(evidence, champion).sum())
    return f" on {bars} bars that neither had seen: with fewer than {COMMON_BARS_MIN}, or without a clear lead, the champion stays"


def _measured(name: str) -> Callable[[Evidence, Evidence | None], float]:
    return lambda evidence, _: evidence.metrics.get(name, math.nan)


def _sharpe_probability(evidence: Evidence, _: Evidence | None) -> float:
    return metrics.deflated_sharpe(evidence.returns, evidence.trials)


def _drawdown(evidence: Evidence, _: Evidence | None) -> float:
    earned = evidence.returns[np.isfinite(evidence.returns)]
    return metrics.drawdown(np.cumprod(np.concatenate([[1.0], 1.0 + earned]))) if len(earned) else math.nan


def _lineage_gaps(evidence: Evidence, _: Evidence | None) -> float:
    """Count the parts of the lineage without which the version cannot be made again."""
    known = asdict(evidence.lineage)
    return float(sum(value == "" for value in known.values()) + (known["seed"] < 0))


def _challenger_p(evidence: Evidence, champion: Evidence | None) -> float:
    common = _common(evidence, champion)
    if champion is None or common.sum() < COMMON_BARS_MIN:
        return math.nan
    return metrics.paired_p(champion.losses[common], evidence.losses[common], evidence.horizon)


def _common(evidence: Evidence, champion: Evidence | None) -> BoolArray:
    """Return [T] true for the bars that both forecast unseen; none for losses of different rows."""
    if champion is None or champion.losses.shape != evidence.losses.shape:
        return np.zeros(len(evidence.losses), dtype=np.bool_)
    return np.isfinite(champion.losses) & np.isfinite(evidence.losses)


#: The gates, in the order of the report.
GATES: tuple[Gate, ...] = (
    Gate("rank_ic_t", "HAC t of the rank IC", _measured("rank_ic_t"), ">=", "rank_ic_t_min"),
    Gate("baseline_t", "HAC t of the rank IC over the best baseline's", _measured("baseline_t"), ">=", "baseline_t_min"),
    Gate(
        "sharpe_probability", "chance that the true net Sharpe is above luck", _sharpe_probability, ">=", "sharpe_probability_min"
    ),
    Gate("coverage_error", "largest miss of a quantile's level", _measured("coverage_error"), "<=", "coverage_error_max"),
    Gate("pinball_skill", "pinball loss saved against climatology", _measured("pinball_skill"), ">=", "pinball_skill_min"),
    Gate("drawdown", "largest fall of the simulated account", _drawdown, "<=", "drawdown_max"),
    Gate("trades", "fills of the simulated account", lambda evidence, _: evidence.trades, ">=", "trades_min"),
    Gate("latency_ms", "time to forecast the universe once", lambda evidence, _: evidence.latency_ms, "<=", "latency_ms_max"),
    Gate("memory_mb", "memory to load it and forecast once", lambda evidence, _: evidence.memory_mb, "<=", "memory_mb_max"),
    Gate("lineage_gaps", "unknown parts of where it came from", _lineage_gaps, "<=", 0.0),
    Gate(CHALLENGER, "paired HAC test of pinball loss against the champion", _challenger_p, "<=", "challenger_p_max"),
)


def _line(each: Criterion) -> str:
    passed = "yes" if each.passed else "**no**"
    return f"| {each.name} | {_number(each.found)} | {each.comparison} {_number(each.limit)} | {passed} | {each.note} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
