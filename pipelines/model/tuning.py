"""Tuning: a search for the settings of a family, on rows that no fold of the evaluation is judged by.

The search sees the rows from which the first fold may learn, and judges each trial by purged walk-forward inside them: its mean
rank IC over all rows tested so far, after every fold, so that a hopeless trial can be given up. What comes out is the best
settings and how many were tried, which the deflated Sharpe ratio of the winner is told. Several
processes share a search by sharing its folder.
"""

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy import stats

from domain.error import DataError, ModelError, nearest
from domain.market import Market
from domain.params import Params, Training
from features import labels
from models import metrics, splits
from models.contract import Dataset
from pipelines.model import evaluation, training

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna import Study, Trial


@dataclass(frozen=True)
class Range:
    """Where a setting may lie."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def draw(self, trial: "Trial", name: str) -> float:
        """Return a value that the sampler suggests."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


#: What is searched, by family; whatever is not named stays as params.yaml has it.
SPACES: dict[str, dict[str, Range]] = {
    "trees": {
        "rounds": Range(10, 400, log=True, whole=True),
        "depth": Range(2, 8, whole=True),
        "eta": Range(0.01, 0.3, log=True),
        "subsample": Range(0.4, 1.0),
        "colsample": Range(0.3, 1.0),
        "min_child_weight": Range(5, 500, log=True),
        "reg_lambda": Range(0.1, 100, log=True),
    },
    "sequence": {
        "layers": Range(3, 6, whole=True),
        "hidden": Range(8, 64, log=True, whole=True),
        "dropout": Range(0.0, 0.5),
        "rate": Range(3e-4, 1e-2, log=True),
        "decay": Range(1e-3, 0.3, log=True),
    },
    "tft": {
        "context": Range(8, 64, log=True, whole=True),
        "dropout": Range(0.0, 0.4),
        "rate": Range(5e-4, 1e-2, log=True),
        "decay": Range(1e-3, 0.3, log=True),
    },
}


@dataclass(frozen=True)
class Tried:
    """One trial."""

    number: int
    settings: dict[str, float]
    value: float
    """Mean rank IC over the rows tested; NaN where the trial failed."""
    state: str
    """complete, pruned, fail."""


@dataclass(frozen=True)
class Tuned:
    """What a search found."""

    family: str
    settings: dict[str, float]
    value: float
    tried: tuple[Tried, ...]


def table(found: Mapping[str, Tuned]) -> pl.DataFrame:
    """Return a row a trial: family, number, state, value, and the best value of the family so far."""
    rows = [(name, each.number, each.state, each.value) for name, tuned in found.items() for each in tuned.tried]
    schema = {"family": pl.String, "number": pl.Int64, "state": pl.String, "value": pl.Float64}
    best = pl.when(pl.col("state") == "complete").then(pl.col("value")).cum_max().forward_fill().over("family").alias("best")
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(best)


def settings(found: Tuned) -> pl.DataFrame:
    """Return how far each setting of a search moves with a trial's value: name, and Spearman's correlation of the two."""
    done = [each for each in found.tried if each.state == "complete"]
    values = [each.value for each in done]
    rows = [(name, _moves([each.settings[name] for each in done], values)) for name in SPACES[found.family]]
    return pl.DataFrame(rows, schema={"setting": pl.String, "correlation": pl.Float64}, orient="row")


def _moves(setting: list[float], values: list[float]) -> float:
    if len(set(setting)) < 2 or len(set(values)) < 2:
        return 0.0
    return float(stats.spearmanr(setting, values).statistic)


def search(
    dataset: Dataset,
    params: Params,
    market: Market,
    name: str,
    folder: Path,
    told: Callable[[Tried], None] = lambda tried: None,
) -> Tuned:
    """Search the settings of family `name` until `training.search` is used up, and return the best; go on if `folder` has begun.

    `told` hears of each trial of this process. Raises ModelError for a family without a space, DataError for too little history.
    """
    if name not in SPACES:
        raise ModelError(f"family '{name}' was to be tuned, but it has nothing to search: {nearest(name, SPACES)}")
    import optuna

    known, folds = before(dataset, params, market), params.training.search.folds
    chosen = params.training.search
    with _quiet():
        study = _study(folder, name)
        study.optimize(
            lambda trial: _judged(trial, known, params, market, name, folds),
            timeout=chosen.minutes * 60.0,
            catch=(ModelError, DataError),
            callbacks=[
                optuna.study.MaxTrialsCallback(chosen.trials, states=None),
                lambda study, trial: told(_tried(trial)),
            ],
        )
    tried = tuple(_tried(trial) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished())
    complete = [each for each in tried if each.state == "complete"]
    if not complete:
        raise ModelError(f"family '{name}' was searched for {chosen.minutes} minutes, but none of {len(tried)} trials was finished")
    best = max(complete, key=lambda each: each.value)
    return Tuned(name, best.settings, best.value, tried)


def before(dataset: Dataset, params: Params, market: Market) -> Dataset:
    """Return the rows that the first fold may learn from: nothing that is judged later has seen them."""
    last = len(training.split(dataset, params, market)[0].train)
    nearer = {horizon: each[:last] for horizon, each in dataset.nearer.items()}
    cut: dict[str, Any] = {field: getattr(dataset, field)[:last] for field in ("features", "forward", "label", "scale", "event_at")}
    return replace(dataset, **cut, nearer=nearer)


def settled(told: Training, name: str, settings: dict[str, float]) -> Training:
    """Return training parameters with settings laid over those of a family, checked as if they stood in params.yaml."""
    section = getattr(told, name)
    return told.model_copy(update={name: type(section).model_validate(section.model_dump() | settings)})


def _judged(trial: "Trial", known: Dataset, params: Params, market: Market, name: str, count: int) -> float:
    """Return the mean rank IC of a trial's settings, or give it up where the median trial was better by then."""
    import optuna

    chosen = params.training
    # Each trial draws by its own number: who goes on with a search, or shares it, draws what nobody has drawn.
    seed = int(np.random.SeedSequence([chosen.seed, trial.number]).generate_state(1)[0])
    trial.study.sampler = optuna.samplers.TPESampler(seed=seed)
    settings = {each: space.draw(trial, each) for each, space in SPACES[name].items()}
    tried = params.model_copy(update={"training": settled(chosen, name, settings)})
    gap = labels.known_after(market.horizon)
    ranked: list[np.ndarray] = []
    for number, fold in enumerate(splits.walk_forward(known.bars, count, chosen.train_fraction, gap, chosen.embargo_bars)):
        forecasts, _ = training.walk(known, tried, market, [fold], name)
        ranked.append(evaluation.ranking(forecasts, known)[fold.test])
        value = metrics.mean(np.concatenate(ranked))
        trial.report(value, number)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value


def _study(folder: Path, name: str) -> "Study":
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder.mkdir(parents=True, exist_ok=True)
    return optuna.create_study(
        study_name=name,
        storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=0),
        direction="maximize",
        load_if_exists=True,
    )


def _tried(trial: Any) -> Tried:
    reached = [value for _, value in sorted(trial.intermediate_values.items())]
    value = trial.value if trial.value is not None else (reached or [math.nan])[-1]
    return Tried(trial.number, dict(trial.params), float(value), trial.state.name.lower())


@contextmanager
def _quiet() -> "Iterator[None]":
    """Keep Optuna's running commentary to itself."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
