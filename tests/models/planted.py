"""A market whose truth is known, as arrays: what models are tried on."""

import math

import numpy as np

from domain.params import Hardware, Search, Sequence, Tft, Training, Trees
from models.baseline import PAST_RETURN
from models.contract import Dataset

HORIZON = 5
#: Sectors of a market whose symbols have something static.
SECTORS = 4


def planted(
    bars: int = 360, symbols: int = 6, edge: float = 0.3, features: int = 6, seed: int = 0, *, static: bool = False
) -> Dataset:
    """Return features of which the past return moves the label by `edge` volatilities; 3% of symbols and of values are missing.

    With what is `static` of a symbol beside them: a sector, in every other one of which the label is moved the other way, and a
    number that means nothing.
    """
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((bars, symbols, features)).astype(np.float32)
    noise = rng.standard_t(5, (bars, symbols)) / math.sqrt(5 / 3)
    scale = 0.01 * np.exp(0.3 * rng.standard_normal((bars, symbols)))
    sector = np.arange(symbols) % SECTORS
    side = np.where(sector % 2, -1.0, 1.0) if static else 1.0
    label = edge * side * x[..., 1].astype(np.float64) + noise
    x[rng.random(x.shape) < 0.03] = np.nan
    names = tuple(PAST_RETURN if i == 1 else f"noise_{i}" for i in range(features))
    if static:
        beside = np.stack((sector, np.linspace(-0.5, 0.5, symbols)), axis=1).astype(np.float32)
        x, names = np.concatenate((x, np.tile(beside, (bars, 1, 1))), axis=2), (*names, "static_sector", "static_liquidity")
    gone = rng.random((bars, symbols)) < 0.03
    x[gone], scale[gone], label[gone], label[-HORIZON - 1 :] = np.nan, np.nan, np.nan, np.nan
    times = np.datetime64("2020-01-01T00:00:00", "us") + np.arange(bars) * np.timedelta64(1, "D")
    forward = label * scale * math.sqrt(HORIZON)
    return Dataset(x, forward, label, scale, times, names, tuple(f"S{i}" for i in range(symbols)), HORIZON)


#: How small networks learn in tests.
SCHOOL = {"hidden": 8, "dropout": 0.1, "epochs": 4, "patience": 2, "batch": 256, "span": 4, "rate": 0.01, "decay": 0.01}
PROCESSOR = Hardware(device="cpu", devices=1, nodes=1, bf16=False, graph=False, compile=False, workers=1)


def training(threads: int = 1, hardware: Hardware = PROCESSOR, **trees: float) -> Training:
    """Return small training parameters."""
    small = {"rounds": 40, "depth": 3, "eta": 0.1, "subsample": 0.7, "colsample": 0.7, "min_child_weight": 20, "reg_lambda": 5}
    return Training(
        families=("trees", "sequence"),
        folds=2,
        train_fraction=0.4,
        embargo_bars=5,
        seed=7,
        threads=threads,
        search=Search(trials=0, minutes=1, folds=2),
        trees=Trees.model_validate(small | trees),
        sequence=Sequence.model_validate(SCHOOL | {"layers": 3}),
        tft=Tft.model_validate(SCHOOL | {"context": 8, "continuous": 4, "heads": 2}),
        hardware=hardware,
    )
