"""Alerts: what a person should hear of at once, read from the journals and told through Apprise (`python -m flows.alerts`).

A process of its own beside the traders: what it does, or fails to do, never holds up an order. Where messages go is in the
environment, since the addresses hold secrets. What is urgent goes out at the next look; the rest is gathered, one message an
account and interval. What could not be delivered is told later; up to where each journal was told is kept in the home.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from domain import params as parameters
from domain.clock import Clock, SystemClock
from domain.error import ConfigurationError, NightshiftError
from domain.params import Alerts
from flows import home as homes
from flows import signals
from flows.home import Home
from flows.vitals import Sign
from pipelines.execution.accounts import JOURNAL
from pipelines.execution.core.desk import CORRECTION
from pipelines.journal import Journal, Stored

#: In the environment: addresses as Apprise has them, separated by spaces.
WHERE = "NIGHTSHIFT_ALERTS"
#: In the home: journal -> the sequence that was told last.
CURSORS = "alerts.json"
LOOK_S = 1.0
#: Topics that do not wait for others.
URGENT = frozenset({"halt", "rejection"})
#: Rules of the gate on the whole account; others are its daily work.
STANDING = frozenset({"drawdown", "daily_loss", "stale_feed", "stale_account", "clock_offset", "loop_lag", "model"})

log = logging.getLogger("nightshift.alerts")

#: Delivers a title and a text; whether everyone has got it.
Send = Callable[[str, str], bool]


class Line(NamedTuple):
    """One thing to tell."""

    topic: str
    text: str


def lines(stored: Stored) -> Iterator[Line]:
    """Yield what a record has to tell, in a person's words."""
    told, by = stored.payload, stored.actor
    if stored.kind in {"halt", "resume"}:
        yield Line("halt", f"{stored.kind} by {by}: {told['reason']}")
    elif stored.kind == "alert":
        yield Line("alert", str(told["reason"]))
    elif stored.kind == "model":
        yield Line("model", f"version {told['version']} trades from bar {told['bars']} on")
    elif stored.kind == "order" and told["state"] == "rejected":
        yield Line("rejection", f"order {told['client_order_id']} was rejected: {told['reason'] or 'no reason was given'}")
    elif stored.kind == "proposal" and told["state"] == "open":
        yield Line(
            "signal", f"{told['quantity']} of {told['symbol']} at {told['mark']:g} is proposed, {told['valid_s']:g} s to answer"
        )
    elif stored.kind == "settings":
        changed = ", ".join(f"{name} {before} -> {now}" for name, (before, now) in told["changed"].items())
        yield Line("model", f"{told['market']} is traded by other settings: {changed}")
    elif stored.kind == "charge" and told["kind"] == CORRECTION:
        yield Line("alert", f"{by} let the account follow the broker: {_corrected(told)}")
    elif stored.kind == "fill":
        yield from (Line("fill", f"{size:+g} of {symbol} at {price:g}") for symbol, size, price in _fills(told))


def _corrected(told: Mapping[str, Any]) -> str:
    return f"{told['quantity']} of {told['symbol']}" if told["symbol"] else f"{told['amount']} of cash"


def _fills(told: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    return zip(told["symbol"], told["quantity"], told["price"], strict=True)


@dataclass
class Account:
    """One journal, how far it was told, and what waits to be."""

    path: Path
    cursor: int
    """Sequence up to which everything was delivered, or is no matter of alerts."""
    read: int = 0
    waiting: list[Line] = field(default_factory=list)
    again_ns: int = 0
    """Monotonic time before which nothing but what is urgent is sent, and nothing at all after a failure."""
    failed: bool = False
    standing: frozenset[str] = frozenset()
    """Rules that the whole account was under at its newest orders: each is told when it begins."""
    broken: str = ""
    """Why the journal cannot be read."""
    silent: bool = False
    """The trader has given no sign of life of late, and that was noted."""

    def look(self, wanted: Sequence[str]) -> None:
        """Read what was written since."""
        try:
            with Journal.read_only(self.path) as journal:
                for stored in journal.records(since=max(self.read, self.cursor)):
                    self.waiting += [line for line in (*lines(stored), *self._rules(stored)) if line.topic in wanted]
                    self.read = stored.sequence
        except NightshiftError as problem:
            if str(problem) != self.broken:
                self.waiting.append(Line("halt", str(problem)))
            self.broken = str(problem)
        self._listen()

    def _listen(self) -> None:
        """Note once that a trader has fallen silent that did not end as it was told to."""
        sign = Sign.read(self.path.parent)
        if sign is not None and not sign.lives and not self.silent:
            self.waiting.append(Line("halt", f"its trader was last seen {sign.age_s:.0f} s ago: it died, hangs, or is suspended"))
        self.silent = sign is not None and not sign.lives

    def tell(self, send: Send, settings: Alerts, now_ns: int) -> None:
        """Deliver what waits, if it is time to."""
        urgent = not self.failed and any(line.topic in URGENT for line in self.waiting)
        if self.waiting and (now_ns >= self.again_ns or urgent):
            self.again_ns = now_ns + round(settings.every_s * 1e9)
            self.failed = not send(f"nightshift {self.path.parent.name}", self._text(settings.lines_max))
            if self.failed:
                log.warning("an alert on %s was not delivered, and is told again", self.path.parent.name)
            else:
                self.waiting.clear()
        if not self.waiting:
            self.cursor = max(self.read, self.cursor)

    def _text(self, most: int) -> str:
        """Return what waits, what is urgent first, cut where it is too much for a message."""
        ordered = sorted(self.waiting, key=lambda line: line.topic not in URGENT)
        more = [f"and {len(ordered) - most} more"] if len(ordered) > most else []
        return "\n".join([f"{line.topic}: {line.text}" for line in ordered[:most]] + more)

    def _rules(self, stored: Stored) -> list[Line]:
        if stored.kind != "intent":
            return []
        before, self.standing = self.standing, STANDING & set(stored.payload["rule"])
        return [Line("risk", f"the account may only reduce: {rule}") for rule in sorted(self.standing - before)]


class Watch:
    """Every account of a home. One that is there at the first start begins at its newest record, later ones at their first."""

    def __init__(self, home: Home, settings: Alerts, send: Send, clock: Clock) -> None:
        self._home, self._settings, self._send, self._clock = home, settings, send, clock
        self._path = home.root / CURSORS
        kept = _kept(self._path)
        self.accounts = {name: Account(Path(name), sequence) for name, sequence in (kept or {}).items()}
        if kept is None:
            self.accounts = {str(path): Account(path, _newest(path)) for path in self._journals()}
            self._keep()

    def look(self) -> None:
        """Look at every journal once, and tell what is new."""
        for path in self._journals():
            account = self.accounts.setdefault(str(path), Account(path, 0))
            before = account.cursor
            account.look(self._settings.topics)
            account.tell(self._send, self._settings, self._clock.monotonic_ns())
            if account.cursor != before:
                self._keep()

    def _journals(self) -> list[Path]:
        return sorted(self._home.journals.glob(f"*/{JOURNAL}"))

    def _keep(self) -> None:
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps({name: each.cursor for name, each in self.accounts.items()}) + "\n", encoding="utf-8")
        partial.replace(self._path)


def _newest(path: Path) -> int:
    with Journal.read_only(path) as journal:
        return journal.head().sequence


def _kept(path: Path) -> dict[str, int] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def apprise(addresses: str) -> Send:
    """Return what delivers by these addresses; raise ConfigurationError for none, and for one that cannot be understood."""
    if not addresses.split():
        raise ConfigurationError(
            f"alerts were asked for, and {WHERE} names no address: set it to one of Apprise's, such as mailto://user:password@host"
        )
    from apprise import Apprise, AppriseAsset

    # No look at the host's own configuration, and no picture fetched from afar.
    everyone = Apprise(asset=AppriseAsset(app_id="Nightshift", app_desc="Nightshift", image_url_mask="", image_url_logo=""))
    for number, address in enumerate(addresses.split(), start=1):
        if not everyone.add(address):
            raise ConfigurationError(
                f"address {number} of {WHERE} is none that Apprise understands: look at its scheme and its parts"
            )
    return lambda title, text: bool(everyone.notify(title=title, body=text))


def run(home: Home, settings: Alerts, addresses: str) -> None:
    """Watch until SIGINT or SIGTERM."""
    watch = Watch(home, settings, apprise(addresses), SystemClock())
    with signals.noted() as stop:
        while not stop.wait(LOOK_S):
            watch.look()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a plain program."""
    argparse.ArgumentParser(prog="python -m flows.alerts", description="Tell what a person should hear of.").parse_args(arguments)
    homes.quiet()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        run(homes.from_environment(), parameters.load(homes.parameters()).alerts, os.environ.get(WHERE, ""))
    except NightshiftError as problem:
        sys.stderr.write(f"nightshift: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
