"""Which word in params.yaml makes which model."""

import json
from pathlib import Path
from pkgutil import resolve_name

from domain.error import CorruptBundle, ModelError, nearest
from domain.params import Training
from models.contract import Model

#: Where each lives; a family is imported when it is first asked for.
FAMILIES: dict[str, str] = {
    "zero": "models.baseline:Zero",
    "drift": "models.baseline:Drift",
    "momentum": "models.baseline:Momentum",
    "trees": "models.trees:Trees",
    "sequence": "models.sequence:Sequence",
    "tft": "models.tft:Tft",
    "ensemble": "models.ensemble:Ensemble",
}

#: What every other family must beat, on the same rows.
BASELINES = ("zero", "drift", "momentum")


def create(training: Training, horizon: int, *, family: str, rounds: int | None = None) -> Model:
    """Return an unfitted model of `family`; `rounds` overrides how long it may learn.

    Raises ModelError for a family that the house does not have, ConfigurationError for a GPU that is not there: also where the
    family would not use it, since who asked for one waits for something else.
    """
    if family not in FAMILIES:
        raise ModelError(f"model family '{family}' was asked for: {nearest(family, FAMILIES)}")
    if training.hardware.device == "cuda":
        resolve_name("models.networks.device:chosen")("cuda")
    return _named(family).create(training, horizon, rounds)


def load(folder: Path) -> Model:
    """Read a model that `save` wrote, of whichever family; raise CorruptBundle when model.json does not tell."""
    try:
        name = json.loads((folder / "model.json").read_text(encoding="utf-8"))["family"]
    except (OSError, ValueError, KeyError, TypeError):
        raise CorruptBundle(f"a model was asked from {folder}, but its model.json is missing or names no family") from None
    if name not in FAMILIES:
        raise CorruptBundle(
            f"the model in {folder} is of family '{name}', which this version lacks: {nearest(str(name), FAMILIES)}"
        )
    return _named(name).load(folder)


def _named(name: str) -> type[Model]:
    found: type[Model] = resolve_name(FAMILIES[name])
    return found
