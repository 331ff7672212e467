"""The command line: wrong words, wrong places and Ctrl-C, as a person and as a program meet them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from typer.testing import CliRunner, Result

from domain.clock import SystemClock
from flows import cli, screen, shift
from flows.home import Home
from tests.flows.conftest import MARKET, ROOT, Passed

COMMANDS = [name for name in cli.app.registered_commands if name.name]
PATIENCE_S = 240.0


def run(*words: str) -> Result:
    """Run one command as a person would."""
    return CliRunner().invoke(cli.app, list(words))


def strict(text: str) -> Any:
    """Read JSON as other languages do: NaN is none of it, and nothing may follow."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a home that nothing was ever done in; its tests share it, because making a registry takes seconds."""
    place = tmp_path_factory.mktemp("empty") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTSHIFT_HOME", str(place))
        yield place


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frobnicate"], "no such command 'frobnicate'"),
        (["lern"], "did you mean 'learn'?"),
        (["learn"], "learn: missing option '--market'; nightshift learn --help"),
        (["learn", "--market", "crypto", "--fast"], "no such option: --fast"),
        (["learn", "--market", "crypto", "--until", "yesterday"], "'yesterday' is not a day such as 2016-06-30"),
        (["replay", "--market", "crypto", "--since", "2015-02-31"], "'2015-02-31' is not a day"),
        (["status", "all"], "status: got unexpected extra argument(s) (all)"),
        (["up", "--prefect-port", "99999999"], "'--prefect-port'"),
        (["up", "--mlflow-port", "many"], "'--mlflow-port'"),
    ],
)
def test_words_that_a_command_does_not_take_are_one_sentence(words: list[str], said: str) -> None:
    """Which command, which word, and where to look; a program finds the same sentence on standard output."""
    plain, told = run(*words), run(*words, "--json")

    assert (plain.exit_code, plain.stdout, plain.stderr.count("\n")) == (2, "", 1)
    assert plain.stderr.startswith("nightshift: ")
    assert said in plain.stderr
    assert f"nightshift: {strict(told.stdout)['error']}\n" == told.stderr == plain.stderr


def test_no_word_at_all_asks_for_help() -> None:
    """It names every command and is no failure."""
    shown = run()

    assert shown.exit_code == 0
    assert all(f"  {command.name} " in shown.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_every_command_takes_json(command: Any) -> None:
    """Whatever a person can ask, a program can."""
    assert "--json" in run(command.name, "--help").stdout


@pytest.mark.parametrize(
    "words",
    [
        ["import", "gone.csv", "--market", "crypto"],
        ["ingest", "--market", "crypto"],
        ["materialize", "--market", "crypto"],
        ["train", "--market", "crypto"],
        ["learn", "--market", "crypto"],
        ["evaluate", "--market", "crypto"],
        ["promote", "--market", "crypto", "--version", "1"],
        ["rollback", "--market", "crypto"],
        ["simulate", "--market", "crypto", "--since", "2020-01-01"],
        ["replay", "--market", "crypto", "--since", "2020-01-01"],
        ["trade", "--market", "crypto"],
        ["verify"],
        ["verify", "/nowhere/at/all"],
    ],
    ids=" ".join,
)
def test_what_an_empty_home_cannot_answer_is_one_sentence(home: Path, words: list[str]) -> None:
    """On standard error for a person, and as the one document on standard output for a program."""
    plain, told = run(*words), run(*words, "--json")

    assert (plain.exit_code, plain.stdout, told.exit_code) == (1, "", 1)
    assert f"nightshift: {strict(told.stdout)['error']}\n" == told.stderr == plain.stderr
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["status"], ["doctor"], ["halt", "--market", "crypto"], ["resume", "--market", "crypto"]])
def test_what_an_empty_home_can_answer_is_one_document(home: Path, words: list[str]) -> None:
    """Nothing but the document, and nothing on standard error."""
    told = run(*words, "--json")

    assert (told.exit_code, told.stderr) == (0, "")
    assert isinstance(strict(told.stdout), dict)


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the folder should be: its path, what the machine said, and the variable that names another."""
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))

    told = run("halt", "--market", "crypto")

    assert (told.exit_code, told.stderr.count("\n")) == (1, 1)
    assert str(tmp_path / "home") in told.stderr
    assert "NIGHTSHIFT_HOME" in told.stderr


def test_a_doctor_who_finds_something_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document lists every check, the sentence those that failed, however many."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setenv("NIGHTSHIFT_PARAMETERS", str(tmp_path))

    told = run("doctor", "--json")

    assert told.exit_code == 1
    assert [row["check"] for row in strict(told.stdout)["findings"] if not row["well"]] == ["parameters", "home", "disk"]
    assert told.stderr.count("\n") == 1
    assert all(word in told.stderr for word in ("cannot be read", "cannot be written", "free space"))


def test_json_has_no_number_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and infinity are not JSON, though Python writes them: a reader in another language would stop there."""
    screen.say({"sharpe": float("nan"), "rows": [{"found": float("inf"), "limit": 1.0}]}, as_json=True)

    assert strict(capsys.readouterr().out) == {"sharpe": None, "rows": [{"found": None, "limit": 1.0}]}


@pytest.fixture
def few(tmp_path: Path) -> dict[str, str]:
    """Return an environment with the tiny profile, in which a command is a process of its own."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"profile": "tiny"}
    raw["profiles"]["tiny"]["training"]["trees"]["rounds"] = 8
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return {**os.environ, "NIGHTSHIFT_PARAMETERS": str(tmp_path / "params.yaml")}


def interrupted(words: list[str], environment: dict[str, str], when: Callable[[], bool]) -> subprocess.CompletedProcess[str]:
    """Run a command, send it what Ctrl-C sends once `when` holds, and return what it said; no child may outlive it."""
    command = [sys.executable, "-m", "flows.cli", *words]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    clock = SystemClock()
    deadline = clock.monotonic_ns() + int(PATIENCE_S * 1e9)
    while not when():
        assert process.poll() is None, process.communicate()
        assert clock.monotonic_ns() < deadline, "patience is over"
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def assert_stopped(done: subprocess.CompletedProcess[str]) -> None:
    """Check for one sentence and for what a shell calls 130: an exit with that code, or an end by the signal."""
    assert done.returncode in {cli.sentence.INTERRUPTED, -signal.SIGINT}, done.stderr
    assert done.stderr.strip() == f"nightshift: {cli.sentence.STOPPED}"
    assert done.stdout == ""


@pytest.mark.slow
def test_a_demo_stops_at_ctrl_c(few: dict[str, str], tmp_path: Path) -> None:
    """In the middle of its first night."""
    home = Home(tmp_path / "home")

    done = interrupted(["demo"], few | {"NIGHTSHIFT_HOME": str(home.root)}, (home.root / "demo" / "runs").exists)

    assert_stopped(done)


@pytest.mark.slow
def test_a_night_that_was_stopped_is_worked_again(few: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had made stays for the next one, which ends with a version and leaves nothing."""
    home = Home(tmp_path / "home")
    words = ["learn", "--market", MARKET]

    done = interrupted(words, few | {"NIGHTSHIFT_HOME": str(home.root)}, lambda: any(home.runs.glob("*/*/features")))

    monkeypatch.setenv("NIGHTSHIFT_HOME", str(home.root))
    monkeypatch.setenv("NIGHTSHIFT_PARAMETERS", few["NIGHTSHIFT_PARAMETERS"])
    assert_stopped(done)
    assert shift.standing(home, MARKET) is not None
    assert strict(run(*words, "--json").stdout)["version"] == 1
    assert shift.standing(home, MARKET) is None


@pytest.mark.slow
def test_a_replay_that_was_stopped_goes_on(
    few: dict[str, str], beside: Passed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second half is lived from where the first one ended, to the orders that one call gives."""
    words = [MARKET, "--since", "2015-06-01", "--until", "2016-12-01", "--version", "1"]

    done = interrupted(
        ["replay", "--market", *words],
        few | {"NIGHTSHIFT_HOME": str(beside.home.root)},
        lambda: any(beside.home.replays.rglob("journal.db")),
    )

    monkeypatch.setenv("NIGHTSHIFT_HOME", str(beside.home.root))
    monkeypatch.setenv("NIGHTSHIFT_PARAMETERS", few["NIGHTSHIFT_PARAMETERS"])
    assert_stopped(done)
    replayed, simulated = (strict(run(word, "--market", *words, "--json").stdout) for word in ("replay", "simulate"))
    assert replayed["orders_digest"] == simulated["orders_digest"]
