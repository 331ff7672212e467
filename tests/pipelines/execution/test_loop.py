"""The loop: it equals the simulation to the bit, whatever moment it is killed at."""

import itertools
import os
import signal
import socket
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from domain import session
from domain.clock import ReplayClock
from domain.error import ConfigurationError, LeaseTaken, TradingError
from domain.params import Sizing
from pipelines import journal
from pipelines.execution import accounts, commands, loop, orders, simulate
from pipelines.execution.loop import Loop
from tests.pipelines.execution import recorded

BARS, SYMBOLS, FIRST = 130, 5, 65
MARKET, PARAMS = recorded.terms(risk={"stop_loss": 0.05})
PANEL = recorded.panel(BARS, SYMBOLS, seed=4)
SINCE = PANEL.event_at[FIRST]
POINTS = ("received", "exchanged", "decided", "journaled", "submitted")


def replay(home, **keys):
    return loop.replay(PANEL, recorded.served(), MARKET, PARAMS, home, since=SINCE, **keys)


def lives(home, point=lambda name: None):
    """Start a replay in a process of its own, a copy of this one, and return its number."""
    # The calendar is read with polars, whose threads are not copied: the child finds it read.
    session.days(MARKET, PANEL.opened_at)
    child = os.fork()
    if child == 0:
        try:
            replay(home, point=point)
        finally:
            os._exit(0)
    return child


def killed_at(home, name, count):
    """Let a replay kill itself at the `count`th time that it reaches a point, and say that it did."""
    left = itertools.count(count, -1)

    def point(reached):
        if reached == name and next(left) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    return os.WTERMSIG(os.waitpid(lives(home, point), 0)[1]) == signal.SIGKILL


def simulated():
    forecasts = recorded.served().forecasts(PANEL)
    return simulate.run(PANEL, forecasts, MARKET, PARAMS, model_version="1", since=SINCE)


def same(first, second):
    """Say whether two outcomes agree in every bit."""
    return (
        first.equity.tobytes() == second.equity.tobytes()
        and first.orders.equals(second.orders)
        and first.fills.equals(second.fills)
        and first.orders_digest == second.orders_digest
        and first.metrics == second.metrics
    )


def live(home, **keys):
    """Open a trader by hand."""
    clock = ReplayClock(orders.moment(PANEL.event_at[0]))
    return Loop(MARKET, PARAMS, keys.pop("served", recorded.served()), PANEL.symbols, home, clock, **keys)


def test_a_replay_equals_the_simulation_trade_by_trade(tmp_path):
    """Bar by bar through broker and journal, and all at once: the same orders, fills, equity and metrics."""
    ours, theirs = replay(tmp_path), simulated()

    assert same(ours, theirs)
    assert ours.metrics["trades"] > 100
    assert set(ours.orders["rule"]) >= {"none", "stop_loss"}


def test_a_finished_replay_returns_what_it_came_to(tmp_path):
    """Asking again trades nothing and answers the same; the journal's chain holds."""
    first, again = replay(tmp_path), replay(tmp_path)

    assert same(first, again)
    assert journal.verify(tmp_path / accounts.JOURNAL).head.sequence > 0


def test_a_replay_goes_on_with_bars_that_came_later(tmp_path):
    """Half now and half later is the whole at once."""
    loop.replay(PANEL.rows(0, 100), recorded.served(), MARKET, PARAMS, tmp_path, since=SINCE)

    assert same(replay(tmp_path), simulated())


@pytest.mark.fault("F01")
@pytest.mark.parametrize(("name", "count"), [*itertools.product(POINTS, (1, 2, 64)), ("journaled", 65)])
def test_killed_at_any_point_it_ends_the_same(tmp_path, name, count):
    """SIGKILL before, between and after the exchange, the journal and the sending, on the first, second and last bars."""
    assert killed_at(tmp_path, name, count)
    assert same(replay(tmp_path), simulated())


def test_killed_at_random_moments_it_ends_the_same(tmp_path):
    """One account, killed again and again a moment after some point that nobody chose, and gone on with until it is done."""
    rng = np.random.default_rng(99)
    ends = []
    for points in rng.integers(1, 20, size=20):
        ours, theirs = socket.socketpair()
        # At every point the child waits for us, so that on a busy machine it cannot be done before it is killed.
        child = lives(tmp_path, point=lambda name, theirs=theirs: theirs.send(b".") and theirs.recv(1))
        theirs.close()
        for _ in range(points):
            ours.recv(1)
            ours.send(b".")
        time.sleep(float(rng.exponential(0.0005)))
        os.kill(child, signal.SIGKILL)
        ends.append(os.WIFSIGNALED(os.waitpid(child, 0)[1]))
        ours.close()

    assert all(ends)
    assert same(replay(tmp_path), simulated())


def test_a_ledger_that_lost_its_end_is_made_again(tmp_path):
    """After a power cut the journal is complete and the ledger may lack bars: it lives through them again, to the same account."""
    loop.replay(PANEL.rows(0, 90), recorded.served(), MARKET, PARAMS, tmp_path, since=SINCE)
    kept = (tmp_path / loop.LEDGER).read_bytes()
    loop.replay(PANEL.rows(0, 110), recorded.served(), MARKET, PARAMS, tmp_path, since=SINCE)
    (tmp_path / loop.LEDGER).write_bytes(kept)

    assert same(replay(tmp_path), simulated())


def test_a_ledger_that_tells_another_story_stops_the_trader(tmp_path):
    """When broker and journal differ, nothing is traded and one sentence says where."""
    loop.replay(PANEL.rows(0, 90), recorded.served(), MARKET, PARAMS, tmp_path, since=SINCE)
    (tmp_path / loop.LEDGER).unlink()
    other = loop.replay(PANEL.rows(0, 90), recorded.served("1", strength=0.2), MARKET, PARAMS, tmp_path / "other", since=SINCE)
    (tmp_path / "other" / loop.LEDGER).rename(tmp_path / loop.LEDGER)

    assert other.metrics["trades"] > 0
    with pytest.raises(TradingError, match=r"the broker h.* the journal says"):
        replay(tmp_path)


@pytest.mark.fault("F104")
def test_other_terms_and_other_models_are_refused(tmp_path):
    """A folder keeps one account: other parameters, capital or another model name what differs."""
    loop.replay(PANEL.rows(0, 70), recorded.served(), MARKET, PARAMS, tmp_path, since=SINCE)

    with pytest.raises(ConfigurationError, match=r"other terms \(capital\)"):
        replay(tmp_path, capital=5.0)
    with pytest.raises(ConfigurationError, match="is of model 1, asked was 2"):
        loop.replay(PANEL, recorded.served("2"), MARKET, PARAMS, tmp_path, since=SINCE)


def test_two_traders_cannot_have_one_account(tmp_path):
    """The second one is told so, and the first goes on."""
    with live(tmp_path), pytest.raises(LeaseTaken):
        live(tmp_path)


@pytest.mark.fault("F112")
def test_a_halt_closes_everything_and_lasts_until_resume(tmp_path):
    """A command is journaled at the next bar and outlives restarts; resuming trades again."""
    shown = []
    with live(tmp_path) as trader:
        trader.recover(PANEL.rows(0, FIRST))
        for t in range(FIRST, 80):
            trader.on_bar(PANEL.rows(t, t + 1))
        commands.leave(tmp_path, "halt", "someone", "looks odd", 1)
        for t in range(80, 86):
            trader.on_bar(PANEL.rows(t, t + 1))
        shown.append(trader.outcome())
    commands.leave(tmp_path, "resume", "someone", "was nothing", 2)
    with live(tmp_path) as trader:
        trader.recover(PANEL.rows(0, 86))
        trader.on_bar(PANEL.rows(86, 87))
        trader.on_bar(PANEL.rows(87, 88))
        shown.append(trader.outcome())
        kinds = [(record.kind, record.actor) for kind in ("halt", "resume") for record in trader._journal.records(kind)]

    assert [outcome.halted for outcome in shown] == [True, False]
    assert shown[0].curve.gross[-1] == 0.0
    assert shown[1].curve.gross[-1] > 0.0
    assert kinds == [("halt", "someone"), ("resume", "someone")]
    assert commands.waiting(tmp_path) == []


def test_the_paper_account_takes_no_orders_by_hand(tmp_path):
    """It would not be the simulation any more: who asked is told so, once, and nothing else happens."""
    with live(tmp_path) as trader:
        trader.recover(PANEL.rows(0, FIRST))
        commands.leave(tmp_path, "order", "someone", "a feeling", 1, symbol="AAA", quantity="3")
        for t in range(FIRST, FIRST + 2):
            trader.on_bar(PANEL.rows(t, t + 1))
        told = [(record.actor, record.payload["refusal"]) for record in trader._journal.records("verdict")]
        halted = trader.outcome().halted

    assert told == [("someone", "'order' was asked of the paper account, which trades by itself: orders by hand go to a broker")]
    assert not halted
    assert commands.waiting(tmp_path) == []


def test_a_command_found_again_after_a_crash_is_honoured_once(tmp_path):
    """A resume that was journaled, but whose file survived, does not open a latch that was shut since."""
    with live(tmp_path) as trader:
        trader.recover(PANEL.rows(0, FIRST))
        commands.leave(tmp_path, "resume", "someone", "go", 1)
        trader.on_bar(PANEL.rows(FIRST, FIRST + 1))
        commands.leave(tmp_path, "halt", "someone", "stop", 2)
        trader.on_bar(PANEL.rows(FIRST + 1, FIRST + 2))
        commands.leave(tmp_path, "resume", "someone", "go", 1)
        trader.on_bar(PANEL.rows(FIRST + 2, FIRST + 3))

        assert trader.outcome().halted


def test_a_drawdown_that_shuts_the_latch_is_journaled(tmp_path):
    """The gate's own halt is a fact like any other."""
    market, params = recorded.terms(risk={"drawdown_max": 0.001})
    outcome = loop.replay(PANEL, recorded.served(), market, params, tmp_path, since=SINCE)

    with journal.Journal.read_only(tmp_path / accounts.JOURNAL) as facts:
        halts = [record.payload["reason"] for record in facts.records("halt")]
    assert outcome.halted
    assert len(halts) == 1
    assert "0.001 below its peak" in halts[0]


@pytest.mark.fault("F102")
def test_another_model_takes_over_between_two_bars(tmp_path):
    """From the bar on at which it took over, orders carry the new version; both are what each alone would have forecast."""
    second = recorded.served("2", strength=-0.4)

    def successor(bar):
        return (second, PANEL.rows(0, 90)) if bar.event_at[0] == PANEL.event_at[90] else None

    with live(tmp_path, successor=successor) as trader:
        trader.recover(PANEL.rows(0, FIRST))
        for t in range(FIRST, 100):
            trader.on_bar(PANEL.rows(t, t + 1))
        outcome = trader.outcome()
    spliced = np.concatenate((recorded.served().forecasts(PANEL)[:90], second.forecasts(PANEL)[90:]))
    expected = simulate.run(PANEL.rows(0, 100), spliced[:100], MARKET, PARAMS, model_version="1", since=SINCE)

    assert outcome.equity.tobytes() == expected.equity.tobytes()
    assert outcome.models == ((0, "1"), (90 - FIRST, "2"))
    assert outcome.orders["client_order_id"][0].startswith("us_equity:1:")
    assert outcome.orders["client_order_id"][-1].startswith("us_equity:2:")


@pytest.mark.fault("F08")
def test_a_failure_within_a_bar_stops_the_trader(tmp_path):
    """What happened cannot be told from inside: only a new start, which recovers, goes on."""

    def point(name):
        if name == "decided":
            raise OSError("the disk is gone")

    with live(tmp_path, point=point) as trader:
        trader.recover(PANEL.rows(0, FIRST))
        with pytest.raises(OSError, match="the disk is gone"):
            trader.on_bar(PANEL.rows(FIRST, FIRST + 1))
        with pytest.raises(TradingError, match="start it again"):
            trader.on_bar(PANEL.rows(FIRST, FIRST + 1))

    assert same(replay(tmp_path), simulated())


def test_every_record_of_a_bar_is_one_transaction(tmp_path):
    """What the journal holds after a kill between exchange and journal ends with a bar: no order without its bar."""
    killed_at(tmp_path, "decided", 20)

    with journal.Journal.read_only(tmp_path / accounts.JOURNAL) as facts:
        records = list(facts.records())
    assert records[-1].kind == "bar"
    assert sum(record.kind == "bar" for record in records) == 19


SIZED = Sizing(edge_sigma_full=0.1, band=0.25, rate=0.9)


def resized(version="2"):
    """Return the model of these tests with settings of its own."""
    return replace(recorded.served(version), sizing=SIZED)


def sized_from(row):
    """Return what a simulation comes to whose settings change at a row of the panel."""
    forecasts = recorded.served().forecasts(PANEL)
    return simulate.run(PANEL, forecasts, MARKET, PARAMS, model_version="2", since=SINCE, sized=[(row, SIZED)])


def swapped(home, row, point=lambda name: None):
    """Trade to the end with a model that another one, with settings of its own, takes over from at a row; go on if begun."""

    def successor(bar):
        return (resized(), PANEL.rows(0, row)) if bar.event_at[0] >= PANEL.event_at[row] else None

    with journaled(home) as known:
        served = resized() if "2" in known else recorded.served()
    with live(home, served=served, successor=successor, point=point) as trader:
        start = FIRST if trader.cursor is None else int(np.searchsorted(PANEL.event_at, trader.cursor, side="right"))
        trader.recover(PANEL.rows(0, start))
        for t in range(start, BARS):
            trader.on_bar(PANEL.rows(t, t + 1))
        return trader.outcome()


@contextmanager
def journaled(home):
    """Yield the versions that a journal tells of; none before there is one."""
    if not (home / accounts.JOURNAL).exists():
        yield []
        return
    with journal.Journal.read_only(home / accounts.JOURNAL) as facts:
        yield [record.payload["version"] for record in facts.records("model")]


def test_a_model_trades_by_the_settings_that_it_brings(tmp_path):
    """Bar by bar as in a simulation by those settings, which differs from one by params.yaml's."""
    ours = loop.replay(PANEL, resized("1"), MARKET, PARAMS, tmp_path, since=SINCE)
    theirs = simulate.run(PANEL, recorded.served().forecasts(PANEL), MARKET, PARAMS.sized(SIZED), model_version="1", since=SINCE)

    assert same(ours, theirs)
    assert ours.orders_digest != simulated().orders_digest


def test_settings_change_with_the_model_and_the_journal_says_so(tmp_path):
    """From the bar on at which it took over, decisions are made by the new model's; both are facts, with the first bar of each."""
    outcome = swapped(tmp_path, 90)

    with journal.Journal.read_only(tmp_path / accounts.JOURNAL) as facts:
        told = [record.payload for record in facts.records("model")]
    assert outcome.equity.tobytes() == sized_from(90).equity.tobytes()
    assert told == [
        {"version": "1", "bars": 0, "sizing": PARAMS.decisions.sizing.model_dump()},
        {"version": "2", "bars": 90 - FIRST, "sizing": SIZED.model_dump()},
    ]


@pytest.mark.fault("F02")
@pytest.mark.parametrize(("name", "count"), [(name, 90 - FIRST + k) for name in POINTS for k in (0, 1, 2)])
def test_killed_around_a_change_of_settings_it_ends_the_same(tmp_path, name, count):
    """SIGKILL at every point of the bar before the change, of the change itself, and of the one after."""
    left = itertools.count(count, -1)

    def point(reached):
        if reached == name and next(left) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    session.days(MARKET, PANEL.opened_at)
    child = os.fork()
    if child == 0:
        try:
            swapped(tmp_path, 90, point)
        finally:
            os._exit(0)

    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    outcome = swapped(tmp_path, 90)
    assert outcome.equity.tobytes() == sized_from(90).equity.tobytes()
    assert outcome.models == ((0, "1"), (90 - FIRST, "2"))


def test_a_restart_under_a_model_with_other_settings_is_a_fact(tmp_path):
    """Two accounts that stop and go on, one of them under another model: its decisions are the new one's, and the journal tells."""
    loop.replay(PANEL.rows(0, 90), recorded.served(), MARKET, PARAMS, tmp_path, since=SINCE)
    with live(tmp_path, served=resized()) as trader:
        trader.recover(PANEL.rows(0, 90))
        for t in range(90, BARS):
            trader.on_bar(PANEL.rows(t, t + 1))
        outcome = trader.outcome()

    assert outcome.equity.tobytes() == sized_from(90).equity.tobytes()
    with journaled(tmp_path) as known:
        assert known == ["1", "2"]
