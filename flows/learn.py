"""Learn: the night shift of one market. New bars, drift, a plan, perhaps a challenger, and what the gates say of it."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from domain.clock import SystemClock
from domain.params import Params
from features import labels
from flows import evidence, prepare, retrain, stages
from flows.evidence import Champion
from flows.home import Home
from flows.retrain import Concluded
from flows.stages import LOOKING, Do, Job, P, R
from models import bundle
from models.contract import Dataset, IntArray, Model
from pipelines.model import drift, learning
from pipelines.model.drift import Drift
from pipelines.model.learning import Action, Night, Plan
from pipelines.model.training import Trained
from pipelines.registry import CHAMPION, Registry

FITTING, JUDGING = ("tuning", "training", "ensemble"), ("evaluation", "replay")
MAKING = (*FITTING, *JUDGING)


def night(market: str, until: date | None, home: Home, params: Params, do: Do = stages.direct) -> dict[str, Any]:
    """Run the night shift on what was known by `until` and return what happened, as plain JSON values.

    `version`, `promoted` (is it the champion?) and `gates` (each with `found`, `comparison`, `limit`, `passed`) tell of the
    challenger, or of the champion on a night that made none. `champion` is the version that trades from now on, `markdown` the
    morning report.
    """
    seconds: dict[str, float] = {}
    do, registry = _timed(do, seconds), Registry(home.mlflow)
    ingested = do("prepare", prepare.prepare, market, retrain.known_by(until), home, params)
    with retrain.opened(market, until, home, params) as job:
        stages.run(job, do, skip=MAKING)
        dataset = stages.load_dataset(job)
        champion = evidence.champion(job, registry, dataset)
        moved = do("drift", measure, dataset, champion, params) if champion is not None else None
        plan = choose(moved, champion, registry, dataset, job)
        concluded = None if plan.action is Action.NOTHING else act(job, registry, plan, champion, do)
    told = Night(market, job.until.isoformat() if job.until else "now", ingested, moved, plan, seconds=seconds)
    return _told(_with_outcome(told, concluded, champion), concluded, home)


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
            chosen, reason="the champion cannot be compared with: it has seen later bars, or other features, than this night"
        )
    return chosen


def act(job: Job, registry: Registry, plan: Plan, champion: Champion | None, do: Do) -> Concluded:
    """Make the challenger that was planned, judge it out of sample, and let the gates decide."""
    if plan.action in REFINED and champion is not None:
        do("training", refine, job, champion, plan.action)
    else:
        stages.run(job, do, skip=(*LOOKING, *JUDGING))
    stages.run(job, do, skip=(*LOOKING, *FITTING))
    return do("gates", retrain.conclude, job, registry, champion)


def refine(job: Job, champion: Champion, action: Action) -> None:
    """Fine-tune or recalibrate a copy of the champion on the newest bars and write it, with its parent, as the job's model.

    What it is judged by is out of sample: the newer half of the bars that the champion has not seen is forecast by a copy that was
    refined without them, with the same purge and embargo as in training; the older bars by the champion, as it was served.
    """
    dataset = stages.load_dataset(job)
    unseen = np.flatnonzero(dataset.event_at > champion.last)
    test = unseen[len(unseen) // 2 :]
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


def _timed(do: Do, seconds: dict[str, float]) -> Do:
    """Return `do` with the time of each step noted in `seconds`."""
    clock = SystemClock()

    def noted(name: str, step: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
        began = clock.monotonic_ns()
        try:
            return do(name, step, *arguments, **named)
        finally:
            seconds[name] = (clock.monotonic_ns() - began) / 1e9

    return noted


def _with_outcome(told: Night, concluded: Concluded | None, champion: Champion | None) -> Night:
    trading = champion.version.number if champion is not None else None
    if concluded is None:
        return replace(told, champion=trading)
    number, report = concluded.version.number, concluded.report
    return replace(told, version=number, gates=report, champion=number if report.promoted else trading)


def _told(told: Night, concluded: Concluded | None, home: Home) -> dict[str, Any]:
    """Return a night as JSON values; a number that is missing is None."""
    result: dict[str, Any] = {
        "market": told.market,
        "until": told.until,
        "action": told.plan.action.value,
        "reason": told.plan.reason,
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
