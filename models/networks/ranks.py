"""Ranks: one fit on several processes, each with its share of every batch, started by torchrun as a command of its own.

Inside a flow, Lightning's own launcher would run the whole flow once more in each process. The job lies in a folder: arrays as
files that are mapped and not copied, words as JSON; the first rank leaves the weights there. With several machines the folder must
be one that all of them see; on each of the others `python -m torch.distributed.run` is started with the same arguments.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import Any, Protocol, Self

import numpy as np
from safetensors.numpy import load_file, save_file
from torch import nn

from domain.error import ConfigurationError, ResourceError
from domain.params import Hardware
from models.forward import Weights
from models.inputs import Scaler
from models.networks import device, school
from models.networks.learner import Objective
from models.networks.school import Lessons, Plan, Taught
from models.schooling import Schooling

ARRAYS = ("features", "targets", "train", "valid")
#: Where the processes of several machines meet, host:port.
RENDEZVOUS = "NIGHTSHIFT_RENDEZVOUS"
WORDS_SHOWN = 300


class Pupil(Protocol):
    """A model that can be made again in another process from what was told of it, and the network that it is to have."""

    @classmethod
    def described(cls, told: dict[str, Any], schooling: Schooling) -> Self:
        """Return the unfitted model."""
        ...

    def network(self) -> tuple[nn.Module, Objective]:
        """Return its network, unfitted, and what that is asked for."""
        ...


def fit(described: dict[str, Any], lessons: Lessons, plan: Plan, weights: Weights, checkpoint: Path | None) -> Taught:
    """Return what as many processes as `plan.hardware` says learn together of the model that is described.

    Raises ConfigurationError for a GPU or a meeting place that is not there, ResourceError with the last words of those that fail.
    """
    hardware = plan.hardware or school.PROCESSOR
    device.chosen(hardware.device)
    with TemporaryDirectory() as place:
        folder = Path(place)
        _write(folder, described, lessons, plan, weights, checkpoint)
        done = subprocess.run([*_launcher(hardware), str(folder)], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            said = " ".join(done.stderr.split())[-WORDS_SHOWN:]
            asked = f"a network was to be fitted by {hardware.devices * hardware.nodes} processes"
            raise ResourceError(f"{asked}, but they ended with code {done.returncode}: {said}")
        told = json.loads((folder / "taught.json").read_text(encoding="utf-8"))
        return Taught(load_file(folder / "taught.safetensors"), int(told["passes"]), tuple(told["curve"]))


def _launcher(hardware: Hardware) -> list[str]:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={hardware.devices}"]
    if hardware.nodes == 1:
        return [*command, "--standalone", "-m", __name__]
    meeting = os.environ.get(RENDEZVOUS)
    if meeting is None:
        raise ConfigurationError(
            f"training.hardware.nodes {hardware.nodes} was asked for, but {RENDEZVOUS} names no host:port where they meet"
        )
    return [*command, f"--nnodes={hardware.nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={meeting}", "-m", __name__]


def _write(
    folder: Path, described: dict[str, Any], lessons: Lessons, plan: Plan, weights: Weights, checkpoint: Path | None
) -> None:
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(lessons, name), allow_pickle=False)
    kept = weights | {"scaler.centre": lessons.scaler.centre, "scaler.width": lessons.scaler.width}
    save_file(kept, folder / "begun.safetensors")
    hardware = (plan.hardware or school.PROCESSOR).model_dump()
    told = {"model": described, "rate": plan.rate, "passes": plan.passes, "hardware": hardware, "context": lessons.context}
    told |= {"schooling": asdict(plan.schooling), "checkpoint": str(checkpoint or folder / "passes")}
    (folder / "job.json").write_text(json.dumps(told), encoding="utf-8")


def main(folder: Path) -> None:
    """Fit as one rank of several; the first writes what was learned."""
    told = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "begun.safetensors")
    scaler = Scaler(weights.pop("scaler.centre"), weights.pop("scaler.width"))
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    lessons = Lessons(**arrays, scaler=scaler, context=told["context"])
    described, schooling = told["model"], Schooling(**told["schooling"])
    kind: type[Pupil] = resolve_name(described["class"])
    model = kind.described(described, schooling)
    plan = Plan(schooling, told["rate"], told["passes"], Hardware(**told["hardware"]))
    taught = school.teach(model.network, lessons, plan, weights, Path(told["checkpoint"]))
    if os.environ["RANK"] == "0":
        save_file(taught.weights, folder / "taught.safetensors")
        (folder / "taught.json").write_text(json.dumps({"passes": taught.passes, "curve": taught.curve}), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
