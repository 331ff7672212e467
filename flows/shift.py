"""Shift: what a night has begun and how long it may go on, so that it ends in time and whoever was cut off goes on from there.

A night works in the folder `night` of its market's runs. `night.json` in it says what was planned and which steps are done; it is
written before and after every step, whole or not at all. With a time to end by, the stages run in a process beside this one, which
is ended when the time is over: what they have finished by then, fold by fold and pass by pass, is there for the next night.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Self

from domain.clock import Clock, SystemClock
from domain.error import DeadlinePassed, ResourceError
from domain.params import Params
from flows import retrain
from flows.beside import Beside
from flows.home import Home
from flows.stages import STAGES, Do, Job, P, R
from pipelines import lease
from pipelines.model.learning import Action, Plan

NIGHT, NOTE, DURATIONS, LOCK = "night", "night.json", "durations.json", "night.lock"
BOUNDED = tuple(stage.name for stage in STAGES)
#: Steps that go on where they were cut off, so that they may be begun without being sure to end.
RESUMABLE = ("tuning", "training")
#: Nights that may work on one plan; then it is made anew.
NIGHTS_MAX = 5
#: Newest durations of a step that are remembered, and what it is allowed beyond the longest of them.
REMEMBERED, MARGIN = 7, 1.5


@dataclass(frozen=True)
class Note:
    """What is known of a night by its folder alone."""

    began: str
    """When, ISO 8601."""
    until: str | None
    """The day that was asked for; None means the newest."""
    parameters: str
    """Digest of params.yaml as it was."""
    action: str | None = None
    """What was planned, once it was."""
    reason: str = ""
    champion: int | None = None
    """The version that the plan was made against."""
    done: tuple[str, ...] = ()
    under_way: str | None = None
    nights: int = 1
    """Nights that have worked on it, this one included."""

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what `write` wrote; None where there is nothing that can be read, so that a night begins anew."""
        try:
            told = json.loads((folder / NOTE).read_text(encoding="utf-8"))
            return cls(**{**told, "done": tuple(told["done"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        retrain.write(folder / NOTE, json.dumps(asdict(self), indent=1))

    @property
    def plan(self) -> Plan | None:
        """What is being made, once that was planned."""
        return Plan(Action(self.action), self.reason) if self.action is not None else None


@dataclass
class Shift:
    """A night at work: its job, what it has noted, and what its steps have taken."""

    job: Job
    note: Note
    by: datetime | None
    """When it must have ended; None leaves it all the time it wants."""
    clock: Clock
    seconds: dict[str, float] = field(default_factory=dict)
    beside: Beside | None = None

    @property
    def resumed(self) -> Plan | None:
        """The plan that another night began and this one goes on with, if any."""
        return self.note.plan if self.note.nights > 1 else None

    def watched(self, do: Do) -> Do:
        """Return `do` that notes each step and how long it took, and begins none that cannot end in time."""

        def noted(name: str, step: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
            self._expect(name)
            self._noted(under_way=name)
            began = self.clock.monotonic_ns()
            try:
                told = do(name, self._bounded(name, step), *arguments, **named)
            finally:
                self.seconds[name] = (self.clock.monotonic_ns() - began) / 1e9
            remember(self.job.folder.parent, name, self.seconds[name])
            self._noted(under_way=None, done=(*self.note.done, name))
            return told

        return noted

    def begin(self, plan: Plan, champion: int | None) -> None:
        """Note what is going to be made, and against which champion."""
        self._noted(action=plan.action.value, reason=plan.reason, champion=champion, done=())

    def left_s(self) -> float:
        """Return the seconds until it must have ended."""
        return math.inf if self.by is None else (self.by - self.clock.now()).total_seconds()

    def needed_s(self, *names: str) -> float:
        """Return the seconds that steps are allowed for by what they took before; nothing for one that was never measured."""
        known = durations(self.job.folder.parent)
        return sum(MARGIN * max(known.get(name, [0.0])) for name in names)

    def _noted(self, **changed: Any) -> None:
        self.note = replace(self.note, **changed)
        # A concluded run has left the folder under another name.
        if self.job.folder.exists():
            self.note.write(self.job.folder)

    def _expect(self, name: str) -> None:
        needed = 0.0 if name in RESUMABLE else self.needed_s(name)
        if self.left_s() <= needed:
            raise DeadlinePassed(
                f"step '{name}' was not begun: it needs {needed:.0f} s and {max(self.left_s(), 0.0):.0f} s are left"
            )

    def _bounded(self, name: str, step: Callable[P, R]) -> Callable[P, R]:
        """Return a stage that is ended with the time; another step has its arguments in memory, and is left as it is."""
        if self.by is None or name not in BOUNDED:
            return step
        self.beside = self.beside or Beside()
        called = self.beside.call

        def ended(*arguments: P.args, **named: P.kwargs) -> R:
            return called(self.left_s(), name, step, *arguments, **named)

        return ended


@contextmanager
def opened(
    market: str, until: date | None, home: Home, params: Params, by: datetime | None, clock: Clock | None = None
) -> Iterator[Shift]:
    """Yield the night of a market: the one that was cut off, where it was about the same, or a new one.

    What it has noted and made stays until it is concluded or begun anew. Raises ResourceError while another one is at work.
    """
    clock, place = clock or SystemClock(), home.runs / market
    place.mkdir(parents=True, exist_ok=True)
    with lease.held(place / LOCK, lambda holder: ResourceError(
        f"a night of market '{market}' is under way in {holder}: wait for it, or stop it"
    )):  # fmt: skip
        folder = place / NIGHT
        asked = Note(clock.now().isoformat(timespec="seconds"), until.isoformat() if until is not None else None, params.digest())
        shift = Shift(
            Job(folder, home, params.market(market), params, retrain.known_by(until)), _resumed(folder, asked) or asked, by, clock
        )
        if shift.note is asked:
            abandon(shift)
        shift.note.write(folder)
        try:
            yield shift
        finally:
            if shift.beside is not None:
                shift.beside.end()


def _resumed(folder: Path, asked: Note) -> Note | None:
    """Return the note of a night that was cut off after it had planned to make something of what is asked for now."""
    found = Note.read(folder)
    if found is None or found.action in {None, Action.NOTHING.value} or found.nights >= NIGHTS_MAX:
        return None
    same = (found.until, found.parameters) == (asked.until, asked.parameters)
    return replace(found, nights=found.nights + 1) if same else None


def abandon(shift: Shift) -> None:
    """Let go of what was begun; the night is a new one from here."""
    shutil.rmtree(shift.job.folder, ignore_errors=True)
    shift.job.folder.mkdir()
    shift.note = Note(shift.clock.now().isoformat(timespec="seconds"), shift.note.until, shift.note.parameters)


def finish(shift: Shift) -> None:
    """Leave nothing for another night; what was concluded is kept under its version already."""
    shutil.rmtree(shift.job.folder, ignore_errors=True)


def standing(home: Home, market: str) -> Note | None:
    """Return the note of a night that is at work or was cut off; None where the last one ended as it should."""
    return Note.read(home.runs / market / NIGHT)


def durations(place: Path) -> dict[str, list[float]]:
    """Return the newest seconds that each step of a market took, the newest last; none where nothing can be read."""
    try:
        return dict(json.loads((place / DURATIONS).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def remember(place: Path, name: str, seconds: float) -> None:
    """Note how long a step took."""
    known = durations(place)
    known[name] = [*known.get(name, []), round(seconds, 3)][-REMEMBERED:]
    retrain.write(place / DURATIONS, json.dumps(known, indent=1, sort_keys=True))
