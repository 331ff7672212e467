"""Does learning every night pay? `python -m benchmarks.learning.continual`.

The night shift steps through a market: at every step it measures drift and plans by the written policy (`drift.measure`,
`learning.plan`). Where the policy asks for more than recalibration, a challenger is trained on everything known. The newer half of
the bars that the champion has not seen is forecast by a model fitted to all before them, and only there are the two compared, as
the flow does it: the challenger is taken when the paired test's p is at most a limit, and limits are what is compared.
Recalibration and the other gates are left out: these ask whether a model may trade at all. Against it a model that is fitted once,
and fits from nothing at every step, or as seldom as the night shift made one, over a rolling window of MEMORY bars or over
everything. Trees alone, all in as many rounds as the folds of the first training found best, so that what is compared is what they
learn from.
"""

import argparse
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
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
from models import metrics
from models.contract import Dataset, Model
from models.trees import Trees
from pipelines import pictures
from pipelines.model import drift, learning, training
from pipelines.model.learning import Action
from pipelines.model.promotion import COMMON_BARS_MIN

HERE = Path(__file__)
PICTURE = HERE.parents[2] / "docs" / "pictures" / "continual.png"
FROZEN, ROLLING, EXPANDING = "frozen", "rolling, every step", "expanding, every step"
NIGHT, SELDOM = "night shift, p up to {}", "rolling, as seldom as the night shift retrains"
#: Limits of the paired test's p: beyond doubt, and more likely than not.
LIMITS = (0.05, 0.5)
MEMORY, STEP = 1500, 120
#: Windows in time that skill is told for, and ages of a regime, in bars.
WINDOWS = 8
AGES = (0, 120, 300, 10_000)
Z95 = 1.959964


@dataclass
class Run:
    """What one way of learning forecast, and what it did."""

    series: FloatArray
    """[2, T] rank IC and pinball loss, NaN before the first forecast."""
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


def empty(case: Case) -> Run:
    """Return a run that has done nothing yet."""
    return Run(np.full((2, case.dataset.bars), np.nan))


class Fits:
    """Trees of a market fitted to what was known at a row; ways that ask for the same get the same."""

    def __init__(self, case: Case) -> None:
        self.case = case
        #: What `nightshift learn` makes of the first MEMORY bars: where everyone begins who does not begin anew.
        self.first = training.train(markets.known(case.dataset, MEMORY, MEMORY), case.params, case.market, "trees").model
        self._made: dict[tuple[int, int], Trees] = {}

    def at(self, now: int, memory: int) -> Trees:
        """Return trees fitted to the newest `memory` rows known at row `now`, in as many rounds as the first ones."""
        key = now, min(memory, now)
        if key not in self._made:
            view = markets.known(self.case.dataset, *key)
            self._made[key] = Trees.create(self.case.params.training, self.case.market.horizon, self.first.rounds)
            self._made[key].fit(view, np.arange(view.bars - gap(self.case), dtype=np.int64), np.arange(0))
        return self._made[key]


def gap(case: Case) -> int:
    """Return the rows before a forecast that nothing is learned from."""
    return labels.known_after(case.market.horizon) + case.params.training.embargo_bars


def frozen(fits: Fits) -> Run:
    """Fit once."""
    run = empty(fits.case)
    run.actions["retrain"] = 1
    run.score(fits.first, fits.case.dataset, slice(MEMORY, fits.case.dataset.bars))
    return run


def periodic(fits: Fits, memory: int, moments: Collection[int]) -> Run:
    """Fit from nothing at the steps that begin at `moments`, the first one among them."""
    case, run = fits.case, empty(fits.case)
    for block in markets.blocks(case.dataset, MEMORY, STEP):
        if block.start in moments:
            model = fits.at(block.start, memory)
            run.actions["retrain"] += 1
        run.score(model, case.dataset, block)
    return run


def night_shift(fits: Fits, limit: float) -> Run:
    """Work a night before every step."""
    case, run = fits.case, empty(fits.case)
    forecasts = np.full((*case.dataset.forward.shape, len(LEVELS)), np.nan)
    champion = Champion(fits.first, forecasts, MEMORY)
    for block in markets.blocks(case.dataset, MEMORY, STEP):
        if block.start > MEMORY:
            champion = night(fits, champion, block.start, limit, run.actions)
        champion.forecasts[block] = champion.model.predict(case.dataset.features[block], case.dataset.scale[block])
        run.score(champion.model, case.dataset, block)
    return run


def night(fits: Fits, champion: Champion, now: int, limit: float, actions: Counter[str]) -> Champion:
    """Return who forecasts after the night before row `now`, and count in `actions` what was done."""
    case, limits = fits.case, fits.case.params.learning
    view, theirs = markets.known(case.dataset, now, now), champion.forecasts[:now]
    moved = drift.measure(view.features, view.names, theirs, view.forward, limits.recent_bars, limits.psi_max, view.horizon)
    action = learning.plan(moved, STEP, now - champion.last, limits).action
    taken = action is Action.RETRAIN and compared(fits, champion, view.forward, now) <= limit
    actions["refused" if action is Action.RETRAIN and not taken else action.value] += 1
    return Champion(fits.at(now, now), champion.forecasts, now) if taken else champion


def compared(fits: Fits, champion: Champion, outcome: FloatArray, now: int) -> float:
    """Return the p of the paired test between the champion and a challenger that is as fresh as the new one; 1 for too few rows.

    `outcome` [now, S] is what is known of outcomes; the rows are the newer half of those that the champion has not seen.
    """
    case, unseen = fits.case, np.arange(champion.last, now)
    test = unseen[len(unseen) // 2 :]
    made = fits.at(int(test[0]), int(test[0])).predict(case.dataset.features[test], case.dataset.scale[test])
    old, new = (metrics.pinball_rows(each, outcome[test], LEVELS) for each in (champion.forecasts[test], made))
    common = np.isfinite(old) & np.isfinite(new)
    return metrics.paired_p(old[common], new[common], case.market.horizon) if common.sum() >= COMMON_BARS_MIN else 1.0


def seldom(case: Case, fits: int) -> set[int]:
    """Return the beginnings of as many steps, evenly apart, the first among them."""
    starts = [block.start for block in markets.blocks(case.dataset, MEMORY, STEP)]
    return {starts[place] for place in np.unique(np.linspace(0, len(starts), fits, endpoint=False).astype(np.int64)).tolist()}


def walk(case: Case) -> dict[str, Run]:
    """Return every way's run by name."""
    every, fits = {block.start for block in markets.blocks(case.dataset, MEMORY, STEP)}, Fits(case)
    runs: dict[str, Run] = {}
    ways: dict[str, Callable[[], Run]] = {FROZEN: partial(frozen, fits)}
    ways |= {NIGHT.format(limit): partial(night_shift, fits, limit) for limit in LIMITS}
    ways[ROLLING] = partial(periodic, fits, MEMORY, every)
    ways[SELDOM] = lambda: periodic(fits, MEMORY, seldom(case, runs[NIGHT.format(LIMITS[0])].actions["retrain"] + 1))
    ways[EXPANDING] = partial(periodic, fits, case.dataset.bars, every)
    for name, way in ways.items():
        runs[name] = way()
        told = runs[name]
        print(case.name, name, f"{metrics.mean(told.series[0]):.4f}", dict(told.actions), flush=True)
    return runs


def joined(told: list[dict[str, Run]]) -> dict[str, Run]:
    """Return the runs of several markets as one, one after the other in time."""
    return {
        name: Run(
            np.concatenate([each[name].series for each in told], axis=1),
            sum((each[name].actions for each in told), Counter()),
        )
        for name in told[0]
    }


def table(runs: dict[str, Run], horizon: int) -> list[str]:
    """Return a row a way; p values are one-sided, that the way is no better than the one named, paired by bar."""
    titles = ["way", "made", "rank IC", "low", "high", "pinball, bp", "p, frozen", "p, rolling"]
    titles += ["p of pinball, frozen", "p of pinball, rolling"]
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
        lines.append(f"| {name} | {made} | {figures} | {told} |")
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
        f"`python -m benchmarks.learning.continual --seeds {len(cases)} --bars {bars}`; a night every {STEP} bars, a",
        f"rolling window of {MEMORY} bars, trees of the shipped parameters, one thread. Low and high: 95%, HAC. p: one-sided, that",
        "the way is no better than the one named (paired by bar, HAC); above 0.95 it is worse. A night shift refuses a challenger",
        "that is not better with the p that it is named after; the one that is shipped is `registry.challenger_p_max`.",
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
