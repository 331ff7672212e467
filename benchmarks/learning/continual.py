"""Does learning every night pay? `python -m benchmarks.learning.continual`.

The night shift steps through a market: at every step it measures drift, plans, refines or retrains, and what comes of it forecasts
the bars until the next step. It is the written policy (`drift.measure`, `learning.plan`) and what the flow does with it, without
the store and the registry around it. A night's world is the newest MEMORY bars. Three gates: as it is, where a challenger must beat
the champion beyond doubt on bars that neither has seen; one that refuses only a challenger that is worse beyond doubt; and none, to
tell learning from the gate; and the first once more with a policy that retrains where it would fine-tune. The other gates are
left out: they ask whether a model may trade at all. Against it a model that is fitted once, and fits from nothing at every step, or
as seldom as the night shift made one, over a rolling window of MEMORY bars or over everything. Trees alone.
"""

import argparse
import copy
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.learning import markets
from benchmarks.learning.markets import Case
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from features import labels
from flows import home as homes
from models import metrics, splits
from models.contract import Dataset, IntArray, Model
from models.trees import Trees
from pipelines import pictures
from pipelines.model import drift, learning, training
from pipelines.model.learning import Action
from pipelines.model.promotion import COMMON_BARS_MIN

HERE = Path(__file__)
PICTURE = HERE.parents[2] / "docs" / "pictures" / "continual.png"
FROZEN, ROLLING, EXPANDING = "frozen", "rolling, every step", "expanding, every step"
NIGHT, LENIENT, UNGATED = "night shift", "night shift, refusing what is worse", "night shift, every challenger taken"
ANEW = "night shift that never fine-tunes"
MEMORY, STEP = 1500, 120
#: Windows in time that skill is told for, and ages of a regime, in bars.
WINDOWS = 8
AGES = (0, 120, 300, 10_000)
Z95 = 1.959964

Taken = Callable[[FloatArray, FloatArray, Case], bool]


@dataclass
class Run:
    """What one way of learning forecast, and what it took."""

    series: FloatArray
    """[2, T] rank IC and pinball loss, NaN before the first forecast."""
    seconds: float = 0.0
    actions: Counter[str] = field(default_factory=Counter)

    def score(self, model: Model, dataset: Dataset, rows: slice) -> None:
        """Note what a model's forecasts of some rows were worth."""
        forecasts, outcome = model.predict(dataset.features[rows], dataset.scale[rows]), dataset.forward[rows]
        ranked, loss = metrics.rank_ic(forecasts[..., MEDIAN], outcome), metrics.pinball_rows(forecasts, outcome, LEVELS)
        self.series[:, rows] = np.stack([ranked, loss])


@dataclass(frozen=True)
class Champion:
    """The model that forecasts, and what is known of it; rows are those of the whole market."""

    model: Model
    forecasts: FloatArray
    """[T, S, Q] out of sample, NaN elsewhere."""
    last: int
    """First row that it has not seen."""
    learned: int
    """First row that its trees have not learned from."""


def empty(case: Case) -> Run:
    """Return a run that has done nothing yet."""
    return Run(np.full((2, case.dataset.bars), np.nan))


def gap(case: Case) -> int:
    """Return the rows before a forecast that nothing is learned from."""
    return labels.known_after(case.market.horizon) + case.params.training.embargo_bars


def trained(case: Case, now: int, memory: int) -> Champion:
    """Return what training from nothing makes of what is known at row `now`, its walk-forward included."""
    view = markets.known(case.dataset, now, memory)
    made = training.train(view, case.params, case.market, "trees")
    forecasts = np.full((*case.dataset.forward.shape, len(LEVELS)), np.nan)
    forecasts[now - view.bars : now] = made.forecasts
    return Champion(made.model, forecasts, now, now)


def frozen(case: Case) -> Run:
    """Fit once."""
    run = empty(case)
    began = time.process_time()
    model = trained(case, MEMORY, MEMORY).model
    run.seconds, run.actions["retrain"] = time.process_time() - began, 1
    run.score(model, case.dataset, slice(MEMORY, case.dataset.bars))
    return run


def fitted(case: Case, now: int, memory: int) -> Trees:
    """Return trees fitted to what is known at row `now`, which end early by the newest of it."""
    view = markets.known(case.dataset, now, memory)
    rows = np.arange(view.bars - gap(case), dtype=np.int64)
    inner = splits.tail(rows, training.VALID_SHARE, labels.known_after(case.market.horizon), case.params.training.embargo_bars)
    model = Trees.create(case.params.training, case.market.horizon)
    model.fit(view, inner.train, inner.test)
    return model


def periodic(case: Case, memory: int, moments: Collection[int]) -> Run:
    """Fit from nothing at the steps that begin at `moments`, the first one among them."""
    run, model = empty(case), Trees.create(case.params.training, case.market.horizon)
    for block in markets.blocks(case.dataset, MEMORY, STEP):
        if block.start in moments:
            began = time.process_time()
            model = fitted(case, block.start, memory)
            run.seconds, run.actions["retrain"] = run.seconds + time.process_time() - began, run.actions["retrain"] + 1
        run.score(model, case.dataset, block)
    return run


def night_shift(case: Case, taken: Taken, *, anew: bool = False) -> Run:
    """Work a night before every step; with `anew` it retrains where it would fine-tune."""
    run = empty(case)
    began = time.process_time()
    champion = trained(case, MEMORY, MEMORY)
    run.actions["retrain"] = 1
    for block in markets.blocks(case.dataset, MEMORY, STEP):
        if block.start > MEMORY:
            champion, done = night(case, champion, block.start, taken, anew=anew)
            run.actions.update(done)
        champion.forecasts[block] = champion.model.predict(case.dataset.features[block], case.dataset.scale[block])
        run.score(champion.model, case.dataset, block)
    run.seconds = time.process_time() - began
    return run


def night(case: Case, champion: Champion, now: int, taken: Taken, *, anew: bool) -> tuple[Champion, list[str]]:
    """Return who forecasts after the night before row `now`, and what was done."""
    limits, view = case.params.learning, markets.known(case.dataset, now, MEMORY)
    theirs = champion.forecasts[now - view.bars : now]
    moved = drift.measure(view.features, view.names, theirs, view.forward, limits.recent_bars, limits.psi_max, view.horizon)
    action = learning.plan(moved, STEP, now - champion.learned, limits).action
    action = Action.RETRAIN if anew and action is Action.FINE_TUNE else action
    if action is Action.NOTHING:
        return champion, [action.value]
    made = trained(case, now, MEMORY) if action is Action.RETRAIN else refined(case, champion, view, now, action)
    if not taken(*losses(made, champion, view, now), case):
        return champion, [action.value, "refused"]
    return made, [action.value]


def refined(case: Case, champion: Champion, view: Dataset, now: int, action: Action) -> Champion:
    """Return a refined copy of the champion; the newer half of what it has not seen is forecast by one refined without it."""
    first, unseen = now - view.bars, max(champion.last, now - view.bars)
    test = np.arange(unseen, now)[(now - unseen) // 2 :]
    refine = {Action.FINE_TUNE: _tuned, Action.RECALIBRATE: _recalibrated}[action]
    judged, model = (refine(case, champion, view, first, last) for last in (int(test[0]) - gap(case) - first, view.bars))
    forecasts = champion.forecasts.copy()
    forecasts[test] = judged.predict(case.dataset.features[test], case.dataset.scale[test])
    return Champion(model, forecasts, now, champion.learned if action is Action.RECALIBRATE else now)


def _tuned(case: Case, champion: Champion, view: Dataset, first: int, last: int) -> Model:
    limits, model = case.params.learning, copy.copy(champion.model)
    rows: IntArray = np.arange(max(min(last - limits.recent_bars, champion.learned - first), 0), last, dtype=np.int64)
    model.fine_tune(view, rows, limits.fine_tune_rounds)
    return model


def _recalibrated(case: Case, champion: Champion, view: Dataset, first: int, last: int) -> Model:
    model, start = copy.copy(champion.model), max(last - case.params.learning.recent_bars, 0)
    model.recalibrate(champion.forecasts[first + start : first + last], view.forward[start:last])
    return model


def losses(made: Champion, champion: Champion, view: Dataset, now: int) -> tuple[FloatArray, FloatArray]:
    """Return [N] pinball losses of champion and challenger on the bars that neither has seen."""
    rows = slice(max(champion.last, now - view.bars), now)
    outcome = view.forward[rows.start - now :]
    old, new = (metrics.pinball_rows(each.forecasts[rows], outcome, LEVELS) for each in (champion, made))
    common = np.isfinite(old) & np.isfinite(new)
    return old[common], new[common]


def better(old: FloatArray, new: FloatArray, case: Case) -> bool:
    """Return whether a challenger loses less beyond doubt, as the gate asks."""
    limit = case.params.registry.challenger_p_max
    return len(old) >= COMMON_BARS_MIN and metrics.paired_p(old, new, case.market.horizon) <= limit


def not_worse(old: FloatArray, new: FloatArray, case: Case) -> bool:
    """Return whether a challenger does not lose more beyond doubt."""
    return len(old) < COMMON_BARS_MIN or metrics.paired_p(new, old, case.market.horizon) > case.params.registry.challenger_p_max


def seldom(case: Case, fits: int) -> set[int]:
    """Return the beginnings of as many steps, evenly apart, the first among them."""
    starts = [block.start for block in markets.blocks(case.dataset, MEMORY, STEP)]
    return {starts[place] for place in np.unique(np.linspace(0, len(starts), fits, endpoint=False).astype(np.int64)).tolist()}


def walk(case: Case) -> dict[str, Run]:
    """Return every way's run by name."""
    every = {block.start for block in markets.blocks(case.dataset, MEMORY, STEP)}
    runs: dict[str, Run] = {}
    ways: dict[str, Callable[[], Run]] = {
        FROZEN: lambda: frozen(case),
        NIGHT: lambda: night_shift(case, better),
        ANEW: lambda: night_shift(case, better, anew=True),
        LENIENT: lambda: night_shift(case, not_worse),
        UNGATED: lambda: night_shift(case, lambda old, new, case: True),
        ROLLING: lambda: periodic(case, MEMORY, every),
        "rolling, as seldom as the night shift retrains": lambda: periodic(
            case, MEMORY, seldom(case, runs[UNGATED].actions["retrain"])
        ),
        EXPANDING: lambda: periodic(case, case.dataset.bars, every),
    }
    for name, way in ways.items():
        runs[name] = way()
        told = runs[name]
        print(case.name, name, f"{metrics.mean(told.series[0]):.4f} {told.seconds:.0f} s", dict(told.actions), flush=True)
    return runs


def joined(told: list[dict[str, Run]]) -> dict[str, Run]:
    """Return the runs of several markets as one, one after the other in time."""
    return {
        name: Run(
            np.concatenate([each[name].series for each in told], axis=1),
            sum(each[name].seconds for each in told),
            sum((each[name].actions for each in told), Counter()),
        )
        for name in told[0]
    }


def table(runs: dict[str, Run], horizon: int) -> list[str]:
    """Return a row a way; p values are one-sided, that the way is no better than the one named, paired by bar."""
    titles = ["way", "made", "rank IC", "low", "high", "pinball, bp", "p, frozen", "p, rolling"]
    titles += ["p of pinball, frozen", "p of pinball, rolling", "seconds"]
    lines = ["| " + " | ".join(titles) + " |", "|---|---|" + "---:|" * (len(titles) - 2)]
    lags = metrics.OVERLAP_LAGS * horizon
    for name, run in runs.items():
        ranked, loss = run.series
        mean, known = metrics.mean(ranked), np.isfinite(ranked).sum()
        reach = Z95 * float(np.sqrt(metrics.hac_variance(ranked, lags) / known))
        pairs = [(other, (ranked, runs[other].series[0])) for other in (FROZEN, ROLLING)]
        pairs += [(other, (runs[other].series[1], loss)) for other in (FROZEN, ROLLING)]
        told = " | ".join("-" if other == name else f"{metrics.paired_p(*pair, lags):.3f}" for other, pair in pairs)
        made = ", ".join(f"{count} {action.replace('_', ' ')}" for action, count in sorted(run.actions.items()))
        figures = f"{mean:.4f} | {mean - reach:.4f} | {mean + reach:.4f} | {1e4 * metrics.mean(loss):.3f}"
        lines.append(f"| {name} | {made} | {figures} | {told} | {run.seconds:.0f} |")
    return lines


def by_window(runs: dict[str, Run], edges: list[tuple[str, Any]]) -> list[str]:
    """Return a row a way and a column a window: the mean rank IC of the rows that it names."""
    lines = ["| rank IC | " + " | ".join(name for name, _ in edges) + " |", "|---|" + "---:|" * len(edges)]
    for name, run in runs.items():
        lines.append(f"| {name} | " + " | ".join(f"{metrics.mean(run.series[0][rows]):.3f}" for _, rows in edges) + " |")
    return lines


def in_time(dataset: Dataset) -> list[tuple[str, Any]]:
    """Return windows of equal length from the first forecast on, named by when they begin."""
    edges = np.linspace(MEMORY, dataset.bars, WINDOWS + 1).astype(np.int64)
    return [
        (f"from {np.datetime_as_string(dataset.event_at[first], unit='M')}", slice(first, last))
        for first, last in itertools.pairwise(edges.tolist())
    ]


def by_age(cases: list[tuple[Case, int]], bars: int) -> list[tuple[str, Any]]:
    """Return the rows of all simulated markets by how long their regime has stood."""
    ages = []
    for case, seed in cases:
        kind = markets.regimes(bars, seed)[-case.dataset.bars :]
        changed = np.concatenate([[True], kind[1:] != kind[:-1]])
        ages.append(np.arange(len(kind)) - np.maximum.accumulate(np.where(changed, np.arange(len(kind)), 0)))
    age = np.concatenate(ages)
    return [
        (f"{low} to {high} bars after a change" if high < AGES[-1] else f"{low} bars and more", (age >= low) & (age < high))
        for low, high in itertools.pairwise(AGES)
    ]


def cumulative(told: list[dict[str, Run]], along: Any, axis: str) -> pl.DataFrame:
    """Return the cumulative rank IC of each way by row, the mean over markets."""
    columns = {name: np.mean([np.cumsum(np.nan_to_num(each[name].series[0])) for each in told], axis=0) for name in told[0]}
    return pl.DataFrame({axis: along, **columns})[MEMORY:]


def draw(frames: dict[str, pl.DataFrame]) -> None:
    """Draw the frames one under the other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5 * len(frames)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, frame) in zip(np.atleast_1d(figure.subplots(len(frames))), frames.items(), strict=True):
        pictures._plot(frame, axes, f"{title}: cumulative rank IC")
    figure.savefig(PICTURE, dpi=100, metadata={"Software": None})


def report(cases: list[tuple[Case, int]], made: list[dict[str, Run]], bars: int, case: Case, runs: dict[str, Run]) -> None:
    """Write continual.md and the picture: of simulated markets with their seeds and runs, and of a recorded one."""
    first, together = cases[0][0].dataset, joined(made)
    lines = [
        "# Does learning every night pay?",
        "",
        f"`python -m benchmarks.learning.continual --seeds {len(cases)} --bars {bars}`; a night every {STEP} bars, memory {MEMORY}",
        "bars, trees of the shipped parameters, one thread. Low and high: 95%, HAC. p: one-sided, that the way is no better than",
        "the one named (paired by bar, HAC); above 0.95 it is worse. Seconds are of the processor.",
        "",
        f"## {markets.SIMULATED}: {len(first.symbols)} symbols x {first.bars} bars, {len(cases)} markets",
        "",
        *table(together, first.horizon),
        "",
        *by_window(together, by_age(cases, bars)),
        "",
        f"## {case.name}, 1970 to 2017: {len(case.dataset.symbols)} symbols x {case.dataset.bars} bars",
        "",
        *table(runs, case.dataset.horizon),
        "",
        *by_window(runs, in_time(case.dataset)),
    ]
    HERE.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    frames = {markets.SIMULATED: cumulative(made, np.arange(first.bars), "bar")}
    draw(frames | {case.name: cumulative([runs], case.dataset.event_at, "date")})


def main() -> None:
    """Measure and write continual.md and the picture."""
    parser = argparse.ArgumentParser(description="Compare the night shift with frozen and periodic learning.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bars", type=int, default=6000, help="of a simulated market")
    asked = parser.parse_args()
    homes.quiet()
    cases = [(markets.simulated(seed, asked.bars), seed) for seed in range(100, 100 + asked.seeds)]
    made = [walk(case) for case, _ in cases]
    with tempfile.TemporaryDirectory() as place:
        case = markets.recorded("daily equities", Path(place))
    report(cases, made, asked.bars, case, walk(case))


if __name__ == "__main__":
    main()
