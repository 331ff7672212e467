"""Graph: the stages as DVC sees them. `python -m flows.graph` prints what dvc.yaml must say; a test holds the two equal."""

import sys
from collections.abc import Collection
from typing import Any

import yaml

from flows import home as homes
from flows.stages import STAGES, Stage

FOLDER = "var/experiment"
MARKET = "${experiment.market}"
PROFILE = "${profile}"
FAMILY = "${item.family}"
#: The project's own environment where there is one, so that `.venv/bin/dvc repro` needs no activation.
COMMAND = "PATH=.venv/bin:$PATH python -m flows.stages"
TRAINING = "training"
SCRIPT = "flows/stages.py"


def definition(overlaid: Collection[str]) -> dict[str, Any]:
    """Return dvc.yaml's content; `overlaid` are the sections that profiles change."""
    return {"stages": {stage.name: _stage(stage, overlaid) for stage in STAGES}}


def overlaid_sections() -> set[str]:
    """Return the sections of params.yaml that any profile lays something over."""
    raw = yaml.safe_load(homes.parameters().read_text(encoding="utf-8"))
    return {section for profile in raw["profiles"].values() for section in profile}


def _stage(stage: Stage, overlaid: Collection[str]) -> dict[str, Any]:
    each = stage.name == TRAINING
    described: dict[str, Any] = {"matrix": {"family": "${training.families}"}} if each else {}
    command = f"{COMMAND} {stage.name} --market {MARKET} --folder {FOLDER}"
    described["cmd"] = f"{command} --family {FAMILY}" if each else command
    described["deps"] = [*(_place(path) for path in stage.inputs), SCRIPT, *stage.code]
    described["params"] = [
        *stage.parameters,
        *(f"profiles.{PROFILE}.{section}" for section in stage.parameters if section in overlaid),
        *(f"markets.{MARKET}.{field}" for field in stage.market),
        f"markets.{MARKET}.override",
    ]
    described["outs"] = [_place(path) for path in stage.outputs]
    if stage.metrics:
        described["metrics"] = [{_place(path): {"cache": False}} for path in stage.metrics]
    if stage.plots:
        described["plots"] = [{_place(path): {"cache": False, "x": x, "y": y}} for path, x, y in stage.plots]
    return described


def _place(path: str) -> str:
    return f"{FOLDER}/{path.format(family=FAMILY)}"


if __name__ == "__main__":
    yaml.safe_dump(definition(overlaid_sections()), sys.stdout, sort_keys=False, width=200)
