"""Shift: a night ends in time, and whoever was cut off goes on from there."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from domain.clock import SystemClock
from domain.error import DeadlinePassed, DiskFull, ModelError, ResourceError
from flows import learn, prepare, retrain, sentence, shift, stages, trade
from flows.beside import Beside
from flows.home import Home
from flows.stages import P, R
from pipelines.data.sources.simulated import Simulated
from pipelines.model import learning
from pipelines.model.learning import Action, Plan
from pipelines.registry import CHAMPION, Registry
from tests.flows.conftest import FIRST_NIGHT, MARKET, OPEN, ROOT, Passed, tiny
from tests.flows.test_learn import LATER, digest

RETRAIN = {"drifted_share_max": 1e-9, "psi_max": 1e-9}


class Killed(BaseException):
    """What `kill -9` looks like from within: nothing catches it."""


def dying(step_name: str) -> stages.Do:
    """Return a `do` that dies right after a step has done its work, before anyone can note it."""

    def do(name: str, step: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
        told = step(*arguments, **named)
        if name == step_name:
            raise Killed
        return told

    return do


@pytest.fixture(scope="module")
def undisturbed(passed: Passed, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the digest of the model that the second night makes when nothing happens to it."""
    home = Home(tmp_path_factory.mktemp("undisturbed") / "home")
    shutil.copytree(passed.home.root, home.root)
    return digest(learn.night(MARKET, LATER, home, tiny(registry=OPEN, learning=RETRAIN)))


@pytest.mark.parametrize("step", ["prepare", "drift", "training", "replay", "gates"])
def test_a_night_that_is_cut_off_after_any_step_is_completed_by_the_next(copied: Passed, step: str, undisturbed: str) -> None:
    """The champion stands in between, what was planned goes on, and the model is the undisturbed night's, recorded once."""
    home, params = copied.home, tiny(registry=OPEN, learning=RETRAIN)

    with pytest.raises(Killed):
        learn.night(MARKET, LATER, home, params, dying(step))
    between, note = Registry(home.mlflow).version(MARKET, CHAMPION).number, shift.standing(home, MARKET)
    told = learn.night(MARKET, LATER, home, params)

    assert between == (2 if step == "gates" else 1)
    assert told["champion"] == 2
    assert [version.number for version in Registry(home.mlflow).versions(MARKET)] == [1, 2]
    assert (home.runs / MARKET / "2" / "gates.json").exists()
    assert shift.standing(home, MARKET) is None
    if step != "gates":
        assert note is not None
        assert (digest(told), told["action"]) == (undisturbed, "retrain")
        assert ("night 2 goes on there" in told["reason"]) is (note.action is not None)
        assert set(note.done) & set(told["seconds"]) <= {"prepare", "drift"} or note.action is None


def test_a_version_that_was_recorded_or_judged_is_neither_again(copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the registry and its own folder, at three places: one version, one report, one promotion."""
    home, params = copied.home, tiny(registry=OPEN, learning=RETRAIN)
    for place in ("_judge", "_sign", "_keep"):
        monkeypatch.setattr(retrain, place, killed)
        with pytest.raises(Killed):
            learn.night(MARKET, LATER, home, params)
        monkeypatch.undo()

    told = learn.night(MARKET, LATER, home, params)

    registry = Registry(home.mlflow)
    assert (told["version"], told["champion"], told["promoted"]) == (2, 2, True)
    assert [version.number for version in registry.versions(MARKET)] == [1, 2]
    assert [promotion.version for promotion in registry.promotions(MARKET)] == [1, 2]


def killed(*_: object) -> None:
    """Die."""
    raise Killed


def test_a_plan_made_against_another_champion_is_made_anew(copied: Passed) -> None:
    """What was begun to beat version 1 says nothing of the one that stands now."""
    home, params = copied.home, tiny(registry=OPEN, learning=RETRAIN)
    with pytest.raises(Killed):
        learn.night(MARKET, LATER, home, params, dying("training"))
    retrain.retrain(MARKET, LATER, home, params)

    told = learn.night(MARKET, LATER, home, params)

    assert (told["action"], told["champion"], told["reason"]) == ("nothing", 2, "no bar has arrived since the last night")


def test_a_night_of_other_parameters_is_begun_anew(copied: Passed) -> None:
    """Half of one recipe and half of another would be neither."""
    home = copied.home
    with pytest.raises(Killed):
        learn.night(MARKET, LATER, home, tiny(registry=OPEN, learning=RETRAIN), dying("training"))

    told = learn.night(MARKET, LATER, home, tiny(registry=OPEN, learning=RETRAIN, training={"seed": 8}))

    assert (told["champion"], "training" in told["seconds"], "goes on" in told["reason"]) == (2, True, False)


def test_a_night_ends_in_time_and_the_next_one_goes_on(copied: Passed) -> None:
    """A training that takes for ever is ended where it is, in seconds; the champion stands and the report says so."""
    home, clock = copied.home, SystemClock()
    endless = {"families": ["sequence"], "sequence": {"epochs": 100_000, "patience": 100_000}}
    params = tiny(registry=OPEN, learning=RETRAIN, training=endless)
    by = clock.now() + timedelta(seconds=30)

    told = learn.night(MARKET, LATER, home, params, by=by)
    late_s = (clock.now() - by).total_seconds()
    note = shift.standing(home, MARKET)

    assert late_s < 5.0
    assert (told["version"], told["champion"], told["promoted"]) == (1, 1, True)
    assert "step 'training' was given" in told["stopped"]
    assert note is not None
    assert (note.action, note.under_way, note.nights) == ("retrain", "training", 1)
    assert "**Not through**: step 'training' was given" in (home.reports / f"{MARKET}-night.md").read_text()
    assert not at_work()


def test_without_time_nothing_is_begun(copied: Passed) -> None:
    """Not even asking the source, which could take long."""
    home = copied.home

    told = learn.night(MARKET, LATER, home, copied.params, by=SystemClock().now() - timedelta(seconds=1))

    assert (told["champion"], told["seconds"]) == (1, {})
    assert "step 'prepare' was not begun" in told["stopped"]


@pytest.mark.parametrize(
    ("wanted", "left_s", "expected"),
    [
        (Plan(Action.RETRAIN, "why"), 300.0, Action.RETRAIN),
        (Plan(Action.RETRAIN, "why"), 299.0, Action.FINE_TUNE),
        (Plan(Action.RETRAIN, "why"), 99.0, Action.RECALIBRATE),
        (Plan(Action.RETRAIN, "why"), 19.0, Action.NOTHING),
        (Plan(Action.RETRAIN, "why", urgent=True), 1.0, Action.RETRAIN),
        (Plan(Action.RECALIBRATE, "why"), 19.0, Action.NOTHING),
        (Plan(Action.NOTHING, "why"), 0.0, Action.NOTHING),
    ],
)
def test_what_does_not_fit_gives_way_to_what_does(wanted: Plan, left_s: float, expected: Action) -> None:
    """By what each has taken before; what is urgent is begun in any case, for it goes on the next night."""
    needed = {Action.RETRAIN: 300.0, Action.FINE_TUNE: 100.0, Action.RECALIBRATE: 20.0}

    plan = learning.afford(wanted, needed, left_s)

    assert plan.action == expected
    assert plan.reason.startswith("why")
    assert (f"{left_s:.0f} s are left" in plan.reason) is (expected != wanted.action)


@pytest.mark.fault("F108")
@pytest.mark.parametrize("work", ["a night", "a training"])
def test_a_run_that_was_given_up_and_goes_on_promotes_nothing_over_what_came_since(copied: Passed, work: str) -> None:
    """It stood still before its gates, and another run took its place: what it had to beat does not stand any more."""
    home, params, registry = copied.home, tiny(registry=OPEN, learning=RETRAIN), Registry(copied.home.mlflow)
    prepare.prepare(MARKET, retrain.known_by(LATER), home, params)

    def overtaken(name: str, step: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
        if name == "gates":
            retrain.retrain(MARKET, None, home, params)
        return step(*arguments, **named)

    said = "judged when promotion 1 stood, and 2 have been made by now: it is not promoted, train anew"
    with pytest.raises(ModelError, match=said):
        learn.night(MARKET, LATER, home, params, overtaken) if work == "a night" else retrain.retrain(
            MARKET, LATER, home, params, overtaken
        )

    assert work == "a training" or said in (home.reports / f"{MARKET}-night.md").read_text()
    assert [promotion.version for promotion in registry.promotions(MARKET)] == [1, registry.version(MARKET, CHAMPION).number]


@pytest.mark.fault("F107")
def test_two_nights_of_a_market_do_not_meet(copied: Passed) -> None:
    """The second is refused with who is at work; a night of yesterday's process does not count."""
    taken = f"under way in process {os.getpid()} on .*wait for it"
    with shift.opened(MARKET, None, copied.home, copied.params, None), pytest.raises(ResourceError, match=taken):
        learn.night(MARKET, None, copied.home, copied.params)
    assert learn.night(MARKET, FIRST_NIGHT, copied.home, copied.params)["action"] == "nothing"


def test_the_longest_of_the_last_seven_times_and_half_of_it_again_is_what_a_step_needs(copied: Passed) -> None:
    """1.5 x 9 of 3 .. 9; a step that was never measured needs nothing."""
    for seconds in (50.0, 3.0, 9.0, 4.0, 5.0, 6.0, 7.0, 8.0):
        shift.remember(copied.home.runs / MARKET, "gates", seconds)

    with shift.opened(MARKET, None, copied.home, copied.params, None) as opened:
        assert opened.needed_s("gates", "unheard of") == 13.5


def test_a_registry_that_cannot_be_read_ends_the_night_with_a_report(copied: Passed) -> None:
    """The bars are in, the trader has its bundle, and when the registry is back the night is made up for."""
    home, params = copied.home, tiny(registry=OPEN, learning=RETRAIN)
    served = trade.champion(params.market(MARKET), params, home, Registry(home.mlflow)).version
    database = home.mlflow / "mlflow.db"
    whole = database.read_bytes()
    database.write_bytes(b"no database" * 1000)

    with pytest.raises(ResourceError) as failure:
        learn.night(MARKET, LATER, home, params)
    still = trade.champion(params.market(MARKET), params, home, Registry(home.mlflow)).version
    report = (home.reports / f"{MARKET}-night.md").read_text()
    database.write_bytes(whole)
    told = learn.night(MARKET, LATER, home, params)

    assert (served, still, told["champion"]) == ("1", "1", 2)
    assert f"**Not through**: {failure.value}" in report


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a memory disk of 64 MiB, where mounting is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a memory disk needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("step", ["snapshot", "datasets", "training", "gates"])
def test_a_full_disk_ends_the_night_with_a_sentence_and_the_next_one_completes(
    passed: Passed, small_disk: Path, step: str, undisturbed: str
) -> None:
    """Wherever it fills up: the champion loads as before, and freeing the space is enough."""
    home, params = Home(small_disk / "home"), tiny(registry=OPEN, learning=RETRAIN)
    shutil.copytree(passed.home.root, home.root)
    trade.champion(params.market(MARKET), params, home, Registry(home.mlflow))
    ballast = small_disk / "ballast"

    def filling(name: str, called: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
        if name == step:
            free = shutil.disk_usage(small_disk).free
            ballast.write_bytes(bytes(free - 4096))
        return called(*arguments, **named)

    with pytest.raises((ResourceError, OSError)) as failure:
        learn.night(MARKET, LATER, home, params, filling)
    served = trade.champion(params.market(MARKET), params, home, Registry(home.mlflow)).version
    ballast.unlink()
    told = learn.night(MARKET, LATER, home, params)

    assert isinstance(failure.value, DiskFull) or isinstance(sentence.refused(failure.value), DiskFull)
    assert served == "1"
    assert (told["champion"], digest(told)) == (2, undisturbed)


def test_a_silent_source_leaves_what_is_stored(copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yesterday's bars are missing: the report says what failed, nothing is learned from nothing, and the next night has them."""
    home, params = copied.home, tiny(registry=OPEN, learning=RETRAIN)
    with monkeypatch.context() as patched:
        patched.setattr(prepare, "prepare", silent)
        first = learn.night(MARKET, LATER, home, params)

    second = learn.night(MARKET, LATER, home, params)

    assert (first["ingested"], first["action"], first["champion"]) == ({"failed": "the vendor says nothing"}, "nothing", 1)
    assert "| failed | the vendor says nothing |" in first["markdown"]
    assert (second["action"], second["champion"]) == ("retrain", 2)


def silent(*_: object) -> None:
    """Fail as a source does that cannot be reached."""
    raise ResourceError("the vendor says nothing")


def test_bars_that_the_calendar_has_had_are_counted(copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """From Thursday, 1 December 2016, to the evening of the Wednesday after: four sessions."""
    monkeypatch.setattr(prepare, "prepare", silent)

    told = learn.night(MARKET, date(2016, 12, 7), copied.home, copied.params)

    assert told["late_bars"] == 4
    assert "4 bars that the calendar has had are missing" in told["markdown"]
    assert learn.night(MARKET, None, copied.home, copied.params)["late_bars"] == simulated_after(copied)


def simulated_after(passed: Passed) -> int:
    """Return how many sessions the simulated market has after the champion's last day: it ends, and nothing is late after that."""
    source = Simulated(passed.params.sources.simulated)
    closes = source.bars(passed.params.market(MARKET), None, None)["event_at"].unique()
    return int((closes.dt.date() > FIRST_NIGHT).sum())


def at_work() -> list[str]:
    """Return the commands of this process's children, but for the one that Python keeps to look after what it shares."""
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    return [command for command in commands if "resource_tracker" not in command]


def slow(seconds: float) -> int:
    """Work for a while in another process, with a child of its own."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        time.sleep(seconds)
        child.kill()
    return os.getpid()


def test_a_process_beside_ends_with_its_time_and_takes_its_children_along() -> None:
    """It answers while there is time, and is called again."""
    beside = Beside()
    first, again = (beside.call(60.0, "slow", slow, 0.01) for _ in range(2))

    with pytest.raises(DeadlinePassed, match="step 'slow' was given 1 s and was ended"):
        beside.call(1.0, "slow", slow, 30.0)

    assert first == again != os.getpid()
    assert not at_work()


PARENT = """
from flows.beside import Beside
from tests.flows.test_shift import slow
if __name__ == "__main__":
    beside = Beside()
    print(beside.call(60.0, "slow", slow, 0.01), flush=True)
    beside.call(60.0, "slow", slow, 60.0)
"""


def test_a_process_beside_does_not_outlive_the_one_that_asked(tmp_path: Path) -> None:
    """`kill -9` of the night ends what works for it, before the next night begins."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert not psutil.wait_procs([worker], timeout=10.0)[1]
