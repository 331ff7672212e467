"""Mind: the model that an account trades by, from bar to bar: its forecasts, the watch over them, and who takes over from it.

It reads bars and is asked for a forecast; it holds no money, and what it wants written down are facts for whoever has the journal.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from domain.error import ConfigurationError, ModelError
from domain.panel import FloatArray, Panel
from domain.params import Params
from pipelines.execution import accounts
from pipelines.execution.serving import Feed, Served
from pipelines.execution.watch import Fact, Watch
from pipelines.journal import Journal

#: Asked before each bar: the model that takes over and all bars before this one, or nothing.
Successor = Callable[[Panel], tuple[Served, Panel] | None]


class Mind:
    """A served model beside its features; `bars` is always the number of bars that the account has lived through before."""

    def __init__(
        self, served: Served, params: Params, symbols: int, *, successor: Successor | None = None, watch: Watch | None = None
    ) -> None:
        self.served, self._params, self._symbols = served, params, symbols
        self._successor, self._watch = successor, watch
        self.version: str | None = None
        """The model that the journal names as the newest, or nothing on a new account."""
        self.scale = np.full(symbols, np.nan)
        """[S] one-bar volatility known at the newest bar's close."""
        self._since, self._sizing, self._told = 0, None, ""
        self._feed: Feed

    @property
    def terms(self) -> Params:
        """Return params.yaml with the settings that the model brings."""
        return self.served.terms(self._params)

    def restore(self, journal: Journal, market: str) -> None:
        """Read which models traded a market before, and what was scored of them."""
        if self._watch is not None:
            self._watch.restore(journal, market)
        for stored in accounts.of(market, journal.records("model")):
            self._note(stored.payload)

    def warm(self, history: Panel, bars: int) -> FloatArray:
        """Take in every bar so far; return one-bar volatilities [T, S]."""
        return self._warm(history, bars, self._since if self.version == self.served.version else bars)

    def agreed(self, bars: int) -> list[Fact]:
        """Return the fact that another model, or the same one with other settings, trades from bar `bars` on, where that is so."""
        told = {"version": self.served.version, "bars": bars, "sizing": self.terms.decisions.sizing.model_dump()}
        if (self.version, self._sizing) == (told["version"], told["sizing"]):
            return []
        self._note(told)
        return [("model", told)]

    def hear(self, bar: Panel, bars: int) -> list[Fact]:
        """Look who trades from this bar on, and score the forecasts whose outcomes it makes known."""
        facts = self._demote() + self._succeed(bar, bars)
        return facts + (self._watch.hear(bar) if self._watch is not None else [])

    def think(self, bar: Panel, bars: int) -> FloatArray:
        """Return the forecast [S, Q] at a bar's close; NaN where nothing may be traded."""
        forecasts, scales = self._feed.advance(bar)
        self.scale = scales[0]
        return forecasts[0] if self._watch is None else self._watch.say(bars, self.scale, forecasts[0])

    def valid(self, at: np.datetime64) -> bool:
        """Return whether the model may open positions at a moment: it has neither expired nor broken a bound of its live record."""
        expires_at = self.served.expires_at
        broken = self._watch is not None and self.served.version in self._watch.record.broken
        return not broken and (expires_at is None or bool(at <= expires_at))

    def follow(self, bars: int, bar: Panel | None, at: np.datetime64) -> None:
        """Let a challenger think of the newest bar, which was sent by now; without a bar only the process is new."""
        if self._watch is not None:
            self._watch.follow(bars, bar, at)

    def _warm(self, history: Panel, bars: int, since: int) -> FloatArray:
        """Begin the feed after `history`; what the model forecast since bar `since` is its own."""
        if self._watch is not None:
            self._feed, scales = self._watch.begin(self.served, history, bars, since)
        else:
            self._feed = self.served.feed(self._symbols)
            scales = self._feed.warm(history)
        if history.bars:
            self.scale = scales[-1]
        return scales

    def _demote(self) -> list[Fact]:
        """Ask for the version before, where the model broke a bound by the bars that are written; say so where there is none."""
        reason = self._watch.demote() if self._watch is not None else None
        return [] if reason is None else self._alert(reason)

    def _succeed(self, bar: Panel, bars: int) -> list[Fact]:
        """Change the model, if another is to take over before this bar is thought about; one that is refused is told of once."""
        try:
            found = self._successor(bar) if self._successor else None
        except (ModelError, ConfigurationError) as refused:
            return self._alert(f"version {self.version} goes on: {refused}")
        if found is None or found[0].version == self.version:
            return []
        self.served, history = found
        facts = self.agreed(bars)
        self._warm(history, bars, self._since)
        return facts

    def _alert(self, reason: str) -> list[Fact]:
        """Return what a person should know, unless it was the last thing told."""
        if reason == self._told:
            return []
        self._told = reason
        return [("alert", {"reason": reason})]

    def _note(self, told: dict[str, Any]) -> None:
        if self.version != told["version"]:
            self._since = int(told["bars"])
        self.version, self._sizing = str(told["version"]), told.get("sizing")
