"""The watch: whatever a challenger does, the champion trades the same; a champion that breaks a bound opens nothing new."""

import re
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from domain import params as parameters
from domain.clock import ReplayClock
from domain.error import CorruptBundle, ResourceError
from features import labels
from pipelines import journal
from pipelines.execution import accounts, orders, record
from pipelines.execution.loop import Loop
from pipelines.execution.watch import Watch
from tests.pipelines.execution import recorded

BARS, SYMBOLS, FIRST, HORIZON = 165, 5, 80, 5
MARKET, PARAMS = recorded.terms(serving={"judged_bars_min": 10, "shadow_s_max": 20.0})
PANEL = recorded.panel(BARS, SYMBOLS, seed=4)


@dataclass
class Narrow(recorded.Views):
    """A model whose ranges hold half of what they promise."""

    def predict(self, features, scale):
        quantiles = super().predict(features, scale)
        middle = quantiles[..., 2:3]
        return middle + 0.4 * (quantiles - middle)


@dataclass
class Crashing(recorded.Views):
    """A model that fails at its third bar after the warm-up."""

    left: int = 3

    def predict(self, features, scale):
        self.left -= 1
        if self.left == 0:
            raise FloatingPointError("it went wrong")
        return super().predict(features, scale)


@dataclass
class Hanging(recorded.Views):
    """A model that never answers while the test lasts."""

    free: threading.Event = field(default_factory=threading.Event)

    def predict(self, features, scale):
        self.free.wait(60)
        return super().predict(features, scale)


def served(version, model):
    return recorded.Served(model, recorded.served().features, HORIZON, version)


@dataclass
class Registry:
    """A keeper whose answers the test sets."""

    beside: object = None
    """The challenger, or what asking for it raises."""
    demoted: list = field(default_factory=list)
    answers: list = field(default_factory=list)
    """What demoting returns or raises, one after the other; the last one stays."""

    def challenger(self):
        if isinstance(self.beside, Exception):
            raise self.beside
        return self.beside

    def history(self, _served):
        return PANEL

    def bring(self, _served, bar, _after):
        return bar

    def demote(self, version, reason, broken):
        self.demoted.append((version, reason, sorted(broken)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def live(home, keeper=None, champion=None, params=PARAMS, **keys):
    """Open a trader, watched where there is a keeper."""
    watch = Watch(keeper, params.serving) if keeper is not None else None
    clock = ReplayClock(orders.moment(PANEL.event_at[0]))
    return Loop(MARKET, params, champion or recorded.served(), PANEL.symbols, home, clock, watch=watch, **keys)


def trade(home, keeper=None, last=BARS, stops=(), **keys):
    """Live through bars FIRST to last, stopping and starting again before the bars `stops`; return what came of it."""
    for begin, end in zip((FIRST, *stops), (*stops, last), strict=True):
        with live(home, keeper, **keys) as trader:
            trader.recover(PANEL.rows(0, begin))
            for t in range(begin, end):
                trader.on_bar(PANEL.rows(t, t + 1))
            outcome = trader.outcome()
    return outcome


def facts(home, kind):
    with journal.Journal.read_only(home / accounts.JOURNAL) as kept:
        return [stored.payload for stored in kept.records(kind)]


def bar_of_alert(home):
    """Return the row of the bar that the first alert was written with."""
    with journal.Journal.read_only(home / accounts.JOURNAL) as kept:
        at = next(stored.event_at_ns for stored in kept.records("alert"))
    return int(np.searchsorted(PANEL.event_at, np.datetime64(at, "ns").astype("datetime64[us]")))


def same(first, second):
    """Say whether two outcomes agree in every bit."""
    return first.equity.tobytes() == second.equity.tobytes() and first.orders.equals(second.orders)


def test_every_forecast_is_scored_when_its_outcome_is_known(tmp_path):
    """Champion and challenger, bar by bar: the scores of all forecasts at once against the labels of training."""
    other = recorded.served("2", strength=-0.2)
    trade(tmp_path, Registry(other))

    forward, last = labels.forward(PANEL, HORIZON), BARS - FIRST - HORIZON - 1
    # The challenger is taken up before the first bar, and forecasts from that one on.
    for version, model, role in (("1", recorded.served(), "champion"), ("2", other, "challenger")):
        found = [each for each in facts(tmp_path, "score") if each["version"] == version]
        assert [each["bar"] for each in found] == list(range(last))
        assert {each["role"] for each in found} == {role}
        forecasts = model.forecasts(PANEL)
        for each in found:
            t = FIRST + each["bar"]
            expected = record.score(each["bar"], forecasts[t], forecasts[t], forward[t])
            assert (each["loss"], each["covered"]) == (expected.loss, expected.covered)
            assert np.isnan(expected.rank_ic) if each["rank_ic"] is None else each["rank_ic"] == pytest.approx(expected.rank_ic)


def test_a_score_is_written_with_the_bar_that_makes_it_known(tmp_path):
    """In its transaction: between two records of bars there is the score of the bar that was forecast `horizon + 1` before."""
    trade(tmp_path, Registry(), last=FIRST + 20)

    with journal.Journal.read_only(tmp_path / accounts.JOURNAL) as kept:
        told = [(stored.kind, stored.event_at_ns, stored.payload) for stored in kept.records() if stored.kind in {"score", "bar"}]
    bars = [at for kind, at, _ in told if kind == "bar"]
    for place, (kind, at, payload) in enumerate(told):
        if kind == "score":
            assert told[place + 1][:2] == ("bar", at)
            assert bars.index(at) == payload["bar"] + HORIZON + 1
    assert len(told) == 20 + 14


def test_restarts_change_no_score(tmp_path):
    """Stopped before bars of all kinds, both go on with what waited: the same facts, to the last bit."""
    other = recorded.served("2", strength=-0.2)
    first = trade(tmp_path / "a", Registry(other))
    second = trade(tmp_path / "b", Registry(other), stops=(81, 82, 85, 86, 105, 164))

    assert facts(tmp_path / "a", "score") == facts(tmp_path / "b", "score")
    assert facts(tmp_path / "a", "shadow") == facts(tmp_path / "b", "shadow") == [{"version": "2", "bars": 0, "state": "serves"}]
    assert same(first, second)


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        (lambda: recorded.served("2", strength=-0.3), None),
        (lambda: served("2", Crashing(left=1)), r"challenger 2 is no longer served beside version 1: it failed with Floating"),
        (lambda: served("2", Crashing()), r"challenger 2 is no longer served beside version 1: it failed with FloatingPointError"),
        (lambda: CorruptBundle("its bytes differ"), "^no challenger is served beside version 1: its bytes differ$"),
        (lambda: RuntimeError("boom"), "^no challenger is served beside version 1: it failed with RuntimeError: boom$"),
        (lambda: ResourceError("gone"), None),
    ],
    ids=["sound", "crashing at once", "crashing later", "corrupt", "unreadable", "registry gone"],
)
def test_the_champion_trades_the_same_with_any_challenger_and_with_none(tmp_path, beside, said):
    """Orders and equity are equal in every bit, and a challenger that failed is told of once, over restarts too."""
    alone = trade(tmp_path / "alone", champion=recorded.served())
    accompanied = trade(tmp_path / "beside", Registry(beside()))

    assert same(alone, accompanied)
    assert alone.metrics["trades"] > 20
    alerts = [each["reason"] for each in facts(tmp_path / "beside", "alert")]
    assert len(alerts) == (said is not None)
    if said is not None:
        assert re.search(said, alerts[0])


@pytest.mark.fault("F101")
def test_a_challenger_that_does_not_answer_is_waited_for_once(tmp_path):
    """It is dropped with one alert, stays dropped when the trader starts again, and another one may come."""
    _, params = recorded.terms(serving={"judged_bars_min": 10, "shadow_s_max": 0.2})
    hanging = Hanging()
    keeper = Registry(served("2", hanging))
    outcome = trade(tmp_path / "beside", keeper, stops=(85, 95), params=params)
    assert not hanging.free.is_set()
    hanging.free.set()

    assert same(outcome, trade(tmp_path / "alone"))
    assert [each["reason"] for each in facts(tmp_path / "beside", "alert")] == [
        "challenger 2 is no longer served beside version 1: it was not done with a bar after 0.2 s"
    ]
    assert [each["state"] for each in facts(tmp_path / "beside", "shadow")] == ["serves", "dropped"]


def test_challengers_come_and_go(tmp_path):
    """Each forecasts from the bar after it was taken up; while the registry is gone the one at work stays."""
    first, second, keeper = recorded.served("2", strength=-0.2), recorded.served("3", strength=0.1), Registry()
    answers = {95: first, 105: ResourceError("gone"), 115: second, 135: None}
    with live(tmp_path, keeper) as trader:
        trader.recover(PANEL.rows(0, FIRST))
        for t in range(FIRST, BARS):
            keeper.beside = answers.get(t, keeper.beside)
            trader.on_bar(PANEL.rows(t, t + 1))

    told = [(each["version"], each["bars"], each["state"]) for each in facts(tmp_path, "shadow")]
    assert told == [("2", 96 - FIRST, "serves"), ("3", 116 - FIRST, "serves"), ("3", 136 - FIRST, "left")]
    scored = [(each["version"], each["bar"] + FIRST) for each in facts(tmp_path, "score") if each["role"] == "challenger"]
    assert scored == [("2", t) for t in range(96, 110)] + [("3", t) for t in range(116, 130)]
    assert facts(tmp_path, "alert") == []


@pytest.mark.fault("F100")
def test_a_champion_that_breaks_a_bound_opens_nothing_new(tmp_path):
    """From the bar on that shows it, also after a restart; it stays where no version before it may take over, and says so once."""
    keeper = Registry(answers=[False])
    outcome = trade(tmp_path, keeper, champion=served("1", Narrow()), stops=(115, 135))

    alerts = [each["reason"] for each in facts(tmp_path, "alert")]
    assert alerts[0] == "champion 1 broke the bound on its coverage in its live record"
    told = "version 1 broke the bound on its coverage and opens nothing new; no version before it keeps its bounds, "
    assert alerts[1].startswith(told)
    # Once by each of the processes that met it.
    assert set(alerts[1:]) == {alerts[1]}
    shown = PANEL.event_at[bar_of_alert(tmp_path)].astype("datetime64[us]")
    decided = outcome.orders["decided_at"].dt.replace_time_zone(None).to_numpy()
    wanted = outcome.orders["reason"].to_numpy() == "forecast"
    assert (wanted & (decided < shown)).sum() > 20
    assert not (wanted & (decided >= shown)).any()
    assert keeper.demoted[0] == ("1", "its live record broke the bound on its coverage", ["1"])


def test_a_demoted_champion_gives_way_at_the_next_bar(tmp_path):
    """The alert is written with the bar that showed it; the version before takes over at the next one and trades."""
    second, keeper, taken = recorded.served("2", strength=0.3), Registry(answers=[True]), []

    def successor(bar):
        if not keeper.demoted:
            return None
        taken.append(bar.event_at[0])
        row = int(np.searchsorted(PANEL.event_at, bar.event_at[0]))
        return second, PANEL.rows(0, row)

    outcome = trade(tmp_path, keeper, champion=served("1", Narrow()), successor=successor)

    assert [each["version"] for each in facts(tmp_path, "model")] == ["1", "2"]
    shown = bar_of_alert(tmp_path)
    assert PANEL.event_at[shown + 1] == taken[0]
    assert len(keeper.demoted) == 1
    assert outcome.models == ((0, "1"), (shown + 1 - FIRST, "2"))
    assert outcome.curve.gross[-1] > 0.0


def test_an_unreachable_registry_is_asked_again_at_the_next_bar(tmp_path):
    """What stands in the way is told once, and the demotion comes when it can."""
    gone = ResourceError("MLflow was asked, but does not answer: start it")
    keeper = Registry(answers=[gone, gone, gone, True])
    trade(tmp_path, keeper, champion=served("1", Narrow()))

    assert len(keeper.demoted) >= 4
    alerts = [each["reason"] for each in facts(tmp_path, "alert")]
    assert alerts == [
        "champion 1 broke the bound on its coverage in its live record",
        "version 1 broke the bound on its coverage and opens nothing new; it is to be demoted, which is tried again at the next "
        f"bar: {gone}",
    ]


def test_the_shipped_bounds_leave_an_honest_model_alone(tmp_path):
    """The fake views are calibrated and worthless: with the parameters as shipped nothing is said against them."""
    shipped = parameters.load(recorded.ROOT / "params.yaml").serving
    params = PARAMS.model_copy(update={"serving": shipped.model_copy(update={"judged_bars_min": 10})})
    trade(tmp_path, Registry(answers=[True]), params=params)

    assert facts(tmp_path, "alert") == []
