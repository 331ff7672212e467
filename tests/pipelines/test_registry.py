"""The registry keeps runs and versions in MLflow, and no crash leaves a market without its champion."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.clock import ReplayClock
from domain.error import DiskFull, ModelError, NoChampion, ResourceError
from pipelines.registry import CHALLENGER, CHAMPION, PREVIOUS, Lineage, Registry, Version

ROOT = Path(__file__).parents[2]
START = datetime(2024, 3, 1, 21, tzinfo=UTC)
PASSED = json.dumps({"promoted": True, "criteria": []})
REFUSED = json.dumps({"promoted": False, "criteria": []})
ORIGIN = Lineage("actions 1, bars 3", "5eed", "2015-01-02T21:00:00+00:00", "2024-02-29T21:00:00+00:00", "c0ffee", "ab12", 7, "f00d")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one home for all tests here: MLflow takes seconds to make its tables."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def registry(home: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return the embedded registry, at a time that the test sets."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Registry(home, ReplayClock(START))


@pytest.fixture
def market(request: pytest.FixtureRequest) -> str:
    """Return a market of the test's own, since the home is shared."""
    return f"m_{abs(hash(request.node.name)) % 10**9}"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Version]:
    """Return a way to record a small training."""
    bundle, evaluation = tmp_path / "bundle", tmp_path / "evaluation"
    (bundle / "parts").mkdir(parents=True)
    evaluation.mkdir()
    (evaluation / "metrics.json").write_text('{"rank_ic": 0.02}')

    def record(registry: Registry, market: str, seed: int = 7, **more: Any) -> Version:
        (bundle / "manifest.json").write_text(json.dumps({"seed": seed}))
        (bundle / "parts" / "trees.ubj").write_bytes(bytes([seed, 0, 255]))
        arguments = {"params": {"training": {"seed": seed, "trees": {"eta": 0.05}}}, "metrics": {"rank_ic": seed / 100}, **more}
        return registry.record(market, bundle=bundle, artifacts=evaluation, lineage=ORIGIN, name=f"run {seed}", **arguments)

    return record


def standing(registry: Registry, market: str) -> dict[str, int]:
    """Return which version each alias names."""
    return {alias: version.number for version in registry.versions(market) for alias in version.aliases}


def test_a_version_remembers_where_it_came_from_and_gives_back_its_bytes(
    registry: Registry, market: str, run: Callable[..., Version], tmp_path: Path
) -> None:
    """Lineage, metrics and the bundle, to the byte, come back; a folder that was there before does not show through."""
    first, second = run(registry, market, 1), run(registry, market, 2)
    place = tmp_path / "served"
    place.mkdir()
    (place / "left over").write_text("from another version")

    fetched = registry.fetch(first, place)

    assert (first.number, second.number) == (1, 2)
    assert registry.version(market, 2) == second
    assert (second.name, second.lineage, second.aliases) == ("run 2", ORIGIN, ())
    assert registry.metrics(second) == {"rank_ic": 0.02}
    assert {str(p.relative_to(fetched)) for p in fetched.rglob("*") if p.is_file()} == {"manifest.json", "parts/trees.ubj"}
    assert (fetched / "parts" / "trees.ubj").read_bytes() == b"\x01\x00\xff"


def test_a_run_shows_its_parameters_curves_and_pictures(
    registry: Registry, market: str, run: Callable[..., Version], tmp_path: Path
) -> None:
    """What MLflow's pages compare is there: flat parameters, curves with steps, a picture of each table, the gate report."""
    plots = tmp_path / "evaluation" / "plots"
    plots.mkdir()
    (plots / "calibration.csv").write_text("level,share\n0.05,0.04\n0.5,0.52\n0.95,0.96\n")
    (plots / "importance.csv").write_text("feature,gain\nmomentum_20,0.6\nvolatility_60,0.4\n")
    many = {"symbols": [f"SYMBOL{i:04d}" for i in range(2000)], "note": "plain"}
    version = run(registry, market, 3, params={"training": {"seed": 3}, **many}, curves={"equity": [1.0, float("nan"), 1.2]})

    registry.attach(version, {"gates.md": "# refused", "gates.json": REFUSED})

    from mlflow import MlflowClient

    client = MlflowClient(registry.uri)
    found = client.get_run(version.run_id)
    assert found.data.params["training.seed"] == "3"
    assert found.data.params["note"] == "plain"
    assert "... sha256 " in found.data.params["symbols"]
    assert [(point.step, point.value) for point in client.get_metric_history(version.run_id, "equity")] == [(0, 1.0), (2, 1.2)]
    assert found.data.tags["mlflow.source.git.commit"] == "c0ffee"
    assert found.info.status == "FINISHED"
    names = {item.path for place in ("evaluation/plots", "gates") for item in client.list_artifacts(version.run_id, place)}
    assert names >= {"evaluation/plots/calibration.png", "evaluation/plots/importance.png", "gates/gates.md", "gates/gates.json"}
    picture = Path(client.download_artifacts(version.run_id, "evaluation/plots/importance.png"))
    assert picture.read_bytes().startswith(PNG)


def test_a_market_without_promotion_has_no_champion(registry: Registry, market: str, run: Callable[..., Version]) -> None:
    """Before and after the first recording the sentence is the same, and a rollback has nothing to go back to."""
    with pytest.raises(NoChampion, match=f"no model of market '{market}' has been promoted"):
        registry.version(market, CHAMPION)
    run(registry, market)
    with pytest.raises(NoChampion, match="has been promoted"):
        registry.version(market, CHAMPION)
    with pytest.raises(NoChampion, match="has been promoted"):
        registry.rollback(market)

    assert registry.promotions(market) == []


@pytest.mark.parametrize("which", [9, 0, "nine", PREVIOUS])
def test_a_version_that_is_not_there_is_named_with_those_that_are(
    registry: Registry, market: str, run: Callable[..., Version], which: str | int
) -> None:
    """The sentence lists what could have been asked for."""
    run(registry, market)

    with pytest.raises(ModelError, match=f"market '{market}' has no version '{which}': the versions recorded are 1"):
        registry.version(market, which)


def test_a_refused_version_cannot_be_promoted(registry: Registry, market: str, run: Callable[..., Version]) -> None:
    """The door itself reads the gate report: nothing is promoted by a caller's mistake."""
    run(registry, market)

    with pytest.raises(ModelError, match="gate report refuses it"):
        registry.promote(market, 1, REFUSED)

    assert standing(registry, market) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"number": 1}'])
def test_a_promotion_that_a_person_wrote_over_is_told_of(
    registry: Registry, market: str, run: Callable[..., Version], text: str
) -> None:
    """The tag of a version in MLflow's pages is anyone's to change."""
    version = run(registry, market)
    registry.promote(market, version.number, PASSED)
    registry._client().set_model_version_tag(f"nightshift-{market}", str(version.number), "promotion", text)

    changed = registry.version(market, CHAMPION)

    with pytest.raises(ModelError, match="but its tag 'promotion' was changed by hand: promote it anew"):
        _ = changed.promotion


def test_promotion_and_rollback_move_the_aliases_and_are_written_down(
    registry: Registry, market: str, run: Callable[..., Version]
) -> None:
    """Three promotions, one of them twice, and two rollbacks: who stands where, and a list that only grows."""
    clock = registry.clock
    for seed in (1, 2, 3):
        run(registry, market, seed)
        registry.challenge(market, seed)
        assert standing(registry, market)[CHALLENGER] == seed
        registry.promote(market, seed, PASSED)
        clock.advance(clock.at + timedelta(hours=1))
    registry.promote(market, 3, PASSED)
    assert standing(registry, market) == {CHAMPION: 3, PREVIOUS: 2}

    assert registry.rollback(market, "it lost money").number == 2
    assert standing(registry, market) == {CHAMPION: 2, PREVIOUS: 3}
    assert registry.rollback(market).number == 3
    assert standing(registry, market) == {CHAMPION: 3, PREVIOUS: 2}

    told = registry.promotions(market)
    assert [(p.number, p.kind, p.version, p.replaces) for p in told] == [
        (1, "promote", 1, None),
        (2, "promote", 2, 1),
        (3, "promote", 3, 2),
        (4, "rollback", 2, 3),
        (5, "rollback", 3, 2),
    ]
    assert [p.at for p in told[:3]] == [(START + timedelta(hours=h)).isoformat() for h in range(3)]
    assert told[3].report == "it lost money"
    assert registry.version(market, CHAMPION).promotion == told[-1]


def test_a_champion_moved_by_hand_is_promoted_anew_when_asked(registry: Registry, market: str, run: Callable[..., Version]) -> None:
    """Standing there already is no promotion: a new one is written down, and `previous` is who stood by the record."""
    for seed in (1, 2, 3):
        run(registry, market, seed)
        if seed < 3:
            registry.promote(market, seed, PASSED)
    client = registry._client()

    for moved, before in ((1, 2), (3, 1)):
        client.set_registered_model_alias(f"nightshift-{market}", CHAMPION, str(moved))
        registry.promote(market, moved, PASSED)
        assert standing(registry, market) == {CHAMPION: moved, PREVIOUS: before}
    client.set_registered_model_alias(f"nightshift-{market}", CHAMPION, "2")
    registry.promote(market, 3, PASSED)

    assert standing(registry, market) == {CHAMPION: 3, PREVIOUS: 1}
    told = registry.promotions(market)
    assert [(p.number, p.version, p.replaces) for p in told] == [(1, 1, None), (2, 2, 1), (3, 1, 2), (4, 3, 1), (5, 3, 1)]
    assert registry.version(market, CHAMPION).promotion == told[-1]


@pytest.mark.parametrize("text", ["approved", "[]", '{"number": 7}'])
def test_a_promotion_written_by_hand_is_told_and_written_over(
    registry: Registry, market: str, run: Callable[..., Version], text: str
) -> None:
    """One sentence with the way out, which works for a version that the record does not know and for the one it ends with."""
    run(registry, market)
    registry.promote(market, 1, PASSED)
    run(registry, market, 8)
    client = registry._client()

    for number, before in ((2, 1), (2, 1), (1, 2)):
        client.set_registered_model_alias(f"nightshift-{market}", CHAMPION, str(number))
        client.set_model_version_tag(f"nightshift-{market}", str(number), "promotion", text)
        with pytest.raises(ModelError, match=f"the promotion of version {number} .*changed by hand: promote it anew"):
            _ = registry.version(market, CHAMPION).promotion
        registry.promote(market, number, PASSED)
        assert registry.version(market, CHAMPION).promotion == registry.promotions(market)[-1]
        assert standing(registry, market) == {CHAMPION: number, PREVIOUS: before}


@pytest.mark.fault("F108")
def test_nothing_is_promoted_over_what_came_since_it_was_judged(
    registry: Registry, market: str, run: Callable[..., Version]
) -> None:
    """The number of the promotion that stood then must be the newest's; whoever stands already may be asked for again."""
    for seed in (1, 2, 3):
        run(registry, market, seed)
    assert registry.standing(market) == 0
    registry.promote(market, 1, PASSED, after=0)
    with pytest.raises(ModelError, match="was judged when promotion 0 stood, and 1 have been made by now"):
        registry.promote(market, 2, PASSED, after=0)
    registry.promote(market, 2, PASSED, after=1)
    registry.promote(market, 2, PASSED, after=1)
    registry.rollback(market)
    with pytest.raises(ModelError, match="was judged when promotion 2 stood, and 3 have been made by now"):
        registry.promote(market, 3, PASSED, after=2)

    assert registry.standing(market) == 3
    assert standing(registry, market) == {CHAMPION: 1, PREVIOUS: 2}


def test_a_rollback_of_a_champion_that_no_longer_stands_does_nothing(
    registry: Registry, market: str, run: Callable[..., Version]
) -> None:
    """Another one was promoted meanwhile: it stays; of the one that stands it is a rollback like any other."""
    for seed in (1, 2):
        run(registry, market, seed)
        registry.promote(market, seed, PASSED)

    assert registry.rollback(market, "it lost", of=1).number == 2
    assert standing(registry, market) == {CHAMPION: 2, PREVIOUS: 1}
    assert len(registry.promotions(market)) == 2
    assert registry.rollback(market, "it lost", of=2).number == 1
    assert registry.promotions(market)[-1].report == "it lost"


def test_whoever_was_moved_by_hand_does_not_stand_and_can_be_put_back(
    registry: Registry, market: str, run: Callable[..., Version]
) -> None:
    """To another version, with a borrowed tag, or away: the record says who stands, and no promotion is added to it."""
    for seed in (1, 2, 3):
        run(registry, market, seed)
    assert registry.stands(market)
    client, name = registry._client(), f"nightshift-{market}"
    client.set_registered_model_alias(name, CHAMPION, "1")
    assert not registry.stands(market)
    assert registry.restore(market) is None
    assert standing(registry, market) == {}
    for seed in (1, 2):
        registry.promote(market, seed, PASSED)
    assert registry.stands(market)
    told = registry.promotions(market)

    tag = client.get_model_version(name, "2").tags["promotion"]
    for change in (
        lambda: client.set_registered_model_alias(name, CHAMPION, "3"),
        lambda: (client.set_model_version_tag(name, "3", "promotion", tag), client.set_registered_model_alias(name, CHAMPION, "3")),
        lambda: client.set_model_version_tag(name, "2", "promotion", "approved"),
        lambda: client.delete_registered_model_alias(name, CHAMPION),
    ):
        change()
        assert not registry.stands(market)
        assert registry.restore(market) == registry.version(market, CHAMPION)
        assert standing(registry, market) == {CHAMPION: 2, PREVIOUS: 1}
        assert registry.stands(market)
        assert registry.version(market, CHAMPION).promotion == told[-1]
    assert registry.promotions(market) == told


def test_the_first_champion_cannot_be_rolled_back(registry: Registry, market: str, run: Callable[..., Version]) -> None:
    """One sentence, and it still stands."""
    run(registry, market)
    registry.promote(market, 1, PASSED)

    with pytest.raises(ModelError, match="version 1 is the only one ever promoted"):
        registry.rollback(market)

    assert standing(registry, market) == {CHAMPION: 1}


class Crash(BaseException):
    """The process ends here."""


class Dying:
    """A client that ends the process before its nth change; reading goes on."""

    def __init__(self, client: Any, changes: int) -> None:
        self.client, self.left = client, changes

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("set_", "delete_")):
            if self.left == 0:
                raise Crash
            self.left -= 1
        return getattr(self.client, name)


@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_a_crash_at_any_change_leaves_a_champion_and_the_next_try_completes(
    home: Path, registry: Registry, market: str, run: Callable[..., Version], act: str
) -> None:
    """Before each single change of a promotion or rollback the process dies; the same command, run again, ends as if it had not."""
    crashes = 0
    for changes in range(10):
        place = f"{market}_{changes}"
        for seed in (1, 2, 3):
            run(registry, place, seed)
        registry.promote(place, 1, PASSED)
        registry.promote(place, 2, PASSED)
        registry.challenge(place, 3)
        dying = Registry(home, ReplayClock(START))
        dying._opened = Dying(registry._client(), changes)  # type: ignore[assignment]
        ask = (lambda r, m=place: r.promote(m, 3, PASSED)) if act == "promote" else (lambda r, m=place: r.rollback(m))

        try:
            ask(dying)
        except Crash:
            crashes += 1
            assert standing(registry, place)[CHAMPION] in {1, 2, 3}
            if act == "promote" or registry.version(place, CHAMPION).number == 2:
                ask(registry)
            else:
                registry.promote(place, 1, PASSED)
        else:
            break

        wanted = {CHAMPION: 3, PREVIOUS: 2} if act == "promote" else {CHAMPION: 1, PREVIOUS: 2, CHALLENGER: 3}
        assert standing(registry, place) == wanted
        assert [p.number for p in registry.promotions(place)] == [1, 2, 3]

    assert crashes >= 3


def test_a_server_that_is_down_is_told_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the address, without the password in it, and no two minutes of silence."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://someone:secret@127.0.0.1:{free_port()}")
    registry = Registry(tmp_path)
    began = time.monotonic()

    with pytest.raises(ResourceError, match=r"MLflow at http://127\.0\.0\.1:\d+ .*does not answer: start it") as told:
        registry.version("sim_equity", CHAMPION)

    assert time.monotonic() - began < 15
    assert "secret" not in str(told.value)


def test_a_damaged_home_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is none is named."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("this is no database, however long one looks at it")

    with pytest.raises(ResourceError, match=r"MLflow at .*mlflow\.db was asked .*not a database"):
        Registry(tmp_path).version("sim_equity", CHAMPION)


@pytest.fixture
def small_disk(home: Path, tmp_path: Path) -> Iterator[Path]:
    """Mount a memory disk with a little room beside a copy of MLflow's tables, where mounting is allowed."""
    place = tmp_path / "small"
    place.mkdir()
    size = (home / "mlflow.db").stat().st_size + 300_000
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a memory disk needs root")
    shutil.copy(home / "mlflow.db", place)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_told_in_one_sentence_and_loses_nothing(
    registry: Registry, market: str, run: Callable[..., Version], small_disk: Path
) -> None:
    """Recording stops with what to do about it; versions recorded before are whole, and with space again it goes on."""
    full = Registry(small_disk, registry.clock)
    whole = run(full, market)
    ballast = small_disk / "ballast"

    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * 4096)
    with pytest.raises(DiskFull, match="the disk is full: free some space"):
        run(full, market, params={f"parameter {number}": "x" * 4_000 for number in range(100)})
    ballast.unlink()

    assert full.version(market, whole.number) == whole
    assert run(full, market).number == whole.number + 1


def test_the_library_is_not_shadowed_by_the_folder_of_the_same_name() -> None:
    """The project's `mlflow/` holds configuration alone, so that `import mlflow` finds the library."""
    script = "import mlflow; print(mlflow.__file__)"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    assert "site-packages" in found
    assert not list((ROOT / "mlflow").rglob("*.py"))


def test_importing_the_door_imports_no_mlflow() -> None:
    """A trader that only needs the types pays nothing for MLflow."""
    script = "import sys, pipelines.registry; print([m for m in ('mlflow', 'matplotlib', 'sqlalchemy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    assert found == "[]"


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a real MLflow server over the home of these tests, with the configuration that the project ships."""
    place, port = tmp_path_factory.mktemp("server"), free_port()
    lines = (ROOT / "mlflow" / "server.env").read_text().splitlines()
    shipped = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    kept = ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(place / "mlartifacts")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *kept]
    with (place / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=place, env=os.environ | shipped, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, place / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers; show its log when it does not."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=1):  # noqa: S310
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
    pytest.fail(log.read_text()[-2000:])


@pytest.mark.slow
def test_a_server_serves_the_same_door(
    registry: Registry, server: str, market: str, run: Callable[..., Version], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record, promote, roll back and fetch over HTTP, artifacts included; what was recorded without a server is there as well."""
    embedded = run(registry, f"{market}_embedded", 5)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    registry = Registry(tmp_path / "client", ReplayClock(START))

    first, second = run(registry, market, 1), run(registry, market, 2)
    registry.promote(market, first.number, PASSED)
    registry.promote(market, second.number, PASSED)
    registry.rollback(market)
    registry.attach(first, {"gates.md": "# passed"})

    assert [type(version.number) for version in registry.versions(market)] == [int, int]
    assert standing(registry, market) == {CHAMPION: 1, PREVIOUS: 2}
    fetched = registry.fetch(registry.version(market, CHAMPION), tmp_path / "served")
    assert (fetched / "parts" / "trees.ubj").read_bytes() == b"\x01\x00\xff"
    with pytest.raises(ModelError, match="has no version '9': the versions recorded are 1, 2"):
        registry.version(market, 9)
    assert registry.version(f"{market}_embedded", 1) == embedded
    assert registry.fetch(embedded, tmp_path / "embedded").joinpath("parts", "trees.ubj").read_bytes() == b"\x05\x00\xff"
