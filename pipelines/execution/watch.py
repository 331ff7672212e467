"""The watch: the live record of what trades, and a challenger that is served beside it and never trades.

A version's forecasts wait for their outcomes here, and are scored within the transaction of the bar that makes these known. What
waits is not kept: a restart forecasts it again from the bars, to the same bits. Whatever takes or leaves a role begins with nothing
waiting. The challenger thinks after the bar was sent, in a thread that the next bar waits for a while and then lets go.
"""

import logging
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from domain.error import ModelError, NightshiftError, ResourceError
from domain.panel import FloatArray, Panel
from domain.params import Serving
from features import labels
from pipelines.execution import accounts, record
from pipelines.execution.record import LiveRecord, Score, Waiting
from pipelines.execution.serving import Feed, Served
from pipelines.journal import Journal

KIND = "shadow"
CHAMPION, CHALLENGER = "champion", "challenger"
log = logging.getLogger("nightshift.watch")

#: A kind of record and its payload.
Fact = tuple[str, dict[str, Any]]


class Keeper(Protocol):
    """Who knows what stands in the registry and in the store."""

    def challenger(self) -> Served | None:
        """Return the version that waits at the gates, the same object while it is the same one; None where there is none.

        Raises ModelError for one that must not be served, ResourceError when that cannot be told now.
        """
        ...

    def history(self, served: Served) -> Panel:
        """Return all bars, with what a version's features read."""
        ...

    def bring(self, served: Served, bar: Panel, after: np.datetime64) -> Panel:
        """Return one more bar with what a version's features read; `after` is the close of the bar before it."""
        ...

    def demote(self, version: str, reason: str, broken: Collection[str]) -> bool:
        """Give the market back to the version before, unless that is among the broken; return whether another one stands now.

        Raises ResourceError when the registry cannot be reached.
        """
        ...


@dataclass
class Shadow:
    """A challenger, its stream of forecasts, and the step that it is at."""

    served: Served
    since: int
    """Number of the first bar that it forecast, in the account's bars."""
    at: np.datetime64
    """Close of the newest bar that it was handed."""
    feed: Feed | None = None
    waiting: Waiting | None = None
    step: "Future[None]" = field(default_factory=Future)

    def open(self, history: Panel, written: int, serving: Serving) -> None:
        """Warm up on all bars."""
        self.feed, self.waiting, _ = _warmed(self.served, history, written, self.since, serving)

    def advance(self, number: int, bar: Panel) -> None:
        """Forecast one more bar."""
        if self.feed is None or self.waiting is None:
            raise ModelError(f"version {self.served.version} was handed a bar before it had seen the history")
        forecasts, scales = self.feed.advance(bar)
        self.waiting.say(number, scales[0], forecasts[0])

    def hear(self, opened: FloatArray, limit_s: float) -> Score | None:
        """Wait for the step at work and return what the opens make known; raise whatever the step raised, or TimeoutError."""
        self.step.result(timeout=limit_s)
        return self.waiting.hear(opened) if self.waiting is not None else None


class Watch:
    """The live record of one account's versions."""

    def __init__(self, keeper: Keeper, serving: Serving) -> None:
        self._keeper, self._serving = keeper, serving
        self.record = LiveRecord(serving)
        self._version = ""
        self._shadow: Shadow | None = None
        self._served: tuple[str, int] | None = None
        self._dropped: set[str] = set()
        self._facts: list[Fact] = []
        self._refused = ""

    def restore(self, journal: Journal, market: str) -> None:
        """Read what was scored of a market's models before, and who was served beside."""
        self.record, _ = record.read(journal, market, self._serving)
        for stored in accounts.of(market, journal.records(KIND)):
            version, state = str(stored.payload["version"]), stored.payload["state"]
            self._served = (version, int(stored.payload["bars"])) if state == "serves" else None
            if state == "dropped":
                self._dropped.add(version)

    def begin(self, served: Served, history: Panel, written: int, since: int) -> tuple[Feed, FloatArray]:
        """Watch a champion from now on and return its feed after `history`, and one-bar volatilities [T, S] of it.

        `written` bars were lived through, and its own forecasts since bar `since` may still wait.
        """
        self._version = served.version
        feed, self._waiting, scales = _warmed(served, history, written, since, self._serving)
        return feed, scales

    def hear(self, bar: Panel) -> list[Fact]:
        """Score what a bar's opens make known; return what is to be written down with the bar."""
        facts, self._facts = self._facts, []
        facts += self._scored(self._version, CHAMPION, self._waiting.horizon, self._waiting.hear(bar.open[0]))
        shadow = self._shadow
        if shadow is not None:
            try:
                found = shadow.hear(bar.open[0], self._serving.shadow_s_max)
                facts += self._scored(shadow.served.version, CHALLENGER, shadow.served.horizon, found)
            except Exception as problem:
                facts += self._drop(shadow.served.version, shadow.since, self._told(problem))
        return facts

    def say(self, number: int, scale: FloatArray, forecast: FloatArray) -> FloatArray:
        """Note the champion's forecast [S, Q] of a bar and return what may be traded of it: nothing once a bound was broken."""
        self._waiting.say(number, scale, forecast)
        return np.full_like(forecast, np.nan) if self._version in self.record.broken else forecast

    def demote(self) -> str | None:
        """Ask for the version before, once a bound was broken; return why there is none yet."""
        bound = self.record.broken.get(self._version)
        if bound is None:
            return None
        told = f"version {self._version} broke the bound on its {bound} and opens nothing new"
        try:
            if self._keeper.demote(self._version, f"its live record broke the bound on its {bound}", self.record.broken):
                return None
        except ResourceError as problem:
            return f"{told}; it is to be demoted, which is tried again at the next bar: {problem}"
        return f"{told}; no version before it keeps its bounds, so that it stays until another is promoted"

    def follow(self, written: int, bar: Panel | None, at: np.datetime64) -> None:
        """Let the challenger think of a bar that was sent, the newest of `written`; take up another one, where one stands now.

        Without a bar nothing is new but the process: who was served before goes on.
        """
        wanted, shadow = self._wanted(), self._shadow
        if wanted is None or shadow is None or wanted.version != shadow.served.version:
            self._leave(written, wanted)
            if wanted is not None:
                self._guarded(wanted, written, lambda: self._take(wanted, written, at))
        elif bar is not None:
            self._guarded(wanted, shadow.since, lambda: self._hand(shadow, written - 1, bar))

    def _wanted(self) -> Served | None:
        """Return who is to be served beside the champion: no one who failed at it, and never the champion itself."""
        found = self._shadow.served if self._shadow is not None else None
        try:
            found = self._keeper.challenger()
        except ResourceError as problem:
            log.warning("nobody can tell who challenges version %s now: %s", self._version, problem)
        except Exception as problem:
            self._refuse(self._told(problem))
            return None
        return None if found is None or found.version in self._dropped | {self._version} else found

    def _refuse(self, reason: str) -> None:
        if reason != self._refused:
            self._refused = reason
            self._facts.append(("alert", {"reason": f"no challenger is served beside version {self._version}: {reason}"}))

    def _leave(self, written: int, wanted: Served | None) -> None:
        """Let the challenger go whose alias went."""
        if self._shadow is not None and wanted is None:
            self._facts.append(_state(self._shadow.served.version, written, "left"))
        self._shadow = None

    def _guarded(self, served: Served, since: int, act: Callable[[], None]) -> None:
        """Do something for the challenger; whatever it meets ends the challenger and nothing else."""
        try:
            act()
        except Exception as problem:
            self._facts += self._drop(served.version, since, self._told(problem))

    def _take(self, served: Served, written: int, at: np.datetime64) -> None:
        goes_on = self._served is not None and self._served[0] == served.version
        since = self._served[1] if self._served is not None and goes_on else written
        history = self._keeper.history(served).until(at)
        shadow = Shadow(served, since, at)
        shadow.step = _aside(lambda: shadow.open(history, written, self._serving))
        self._shadow, self._served = shadow, None
        if not goes_on:
            self._facts.append(_state(served.version, since, "serves"))

    def _hand(self, shadow: Shadow, number: int, bar: Panel) -> None:
        brought, shadow.at = self._keeper.bring(shadow.served, bar, shadow.at), bar.event_at[0]
        shadow.step = _aside(lambda: shadow.advance(number, brought))

    def _drop(self, version: str, since: int, reason: str) -> list[Fact]:
        self._shadow = None
        self._dropped.add(version)
        told = f"challenger {version} is no longer served beside version {self._version}: {reason}"
        return [_state(version, since, "dropped"), ("alert", {"reason": told})]

    def _told(self, problem: Exception) -> str:
        if isinstance(problem, TimeoutError):
            return f"it was not done with a bar after {self._serving.shadow_s_max:g} s"
        return str(problem) if isinstance(problem, NightshiftError) else f"it failed with {type(problem).__name__}: {problem}"

    def _scored(self, version: str, role: str, horizon: int, found: Score | None) -> list[Fact]:
        if found is None:
            return []
        before, told = self.record.broken, record.fact(version, role, horizon, found)
        self.record.add(told)
        facts: list[Fact] = [(record.KIND, told)]
        bound = self.record.broken.get(version)
        if bound is not None and version not in before:
            facts.append(("alert", {"reason": f"{role} {version} broke the bound on its {bound} in its live record"}))
        return facts


def _warmed(served: Served, history: Panel, written: int, since: int, serving: Serving) -> tuple[Feed, Waiting, FloatArray]:
    """Return a version's feed after all bars, its forecasts since bar `since` that still wait, and volatilities [T, S]."""
    feed, waiting = served.feed(len(history.symbols)), Waiting(served.horizon, serving.climatology_bars)
    delay = labels.known_after(served.horizon)
    first = history.bars - min(written - since, delay, history.bars)
    scales, forecasts = feed.warm(history.rows(0, first)), np.empty(0)
    if first < history.bars:
        forecasts, last = feed.advance(history.rows(first, history.bars))
        scales = np.concatenate((scales, last))
    for t in range(max(0, history.bars - serving.climatology_bars - 2 * delay), history.bars):
        waiting.hear(history.open[t])
        waiting.say(written - history.bars + t, scales[t], forecasts[t - first] if t >= first else None)
    return feed, waiting, scales


def _aside(step: Callable[[], None]) -> "Future[None]":
    """Begin a step in a thread that ends with the process, whatever it is at."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            step()
            future.set_result(None)
        except BaseException as problem:
            future.set_exception(problem)

    threading.Thread(target=run, name="shadow", daemon=True).start()
    return future


def _state(version: str, bars: int, state: str) -> Fact:
    return KIND, {"version": version, "bars": bars, "state": state}
