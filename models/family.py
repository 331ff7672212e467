"""Which word in params.yaml makes which model."""

import json
from pathlib import Path

from domain.error import CorruptBundle, ModelError, nearest
from domain.params import Training
from models.baseline import Drift, Momentum, Zero
from models.contract import Model
from models.sequence import Sequence
from models.tft import Tft
from models.trees import Trees

FAMILIES: dict[str, type[Model]] = {
    "zero": Zero,
    "drift": Drift,
    "momentum": Momentum,
    "trees": Trees,
    "sequence": Sequence,
    "tft": Tft,
}

#: What every other family must beat, on the same rows.
BASELINES = ("zero", "drift", "momentum")


def create(training: Training, horizon: int, *, family: str | None = None, rounds: int | None = None) -> Model:
    """Return an unfitted model of `family`, by default the one in `training`; `rounds` overrides how long it may learn.

    Raises ModelError for a family that the house does not have.
    """
    name = family or training.family
    if name not in FAMILIES:
        raise ModelError(f"model family '{name}' was asked for: {nearest(name, FAMILIES)}")
    return FAMILIES[name].create(training, horizon, rounds)


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
    return FAMILIES[name].load(folder)
