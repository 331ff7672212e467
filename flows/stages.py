"""Stages: the steps from a snapshot to a replayed model, as plain functions from files to files, and the order they come in.

`dvc.yaml` runs them one by one with `python -m flows.stages NAME --market M --folder DIR`, a flow runs all of them with `run`; the
same snapshot, parameters and seed give the same bytes either way. STAGES says what each of them reads and writes.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
import polars as pl

from domain import params as parameters
from domain.error import DataError, NightshiftError, NoData
from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params, Sizing
from flows import cluster
from flows import dossier as dossiers
from flows import home as homes
from flows.dossier import Case
from flows.home import Home
from models import bundle, family
from models.bundle import Golden, Manifest, Schema
from models.contract import Dataset, Model
from models.ensemble import Ensemble
from pipelines.data import ingest, materialize, measuring
from pipelines.data.covariates import Wanted
from pipelines.execution import simulate, sizing
from pipelines.execution.outcome import Outcome
from pipelines.execution.sizing import Sized
from pipelines.model import datasets as samples
from pipelines.model import evaluation as judging
from pipelines.model import training as fitting
from pipelines.model import tuning as searching
from pipelines.model.training import Trained
from pipelines.model.tuning import Tuned
from pipelines.store import Store

P = ParamSpec("P")
R = TypeVar("R")

GOLDEN_ROWS = 4
VERSION_CHARACTERS = 12
#: The parameters that shape a model, and those that shape by what settings it is traded: two versions with the same ones differ by
#: their snapshot alone.
SHAPING = ("quality", "features", "datasets", "training")
SIZING = ("decisions", "risk", "orders", "fills", "learning")


@dataclass(frozen=True)
class Job:
    """One pass of a market through the stages, in a folder of its own."""

    folder: Path
    home: Home
    market: Market
    params: Params
    until: datetime | None = None
    """Nothing known later is used; None means everything stored."""
    family: str | None = None
    """The one member that training is about; None means all."""
    versions: Mapping[str, int] | None = None
    """Versions of the tables that are read; None means the newest."""
    fresh: int | None = None
    """First row that a model trained on everything before it is to forecast; None leaves the folds as they are."""

    def at(self, stage: str) -> Path:
        """Return the folder of a stage, created if need be."""
        place = self.folder / stage
        place.mkdir(parents=True, exist_ok=True)
        return place

    @property
    def made(self) -> Path:
        """Where the bundle that would be served is left."""
        return self.at("ensemble")


@dataclass(frozen=True)
class Stage:
    """A row of the graph. `{family}` in a path stands for the member that is trained."""

    name: str
    run: Callable[[Job], None]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...]
    """Sections of params.yaml that it reads."""
    market: tuple[str, ...]
    """Fields of the market that it reads."""
    code: tuple[str, ...]
    """Files and folders whose change makes its output stale."""
    metrics: tuple[str, ...] = ()
    plots: tuple[tuple[str, str, str], ...] = ()
    """Tables to look at: path, column along x, column along y."""


def snapshot(job: Job) -> None:
    """Freeze what the store knew at `job.until` as a panel; raise NoData, with the command that helps, when it knows nothing."""
    store = Store(job.home.store)
    if job.versions is not None:
        store = store.at(job.versions)
    if said := ingest.lacking(job.market, store):
        raise NoData(said)
    materialize.snapshot(store, job.market, job.at("snapshot"), job.until, wanted=Wanted.by(job.params))


def features(job: Job) -> None:
    """Measure the panel."""
    chosen = job.params.features
    over = cluster.over(chosen.workers) if chosen.workers > 1 else map
    measuring.features(
        job.at("snapshot"),
        chosen.families,
        job.at("features"),
        workers=chosen.workers,
        over=over,
        device=chosen.device,
        threads=chosen.threads,
    )


def datasets(job: Job) -> None:
    """Pair features with labels; only what the features do not hold is written."""
    panel = materialize.load_panel(job.at("snapshot"))
    values, names, _ = measuring.load_features(job.at("features"))
    built = samples.build(panel, values, names, job.market, job.params)
    place = job.at("datasets")
    arrays = {"target": built.forward, "label": built.label, "scale": built.scale}
    arrays |= {f"near_{horizon}": array for horizon, array in built.nearer.items()}
    for name, array in arrays.items():
        np.save(place / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
    np.save(place / "event_at.npy", built.event_at.astype("datetime64[us]").astype("<i8"), allow_pickle=False)
    _write_json(place / "datasets.json", {"bars": built.bars, "horizon": built.horizon, "symbols": list(built.symbols)})


def load_dataset(job: Job) -> Dataset:
    """Return what the stages features and datasets wrote, as models take it."""
    place = job.at("datasets")
    described = json.loads((place / "datasets.json").read_text(encoding="utf-8"))
    values, names, _ = measuring.load_features(job.at("features"))
    arrays = {name: np.load(place / f"{name}.npy", allow_pickle=False) for name in ("target", "label", "scale", "event_at")}
    return Dataset(
        features=values[len(values) - described["bars"] :],
        forward=arrays["target"],
        label=arrays["label"],
        scale=arrays["scale"],
        event_at=arrays["event_at"].astype("datetime64[us]"),
        names=names,
        symbols=tuple(described["symbols"]),
        horizon=described["horizon"],
        nearer={each: np.load(place / f"near_{each}.npy", allow_pickle=False) for each in samples.nearer(described["horizon"])},
    )


def tuning(job: Job) -> None:
    """Search each member's settings, as far as `training.search` goes, and write what was found and how many trials it took."""
    searched, dataset = job.params.training.search.trials > 0, load_dataset(job)
    found: dict[str, Tuned] = {
        name: searching.search(dataset, job.params, job.market, name, job.at("workshop") / "tuning")
        for name in job.params.training.families
        if searched and name in searching.SPACES
    }
    place = job.at("tuning")
    _write_json(
        place / "tuned.json", {name: {"settings": each.settings, "trials": len(each.tried)} for name, each in found.items()}
    )
    searching.table(found).write_csv(place / "trials.csv")


def tuned(job: Job) -> tuple[Params, int]:
    """Return the parameters with the settings that the search of this job found, and how many trials that took."""
    told = job.folder / "tuning" / "tuned.json"
    found = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
    chosen = job.params.training
    for name, each in found.items():
        chosen = searching.settled(chosen, name, each["settings"])
    return job.params.model_copy(update={"training": chosen}), sum(each["trials"] for each in found.values())


def training(job: Job) -> None:
    """Let each member forecast out of sample by walk-forward, then fit it to everything known; begun ones go on."""
    dataset, (params, _) = load_dataset(job), tuned(job)
    for name in [job.family] if job.family is not None else job.params.training.families:
        place = job.at(f"training/{name}")
        workshop = _workshop(job, params, name)
        _write_member(place, fitting.train(dataset, params, job.market, name, workshop, job.fresh))
        shutil.rmtree(workshop)


def _workshop(job: Job, params: Params, name: str) -> Path:
    """Return the folder in which a member's training keeps what is finished; that of another snapshot or other parameters goes."""
    place = job.at("workshop") / name
    begun = {"snapshot": materialize.load_snapshot(job.at("snapshot")).digest, "parameters": params.digest(*SHAPING)}
    told = place / "begun.json"
    if not told.exists() or json.loads(told.read_text(encoding="utf-8")) != begun:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        _write_json(told, begun)
    return place


def _write_member(place: Path, trained: Trained) -> None:
    shutil.rmtree(place / "model", ignore_errors=True)
    trained.model.save(place / "model")
    np.save(place / "forecasts.npy", trained.forecasts, allow_pickle=False)
    folds = [{"train": len(fold.train), "test": len(fold.test)} for fold in trained.folds]
    _write_json(place / "training.json", {"family": trained.model.family, "rounds": list(trained.rounds), "folds": folds})


def _load_member(place: Path) -> Trained:
    told = json.loads((place / "training.json").read_text(encoding="utf-8"))
    forecasts = np.load(place / "forecasts.npy", allow_pickle=False)
    return Trained(family.load(place / "model"), forecasts, [], tuple(told["rounds"]))


def ensemble(job: Job) -> None:
    """Join the members: weigh and calibrate them by what they forecast out of sample, and write the model that would be served."""
    members = [_load_member(job.at(f"training/{name}")) for name in job.params.training.families]
    write_trained(job, fitting.join(load_dataset(job), members, job.params, job.market))


def write_trained(job: Job, trained: Trained, made: Mapping[str, Any] = MappingProxyType({"action": "retrain"})) -> Manifest:
    """Write a fitted model as a bundle, its out-of-sample forecasts, what the fit found and by what settings it is to be traded.

    `made` says how it came about: the night's action, and the version that it was made from, if any, as its parent.
    """
    dataset, place = load_dataset(job), job.made
    _, names, schema_hash = measuring.load_features(job.at("features"))
    taken = materialize.load_snapshot(job.at("snapshot"))
    sized = _sized(job, dataset, trained.forecasts)
    shutil.rmtree(place / "bundle", ignore_errors=True)
    manifest = bundle.write(
        place / "bundle",
        trained.model,
        Schema(names, schema_hash),
        Golden.of(dataset, GOLDEN_ROWS + trained.model.context_bars - 1),
        params_hash=tuned(job)[0].digest(*SHAPING, *SIZING),
        lineage={
            **made,
            "snapshot": taken.digest,
            "last": iso(dataset.event_at[-1]),
            "seed": job.params.training.seed,
            "fed_by": job.params.fed_by(job.market.name),
        },
        sizing=sized.chosen,
    )
    np.save(place / "forecasts.npy", trained.forecasts, allow_pickle=False)
    _write_json(place / "ensemble.json", {"model_digest": manifest.model_digest, **_joined(trained.model)})
    _write_json(place / "sizing.json", sized.to_dict())
    return manifest


def _sized(job: Job, dataset: Dataset, forecasts: FloatArray) -> Sized:
    """Choose by what settings the folds and the model are traded."""
    folds = fitting.split(dataset, job.params, job.market)
    return sizing.search(_traded(job, dataset), forecasts, job.market, job.params, folds, dataset.scale)


def _traded(job: Job, dataset: Dataset) -> Panel:
    """Return the bars that the dataset has rows of."""
    panel = materialize.load_panel(job.at("snapshot"))
    return panel.rows(panel.bars - dataset.bars, panel.bars)


def _joined(model: Model) -> dict[str, Any]:
    """Return what there is to tell of an ensemble beside its members."""
    if not isinstance(model, Ensemble):
        return {}
    names = [member.family for member in model.members]
    return {"weights": dict(zip(names, model.weights, strict=True)), "offsets": list(model.offsets.values)}


def iso(at: np.datetime64) -> str:
    """Return a moment as ISO 8601 in UTC, to the second."""
    return f"{np.datetime_as_string(at, unit='s')}Z"


def load_forecasts(job: Job) -> FloatArray:
    """Return the out-of-sample forecasts [T, S, Q] over the dataset's rows."""
    forecasts: FloatArray = np.load(job.made / "forecasts.npy", allow_pickle=False)
    return forecasts


def evaluation(job: Job) -> None:
    """Judge the out-of-sample forecasts."""
    model, _ = bundle.load(job.made / "bundle")
    judged = judging.evaluate(load_dataset(job), load_forecasts(job), job.params, job.market, importance=model.importance())
    judged.save(job.at("evaluation"))


def replay(job: Job) -> None:
    """Trade the out-of-sample forecasts through decisions, risk and fills, from the first bar that has one.

    Each fold is traded by settings that were chosen on earlier rows alone, not by those that the model goes on with.
    """
    dataset, forecasts = load_dataset(job), load_forecasts(job)
    panel = _traded(job, dataset)
    known = np.flatnonzero(np.isfinite(forecasts).any(axis=(1, 2)))
    if not len(known):
        raise DataError(f"market '{job.market.name}' was to be replayed, but no bar has a forecast: train on more bars")
    since, version = panel.event_at[known[0]], bundle.verify(job.made / "bundle").model_digest[:VERSION_CHARACTERS]
    outcome = simulate.run(
        panel, forecasts, job.market, job.params, model_version=version, since=since, scale=dataset.scale, sized=_turns(job)
    )
    write_outcome(outcome, job.at("replay"))


def dossier(job: Job) -> None:
    """Compile what evaluation and replay do not tell, and lay everything out as one page."""
    told = case(job)
    dossiers.compiled(told).save(told, job.at("dossier"))


def case(job: Job) -> Case:
    """Return everything that a dossier is compiled from."""
    dataset, (model, manifest) = load_dataset(job), bundle.load(job.made / "bundle")
    returns, earned = np.full(dataset.bars, np.nan), load_returns(job)
    returns[dataset.bars - len(earned) :] = earned
    known = {**read_numbers(job.folder / "evaluation" / "metrics.json"), **read_numbers(job.folder / "replay" / "replay.json")}
    members = {path.parent.name: np.load(path, allow_pickle=False) for path in sorted(job.folder.glob("training/*/forecasts.npy"))}
    facts = {"model": manifest.model_digest, **{name: str(manifest.lineage[name]) for name in ("snapshot", "last", "seed")}}
    facts |= {"symbols": str(len(dataset.symbols)), "bars": str(dataset.bars), "settings searched": str(tuned(job)[1])}
    return Case(
        job.market,
        job.params,
        dataset,
        _traded(job, dataset),
        model,
        members,
        load_forecasts(job),
        _turns(job),
        returns,
        known,
        facts,
    )


def read_numbers(path: Path) -> dict[str, float]:
    """Return the finite numbers of a flat JSON file; words and what could not be measured are left out."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float) and np.isfinite(value)}


def load_returns(job: Job) -> FloatArray:
    """Return the simple return of the replayed account in each bar, net of cost."""
    equity = pl.read_csv(job.at("replay") / "equity.csv")["equity"].to_numpy()
    before = np.concatenate(([job.params.fills.capital], equity[:-1]))
    returns: FloatArray = equity / before - 1.0
    return returns


def _turns(job: Job) -> list[tuple[int, Sizing]]:
    """Return by what settings each fold is traded, each with its first row."""
    return sizing.turns(json.loads((job.made / "sizing.json").read_text(encoding="utf-8")))


def write_outcome(outcome: Outcome, folder: Path) -> None:
    """Write an outcome as `replay.json` (flat numbers), `equity.csv`, `orders.csv` and `fills.csv`."""
    _write_json(folder / "replay.json", {**outcome.metrics, "orders_digest": outcome.orders_digest})
    times = pl.Series(outcome.event_at).dt.replace_time_zone("UTC")
    pl.DataFrame({"event_at": times, "equity": outcome.equity}).write_csv(folder / "equity.csv")
    outcome.orders.write_csv(folder / "orders.csv")
    outcome.fills.write_csv(folder / "fills.csv")


#: What decides how forecasts are traded on paper.
TRADING = ("pipelines/execution", "domain/cost.py", "domain/account.py", "domain/decision.py", "domain/order.py")
#: The path in its order; each stage reads what those before it wrote.
STAGES: tuple[Stage, ...] = (
    Stage(
        name="snapshot",
        run=snapshot,
        inputs=(),
        outputs=("snapshot",),
        parameters=("sources", "store", "quality", "features"),
        market=("asset_class", "calendar", "timeframe", "source", "symbols", "universe", "stored", "hours"),
        code=("pipelines/data", "pipelines/store", "domain/bar.py", "domain/panel.py", "domain/session.py"),
    ),
    Stage(
        name="features",
        run=features,
        inputs=("snapshot",),
        outputs=("features",),
        parameters=("features",),
        market=(),
        code=("features", "pipelines/data/materialize.py", "pipelines/data/measuring.py"),
    ),
    Stage(
        name="datasets",
        run=datasets,
        inputs=("snapshot", "features"),
        outputs=("datasets",),
        parameters=("datasets",),
        market=("horizon", "cost"),
        code=("features/labels.py", "pipelines/model/datasets.py"),
    ),
    Stage(
        name="tuning",
        run=tuning,
        inputs=("features", "datasets"),
        outputs=("tuning/tuned.json",),
        parameters=("training",),
        market=("horizon",),
        code=("models", "pipelines/model/training.py", "pipelines/model/tuning.py"),
        plots=(("tuning/trials.csv", "number", "best"),),
    ),
    Stage(
        name="training",
        run=training,
        inputs=("snapshot", "features", "datasets", "tuning/tuned.json"),
        outputs=("training/{family}",),
        parameters=("training",),
        market=("horizon",),
        code=("models", "pipelines/model/training.py"),
    ),
    Stage(
        name="ensemble",
        run=ensemble,
        inputs=("snapshot", "features", "datasets", "training"),
        outputs=("ensemble",),
        parameters=("training", *SIZING),
        market=("horizon", "cost", "instrument", "calendar", "timeframe"),
        code=("models", "pipelines/model/training.py", *TRADING),
    ),
    Stage(
        name="evaluation",
        run=evaluation,
        inputs=("features", "datasets", "ensemble"),
        outputs=("evaluation/evaluation.json",),
        parameters=("evaluation", "training"),
        market=("horizon", "cost", "calendar", "timeframe"),
        code=("models", "pipelines/model/evaluation.py", "domain/cost.py"),
        metrics=("evaluation/metrics.json",),
        plots=(
            ("evaluation/plots/calibration.csv", "level", "observed"),
            ("evaluation/plots/ic.csv", "event_at", "cumulative"),
            ("evaluation/plots/importance.csv", "feature", "share"),
        ),
    ),
    Stage(
        name="replay",
        run=replay,
        inputs=("snapshot", "features", "datasets", "ensemble"),
        outputs=("replay/orders.csv", "replay/fills.csv"),
        parameters=("decisions", "risk", "orders", "fills"),
        market=("horizon", "cost", "instrument", "calendar", "timeframe"),
        code=TRADING,
        metrics=("replay/replay.json",),
        plots=(("replay/equity.csv", "event_at", "equity"),),
    ),
    Stage(
        name="dossier",
        run=dossier,
        inputs=(
            "snapshot",
            "features",
            "datasets",
            "tuning/tuned.json",
            "training",
            "ensemble",
            "evaluation/metrics.json",
            "replay/replay.json",
            "replay/equity.csv",
        ),
        outputs=("dossier/dossier.html",),
        parameters=("training", "evaluation", "decisions", "risk", "orders", "fills"),
        market=("horizon", "cost", "instrument", "calendar", "timeframe"),
        code=("models", "pipelines/model", *TRADING, "flows/dossier.py", "flows/dossier.html"),
        metrics=("dossier/metrics.json",),
    ),
)


#: The stages that look at the market, before anything is learned.
LOOKING = ("snapshot", "features", "datasets")


def direct(_name: str, step: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
    """Call a step as it is; retries and progress come from whoever passes something else as `do`."""
    return step(*arguments, **named)


class Do(Protocol):
    """How a named step is called: as it is, as a Prefect task, under a progress bar."""

    def __call__(self, name: str, step: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
        """Call `step` and return what it returns."""
        ...


def run(job: Job, do: Do = direct, skip: Collection[str] = ()) -> None:
    """Run all stages in their order but those in `skip`."""
    for stage in STAGES:
        if stage.name not in skip:
            do(stage.name, stage.run, job)


def materialized(job: Job, do: Do = direct) -> dict[str, Any]:
    """Freeze and measure the bars, no more, and return what the snapshot says of itself."""
    run(job, do, skip=[stage.name for stage in STAGES if stage.name not in {"snapshot", "features"}])
    return asdict(materialize.load_snapshot(job.at("snapshot")))


@contextmanager
def simulated(job: Job) -> Iterator[Job]:
    """Yield the job over a store of its own with a simulated market made anew, so that no other simulation's bars mix in."""
    with TemporaryDirectory() as place:
        own = replace(job, home=Home(Path(place)))
        ingest.from_source(own.market, own.params, Store(own.home.store), None, own.until)
        yield own


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage, as dvc.yaml asks."""
    asked = _arguments(arguments)
    homes.quiet()
    try:
        params = parameters.load(homes.parameters(), asked.market)
        job = Job(asked.folder, homes.from_environment(), params.market(asked.market), params, family=asked.family)
        stage = next(stage for stage in STAGES if stage.name == asked.stage)
        if stage.name == "snapshot" and job.market.source == "simulated":
            with simulated(job) as own:
                stage.run(own)
        else:
            stage.run(job)
    except NightshiftError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.stages", description="Run one stage of the path from files to files.")
    parser.add_argument("stage", choices=[stage.name for stage in STAGES])
    parser.add_argument("--market", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--family", help="the one member to train, by default all of training.families")
    return parser.parse_args(arguments)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
