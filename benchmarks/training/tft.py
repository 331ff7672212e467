"""The Temporal Fusion Transformer's training beside pytorch-forecasting's stock trainer: `python -m benchmarks.training.tft`.

The same network, data, windows, batch size and passes for all. Time a sample is taken between the steps of the last pass; the
loss is of the same function, on rows that nobody was fitted to. Each of our rows names what it adds, and a whole fit is compared by
what loss it ends with: neighbouring windows in one step teach less than scattered ones, so that some rows take more passes. Writes
tft.md beside this file, with `--device cuda` tft_cuda.md.
"""

import argparse
import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.inputs import Scaler
from models.networks import device as devices
from models.networks import fitting, tft
from models.networks.fitting import Course
from models.networks.learner import Schedule
from models.networks.strips import Batch, Strips, windows

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
FEATURES, CONTEXT, STEPS, HIDDEN, CONTINUOUS, HEADS = 16, 60, 4, 32, 16, 4
RATE, CLIP, DROPOUT, SEED = 2e-3, 1.0, 0.1, 0
SKIPPED = 5


@dataclass(frozen=True)
class Size:
    """How much is learned from."""

    symbols: int
    bars: int
    batch: int
    passes: int


SIZES = {"cpu": Size(40, 400, 256, 3), "cuda": Size(60, 500, 1024, 3)}


@dataclass
class Watch:
    """When each step began, pass by pass."""

    cuda: bool
    marks: list[list[float]] = field(default_factory=list)

    def begin(self) -> None:
        """Begin a pass."""
        self.marks.append([])

    def mark(self) -> None:
        """Note a step."""
        if self.cuda:
            torch.cuda.synchronize()
        self.marks[-1].append(time.perf_counter())

    def per_sample_us(self, batch: int) -> float:
        """Return the time a sample in the last pass, its first steps left out."""
        marks = self.marks[-1][SKIPPED:]
        return (marks[-1] - marks[0]) / (len(marks) - 1) / batch * 1e6


@dataclass(frozen=True)
class Found:
    """A trainer's result."""

    name: str
    sample_us: float
    whole_s: float
    loss: float


class Watched(Strips):
    """Strips that note when they are asked for."""

    watch: Watch

    def epoch(self, batch: int, rng: np.random.Generator, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """Yield as ever."""
        self.watch.begin()
        for each in super().epoch(batch, rng, rank, ranks):
            self.watch.mark()
            yield each


def market(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Return features [T, S, F] and a series [T, S] that some of them lead by one and two bars."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((size.bars, size.symbols, FEATURES)).astype(np.float32)
    y = rng.standard_t(5, (size.bars, size.symbols)) / 1.29
    y[1:] += 0.6 * x[:-1, :, 1]
    y[2:] += 0.5 * np.tanh(x[1:-1, :, 2]) * x[:-2, :, 3]
    return x, y.astype(np.float32)


def ahead(y: np.ndarray) -> np.ndarray:
    """Return [T, S, STEPS] the values of the bars after each, NaN where there is none."""
    out = np.full((*y.shape, STEPS), np.nan)
    for step in range(STEPS):
        out[: -step - 1, :, step] = y[step + 1 :]
    return out


def ours(
    name: str, size: Size, x: np.ndarray, y: np.ndarray, device: torch.device, span: int, *, times: int = 1, **special: Any
) -> Found:
    """Fit the network as the house does, with as many times the passes."""
    size = replace(size, passes=times * size.passes)
    cut = int(0.8 * size.bars)
    kept = {"context": CONTEXT, "device": device}
    strips = Watched(x, ahead(y), np.arange(CONTEXT - 1, cut), Scaler.fit(x[:cut]), span=span, **kept)
    strips.watch = Watch(device.type == "cuda")
    with devices.reproducible(SEED, device), _threads():
        network = tft.Fused(_architecture()).to(device)
        schedule = Schedule(size.passes * strips.steps(size.batch), RATE, 0.01, CLIP, **special)
        begun = time.perf_counter()
        course = Course(passes=size.passes, patience=9, batch=size.batch, seed=SEED)
        fitting.fit(network, tft.Pinball(LEVELS), schedule, course, strips, None)
        whole = time.perf_counter() - begun
    return Found(name, strips.watch.per_sample_us(size.batch), whole, _loss(network, x, y, cut, device))


def library(size: Size, x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
    """Return the market as the library's table, and its dataset of the rows that are learned from."""
    import pandas as pd
    from pytorch_forecasting import TimeSeriesDataSet
    from pytorch_forecasting.data.encoders import TorchNormalizer

    names = [f"f{place}" for place in range(FEATURES)]
    table = pd.DataFrame(x.transpose(1, 0, 2).reshape(-1, FEATURES), columns=names)
    table["y"], table["t"] = y.T.ravel(), np.tile(np.arange(size.bars), size.symbols)
    table["symbol"] = np.repeat([f"s{place:04d}" for place in range(size.symbols)], size.bars)
    samples = TimeSeriesDataSet(
        table[table.t < int(0.8 * size.bars) + STEPS],
        time_idx="t",
        target="y",
        group_ids=["symbol"],
        min_encoder_length=CONTEXT,
        max_encoder_length=CONTEXT,
        min_prediction_length=STEPS,
        max_prediction_length=STEPS,
        time_varying_unknown_reals=names,
        target_normalizer=TorchNormalizer(method="identity", center=False),
        add_relative_time_idx=True,
    )
    return table, samples


def stock(name: str, size: Size, x: np.ndarray, y: np.ndarray, device: torch.device, workers: int) -> Found:
    """Fit the network as the library's tutorial does: its dataset, its loader, Lightning's trainer in single precision."""
    import lightning
    from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
    from pytorch_forecasting.metrics import QuantileLoss

    torch.manual_seed(SEED)
    cut = int(0.8 * size.bars)
    table, samples = library(size, x, y)
    network = TemporalFusionTransformer.from_dataset(
        samples,
        hidden_size=HIDDEN,
        hidden_continuous_size=CONTINUOUS,
        attention_head_size=HEADS,
        dropout=DROPOUT,
        learning_rate=RATE,
        loss=QuantileLoss(list(LEVELS)),
        optimizer="adam",
        logging_metrics=torch.nn.ModuleList(),
    )
    watch = Watch(device.type == "cuda")

    class Marks(lightning.Callback):
        def on_train_epoch_start(self, *_: Any) -> None:
            watch.begin()

        def on_train_batch_start(self, *_: Any) -> None:
            watch.mark()

    with _threads():
        trainer = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            max_epochs=size.passes,
            gradient_clip_val=CLIP,
            callbacks=[Marks()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        begun = time.perf_counter()
        trainer.fit(network, samples.to_dataloader(train=True, batch_size=size.batch, num_workers=workers))
        whole = time.perf_counter() - begun
    held = TimeSeriesDataSet.from_dataset(samples, table[table.t >= cut - CONTEXT + 1], stop_randomization=True)
    return Found(name, watch.per_sample_us(size.batch), whole, _stock_loss(network, held, size, device))


def _stock_loss(network: Any, held: Any, size: Size, device: torch.device) -> float:
    losses = []
    network.to(device).eval()
    with torch.inference_mode():
        for inputs, (target, _) in held.to_dataloader(train=False, batch_size=4 * size.batch, num_workers=0):
            told = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in inputs.items()}
            outputs = network(told)["prediction"]
            losses.append(tft.Pinball(LEVELS).to(device)(outputs.reshape(len(outputs), 1, -1), target.to(device)[:, None]))
    return float(torch.cat(losses).mean())


def _loss(network: Any, x: np.ndarray, y: np.ndarray, cut: int, device: torch.device) -> float:
    rows = np.arange(cut, len(x))
    held = Strips(x, ahead(y), rows, Scaler.fit(x[:cut]), context=CONTEXT, span=16, device=device)
    network.to(device).eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in held.epoch(4096, np.random.default_rng(0)):
            known = torch.isfinite(batch.targets)
            losses = tft.Pinball(LEVELS).to(device)(network(batch.inputs), torch.nan_to_num(batch.targets))
            total, count = total + float(losses[known].sum()), count + int(known.sum())
    return total / count


def _architecture() -> tft.Architecture:
    names = tuple(f"f{place}" for place in range(FEATURES))
    return tft.Architecture(names, CONTEXT, STEPS, len(LEVELS), HIDDEN, CONTINUOUS, HEADS, DROPOUT)


class _threads:  # noqa: N801 - a context, used like a function
    """One thread for all, whoever trains."""

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)


def library_loader(size: Size, x: np.ndarray, y: np.ndarray) -> float:
    """Return the time in which the library's loader, in the process, makes a sample, in microseconds."""
    count, begun = 0, time.perf_counter()
    for inputs, _ in library(size, x, y)[1].to_dataloader(train=True, batch_size=size.batch, num_workers=0):
        if not count:
            begun = time.perf_counter()
        count += len(inputs["decoder_target"])
    return (time.perf_counter() - begun) / (count - size.batch) * 1e6


def loader(size: Size, x: np.ndarray, y: np.ndarray, device: torch.device) -> float:
    """Return the time to gather a sample's window from the resident panel, in microseconds: one window a sample."""
    strips = Strips(
        x, ahead(y), np.arange(CONTEXT - 1, int(0.8 * size.bars)), Scaler.fit(x), context=CONTEXT, span=1, device=device
    )
    rng, count = np.random.default_rng(SEED), 0
    list(zip(range(3), strips.epoch(size.batch, rng), strict=False))
    begun = time.perf_counter()
    for batch in strips.epoch(size.batch, rng):
        count += len(batch.inputs)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / count * 1e6


def agreement(x: np.ndarray, device: torch.device) -> dict[str, float]:
    """Return how far answers on the device are from the library's own on a processor, by ||ours - theirs|| / ||theirs||."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        network = tft.Fused(_architecture()).eval()
    strips = torch.from_numpy(np.ascontiguousarray(x[: CONTEXT + 15, :64].transpose(1, 0, 2)))
    cut = windows(strips, CONTEXT).reshape(-1, CONTEXT, FEATURES)
    found = {}
    with torch.inference_mode():
        theirs = network.library(tft.asked(cut, network.architecture))["prediction"].flatten()
        network.to(device)
        precisions = {"single precision": (False, False)}
        if device.type == "cuda":
            precisions |= {"cuDNN's TF32 in the recurrent layers (its default)": (True, False), "bfloat16": (True, True)}
        for name, (tf32, bf16) in precisions.items():
            with torch.backends.cudnn.flags(allow_tf32=tf32), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                ours = network(strips.to(device)).float().cpu().flatten()
            found[name] = float((ours - theirs).norm() / theirs.norm())
    return found


def _table(found: list[Found], gathered: float, loaded: float, machine: str, size: Size) -> list[str]:
    lines = [
        f"# The Temporal Fusion Transformer's training, {machine}",
        "",
        f"{size.symbols} symbols x {size.bars} bars, {FEATURES} features, {CONTEXT} bars of context, {STEPS} horizons,",
        f"hidden {HIDDEN}, batches of {size.batch}, {size.passes} passes, one thread.",
        f"A sample's window gathered from the resident panel: {gathered:.2f} us, made by the library's loader: {loaded:.0f} us.",
        "",
        "| trainer | us a sample | times stock | whole fit, s | loss on unseen rows |",
        "|---|---|---|---|---|",
    ]
    base = found[0].sample_us
    lines += [f"| {f.name} | {f.sample_us:.1f} | {base / f.sample_us:.1f} | {f.whole_s:.1f} | {f.loss:.4f} |" for f in found]
    return lines


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    device, size = devices.chosen(asked.device), SIZES[asked.device]
    x, y = market(size)
    found = [stock("stock, loader in process", size, x, y, device, 0)]
    print(found[-1], flush=True)
    rows: list[tuple[str, int, dict[str, Any]]] = [("resident panel, a window a sample", 1, {}), ("strips of 16 rows", 16, {})]
    rows += [("strips, twice the passes", 16, {"times": 2})]
    if asked.device == "cuda":
        found.append(stock("stock, 8 loader processes", size, x, y, device, 8))
        print(found[-1], flush=True)
        rows += [
            ("strips, recorded as a graph", 16, {"graph": True}),
            ("strips, graph, bfloat16", 16, {"graph": True, "bf16": True}),
            ("strips, graph, bfloat16, compiled", 16, {"graph": True, "bf16": True, "compiled": True}),
            ("strips, graph, compiled", 16, {"graph": True, "compiled": True}),
            ("strips, graph, three times the passes", 16, {"graph": True, "times": 3}),
            ("strips, graph, eight times the passes", 16, {"graph": True, "times": 8}),
            ("a window a sample, graph", 1, {"graph": True}),
        ]
    for name, span, special in rows:
        found.append(ours(name, size, x, y, device, span, **special))
        print(found[-1], flush=True)
    machine = torch.cuda.get_device_name() if asked.device == "cuda" else "one core of a processor"
    lines = _table(found, loader(size, x, y, device), library_loader(size, x, y), machine, size)
    lines += ["", "Answers of one network, relative to the library's own forward pass on a processor:"]
    lines += ["; ".join(f"{name} {value:.1e}" for name, value in agreement(x, device).items()) + "."]
    print("\n".join(lines))
    target = asked.out / ("tft_cuda.md" if asked.device == "cuda" else "tft.md")
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
