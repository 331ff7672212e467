"""Tune: a search for one member's settings on what is stored, each trial told to MLflow, and lines for params.yaml."""

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from domain.params import Params
from flows import retrain, stages
from flows.home import Home
from flows.stages import LOOKING, Do, Job
from pipelines import pictures
from pipelines.data import materialize
from pipelines.model import tuning
from pipelines.model.tuning import Tuned
from pipelines.registry import Registry

FOLDER_CHARACTERS = 12
#: Trials where neither params.yaml nor the caller says how many.
TRIALS = 30


def tune(market: str, name: str, until: date | None, home: Home, params: Params, do: Do = stages.direct) -> dict[str, Any]:
    """Search until `training.search` is used up and return what was found, as JSON values.

    The search of one snapshot is kept in the home: a second process, or a second run, takes part in it instead of beginning anew.
    """
    registry = Registry(home.mlflow)
    with retrain.opened(market, until, home, params) as job:
        stages.run(job, do, skip=[stage.name for stage in stages.STAGES if stage.name not in LOOKING])
        taken = materialize.load_snapshot(job.at("snapshot"))
        folder = home.tuning / market / taken.digest[:FOLDER_CHARACTERS]
        with registry.study(market, f"tune {market} {name} {taken.digest[:FOLDER_CHARACTERS]}") as study:
            found = do("tuning", tuning.search, stages.load_dataset(job), params, job.market, name, folder, study.tried)
            study.found(found.settings, found.value, len(found.tried), draw(found, job))
    return {
        "market": market,
        "family": name,
        "trials": len(found.tried),
        "value": found.value,
        "settings": found.settings,
        "override": override(market, found),
        "folder": str(folder),
    }


def asked(params: Params, trials: int, minutes: float | None) -> Params:
    """Return the parameters with another length of search."""
    length = {"trials": trials} | ({"minutes": minutes} if minutes is not None else {})
    search = params.training.search.model_copy(update=length)
    return params.model_copy(update={"training": params.training.model_copy(update={"search": search})})


def override(market: str, found: Tuned) -> str:
    """Return the lines of params.yaml with which the market would be trained with what was found, trials and all."""
    told = {"training": {found.family: found.settings}, "evaluation": {"trials": len(found.tried)}}
    return yaml.safe_dump({"markets": {market: {"override": told}}}, sort_keys=False)


def draw(found: Tuned, job: Job) -> Path:
    """Return a folder with the table of the search, and its picture: each trial's value and the best so far."""
    place = job.at("tuning")
    tables = place / "tables"
    tables.mkdir(exist_ok=True)
    table = tuning.table({found.family: found})
    table.write_csv(place / "trials.csv")
    table.select("number", "value", "best").write_csv(tables / "trials.csv")
    tuning.settings(found).write_csv(tables / "settings.csv")
    pictures.draw(tables, place)
    shutil.rmtree(tables)
    return place
