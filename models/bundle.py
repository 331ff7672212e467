"""The model bundle: code-free files, a digest for each, and golden vectors that prove what was loaded."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import ValidationError

from domain.error import CorruptBundle
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from domain.params import Sizing
from models import family
from models.contract import Dataset, Float32Array, Model

FORMAT = 1
MANIFEST = "manifest.json"
#: Who vouches for the manifest; see models.signature. Like the manifest it is not listed in it.
SIGNATURE = "signature.json"
#: The settings of sizing that a model brings; without the file it is traded by those of params.yaml.
DECISIONS = "decisions.json"
BYTES_MAX = 512 * 1024 * 1024
FILES_MAX = 64
MANIFEST_BYTES_MAX = 1024 * 1024
#: Forecasts that differ by no more than this share are one.
CONSTANT = 1e-9
#: No dots but the last, no leading slash, no other kinds: nothing here can be run or point outside.
NAME = re.compile(r"(?:[a-z0-9_]{1,64}/){0,3}[a-z0-9_]{1,64}\.(?:json|ubj|npy|safetensors|onnx)")


@dataclass(frozen=True)
class Schema:
    """The features that a model was fitted to, in its order."""

    names: tuple[str, ...]
    digest: str
    """The catalogue's hash over the definitions of these features."""


@dataclass(frozen=True)
class Golden:
    """Rows with known answers."""

    features: Float32Array
    """[T, S, F]"""
    scale: FloatArray
    """[T, S]"""

    @classmethod
    def of(cls, dataset: Dataset, bars: int = 8) -> Self:
        """Return the newest `bars` rows of a dataset."""
        return cls(np.array(dataset.features[-bars:]), np.array(dataset.scale[-bars:]))


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds and where it came from."""

    family: str
    horizon: int
    levels: tuple[float, ...]
    features: tuple[str, ...]
    schema_hash: str
    params_hash: str
    """Hash over the parameters that shaped the model."""
    files: dict[str, str]
    """SHA-256 of every file but the manifest, by its path in the bundle."""
    lineage: dict[str, Any]
    """Table version, git commit, seeds, times: told, not part of the model's digest."""
    format: int = FORMAT

    @property
    def model_digest(self) -> str:
        """SHA-256 over everything but lineage: equal for the same snapshot, parameters and seed, whenever it was made."""
        told = {key: value for key, value in asdict(self).items() if key != "lineage"}
        return _digest(_canonical(told))

    @property
    def digest(self) -> str:
        """SHA-256 over all of it, lineage included: what a signature signs."""
        return _digest(_canonical(asdict(self)))


def write(
    folder: Path, model: Model, schema: Schema, golden: Golden, *, params_hash: str, lineage: Mapping[str, Any],
    sizing: Sizing | None = None,
) -> Manifest:  # fmt: skip
    """Write `model` into the new or empty `folder` with golden vectors and manifest, and prove that it loads again.

    `sizing` are the settings that it is to be traded by; None leaves them to params.yaml. Raises CorruptBundle when the folder
    already holds files or the loaded model answers otherwise than `model`.
    """
    if folder.exists() and any(folder.iterdir()):
        raise CorruptBundle(f"a bundle was to be written into {folder}, but the folder already holds files; name an empty one")
    model.save(folder / "model")
    _write_golden(folder / "golden", model, golden)
    if sizing is not None:
        (folder / DECISIONS).write_bytes(_canonical(sizing.model_dump()) + b"\n")
    files = {name: _digest(path.read_bytes()) for name, path in _files(folder).items()}
    manifest = Manifest(model.family, model.horizon, LEVELS, schema.names, schema.digest, params_hash, files, dict(lineage))
    (folder / MANIFEST).write_bytes(_sealed(manifest))
    load(folder)
    return manifest


def verify(folder: Path) -> Manifest:
    """Check every byte of a bundle against its manifest; raise CorruptBundle with the first thing that is wrong."""
    manifest = _read_manifest(folder)
    found = _files(folder)
    for name in sorted(set(manifest.files) - set(found)):
        raise CorruptBundle(f"bundle {folder} lacks '{name}', which its manifest lists")
    for name in sorted(set(found) - set(manifest.files)):
        raise CorruptBundle(f"bundle {folder} holds '{name}', which its manifest does not list")
    for name, path in found.items():
        digest = _digest(path.read_bytes())
        if digest != manifest.files[name]:
            raise CorruptBundle(
                f"bundle {folder}: '{name}' has SHA-256 {digest[:12]}, its manifest says {manifest.files[name][:12]}"
            )
    return manifest


def load(folder: Path, tolerance: float = 0.0) -> tuple[Model, Manifest]:
    """Verify a bundle, load its model and compare it with the golden vectors; raise CorruptBundle where anything differs.

    `tolerance` is the largest difference of a log return; NaN must meet NaN.
    """
    manifest = verify(folder)
    try:
        model = family.load(folder / "model")
        features, scale, expected = (_array(folder / "golden" / f"{name}.npy") for name in ("features", "scale", "quantiles"))
        found = model.predict(features, scale)
    except (ValueError, KeyError, TypeError, OSError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise CorruptBundle(f"bundle {folder} cannot be loaded although its digests hold: {reason}") from None
    _compare(folder, found, expected, tolerance)
    _sane(folder, model, found, scale)
    sizing(folder)
    return model, manifest


def sizing(folder: Path) -> Sizing | None:
    """Return the settings that the model of a verified bundle brings, None where it is traded by those of params.yaml.

    Raises CorruptBundle for settings that params.yaml could not hold either.
    """
    path = folder / DECISIONS
    if not path.exists():
        return None
    try:
        return Sizing.model_validate_json(path.read_bytes(), strict=True)
    except ValidationError as problem:
        fault = problem.errors()[0]
        where = ".".join((DECISIONS, *(str(part) for part in fault["loc"])))
        raise CorruptBundle(f"bundle {folder}: {where} cannot be traded by: {fault['msg']}") from None


def _sane(folder: Path, model: Model, found: FloatArray, scale: FloatArray) -> None:
    """Refuse a model that says nothing: no number, no width, or the same of every symbol and bar, whatever they look like.

    A baseline may say the same of all in volatilities of each, nobody in returns.
    """
    known = np.isfinite(found).all(axis=-1)
    if not known.any():
        raise CorruptBundle(f"bundle {folder}: the model forecasts no number for any of its golden vectors")
    if not (found[known][:, -1] > found[known][:, 0]).any():
        raise CorruptBundle(f"bundle {folder}: the model's quantiles are all the same for its golden vectors")
    known &= scale > 0.0
    forecasts, sigma, median = found[known], scale[known], found[known][:, MEDIAN]
    says_nothing = _same(median) or _same(median / sigma) if _learned(model) else _same(forecasts) and not _same(sigma)
    if says_nothing:
        raise CorruptBundle(f"bundle {folder}: the model forecasts the same for every symbol and bar of its golden vectors")


def _same(rows: FloatArray) -> bool:
    """Return whether several rows are one; a single row is compared with nothing."""
    return len(rows) > 1 and bool((np.ptp(rows, axis=0) <= CONSTANT * np.abs(rows).max(axis=0)).all())


def _learned(model: Model) -> bool:
    """Return whether a model, or a member of an ensemble, is more than a baseline."""
    return any(member.family not in family.BASELINES for member in getattr(model, "members", (model,)))


def _compare(folder: Path, found: FloatArray, expected: FloatArray, tolerance: float) -> None:
    if found.shape != expected.shape or (np.isnan(found) != np.isnan(expected)).any():
        raise CorruptBundle(f"bundle {folder}: the model forecasts other rows than its golden vectors have")
    worst = float(np.nanmax(np.abs(found - expected), initial=0.0))
    if worst > tolerance:
        raise CorruptBundle(
            f"bundle {folder}: the model differs from its golden vectors by {worst:.3g}, allowed is {tolerance:.3g}"
        )


def _write_golden(folder: Path, model: Model, golden: Golden) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    features = np.ascontiguousarray(golden.features, dtype=np.float32)
    arrays = {"features": features, "scale": golden.scale, "quantiles": model.predict(features, golden.scale)}
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(values), allow_pickle=False)


def _array(path: Path) -> Any:
    return np.load(path, allow_pickle=False)


def _files(folder: Path) -> dict[str, Path]:
    """Return every file but manifest and signature by its path in the bundle; refuse links, odd names and too much of anything."""
    found, total = {}, 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise CorruptBundle(f"bundle {folder}: '{name}' is a link or a device, only plain files may be in a bundle")
        if path.is_dir() or name in {MANIFEST, SIGNATURE}:
            continue
        if not NAME.fullmatch(name):
            raise CorruptBundle(
                f"bundle {folder}: '{name}' is no name for a bundle's file, which are of kind json, ubj, npy, safetensors, onnx"
            )
        found[name] = path
        total += path.stat().st_size
        if len(found) > FILES_MAX or total > BYTES_MAX:
            raise CorruptBundle(f"bundle {folder} is larger than {FILES_MAX} files or {BYTES_MAX} bytes, so it was not read")
    return found


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise CorruptBundle(f"a bundle was asked from {folder}, but it holds no {MANIFEST}")
    if path.stat().st_size > MANIFEST_BYTES_MAX:
        raise CorruptBundle(f"bundle {folder}: {MANIFEST} is larger than {MANIFEST_BYTES_MAX} bytes, so it was not read")
    raw = path.read_bytes()
    try:
        told = json.loads(raw)["manifest"]
        manifest = Manifest(**{**told, "levels": tuple(told["levels"]), "features": tuple(told["features"])})
        sealed = _sealed(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CorruptBundle(f"bundle {folder}: {MANIFEST} is not a manifest") from None
    if sealed != raw:
        raise CorruptBundle(f"bundle {folder}: {MANIFEST} was changed after it was written")
    if (manifest.format, manifest.levels) != (FORMAT, LEVELS):
        asked = f"format {FORMAT} with levels {LEVELS}"
        raise CorruptBundle(
            f"bundle {folder} has format {manifest.format} with levels {manifest.levels}, this version reads {asked}"
        )
    return manifest


def _sealed(manifest: Manifest) -> bytes:
    """Return the one byte string that a manifest can be: any other is a change."""
    told = {"digest": manifest.digest, "model_digest": manifest.model_digest, "manifest": asdict(manifest)}
    return json.dumps(told, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
