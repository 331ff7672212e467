"""Learn: what a night does, and what it may know."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.error import ModelError, NoData
from flows import evidence, learn, prepare, retrain, stages
from flows.home import Home
from flows.stages import Job
from models import bundle, signature
from pipelines.data import materialize
from pipelines.model.learning import Action
from pipelines.registry import Registry
from pipelines.store import Store
from tests.flows.conftest import FIRST_NIGHT, MARKET, OPEN, Passed, tiny

LATER = date(2017, 8, 1)


def test_a_first_night_trains_and_promotes_what_passes_its_gates(passed: Passed) -> None:
    """The answer is plain JSON with the version, the verdict, and two numbers a gate."""
    night = json.loads(json.dumps(passed.night))

    assert (night["action"], night["version"], night["promoted"], night["champion"]) == ("retrain", 1, True, 1)
    assert {gate["name"] for gate in night["gates"]} >= {
        "rank_ic_t",
        "sharpe_probability",
        "coverage_error",
        "pinball_skill",
        "trades",
    }
    assert all({"found", "comparison", "limit", "passed"} <= set(gate) for gate in night["gates"])
    assert night["markdown"].startswith(f"# {MARKET}")


def test_a_night_uses_nothing_known_later_than_its_day(passed: Passed) -> None:
    """The snapshot ends on the day, and so does what the version says of itself."""
    version = Registry(passed.home.mlflow).version(MARKET, 1)
    taken = materialize.load_snapshot(Path(passed.night["folder"]) / "snapshot")

    assert np.datetime64(taken.last) <= np.datetime64("2016-12-01T23:59:59")
    assert version.lineage.last == "2016-12-01T21:00:00Z"
    assert version.lineage.snapshot == taken.digest
    assert len(version.lineage.commit) >= 40


def test_deleting_the_future_changes_no_bit_of_the_model(passed: Passed, tmp_path: Path) -> None:
    """A store that holds later bars gives the same model for the same day as one that does not."""
    home, params = Home(tmp_path / "home"), passed.params
    prepare.prepare(MARKET, None, home, params)

    again = learn.night(MARKET, FIRST_NIGHT, home, params)

    store = Store(home.store)
    assert materialize.read(store, params.market(MARKET)).bars == 700
    assert digest(again) == digest(passed.night)


def digest(night: dict[str, str]) -> str:
    """Return the digest of the model that a night made."""
    told = json.loads((Path(night["folder"]) / "ensemble" / "ensemble.json").read_text())
    return str(told["model_digest"])


def test_refused_versions_are_recorded_with_the_reason(tmp_path: Path) -> None:
    """An honest gate refuses: the version can still be named, no champion appears, and it cannot be promoted by hand."""
    home, params = Home(tmp_path), tiny(registry=OPEN | {"rank_ic_t_min": 99.0})

    night = learn.night(MARKET, FIRST_NIGHT, home, params)

    refused = [gate["name"] for gate in night["gates"] if not gate["passed"]]
    assert (night["version"], night["promoted"], night["champion"], refused) == (1, False, None, ["rank_ic_t"])
    assert Registry(home.mlflow).version(MARKET, 1).aliases == ("challenger",)
    with pytest.raises(ModelError, match="refuses"):
        retrain.promote(MARKET, 1, home, params)


def test_nights_after_the_first_do_what_the_bars_ask_for(copied: Passed) -> None:
    """Nothing new changes nothing; an old champion is trained anew and compared on bars unseen by both; rollback restores."""
    home, params = copied.home, tiny(registry=OPEN, learning={"drifted_share_max": 1.0})

    same = learn.night(MARKET, FIRST_NIGHT, home, params)
    later = learn.night(MARKET, LATER, home, params)

    assert (same["action"], same["version"], same["promoted"], len(same["gates"])) == (
        "nothing",
        1,
        True,
        len(copied.night["gates"]),
    )
    assert (later["action"], later["version"], later["champion"]) == ("retrain", 2, 2)
    assert 0.0 <= next(gate["found"] for gate in later["gates"] if gate["name"] == "challenger_p") <= 1.0
    assert later["drift"]["share"] <= 1.0
    assert Registry(home.mlflow).rollback(MARKET).number == 1


def test_a_challenger_is_compared_on_the_newer_half_of_what_the_champion_has_not_seen(copied: Passed) -> None:
    """166 sessions from 2 December to 1 August, 83 in their newer half, the outcomes of six of these still to come."""
    told = learn.night(MARKET, LATER, copied.home, copied.params)

    note = next(gate["note"] for gate in told["gates"] if gate["name"] == "challenger_p")
    assert told["action"] == "retrain"
    assert "on 77 bars that neither had seen" in note


def test_a_night_before_the_champion_leaves_it_out(copied: Passed) -> None:
    """A champion that has seen later bars would carry them into the comparison."""
    earlier = learn.night(MARKET, date(2016, 6, 1), copied.home, copied.params)

    p = next(gate for gate in earlier["gates"] if gate["name"] == "challenger_p")
    assert (earlier["action"], p["found"], earlier["drift"]) == ("retrain", None, None)
    assert "later bars" in earlier["reason"]


def test_a_champion_that_nobody_vouches_for_is_not_learned_from(copied: Passed) -> None:
    """It could not be served either: the night trains anew, and what passes the gates takes its place."""
    stranger = Ed25519PrivateKey.generate()
    version = Registry(copied.home.mlflow).version(MARKET, 1)
    signature.sign(Registry(copied.home.mlflow).fetch(version, copied.home.models / MARKET / version.run_id), stranger)

    told = learn.night(MARKET, LATER, copied.home, tiny(registry=OPEN, learning={"drifted_share_max": 1.0}))

    assert (told["action"], told["drift"], told["champion"]) == ("retrain", None, 2)
    assert "nobody vouches for it" in told["reason"]


@pytest.mark.parametrize("action", [Action.FINE_TUNE, Action.RECALIBRATE])
def test_what_judges_a_refined_model_is_out_of_sample(copied: Passed, action: Action) -> None:
    """Refining on other outcomes than the judged rows' cannot change their forecasts: they were forecast without themselves."""
    home, params = copied.home, copied.params
    prepare.prepare(MARKET, retrain.known_by(LATER), home, params)
    forecasts = []
    for twisted in (False, True):
        with retrain.opened(MARKET, LATER, home, params) as job:
            stages.run(job, skip=learn.MAKING)
            champion = evidence.champion(job, Registry(home.mlflow), stages.load_dataset(job))
            assert champion is not None
            if twisted:
                twist_newest_outcomes(job, rows=60)
            learn.refine(job, champion, action)
            forecasts.append(stages.load_forecasts(job))

    np.testing.assert_array_equal(forecasts[0], forecasts[1])


def twist_newest_outcomes(job: Job, rows: int) -> None:
    """Turn what came after the newest rows around, and double it."""
    for name in ("label", "target"):
        path = job.folder / "datasets" / f"{name}.npy"
        values = np.load(path)
        values[-rows:] *= -2.0
        np.save(path, values)


def test_a_recalibrated_version_is_its_parent_but_for_its_quantiles(copied: Passed) -> None:
    """The trees are the champion's byte for byte; the version names its parent, has a whole lineage and passed the same gates."""
    home, params = copied.home, copied.params
    prepare.prepare(MARKET, retrain.known_by(LATER), home, params)
    registry = Registry(home.mlflow)
    with retrain.opened(MARKET, LATER, home, params) as job:
        stages.run(job, skip=learn.MAKING)
        champion = evidence.champion(job, registry, stages.load_dataset(job))
        assert champion is not None
        learn.refine(job, champion, Action.RECALIBRATE)
        stages.run(job, skip=(*stages.LOOKING, *learn.FITTING))
        done = retrain.conclude(job, registry, champion, registry.standing(MARKET))

    parent, child = (home.models / MARKET / registry.version(MARKET, number).run_id for number in (1, 2))
    registry.fetch(done.version, child)
    before, after = (json.loads((folder / "model" / "model.json").read_text()) for folder in (parent, child))
    told = bundle.verify(child).lineage
    assert before["offsets"] != after["offsets"]
    assert {**before, "offsets": 0} == {**after, "offsets": 0}
    members = [path.relative_to(parent) for path in (parent / "model" / "trees").iterdir()]
    assert len(members) >= 3
    assert all((parent / name).read_bytes() == (child / name).read_bytes() for name in members)
    assert (told["action"], told["parent"], told["learned"]) == ("recalibrate", 1, "2016-12-01T21:00:00Z")
    assert done.version.name == f"{MARKET} 2017-08-01 ensemble, recalibrate of version 1"
    assert done.version.lineage.last == "2017-08-01T20:00:00Z"
    assert [each.name for each in done.report.criteria] == [gate["name"] for gate in copied.night["gates"]]
    assert next(each.found for each in done.report.criteria if each.name == "lineage_gaps") == 0


def test_a_failed_night_leaves_no_folder_behind(tmp_path: Path) -> None:
    """Without bars there is nothing to learn from, and nothing to clean up either."""
    params = tiny(markets={MARKET: {"source": "files"}})

    with pytest.raises(NoData):
        learn.night(MARKET, FIRST_NIGHT, Home(tmp_path), params)

    assert not [path for path in (tmp_path / "runs").glob("*/*") if path.is_dir()]
