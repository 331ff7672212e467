"""The convolutional network on a GPU: `python -m benchmarks.training.sequence_cuda [--device cuda]`.

The market of `tft.py`, wider and longer, learned by `school.teach`, through which a night teaches: microseconds a sample, the whole
fit and the loss on rows that nobody was fitted to, on one core of a processor, on all of them, and on a GPU plain, as a recorded
graph, in bfloat16 and compiled. Then what a GPU could get wrong: the same seed twice, a fit that ends after two passes and is gone
on with, and the answers of one network here and there. Writes sequence_cuda.md.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.training import tft as peers
from benchmarks.training.tft import FEATURES, SEED, Size
from domain.clock import SystemClock
from domain.params import Hardware
from models.forward import Weights
from models.inputs import Places, Scaler
from models.networks import device as devices
from models.networks import school, sequence
from models.networks.learner import Objective
from models.networks.school import PROCESSOR, Lessons, Plan, Taught
from models.networks.strips import Strips
from models.schooling import Schooling

SIZES = {"cpu": Size(40, 1000, 4096, 4), "cuda": Size(500, 2520, 16384, 12)}
HIDDEN, LAYERS, DROPOUT, SPAN = 32, 5, 0.1, 32
CONTEXT = 2**LAYERS
#: Share of the rows that is learned from; the rest is judged.
SHARE = 0.8
GPU = PROCESSOR.model_copy(update={"device": "cuda"})


@dataclass(frozen=True)
class Found:
    """One fit."""

    name: str
    sample_us: float
    """Of the passes after the first."""
    cold_s: float
    """What the first fit of a process takes beyond another one: compiling, recording, warming up."""
    whole_s: float
    loss: float
    taught: Taught

    def row(self, base_us: float) -> str:
        """Return its row of the table."""
        times = base_us / self.sample_us
        return f"| {self.name} | {self.sample_us:.3f} | {times:.1f} | {self.cold_s:.1f} | {self.whole_s:.1f} | {self.loss:.4f} |"


def build() -> tuple[nn.Module, Objective]:
    """Return the network and what it is asked for."""
    return sequence.Convolutional(FEATURES, HIDDEN, LAYERS, DROPOUT), sequence.squared


def lessons(size: Size) -> Lessons:
    """Return the older rows of a market, [T, S, 2] as a sequence network learns them: what comes, and how far it lies off."""
    x, y = peers.market(size)
    score = peers.ahead(y)[:, :, 0]
    score = (score - np.nanmean(score)) / np.nanstd(score)
    targets = np.stack((score, np.log(np.abs(score) + 0.05)), axis=2)
    cut = int(SHARE * size.bars)
    scaler = Scaler.fit(x[:cut], Places.of(tuple(f"f{place}" for place in range(FEATURES))).codes)
    return Lessons(x, targets, np.arange(CONTEXT - 1, cut), np.arange(0), scaler, CONTEXT)


def teach(size: Size, told: Lessons, hardware: Hardware, passes: int, checkpoint: Path | None = None) -> Taught:
    """Teach a network for some of the passes that its step size is laid over."""
    schooling = Schooling(epochs=size.passes, patience=99, batch=size.batch, span=SPAN, rate=2e-3, decay=0.01, seed=SEED)
    return school.teach(build, told, Plan(schooling, schooling.rate, passes, hardware), {}, checkpoint)


def fit(name: str, size: Size, told: Lessons, hardware: Hardware, threads: int) -> Found:
    """Teach a network for one pass, for one more, and for all, and return what it took and came to."""
    torch.set_num_threads(threads)
    took = []
    for passes in (1, 1, size.passes):
        begun = time.perf_counter()
        taught = teach(size, told, hardware, passes)
        took.append(time.perf_counter() - begun)
    samples = len(told.train) * size.symbols * (size.passes - 1)
    cold_s, sample_us = max(took[0] - took[1], 0.0), 1e6 * (took[2] - took[1]) / samples
    found = Found(name, sample_us, cold_s, took[2], loss(taught.weights, size, told, hardware.device), taught)
    print(f"{found.name}: {found.sample_us:.3f} us, {found.whole_s:.1f} s, {found.loss:.5f}", flush=True)
    return found


def network(weights: Weights, device: str) -> nn.Module:
    """Return the network of these weights."""
    made, _ = build()
    made.load_state_dict(school.tensors(weights))
    return made.to(device).eval()


def loss(weights: Weights, size: Size, told: Lessons, device: str) -> float:
    """Return the mean squared error on the rows that nobody was fitted to."""
    rows, place = np.arange(int(SHARE * size.bars), size.bars), torch.device(device)
    strips = Strips(told.features, told.targets, rows, told.scaler, context=CONTEXT, span=SPAN, device=place)
    made, total, count = network(weights, device), 0.0, 0
    with torch.inference_mode():
        for batch in strips.epoch(16384, np.random.default_rng(0)):
            known = torch.isfinite(batch.targets)
            errors = sequence.squared(made(batch.inputs), torch.nan_to_num(batch.targets))
            total, count = total + float(errors[known].sum()), count + int(known.sum())
    return total / count


def same(one: Weights, other: Weights) -> str:
    """Say how far two networks are apart."""
    apart = max(float(np.abs(one[name] - other[name]).max()) for name in one)
    return "the same to the bit" if all(np.array_equal(one[name], other[name]) for name in one) else f"{apart:.1e} apart at most"


def checks(size: Size, told: Lessons, whole: dict[str, Found], hardware: Hardware) -> list[str]:
    """Return sentences about the same seed, a fit that is gone on with, and answers on both."""
    plain = whole["plain"].taught.weights
    with tempfile.TemporaryDirectory() as place:
        teach(size, told, hardware, 2, Path(place))
        resumed = teach(size, told, hardware, size.passes, Path(place)).weights
    strips = torch.from_numpy(told.scaler.apply(told.features[: CONTEXT + SPAN - 1, :40]).transpose(1, 0, 2).copy())
    with torch.inference_mode():
        here = network(plain, "cpu")(strips)
        there = network(plain, hardware.device)(strips.to(hardware.device)).cpu()
    return [
        f"The same seed again: {same(plain, teach(size, told, hardware, size.passes).weights)}.",
        f"Ended after two passes and gone on with: {same(plain, resumed)}.",
        f"Answers of one network here and on a processor: {float((there - here).norm() / here.norm()):.1e} apart, relative.",
    ]


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    devices.chosen(asked.device)
    size, cores = SIZES[asked.device], len(os.sched_getaffinity(0))
    told, few = lessons(size), Size(size.symbols, size.bars, size.batch, 3)
    found = [
        fit("one core, three passes", few, told, PROCESSOR, 1),
        fit(f"{cores} cores, three passes", few, told, PROCESSOR, cores),
    ]
    if asked.device == "cuda":
        kinds = {"plain": {}, "graph": {"graph": True}, "graph, bfloat16": {"graph": True, "bf16": True}}
        kinds |= {"graph, compiled": {"graph": True, "compile": True}}
        found += [fit(name, size, told, GPU.model_copy(update=special), cores) for name, special in kinds.items()]
    else:
        found.append(fit("plain", size, told, PROCESSOR, cores))
    machine = torch.cuda.get_device_name() if asked.device == "cuda" else "a processor"
    sentences = checks(size, told, {each.name: each for each in found}, GPU if asked.device == "cuda" else PROCESSOR)
    lines = [
        f"# The convolutional network's training, {machine}",
        "",
        f"`python -m benchmarks.training.sequence_cuda --device {asked.device}`, {SystemClock().now():%Y-%m-%d},",
        f"torch {torch.__version__}: {size.symbols} symbols x {size.bars} bars, {FEATURES} features, {CONTEXT} rows read,",
        f"hidden {HIDDEN}, batches of {size.batch}, {size.passes} passes, single precision where nothing else is said.",
        "",
        "| where | us a sample | times one core | cold start, s | whole fit, s | error on unseen rows |",
        "|---|---:|---:|---:|---:|---:|",
        *(each.row(found[0].sample_us) for each in found),
        "",
        *sentences,
    ]
    print("\n".join(lines))
    (asked.out / "sequence_cuda.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
