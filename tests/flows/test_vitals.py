"""Vitals: a picture tells how old it is, and a process that hangs ends itself and says where it stood."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from domain.clock import SystemClock
from flows import vitals
from flows.home import Home
from flows.vitals import Sign
from pipelines.journal import Journal, Record


def account(home: Home, name: str, *kinds: str) -> Path:
    """Make an account whose journal holds records of these kinds."""
    folder = home.journals / name
    with Journal(folder / "journal.db") as journal:
        journal.append(*(Record(number, number, kind, "test", {}) for number, kind in enumerate(kinds)))
    return folder


def sign(age_s: float) -> Sign:
    """Return a sign of life of a while ago."""
    at = SystemClock().now() - timedelta(seconds=age_s)
    return Sign(at.isoformat(timespec="seconds"), ready=True, last="2024-03-01T21:00:00", models={"us_equity": "4"})


@pytest.mark.fault("F121")
def test_a_picture_of_a_trader_is_never_older_than_it_says(tmp_path: Path):
    """One that lives, one seen a minute ago, which is not ready whatever it said then, one whose picture is torn, and none."""
    home = Home(tmp_path)
    sign(2).write(account(home, "lives", "session", "halt"))
    sign(60).write(account(home, "silent", "halt", "resume"))
    (account(home, "torn", "session") / vitals.FILE).write_text('{"at": "2024')
    account(home, "unborn", "halt", "resume", "halt")
    rows = {row["account"]: row for row in vitals.traders(home)}

    assert {name: row["trader"] for name, row in rows.items()} == {
        "lives": "lives",
        "silent": "silent",
        "torn": "none",
        "unborn": "none",
    }
    assert {name: row["ready"] for name, row in rows.items()} == {"lives": True, "silent": False, "torn": False, "unborn": False}
    assert {name: row["halted"] for name, row in rows.items()} == {"lives": True, "silent": False, "torn": False, "unborn": True}
    assert rows["silent"]["seen_s_ago"] == pytest.approx(60, abs=3)
    assert rows["silent"]["models"] == "us_equity 4"


def test_a_trader_gives_signs_of_life_until_it_ends(tmp_path: Path):
    """Each newer than the one before; afterwards there is none."""
    seen: list[Sign | None] = []

    async def live() -> None:
        async with vitals.kept(tmp_path, lambda at: Sign(at, ready=False, last=None, models={})):
            for _ in range(2):
                await asyncio.sleep(1.1)
                seen.append(Sign.read(tmp_path))

    asyncio.run(live())

    assert None not in seen
    assert seen[0] != seen[1]
    assert Sign.read(tmp_path) is None


@pytest.mark.fault("F11")
def test_a_sign_that_cannot_be_left_is_left_later(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """A full disk, say: the trader goes on, and tells its log."""
    seen: list[Sign | None] = []
    blocked = tmp_path / f".{vitals.FILE}"
    blocked.mkdir()

    async def live() -> None:
        async with vitals.kept(tmp_path, lambda at: Sign(at, ready=False, last=None, models={})):
            for _ in range(2):
                await asyncio.sleep(0.6)
                seen.append(Sign.read(tmp_path))
                if blocked.is_dir():
                    blocked.rmdir()

    asyncio.run(live())

    assert [each is None for each in seen] == [True, False]
    assert "no sign of life could be left" in caplog.text


@pytest.mark.fault("F08")
def test_who_dies_of_an_error_falls_silent(tmp_path: Path):
    """The last sign stays and grows old, so that somebody is told."""

    async def live() -> None:
        async with vitals.kept(tmp_path, lambda at: Sign(at, ready=True, last=None, models={})):
            await asyncio.sleep(0.1)
            raise ValueError("a task of it failed")

    with pytest.raises(ValueError, match="a task of it failed"):
        asyncio.run(live())

    assert Sign.read(tmp_path) is not None


HANGS = """
import asyncio, pathlib, time
from flows import vitals

async def live():
    async with vitals.kept(pathlib.Path("."), lambda at: vitals.Sign(at, True, None, {}), hang_s=2.0):
        await asyncio.sleep(3.5)
        print("well", flush=True)
        time.sleep(60)

asyncio.run(live())
"""


@pytest.mark.fault("F06", "F07")
def test_a_process_that_hangs_ends_itself(tmp_path: Path):
    """Not while its loop goes round, and soon after it stands still; it prints where, and its last sign of life stays."""
    project = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", HANGS], cwd=tmp_path, env={"PYTHONPATH": str(project)}, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip

    assert done.stdout == "well\n"
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert 'File "<string>", line 9 in live' in done.stderr
    assert Sign.read(tmp_path) is not None
