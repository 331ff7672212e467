"""A promoted version is made again from its record: the same digest, in another process, whatever happened since."""

import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from domain.error import ModelError
from flows import learn, prepare, reproduce, retrain
from flows.home import Home
from models import bundle
from pipelines.model import learning
from pipelines.model.learning import Action, Plan
from pipelines.registry import CHAMPION, Registry
from tests.flows.conftest import MARKET, Passed

ROOT = Path(__file__).parents[2]


def test_a_promoted_version_is_made_again_in_another_process(copied: Passed) -> None:
    """After more bars have come, by the command: exit 0, equal digests, and nothing of the run is left."""
    prepare.prepare(MARKET, retrain.known_by(date(2017, 3, 1)), copied.home, copied.params)
    registry = Registry(copied.home.mlflow)
    registered = bundle.verify(registry.fetch(registry.version(MARKET, CHAMPION), copied.home.root / "fetched"))
    before = sorted(path.name for path in (copied.home.runs / MARKET).iterdir())

    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "reproduce", "--market", MARKET, "--json"],
        cwd=ROOT,
        env=os.environ | {"NIGHTSHIFT_HOME": str(copied.home.root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["digest"] == told["expected"] == registered.model_digest
    assert (told["equal"], told["snapshot_equal"], told["different"]) == (True, True, [])
    assert sorted(path.name for path in (copied.home.runs / MARKET).iterdir()) == before


def test_another_seed_is_found_out(copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was changed makes another model: the digests differ, and what differs is told."""
    kept = Registry.kept

    def changed(self: Registry, *asked: object) -> bytes:
        told = json.loads(kept(self, *asked))  # type: ignore[arg-type]
        told["params"]["training"]["seed"] += 1
        return json.dumps(told).encode()

    monkeypatch.setattr(Registry, "kept", changed)

    told = reproduce.reproduce(MARKET, CHAMPION, copied.home)

    assert not told["equal"]
    assert told["snapshot_equal"]
    with pytest.raises(ModelError, match=r"was made again with digest .* from the same snapshot: .*location\.ubj"):
        reproduce.refuse(told)


@pytest.mark.parametrize("action", [Action.FINE_TUNE, Action.RECALIBRATE])
def test_a_version_that_was_made_from_another_is_made_again_from_that(
    copied: Passed, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is no longer the champion's child; what a recalibration was made by must still be kept."""
    monkeypatch.setattr(learning, "plan", lambda *_: Plan(action, "asked for"))
    told = learn.night(MARKET, date(2017, 8, 1), copied.home, copied.params)
    monkeypatch.undo()
    assert (told["action"], told["champion"]) == (action.value, 2)

    again = reproduce.reproduce(MARKET, 2, copied.home)

    assert (again["equal"], again["different"]) == (True, [])
    shutil.rmtree(copied.home.runs / MARKET / "1")
    if action is Action.RECALIBRATE:
        with pytest.raises(ModelError, match=r"a recalibration of version 1 .* no longer in .*: reproduce that one"):
            reproduce.reproduce(MARKET, 2, copied.home)
    else:
        assert reproduce.reproduce(MARKET, 2, copied.home)["equal"]


def test_a_version_without_a_record_says_so(tmp_path: Path, copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, no traceback."""
    monkeypatch.setattr("flows.lineage.RECORD", "absent.json")

    with pytest.raises(ModelError, match=r"'absent\.json' was asked of version 1 of market 'sim_equity', but none is kept"):
        reproduce.reproduce(MARKET, CHAMPION, Home(copied.home.root))
