"""Vitals: that a trader lives, told in a file beside its journal, and the end of one that hangs.

The file is as old as the last sign of life, so whoever looks at it sees how old the picture is. A process whose loop stands still
for longer than any work of its own takes is ended by a watch that needs no lock of the interpreter; what begins it anew recovers.
"""

import asyncio
import faulthandler
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from domain.clock import SystemClock
from flows.home import Home
from pipelines.execution.accounts import JOURNAL
from pipelines.journal import Journal

FILE = "alive.json"
BEAT_S = 1.0
#: The watch writes where nobody may have put another stream in its place.
STDERR = 2
#: Age of a sign of life above which a trader is silent: it died, hangs, or is suspended.
STALE_S = 15.0
#: Seconds without a sign of life after which a process ends itself: compiling all features anew takes less.
HANG_S = 300.0

log = logging.getLogger("nightshift.vitals")


@dataclass(frozen=True)
class Sign:
    """A sign of life."""

    at: str
    """ISO 8601, UTC."""
    ready: bool
    """Whether positions may be opened."""
    last: str | None
    """Close of the newest bar that was lived through."""
    models: dict[str, str | None]
    """The version that trades, by market."""

    @property
    def age_s(self) -> float:
        """How long ago it was given."""
        return (SystemClock().now() - datetime.fromisoformat(self.at)).total_seconds()

    @property
    def lives(self) -> bool:
        """Whether that was a moment ago."""
        return self.age_s <= STALE_S

    def write(self, folder: Path) -> None:
        """Leave it, whole or not at all."""
        partial = folder / f".{FILE}"
        partial.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        partial.replace(folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the newest one, None where there is none that can be read."""
        try:
            return cls(**json.loads((folder / FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


@asynccontextmanager
async def kept(folder: Path, sign: Callable[[str], Sign], hang_s: float = HANG_S) -> AsyncIterator[None]:
    """Give a sign of life every second while the block runs; the process ends, and prints where it stood, when none came for long.

    `sign` makes one of the moment that it is handed. Whoever ends as they were told to leaves none behind; of an error the last one
    stays, and grows old.
    """

    async def beat() -> None:
        while True:
            faulthandler.dump_traceback_later(hang_s, exit=True, file=STDERR)
            try:
                sign(SystemClock().now().isoformat(timespec="seconds")).write(folder)
            except OSError as problem:  # a trader must not die of its picture
                log.warning("no sign of life could be left in %s: %s", folder, problem)
            await asyncio.sleep(BEAT_S)

    task, failed = asyncio.get_running_loop().create_task(beat()), False
    try:
        yield
    except Exception:
        failed = True
        raise
    finally:
        task.cancel()
        faulthandler.cancel_dump_traceback_later()
        if not failed:
            (folder / FILE).unlink(missing_ok=True)


def traders(home: Home) -> list[dict[str, Any]]:
    """Return a row an account: whether its trader lives, how old that is, and how the account stands."""
    return [_row(path) for path in sorted(home.journals.glob(f"*/{JOURNAL}"))]


def _row(path: Path) -> dict[str, Any]:
    sign = Sign.read(path.parent)
    row: dict[str, Any] = {"account": path.parent.name, "trader": "none", "seen_s_ago": None, "ready": False}
    row |= {"halted": _halted(path), "last": None, "models": None}
    if sign is None:
        return row
    lives = sign.lives
    row |= {"trader": "lives" if lives else "silent", "seen_s_ago": round(sign.age_s, 1), "ready": lives and sign.ready}
    return row | {"last": sign.last, "models": ", ".join(f"{market} {version}" for market, version in sign.models.items())}


def _halted(path: Path) -> bool:
    """Return whether the kill latch is shut, as the journal has it."""
    with Journal.read_only(path) as journal:
        newest = {kind: max((each.sequence for each in journal.records(kind)), default=0) for kind in ("halt", "resume")}
    return newest["halt"] > newest["resume"]
