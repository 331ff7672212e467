"""Profiles: kept as JSON beside the store, one file a market and moment, with a version and a digest."""

import json
from datetime import datetime
from pathlib import Path

from domain.error import DataError
from domain.market import Market
from pipelines.data.quality.profile import Profile, Usual, plain
from pipelines.store import Store

#: Layout of the file; another one is not read.
VERSION = 1


def beside(store: Store) -> Path | None:
    """Return the folder of profiles that lies beside a store, or None beside one that is no folder."""
    return store.root.parent / "profiles" if isinstance(store.root, Path) else None


def save(profile: Profile, folder: Path) -> Path:
    """Write a profile under its market and moment and return the file; a reader sees the old one or the new one."""
    path = folder / f"{profile.market}.{profile.timeframe}" / f"{profile.known_at:%Y%m%dT%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    told = {"version": VERSION, "digest": profile.digest, **plain(profile)}
    partial.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def load(folder: Path, market: Market, before: datetime | None = None) -> Profile | None:
    """Return the newest profile of a market that was learned before a moment, or None where there is none.

    Raises DataError for a file of another version, and for one that is not what was learned.
    """
    for path in sorted((folder / f"{market.name}.{market.timeframe}").glob("*.json"), reverse=True):
        found = read(path)
        if before is None or found.known_at < before:
            return found
    return None


def read(path: Path) -> Profile:
    """Return the profile of one file. Raises DataError as `load` does."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        version, digest = told.pop("version"), told.pop("digest")
        if version != VERSION:
            raise DataError(f"profile {path} has version {version}, version {VERSION} can be read: delete it and learn it anew")
        profile = Profile(
            told["market"], told["timeframe"], datetime.fromisoformat(told["known_at"]),
            {name: Usual(**found) for name, found in told["usual"].items()},
            {symbol: {name: Usual(**found) for name, found in known.items()} for symbol, known in told["symbols"].items()},
            {name: {int(slot): level for slot, level in levels.items()} for name, levels in told["slots"].items()},
            {name: tuple(tail) for name, tail in told["tails"].items()},
        )  # fmt: skip
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise DataError(f"profile {path} cannot be read ({type(problem).__name__}): delete it and learn it anew") from None
    if profile.digest != digest:
        raise DataError(f"profile {path} is not what was learned, its digest differs: delete it and learn it anew")
    return profile
