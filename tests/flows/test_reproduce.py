"""A promoted version is made again from its record: the same digest, in another process, whatever happened since."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from domain.error import ModelError
from flows import learn, prepare, reproduce, retrain
from flows.home import Home
from models import bundle
from pipelines.registry import CHAMPION, Registry
from tests.flows.conftest import MARKET, Passed, tiny

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


def test_a_refined_version_names_its_parent(copied: Passed) -> None:
    """What it was made from must be made first."""
    learning = {"drifted_share_max": 1.0}
    told = learn.night(MARKET, date(2017, 8, 1), copied.home, tiny(registry=copied.params.registry.model_dump(), learning=learning))
    assert told["action"] == "fine_tune"

    with pytest.raises(ModelError, match=r"version 2 .* was to be made again, but it is a fine tune of version 1: reproduce that"):
        reproduce.reproduce(MARKET, told["version"], copied.home)


def test_a_version_without_a_record_says_so(tmp_path: Path, copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, no traceback."""
    monkeypatch.setattr("flows.lineage.RECORD", "absent.json")

    with pytest.raises(ModelError, match=r"'absent\.json' was asked of version 1 of market 'sim_equity', but none is kept"):
        reproduce.reproduce(MARKET, CHAMPION, Home(copied.home.root))
