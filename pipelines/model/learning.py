"""Learning: what the night shift decides to do, and what it tells in the morning.

The policy, in this order: a market without champion is trained; a night without new bars changes nothing; a model whose world or
whose skill has gone is trained anew, however many nights it takes; one that has only drifted, whose ranking an alarm was raised
about, or that has grown old, is trained anew where that fits into the night, and fine-tuned where it does not; one whose errors
alone have moved is recalibrated. Whatever comes out of it is a challenger, and the gates decide.

Fine-tuning comes second because it was measured: again and again, it makes forecasts several times too large (LOG.md).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from domain import params
from pipelines.model import alarms, drift
from pipelines.model.promotion import Report

#: Skill has gone when it fell with this p value and is no longer positive.
SKILL_P_MAX = 0.01
ROWS_SHOWN = 10
NUMBERS = ("psi", "psi_usual", "ks", "missing")


class Action(StrEnum):
    """What a night can do to a model."""

    NOTHING = "nothing"
    RECALIBRATE = "recalibrate"
    FINE_TUNE = "fine_tune"
    RETRAIN = "retrain"


@dataclass(frozen=True)
class Plan:
    """An action and the reason for it in words."""

    action: Action
    reason: str
    urgent: bool = False
    """Whether it is begun even where the night is too short for it, and goes on the next one."""


@dataclass(frozen=True)
class Night:
    """Everything that a morning report tells."""

    market: str
    until: str
    """Nothing known later was used, ISO 8601."""
    ingested: Mapping[str, object]
    """What was read, kept, flagged and quarantined, by name."""
    drift: drift.Drift | None
    plan: Plan
    version: int | None = None
    """The version that came out, if any."""
    gates: Report | None = None
    champion: int | None = None
    """The version that trades from now on, if any."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Time each stop of the path took."""
    stopped: str = ""
    """Why it ended before it was through; empty where it did not."""
    late_bars: int = 0
    """Bars that the calendar has had since the newest one that is stored."""


def plan(moved: drift.Drift | None, new_bars: int, age_bars: int, limits: params.Learning) -> Plan:
    """Choose what to do; `moved` is None without a champion, `age_bars` counts the bars since it was last trained."""
    if moved is None:
        return Plan(Action.RETRAIN, "this market has no champion yet", urgent=True)
    if new_bars == 0:
        return Plan(Action.NOTHING, "no bar has arrived since the last night")
    if moved.share > limits.drifted_share_max:
        return Plan(
            Action.RETRAIN,
            f"{moved.share:.0%} of the features drifted, above the limit of {limits.drifted_share_max:.0%}",
            urgent=True,
        )
    if moved.skill_p <= SKILL_P_MAX and moved.skill_recent <= 0:
        fell = f"the rank IC fell from {moved.skill_reference:.3f} to {moved.skill_recent:.3f}"
        return Plan(Action.RETRAIN, f"{fell} (p = {moved.skill_p:.4f}, limit {SKILL_P_MAX})", urgent=True)
    return _refine(moved, age_bars, limits)


def afford(wanted: Plan, needed_s: Mapping[Action, float], left_s: float) -> Plan:
    """Return the plan, or the next cheaper one that the time allows, by what each action is known to need."""
    cheaper = {Action.RETRAIN: Action.FINE_TUNE, Action.FINE_TUNE: Action.RECALIBRATE, Action.RECALIBRATE: Action.NOTHING}
    if wanted.urgent or wanted.action not in cheaper or needed_s[wanted.action] <= left_s:
        return wanted
    name = wanted.action.value.replace("_", " ")
    short = f"{wanted.reason}; to {name} needs {needed_s[wanted.action]:.0f} s and {left_s:.0f} s are left"
    return afford(Plan(cheaper[wanted.action], short), needed_s, left_s)


def _refine(moved: drift.Drift, age_bars: int, limits: params.Learning) -> Plan:
    features, residuals = moved.drifted(drift.FEATURE), moved.drifted(drift.RESIDUAL)
    if features:
        return Plan(Action.RETRAIN, f"{moved.share:.0%} of the features drifted, {features[0]} most")
    raised = {alarm.series: alarm.detector for alarm in moved.alarms}
    if alarms.SKILL in raised:
        return Plan(Action.RETRAIN, f"{raised[alarms.SKILL]} raised an alarm about the rank IC")
    if age_bars >= limits.recent_bars:
        return Plan(Action.RETRAIN, f"the champion has not seen the last {age_bars} bars, {limits.recent_bars} or more are due")
    if residuals or alarms.LOSS in raised:
        told = f": {raised[alarms.LOSS]} raised an alarm about the pinball loss" if alarms.LOSS in raised else ""
        return Plan(Action.RECALIBRATE, f"the forecast errors moved while the features did not{told}")
    return Plan(Action.NOTHING, f"nothing drifted, and the champion has missed only {age_bars} bars")


def report(night: Night) -> str:
    """Return the morning report of one market as Markdown."""
    parts = [
        f"# {night.market}: the night before {night.until}",
        f"**{night.plan.action.value.replace('_', ' ').capitalize()}**: {night.plan.reason}.",
        f"**Not through**: {night.stopped}." if night.stopped else "",
        f"{night.late_bars:,} bars that the calendar has had are missing." if night.late_bars else "",
        _outcome(night),
        _section("Ingested", _table(("what", "found"), _ingested(night.ingested))),
        _section("Drift", _drift(night.drift)),
        _section("Gates", night.gates.markdown() if night.gates is not None else ""),
        _section("Time", _table(("stop", "seconds"), [(name, f"{seconds:.1f}") for name, seconds in night.seconds.items()])),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _ingested(told: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return what says anything: nothing read is told by its number, 0."""
    return [(name, str(value)) for name, value in told.items() if value is not None and value != {}]


def _outcome(night: Night) -> str:
    nobody = "whatever traded trades on" if night.stopped else "no model trades this market"
    stands = nobody if night.champion is None else f"version {night.champion} trades"
    if night.version is None or night.gates is None:
        return f"No new version was made; {stands}."
    if night.gates.promoted:
        return f"Version {night.version} passed every gate; {stands}."
    return f"Version {night.version} was refused by {', '.join(night.gates.refused_by())}; {stands}."


def _drift(moved: drift.Drift | None) -> str:
    if moved is None or moved.table.is_empty():
        return ""
    rows = [
        (str(row["series"]), str(row["kind"]), *(_number(row[name]) for name in NUMBERS), "yes" if row["drifted"] else "no")
        for row in moved.table.head(ROWS_SHOWN).iter_rows(named=True)
    ]
    skill = f"Rank IC {_number(moved.skill_reference)} before, {_number(moved.skill_recent)} in the recent bars"
    hidden = moved.table.height - len(rows)
    found = ", ".join(f"{alarm.detector} about the {alarm.series}" for alarm in moved.alarms)
    note = f"{moved.share:.0%} of the features drifted. {skill} (p = {_number(moved.skill_p)}). Alarms: {found or 'none'}."
    return f"{note}\n\n{_table(('series', 'kind', *NUMBERS, 'drifted'), rows)}" + (
        f"\n\n{hidden} more moved less." if hidden else ""
    )


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _number(value: float) -> str:
    return f"{value:.3g}" if value is not None and math.isfinite(value) else "-"
