"""Footprint: the memory that a process needs to serve a bundle, measured in one that does nothing else.

What the process had before it opened the bundle, the interpreter, NumPy and the inputs, is not counted; whatever else the model
brings is, libraries and compiled code included.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from domain.error import ResourceError
from domain.panel import FloatArray
from models import bundle
from models.contract import Float32Array

STATUS = Path("/proc/self/status")
#: Resident memory now and at most; getrusage would tell the highest of the process that started this one, where that was larger.
NOW, PEAK = "VmRSS", "VmHWM"
INPUTS = ("features", "scale")
WORDS_SHOWN = 300


def memory_mb(folder: Path, features: Float32Array, scale: FloatArray) -> float:
    """Return the megabytes (10^6 bytes) at most resident while a bundle is loaded and forecasts [T, S, F] rows with scale [T, S].

    Raises ResourceError with the last words of a process that fails.
    """
    with TemporaryDirectory() as place:
        for name, values in zip(INPUTS, (features, scale), strict=True):
            np.save(Path(place) / f"{name}.npy", np.ascontiguousarray(values), allow_pickle=False)
        command = [sys.executable, "-m", __name__, str(folder), place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = " ".join(done.stderr.split())[-WORDS_SHOWN:]
        asked = f"the memory of bundle {folder} was to be measured"
        raise ResourceError(f"{asked}, but its process ended with code {done.returncode}: {said}")
    return float(done.stdout) / 1e6


def main(folder: Path, place: Path) -> int:
    """Serve a bundle once and return the bytes that it took."""
    features, scale = (np.load(place / f"{name}.npy", allow_pickle=False) for name in INPUTS)
    before = _resident(NOW)
    model, _ = bundle.load(folder)
    model.predict(features, scale)
    return _resident(PEAK) - before


def _resident(name: str) -> int:
    told = dict(line.split(":", 1) for line in STATUS.read_text(encoding="ascii").splitlines())
    return int(told[name].split()[0]) * 1024


if __name__ == "__main__":
    sys.stdout.write(str(main(Path(sys.argv[1]), Path(sys.argv[2]))))
