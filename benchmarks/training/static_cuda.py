"""Static covariates on a GPU: `python -m benchmarks.training.static_cuda [--device cuda]`.

The market of `tft.py` with an effect that is planted in every other sector only, learned with and without what is static of a
symbol (its sector, and three numbers). Time a sample, loss on rows that nobody was fitted to, and how far the answers are from the
library's own forward pass on a processor. Writes static_cuda.md beside this file.
"""

import argparse
import logging
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.training import tft as peers
from benchmarks.training.tft import CONTEXT, FEATURES, SIZES, STEPS, Found, Size, Watch, Watched
from domain.clock import SystemClock
from models.inputs import Places, Scaler
from models.networks import device as devices
from models.networks import fitting, tft
from models.networks.fitting import Course
from models.networks.learner import Schedule
from models.networks.strips import Strips, windows

STATIC = ("static_sector", "static_liquidity", "static_volatility", "static_beta")
SECTORS = 8


def market(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Return features [T, S, F + 4], the last four static, and a series [T, S] that one of them leads in every other sector."""
    rng = np.random.default_rng(peers.SEED)
    x = rng.standard_normal((size.bars, size.symbols, FEATURES)).astype(np.float32)
    sector = rng.integers(0, SECTORS, size.symbols)
    known = np.concatenate([sector[:, None], rng.standard_normal((size.symbols, 3))], axis=1).astype(np.float32)
    y = rng.standard_t(5, (size.bars, size.symbols)) / 1.29
    y[1:] += np.where(sector % 2 == 0, 0.8, 0.0) * x[:-1, :, 1]
    fixed = np.broadcast_to(known, (size.bars, size.symbols, len(STATIC)))
    return np.concatenate([x, fixed], axis=2), y.astype(np.float32)


def names(count: int) -> tuple[str, ...]:
    """Return the names of so many features, the static ones last where they are among them."""
    return (*(f"f{place}" for place in range(FEATURES)), *STATIC)[:count]


def architecture(count: int) -> tft.Architecture:
    """Return the network of `tft.py` over so many features."""
    return replace(peers._architecture(), features=names(count))


def fit(name: str, size: Size, x: np.ndarray, y: np.ndarray, device: torch.device, times: int, **special: Any) -> Found:
    """Fit a network over the features of x, and return what it took and came to."""
    cut, codes = int(0.8 * size.bars), Places.of(names(x.shape[2])).codes
    scaler = Scaler.fit(x[:cut], codes)
    strips = Watched(x, peers.ahead(y), np.arange(CONTEXT - 1, cut), scaler, context=CONTEXT, span=16, device=device)
    strips.watch = Watch(device.type == "cuda")
    with devices.reproducible(peers.SEED, device), peers._threads():
        network = tft.Fused(architecture(x.shape[2])).to(device)
        passes = times * size.passes
        schedule = Schedule(passes * strips.steps(size.batch), peers.RATE, 0.01, peers.CLIP, **special)
        begun = time.perf_counter()
        course = Course(passes=passes, patience=99, batch=size.batch, seed=peers.SEED)
        fitting.fit(network, tft.Pinball(peers.LEVELS), schedule, course, strips, None)
        whole = time.perf_counter() - begun
    held = Strips(x, peers.ahead(y), np.arange(cut, len(x)), scaler, context=CONTEXT, span=16, device=device)
    return Found(name, strips.watch.per_sample_us(size.batch), whole, loss(network.to(device).eval(), held, device))


def loss(network: Any, held: Strips, device: torch.device) -> float:
    """Return the pinball loss on rows that nobody was fitted to."""
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in held.epoch(4096, np.random.default_rng(0)):
            known = torch.isfinite(batch.targets)
            losses = tft.Pinball(peers.LEVELS).to(device)(network(batch.inputs), torch.nan_to_num(batch.targets))
            total, count = total + float(losses[known].sum()), count + int(known.sum())
    return total / count


def agreement(x: np.ndarray, device: torch.device) -> dict[str, float]:
    """Return how far answers with statics are from the library's own on a processor, by ||ours - theirs|| / ||theirs||."""
    with torch.random.fork_rng():
        torch.manual_seed(peers.SEED)
        network = tft.Fused(architecture(x.shape[2])).eval()
    scaled = Scaler.fit(x, Places.of(names(x.shape[2])).codes).apply(x[: CONTEXT + 15, :40])
    strips = torch.from_numpy(np.ascontiguousarray(scaled.transpose(1, 0, 2)))
    cut = windows(strips, CONTEXT).reshape(-1, CONTEXT, x.shape[2])
    found = {}
    with torch.inference_mode():
        theirs = network.library(tft.asked(cut, network.architecture))["prediction"].flatten()
        network.to(device)
        kinds = {"single precision": (False, False)}
        if device.type == "cuda":
            kinds |= {"cuDNN's TF32 in the recurrent layers (its default)": (True, False), "bfloat16": (True, True)}
        for name, (tf32, bf16) in kinds.items():
            with torch.backends.cudnn.flags(allow_tf32=tf32), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                ours = network(strips.to(device)).float().cpu().flatten()
            found[name] = float((ours - theirs).norm() / theirs.norm())
    return found


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    device, size = devices.chosen(asked.device), SIZES[asked.device]
    x, y = market(size)
    cuda = device.type == "cuda"
    rows: list[tuple[str, np.ndarray, dict[str, Any]]] = [("without", x[..., :FEATURES], {}), ("with", x, {})]
    if cuda:
        rows += [("without, as a graph", x[..., :FEATURES], {"graph": True}), ("with, as a graph", x, {"graph": True})]
        rows += [("with, graph, bfloat16", x, {"graph": True, "bf16": True})]
        rows += [("with, graph, compiled", x, {"graph": True, "compiled": True})]
    found = []
    for name, features, special in rows:
        found.append(fit(name, size, features, y, device, asked.times, **special))
        print(found[-1], flush=True)
    machine = torch.cuda.get_device_name() if cuda else "one core of a processor"
    lines = [
        f"# Static covariates, {machine}",
        "",
        f"`python -m benchmarks.training.static_cuda --device {asked.device}`, {SystemClock().now():%Y-%m-%d},",
        f"torch {torch.__version__}: {size.symbols} symbols x {size.bars} bars, {FEATURES} features and {len(STATIC)} static ones,",
        f"{CONTEXT} bars of context, {STEPS} horizons, batches of {size.batch}, {asked.times * size.passes} passes.",
        "What is planted is planted in every other sector.",
        "",
        "| statics | us a sample | whole fit, s | loss on unseen rows |",
        "|---|---:|---:|---:|",
        *(f"| {each.name} | {each.sample_us:.1f} | {each.whole_s:.1f} | {each.loss:.4f} |" for each in found),
        "",
        "Answers with statics, relative to the library's own forward pass on a processor:",
        "; ".join(f"{name} {value:.1e}" for name, value in agreement(x, device).items()) + ".",
    ]
    print("\n".join(lines))
    (asked.out / "static_cuda.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
