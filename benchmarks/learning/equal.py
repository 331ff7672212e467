"""A night shift on equal terms, beside a frozen model and expanding retraining: `python -m benchmarks.learning.equal`.

Wherever the policy asks for more than nothing a challenger is trained on all history. The newer half of the rows that the champion
has not seen is forecast by a model fitted to everything before them, and only there are the two compared. Steps, markets and what
is measured are those of `continual`; prints a line a way and market.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.learning import continual, markets
from benchmarks.learning.continual import MEMORY, STEP, Champion, Run, Taken
from benchmarks.learning.markets import Case
from domain.forecast import LEVELS
from flows import home as homes
from models import metrics
from pipelines.model import drift, learning
from pipelines.model.learning import Action


def night_shift(case: Case, taken: Taken) -> Run:
    """Work a night before every step."""
    run, champion = continual.empty(case), continual.trained(case, MEMORY, MEMORY)
    for block in markets.blocks(case.dataset, MEMORY, STEP):
        if block.start > MEMORY:
            champion = night(case, champion, block.start, taken, run)
        champion.forecasts[block] = champion.model.predict(case.dataset.features[block], case.dataset.scale[block])
        run.score(champion.model, case.dataset, block)
    return run


def night(case: Case, champion: Champion, now: int, taken: Taken, run: Run) -> Champion:
    """Return who forecasts after the night before row `now`, and note in `run` what was done."""
    limits, view = case.params.learning, markets.known(case.dataset, now, case.dataset.bars)
    theirs = champion.forecasts[now - view.bars : now]
    moved = drift.measure(view.features, view.names, theirs, view.forward, limits.recent_bars, limits.psi_max, view.horizon)
    action = learning.plan(moved, STEP, now - champion.learned, limits).action
    run.actions[action.value] += 1
    if action is Action.NOTHING:
        return champion
    unseen = np.arange(champion.last, now)
    test = unseen[len(unseen) // 2 :]
    judged = continual.fitted(case, int(test[0]), case.dataset.bars)
    forecasts, outcome = champion.forecasts.copy(), view.forward[test - now]
    forecasts[test] = judged.predict(case.dataset.features[test], case.dataset.scale[test])
    old, new = (metrics.pinball_rows(each[test], outcome, LEVELS) for each in (champion.forecasts, forecasts))
    common = np.isfinite(old) & np.isfinite(new)
    if not taken(old[common], new[common], case):
        run.actions["refused"] += 1
        return champion
    return Champion(continual.fitted(case, now, case.dataset.bars), forecasts, now, now)


def tell(name: str, cases: list[Case]) -> None:
    """Print what every way came to on some markets, taken together."""
    ways: dict[str, Callable[[Case], Run]] = {
        "night shift": lambda case: night_shift(case, continual.better),
        "night shift, refusing what is worse": lambda case: night_shift(case, continual.not_worse),
        "frozen": continual.frozen,
        "expanding": lambda case: continual.periodic(
            case, case.dataset.bars, {block.start for block in markets.blocks(case.dataset, MEMORY, STEP)}
        ),
    }
    for way, worked in ways.items():
        runs = [worked(case) for case in cases]
        ranked, loss = np.concatenate([run.series for run in runs], axis=1)
        actions = [dict(run.actions) for run in runs]
        print(
            f"{name}, {way}: rank IC {metrics.mean(ranked):.4f}, pinball {1e4 * metrics.mean(loss):.3f} bp, {actions}", flush=True
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Let a night shift compare on equal terms.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bars", type=int, default=6000, help="of a simulated market")
    asked = parser.parse_args()
    homes.quiet()
    tell(markets.SIMULATED, [markets.simulated(seed, asked.bars) for seed in range(100, 100 + asked.seeds)])
    with tempfile.TemporaryDirectory() as place:
        tell("daily equities", [markets.recorded("daily equities", Path(place))])


if __name__ == "__main__":
    main()
