"""Outlook: what the core knows of the world around one market, told to the gate before it judges anything."""

import math
from typing import Any

import numpy as np

from domain.panel import FloatArray
from domain.params import Risk
from pipelines.execution import guards
from pipelines.execution.core.desk import SECOND, Desk
from pipelines.execution.core.events import BarClosed, Moment
from pipelines.execution.trader import Trader


class Outlook:
    """Symbols, their bars and their sessions, beside the orders that work."""

    def __init__(self, places: dict[str, int], desk: Desk, rules: Risk) -> None:
        self._places, self._desk, self._rules = places, desk, rules
        self._tradable = np.ones(len(places), dtype=np.bool_)
        self.ages = np.zeros(len(places))
        """[S] bars since each symbol had one."""
        self.open, self.due_ns = False, 0
        self.expected_ns, self._missed = 0, False
        """When the next bar is to close, 0 where nobody knows; and whether somebody was told that it did not come."""
        self.model_valid = True

    def listed(self, untradable: frozenset[str]) -> None:
        """Take in which symbols the broker does not trade now."""
        self._tradable[:] = [symbol not in untradable for symbol in self._places]

    def lived(self, said: BarClosed, close: FloatArray, closed_ns: int) -> None:
        """Take in a bar; `close` [S] is NaN where there is no price."""
        self.ages[:] = np.where(np.isnan(close), self.ages + 1.0, 0.0)
        self.open, self.due_ns, self.model_valid = said.open, said.due_ns or closed_ns, said.model_valid
        self.expected_ns, self._missed = said.due_ns, False

    def misses(self, now_ns: int) -> float:
        """Return for how many seconds the next bar is overdue, once for each, when that is longer than a feed may be silent."""
        late_s = (now_ns - self.expected_ns) / SECOND
        if not self.expected_ns or self._missed or late_s <= self._rules.feed_silence_s_max:
            return 0.0
        self._missed = True
        return late_s

    def tell(
        self, trader: Trader, at: Moment, *, synced_ns: int, offset_s: float, silent_since_ns: int, heard_ns: int = 0,
        model_valid: bool = True,
    ) -> None:  # fmt: skip
        """Write to the trader's conditions what orders may still do, and what the guards ask of the world at a moment."""
        self.list_working(trader)
        facts = guards.Facts(
            open=np.full(len(self._places), self.open),
            tradable=self._tradable,
            symbol_age_bars=self.ages,
            feed_silence_s=max(at.ns - silent_since_ns, 0) / SECOND,
            account_age_s=(at.monotonic_ns - synced_ns) / SECOND if synced_ns else math.inf,
            clock_offset_s=offset_s,
            loop_lag_s=(at.monotonic_ns - heard_ns) / SECOND if heard_ns else 0.0,
            model_valid=model_valid,
        )
        guards.watch(self._rules, facts, self._desk.sent, at.monotonic_ns, self._places, trader.conditions)

    def list_working(self, trader: Trader) -> None:
        """Write to the trader's conditions what orders may still do."""
        guards.list_working(self._working(trader), trader.conditions)

    def packed(self) -> dict[str, Any]:
        """Return what a restart needs."""
        due = {"due_ns": self.due_ns, "expected_ns": self.expected_ns}
        return {"ages": self.ages.tolist(), "open": self.open, "model_valid": self.model_valid, **due}

    def restore(self, kept: dict[str, Any]) -> None:
        """Put back what `packed` kept."""
        self.ages[:] = kept["ages"]
        self.open, self.due_ns, self.model_valid = kept["open"], kept["due_ns"], kept["model_valid"]
        self.expected_ns = kept.get("expected_ns", 0)

    def _working(self, trader: Trader) -> list[guards.Working]:
        """Return what orders may still do at worst, for the gate to count; a limit counts at its own price, others at the mark."""
        found = []
        for working in self._desk.orders.values():
            place = self._places.get(working.order.symbol)
            if place is not None:
                left = float(working.reserved.copy_sign(working.quantity))
                limit = working.order.terms.limit_price
                mark = float(trader.book.mark[place])
                found.append(guards.Working(place, left, math.nan if limit is None else limit, mark))
        return found
