"""Readiness: whether the account is known to be what the journal says, so that something new may be opened.

It is known from readings. One is due every so often, and whenever something has happened that only a reading begun since then
explains. A difference stands until it has been compared and is gone; what has stood for a while is believed.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal

from pipelines.execution.core.desk import SECOND, Desk
from pipelines.execution.core.events import Channel, Corrected, Synced, Unread
from pipelines.execution.core.plan import Plan
from pipelines.execution.core.reconciling import Doubt, correct, differences

#: Failures after which the wait for the next reading doubles no more.
FAILURES_MAX = 10
#: The part of a position of coins that is believed to have gone as fees; Alpaca takes 0.25% of a purchase at most.
FEE_MAX = Decimal("0.005")
#: What differs where executions were read whose orders are not known yet.
UNBOOKED = "executions of unknown orders"
NOTHING_DIFFERS = "nothing is known to differ from what the broker holds, other than what an open order may explain"
NOT_READ = "the account was not read a moment ago, or not in full: it is being read, ask again"


@dataclass
class Readiness:
    """What must hold before anything new is opened."""

    desk: Desk
    coins: frozenset[str] = frozenset()
    """Symbols of which a broker may take its fee."""
    synced: bool = False
    """The account was read since the start and since every channel came back, and no difference stands."""
    lost: set[Channel] = field(default_factory=lambda: {Channel.ORDERS})
    compared: bool = False
    """The account has been compared with a reading since this process began."""
    synced_ns: int = 0
    asked_ns: int = 0
    """When the reading under way was asked for; 0 when none is."""
    taken_ns: int = 0
    """When the newest reading was taken in."""
    urged_ns: int = 0
    """When something happened that only a reading begun since then explains; 0 when nothing has."""
    unread_ns: int = 0
    """When the first of the readings failed that have since; 0 when the newest did not."""
    unread_told: bool = False
    """Whether somebody has been told of it."""
    failures: int = 0
    """Readings that have failed one after the other by now, and when the newest of them did."""
    failed_ns: int = 0
    doubts: dict[str, Doubt] = field(default_factory=dict)
    offset_s: float = math.nan
    """Seconds by which our clock was ahead of the broker's at the last reading."""

    @property
    def ready(self) -> bool:
        """Whether new positions may be opened."""
        return self.synced and not self.lost

    def knows(self, symbol: str) -> bool:
        """Say whether a position is known well enough to be reduced: no difference of it has been read, and none is on its way."""
        return self.compared and symbol not in self.doubts and UNBOOKED not in self.doubts

    def due(self, now_ns: int) -> bool:
        """Say whether the account should be read now; a reading that failed is begun again after a wait that doubles."""
        patience = self.desk.patience
        if self.asked_ns and now_ns - self.asked_ns < patience.answer_ns:
            return False
        if self.failed_ns and now_ns - self.failed_ns < min(patience.again_ns << (self.failures - 1), patience.answer_ns):
            return False
        waits = patience.busy_sync_ns if not self.synced or self.doubts or self.desk.orders else patience.sync_ns
        return bool(self.urged_ns) or not self.synced_ns or now_ns - self.synced_ns >= waits

    def joined(self, channel: Channel) -> None:
        """Trust nothing that was known before: what a stream said while it was gone is lost."""
        self.lost.discard(channel)
        self.synced, self.synced_ns, self.asked_ns = False, 0, 0

    def admits(self, said: Synced, now_ns: int) -> bool:
        """Say whether a reading may be taken in, which it then is.

        One that was begun before another was taken in knows nothing of it: it may be older, or bring again what is forgotten since.
        """
        if said.asked_ns >= self.taken_ns:
            self.taken_ns, self.unread_ns, self.unread_told = now_ns, 0, False
            self.failures = self.failed_ns = 0
            return True
        if said.asked_ns == self.asked_ns:
            self.urged_ns, self.asked_ns = now_ns, 0
        return False

    def unread(self, said: Unread, plan: Plan) -> None:
        """Tell somebody, once, that the account cannot be read, and why; it is asked for again by itself."""
        now_ns = plan.at.monotonic_ns
        if said.asked_ns == self.asked_ns:
            self.asked_ns, self.failures, self.failed_ns = 0, min(self.failures + 1, FAILURES_MAX), now_ns
        self.unread_ns = self.unread_ns or now_ns
        failing_ns = now_ns - self.unread_ns
        if failing_ns >= self.desk.patience.unread_ns and not self.unread_told:
            self.unread_told = True
            plan.alert(
                f"the account has not been read for {failing_ns // SECOND} s ({said.reason}): before long nothing new is opened"
            )

    def judge(self, said: Synced, strangers: int, plan: Plan) -> None:
        """Compare the account with a reading that was asked for since every channel came back; all that it tells of is booked.

        `strangers` are orders of which it brought executions, and which are not known yet: what agrees without these agrees by
        chance.
        """
        now_ns = plan.at.monotonic_ns
        unbooked = {UNBOOKED: (Decimal(0), Decimal(strangers))} if strangers else {}
        self._doubt(differences(self.desk, said) | unbooked, plan)
        self.offset_s = math.nan if said.clock_ns is None else (plan.at.ns - said.clock_ns) / SECOND
        self.asked_ns, self.synced_ns, self.compared = 0, now_ns, True
        self.urged_ns = 0 if said.asked_ns >= self.urged_ns else self.urged_ns

    def believe(self, plan: Plan) -> None:
        """Believe a difference that has stood for a while, even if no reading has come since that could have ended it."""
        since_ns = plan.at.monotonic_ns - self.desk.patience.quiet_ns
        stands = {name: each for name, each in self.doubts.items() if each.since_ns <= since_ns}
        for name in [name for name, each in stands.items() if self._is_fee(name, each)]:
            self.desk.pay_in_kind(name, self.doubts.pop(name).theirs, plan)
            del stands[name]
        if stands and self.synced:
            self.synced = False
            name, doubt = next(iter(sorted(stands.items())))
            plan.alert(f"the broker holds {doubt.theirs} of {name}, the journal says {doubt.ours}: nothing new is opened")

    def correct(self, said: Corrected, plan: Plan, split: Collection[str] = ()) -> set[str]:
        """Let the account be what the broker holds, where a person says that it is right; return the symbols that were corrected.

        The next reading shows whether it is. Of symbols that were `split` more or fewer shares have cost what they cost before.
        """
        fresh = self.synced_ns and plan.at.monotonic_ns - self.synced_ns <= self.desk.patience.quiet_ns
        whole = fresh and UNBOOKED not in self.doubts
        made = correct(self.desk, self.doubts, self.synced_ns, said, plan, split) if whole else {}
        refusal = "" if made else NOTHING_DIFFERS if whole else NOT_READ
        self.doubts = {name: doubt for name, doubt in self.doubts.items() if name not in made}
        self.urged_ns = plan.at.monotonic_ns
        found = {name: [f"{each.normalize():f}" for each in (doubt.ours, doubt.theirs)] for name, doubt in made.items()}
        plan.write("verdict", said.actor, {"command": said.identity, "reason": said.reason, "refusal": refusal, "corrected": found})
        return set(made)

    def _is_fee(self, name: str, doubt: Doubt) -> bool:
        """Say whether a difference is what a broker may have taken as its fee of what was bought."""
        short = doubt.ours - doubt.theirs
        known = name in self.coins and UNBOOKED not in self.doubts and self.desk.holdings.get(name) == doubt.ours
        return known and 0 < short <= doubt.ours * FEE_MAX

    def _doubt(self, found: dict[str, tuple[Decimal, Decimal]], plan: Plan) -> None:
        """Remember since when each difference stands; be ready again when none is left."""
        kept = {name: self.doubts.get(name) for name in found}
        self.doubts = {
            name: doubt if (doubt := kept[name]) is not None and doubt.same(*pair) else Doubt(*pair, plan.at.monotonic_ns)
            for name, pair in found.items()
        }
        if not self.doubts and not self.synced:
            self.synced = True
            plan.write("reconcile", "core", {"positions": len(self.desk.holdings), "cash": str(self.desk.cash)})
