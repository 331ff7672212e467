"""Learn: the night shift of one market. New bars, drift, a plan, perhaps a challenger, and what the gates say of it."""

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from domain import session
from domain.clock import Clock
from domain.error import DataError, DeadlinePassed, DiskFull, NightshiftError, NoChampion, NoData, ResourceError
from domain.params import Params
from features import labels
from flows import evidence, prepare, retrain, sentence, stages
from flows import shift as shifts
from flows.evidence import Champion
from flows.home import Home
from flows.retrain import Concluded
from flows.shift import Shift
from flows.stages import LOOKING, Do, Job
from models import bundle
from models.contract import Dataset, IntArray, Model
from pipelines.data.sources.simulated import Simulated
from pipelines.model import drift, learning
from pipelines.model.drift import Drift
from pipelines.model.learning import Action, Night, Plan
from pipelines.model.training import Trained
from pipelines.registry import CHAMPION, Registry

FITTING, JUDGING = ("tuning", "training", "ensemble"), ("evaluation", "replay", "dossier")
MAKING = (*FITTING, *JUDGING)
AFTER = (*JUDGING, "gates")

log = logging.getLogger("nightshift.learn")


def night(
    market: str,
    until: date | None,
    home: Home,
    params: Params,
    do: Do = stages.direct,
    by: datetime | None = None,
    clock: Clock | None = None,
) -> dict[str, Any]:
    """Run the night shift on what was known by `until` and return what happened, as plain JSON values.

    `version`, `promoted` (is it the champion?) and `gates` (each with `found`, `comparison`, `limit`, `passed`) tell of the
    challenger, or of the champion on a night that made none. `champion` is the version that trades from now on, `markdown` the
    morning report, which lies among the home's reports as well. `stopped` says why a night ended before it was through: at `by`
    it leaves what it has for the next one, which goes on there. Any other failure is raised, once the report tells of it.
    """
    with shifts.opened(market, until, home, params, by, clock) as shift:
        told = Night(market, until.isoformat() if until is not None else "now", {}, None, begun(shift), seconds=shift.seconds)
        work = Work(shift, shift.watched(do), Registry(home.mlflow), told)
        try:
            work.through()
        except DeadlinePassed as late:
            work.stopped(f"{late}; the next night goes on from here")
        except (NightshiftError, OSError) as failure:
            if shift.note.plan is None:
                shifts.finish(shift)
            work.stopped(str(failure if isinstance(failure, NightshiftError) else sentence.refused(failure)))
            _report(work, home)
            raise
        else:
            shifts.finish(shift)
        _report(work, home)
        return _told(work.told, work.concluded, home)


def begun(shift: Shift) -> Plan:
    """Return what a night that was cut off had planned, and where it was; for a new night that nothing is planned yet."""
    if shift.resumed is None:
        return Plan(Action.NOTHING, "the night ended before it could plan anything")
    place = shift.note.under_way or "its end"
    reason = f"{shift.resumed.reason}; begun at {shift.note.began} and cut off in {place}, night {shift.note.nights} goes on there"
    return replace(shift.resumed, reason=reason)


@dataclass
class Work:
    """A night's way through: what it works with, and what there is to tell of it so far."""

    shift: Shift
    do: Do
    registry: Registry
    told: Night
    after: int = 0
    """Number of the promotion that stood when the champion was looked at."""
    concluded: Concluded | None = None

    def through(self) -> None:
        """Bring in what is new, look, plan, make and judge."""
        self._tell(ingested=self._ingested())
        champion = self._looked()
        plan = self._planned(champion)
        if plan.action is not Action.NOTHING:
            self.concluded = self._made(plan, champion)
            number, report = self.concluded.version.number, self.concluded.report
            self._tell(version=number, gates=report, champion=number if report.promoted else self.told.champion)

    def stopped(self, why: str) -> None:
        """Tell why the night ended before it was through, and who trades on, if that can be asked."""
        self._tell(stopped=why)
        with suppress(ResourceError):
            self._tell(champion=_number(self.registry, self.told.market))

    def _ingested(self) -> Mapping[str, object]:
        """Return what came in; a source that is silent leaves what is stored, which may be enough."""
        job = self.shift.job
        try:
            return self.do("prepare", prepare.prepare, job.market.name, job.until, job.home, job.params)
        except (DiskFull, DeadlinePassed, NoData):
            raise
        except (DataError, ResourceError) as silent:
            return {"failed": str(silent)}

    def _looked(self) -> Champion | None:
        """Return the champion, beside a dataset to look at; a plan that another night made against another champion is let go."""
        shift = self.shift
        standing, mine = _number(self.registry, shift.job.market.name), retrain.recorded(shift.job)
        if shift.resumed is not None and standing not in {shift.note.champion, mine}:
            shifts.abandon(shift)
        if shift.resumed is None:
            stages.run(shift.job, self.do, skip=MAKING)
        dataset = stages.load_dataset(shift.job)
        self.after = self.registry.standing(shift.job.market.name)
        champion = evidence.champion(shift.job, self.registry, dataset)
        self._tell(champion=champion.version.number if champion is not None else None, late_bars=_late(shift, dataset))
        if champion is not None:
            self._tell(drift=self.do("drift", measure, dataset, champion, shift.job.params))
        return champion

    def _planned(self, champion: Champion | None) -> Plan:
        """Return what is to be done: what was begun, or else what the policy says and there is time for."""
        if self.shift.resumed is not None:
            self._tell(plan=begun(self.shift))
            return self.shift.resumed
        dataset = stages.load_dataset(self.shift.job)
        wanted = choose(self.told.drift, champion, self.registry, dataset, self.shift.job)
        needed_s = {action: self.shift.needed_s(*steps, *AFTER) for action, steps in STEPS.items()}
        plan = learning.afford(wanted, needed_s, self.shift.left_s())
        self.shift.begin(plan, _number(self.registry, self.shift.job.market.name))
        self._tell(plan=plan)
        return plan

    def _made(self, plan: Plan, champion: Champion | None) -> Concluded:
        """Make the challenger that was planned, judge it out of sample, and let the gates decide; steps that are done are left."""
        job, done = self.shift.job, self.shift.note.done
        if plan.action not in REFINED or champion is None:
            stages.run(retrain.against(job, champion), self.do, skip=(*LOOKING, *JUDGING, *done))
        elif plan.action.value not in done:
            self.do(plan.action.value, refine, job, champion, plan.action)
        stages.run(job, self.do, skip=(*LOOKING, *FITTING, *done))
        return self.do("gates", retrain.conclude, job, self.registry, champion, self.after)

    def _tell(self, **more: Any) -> None:
        self.told = replace(self.told, **more)


def _number(registry: Registry, market: str) -> int | None:
    """Return the number of the champion, comparable or not."""
    try:
        return registry.version(market, CHAMPION).number
    except NoChampion:
        return None


def _late(shift: Shift, dataset: Dataset) -> int:
    """Return how many bars the calendar has had, by the end of the day asked for or by now, that are not stored."""
    market, last = shift.job.market, dataset.event_at[-1]
    asked = min(shift.job.until or shift.clock.now(), shift.clock.now())
    if market.source == "simulated":
        asked = min(asked, Simulated(shift.job.params.sources.simulated).last(market))
    first = last.astype(datetime).replace(tzinfo=UTC)
    due = session.closes(market, session.grid(market, first, asked)) if asked > first else dataset.event_at[:0]
    return int(((due > last) & (due <= session.moment(asked))).sum())


def measure(dataset: Dataset, champion: Champion, params: Params) -> Drift:
    """Compare the newest bars with those before them, the champion's out-of-sample forecasts included."""
    limits = params.learning
    return drift.measure(
        dataset.features, dataset.names, champion.forecasts, dataset.forward, limits.recent_bars, limits.psi_max, dataset.horizon
    )


def choose(moved: Drift | None, champion: Champion | None, registry: Registry, dataset: Dataset, job: Job) -> Plan:
    """Choose what to do: by what moved, by how many bars no version has seen, and by how many the champion did not learn from."""
    versions = registry.versions(job.market.name)
    seen = [evidence.moment(version.lineage.last) for version in versions]
    seen = [last for last in seen if last <= dataset.event_at[-1]]
    new_bars = int((dataset.event_at > max(seen)).sum()) if seen else dataset.bars
    age_bars = int((dataset.event_at > champion.learned).sum()) if champion is not None else 0
    chosen = learning.plan(moved, new_bars, age_bars, job.params.learning)
    if champion is None and any(CHAMPION in version.aliases for version in versions):
        return replace(
            chosen,
            reason="the champion cannot be compared with: it has seen later bars or other features, or nobody vouches for it",
        )
    return chosen


def refine(job: Job, champion: Champion, action: Action) -> None:
    """Fine-tune or recalibrate a copy of the champion on the newest bars and write it, with its parent, as the job's model.

    What it is judged by is out of sample: the bars that champion and challenger are compared on are forecast by a copy that was
    refined without them, with the same purge and embargo as in training; the older ones by the champion, as it was served.
    """
    dataset = stages.load_dataset(job)
    test = champion.judged(dataset)
    gap = labels.known_after(dataset.horizon) + job.params.training.embargo_bars
    forecasts = champion.forecasts.copy()
    judged, model = (REFINED[action](job, champion, dataset, last) for last in (int(test[0]) - gap, dataset.bars))
    forecasts[test] = judged.predict(dataset.features[test], dataset.scale[test])
    made = {"action": action.value, "parent": champion.version.number}
    if action is Action.RECALIBRATE:
        made["learned"] = stages.iso(champion.learned)
    stages.write_trained(job, Trained(model, forecasts, [], (model.rounds,)), made)


def _tuned(job: Job, champion: Champion, dataset: Dataset, last: int) -> Model:
    """Return a copy of the champion, tuned on the recent rows before row `last`, and on all there that it did not learn from."""
    limits = job.params.learning
    fresh = int(np.searchsorted(dataset.event_at, champion.learned, side="right"))
    rows: IntArray = np.arange(max(min(last - limits.recent_bars, fresh), 0), last, dtype=np.int64)
    model = _copied(job, champion)
    model.fine_tune(dataset, rows, limits.fine_tune_rounds)
    return model


def _recalibrated(job: Job, champion: Champion, dataset: Dataset, last: int) -> Model:
    """Return a copy of the champion whose quantiles fit the recent rows before row `last`, all of them forecast out of sample."""
    first = max(last - job.params.learning.recent_bars, 0)
    model = _copied(job, champion)
    model.recalibrate(champion.forecasts[first:last], dataset.forward[first:last])
    return model


def _copied(job: Job, champion: Champion) -> Model:
    model, _ = bundle.load(job.home.models / job.market.name / champion.version.run_id)
    return model


#: How a copy of the champion learns from the rows before one.
REFINED: dict[Action, Callable[[Job, Champion, Dataset, int], Model]] = {
    Action.FINE_TUNE: _tuned,
    Action.RECALIBRATE: _recalibrated,
}
#: The steps that make what an action asks for.
STEPS: dict[Action, tuple[str, ...]] = {Action.RETRAIN: FITTING, **{action: (action.value,) for action in REFINED}}


def _report(work: Work, home: Home) -> None:
    """Write the morning report; a disk that is full of other things may keep it from being written, which the log tells."""
    try:
        home.reports.mkdir(parents=True, exist_ok=True)
        (home.reports / f"{work.told.market}-night.md").write_text(learning.report(work.told), encoding="utf-8")
    except OSError as problem:
        log.warning("the morning report of %s could not be written: %s", work.told.market, problem)


def _told(told: Night, concluded: Concluded | None, home: Home) -> dict[str, Any]:
    """Return a night as JSON values; a number that is missing is None."""
    result: dict[str, Any] = {
        "market": told.market,
        "until": told.until,
        "action": told.plan.action.value,
        "reason": told.plan.reason,
        "stopped": told.stopped,
        "late_bars": told.late_bars,
    }
    result |= concluded.to_dict() if concluded is not None else retrain.kept(home, told.market, told.champion)
    result |= {
        "champion": told.champion,
        "ingested": dict(told.ingested),
        "drift": _drift(told.drift),
        "seconds": dict(told.seconds),
    }
    return {**result, "markdown": learning.report(told)}


def _drift(moved: Drift | None) -> dict[str, Any] | None:
    if moved is None:
        return None
    numbers = {
        "share": moved.share,
        "skill_reference": moved.skill_reference,
        "skill_recent": moved.skill_recent,
        "skill_p": moved.skill_p,
    }
    known = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {**known, "drifted": moved.drifted(drift.FEATURE)}
