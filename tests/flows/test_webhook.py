"""Webhook: what MLflow's server signs is heard, nothing else is, and an alias moved by hand passes the gates or goes back."""

import base64
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from domain.clock import ReplayClock
from domain.error import ConfigurationError, ResourceError
from flows import admit, events, retrain, up, webhook
from flows.home import Home
from flows.webhook import Receiver
from pipelines.registry import CHAMPION, PROMOTION, Registry, Version
from tests.flows.conftest import MARKET, Passed
from tests.flows.test_keys import champion, rival
from tests.flows.test_up import free_port

NOW = datetime(2024, 3, 1, 21, tzinfo=UTC)
SHARED = "what only two know"
BODY = json.dumps(
    {"entity": "model_version_alias", "action": "created", "data": {"name": "nightshift-fx", "alias": "champion", "version": "3"}}
).encode()


def headers(body: bytes = BODY, shared: str = SHARED, at: datetime = NOW, delivery: str = "d-1") -> dict[str, str]:
    """Return what MLflow's documentation says that a delivery carries."""
    sent = str(int(at.timestamp()))
    told = hmac.digest(shared.encode(), f"{delivery}.{sent}.".encode() + body, "sha256")
    return {"X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": sent,
            "X-MLflow-Signature": f"v1,{base64.b64encode(told).decode()}"}  # fmt: skip


class Told:
    """Notes what Prefect would hear, and whether it does."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int | None]] = []
        self.listens = True

    def __call__(self, market: str, version: int | None) -> bool:
        self.heard.append((market, version))
        return self.listens


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def address(told: Told) -> Iterator[str]:
    """Return where a receiver listens while the test lasts."""
    with Receiver(0, SHARED, told, ReplayClock(NOW)) as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{receiver.server_port}"
        receiver.shutdown()


def test_a_signed_delivery_is_told_and_a_deaf_prefect_makes_mlflow_try_again(address: str, told: Told) -> None:
    """204 when Prefect heard, 503, which MLflow retries, when it did not."""
    first = httpx.post(f"{address}/alias", content=BODY, headers=headers())
    told.listens = False
    second = httpx.post(f"{address}/alias", content=BODY, headers=headers())

    assert (first.status_code, second.status_code) == (204, 503)
    assert told.heard == [("fx", 3), ("fx", 3)]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        headers(shared="another"),
        headers(body=BODY.replace(b"3", b"4")),
        headers() | {"X-MLflow-Delivery-Id": "d-2"},
        headers(at=NOW - timedelta(seconds=301)),
        headers(at=NOW + timedelta(seconds=301)),
        headers() | {"X-MLflow-Timestamp": "soon"},
        headers() | {"X-MLflow-Signature": headers()["X-MLflow-Signature"].removeprefix("v1,")},
    ],
    ids=["unsigned", "other key", "other body", "other delivery", "old", "early", "no time", "no scheme"],
)
def test_a_delivery_that_is_not_signed_as_it_should_be_is_refused(address: str, told: Told, wrong: dict[str, str]) -> None:
    """401, and nobody hears of it."""
    assert httpx.post(f"{address}/alias", content=BODY, headers=wrong).status_code == HTTPStatus.UNAUTHORIZED
    assert told.heard == []


def test_other_places_and_long_bodies_are_refused(address: str, told: Told) -> None:
    """The receiver does one thing."""
    long = b"x" * (webhook.BYTES_MAX + 1)

    assert httpx.post(f"{address}/other", content=BODY, headers=headers()).status_code == 400
    assert httpx.post(f"{address}/alias", content=long, headers=headers(long)).status_code == 400
    assert httpx.get(f"{address}/health").status_code == 200
    assert told.heard == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ("fx", 3)),
        ({"name": "someone-fx"}, None),
        ({"alias": "challenger"}, None),
        ({"version": None}, None),
        ({"entity": "prompt_alias"}, None),
    ],
)
def test_only_the_champions_of_our_markets_are_heard(change: dict[str, Any], expected: tuple[str, int] | None) -> None:
    """Other models, other aliases and what is no delivery are nobody's business."""
    body = json.loads(BODY)
    body["data"] |= {name: value for name, value in change.items() if name != "entity"}
    body |= {name: value for name, value in change.items() if name == "entity"}

    assert webhook.heard(json.dumps(body).encode()) == expected


def test_an_alias_taken_away_is_heard_without_a_version() -> None:
    """MLflow names none then."""
    body = {"entity": "model_version_alias", "action": "deleted", "data": {"name": "nightshift-fx", "alias": "champion"}}

    assert webhook.heard(json.dumps(body).encode()) == ("fx", None)


@given(st.binary(max_size=200))
def test_no_body_makes_the_receiver_fail(body: bytes) -> None:
    """Whatever is sent, it is about nothing."""
    assert webhook.heard(body) is None


def test_a_home_keeps_one_secret(tmp_path: Path) -> None:
    """For its owner alone; the database's key is another one, and one that Fernet takes."""
    home = Home(tmp_path)

    first, again = webhook.secret(home), webhook.secret(home)

    assert first == again
    assert first != webhook.secret(Home(tmp_path / "other"))
    assert Fernet(webhook.encryption_key(home)).decrypt(Fernet(webhook.encryption_key(home)).encrypt(b"a")) == b"a"
    assert [path.name for path in home.mlflow.iterdir()] == ["webhook.key"]
    (home.mlflow / "webhook.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"webhook\.key must hold 32 bytes with mode 600, found 32 with 644: remove it"):
        webhook.secret(home)


def moved(there: Passed, number: int) -> Registry:
    """Move the champion as MLflow's pages do."""
    registry = Registry(there.home.mlflow)
    registry._client().set_registered_model_alias(f"nightshift-{MARKET}", CHAMPION, str(number))
    return registry


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return what Prefect was told, in the order of the telling."""
    heard: list[tuple[Any, ...]] = []
    monkeypatch.setattr(events, "promoted", lambda market, version, home: heard.append(("promoted", version)))
    monkeypatch.setattr(
        events, "refused", lambda market, version, standing, reason, home: heard.append(("refused", version, standing, reason))
    )
    return heard


def test_a_version_whose_gates_opened_is_admitted(copied: Passed, said: list[tuple[Any, ...]]) -> None:
    """Promoted, signed and written down as if it had been asked for, once; the trader then serves it."""
    champion(copied)
    version, _ = rival(copied)
    registry = moved(copied, version.number)
    assert not registry.stands(MARKET)

    first, again = (admit.admit(MARKET, copied.home, copied.params) for _ in range(2))

    assert first == {"market": MARKET, "champion": version.number, "admitted": True}
    assert again == {"market": MARKET, "champion": version.number}
    assert registry.stands(MARKET)
    assert [made.version for made in registry.promotions(MARKET)] == [1, version.number]
    assert champion(copied).version == str(version.number)
    assert said == [("promoted", version.number)]


def refused_report(there: Passed, version: Version) -> None:
    """Let the gates have refused it."""
    (there.home.runs / MARKET / str(version.number) / "gates.json").write_text('{"promoted": false, "criteria": []}')


def no_report(there: Passed, version: Version) -> None:
    """Let no gate have seen it."""
    (there.home.runs / MARKET / str(version.number) / "gates.json").unlink()


def another_bundle(there: Passed, version: Version) -> None:
    """Let the gates have judged other weights."""
    path = there.home.runs / MARKET / str(version.number) / "ensemble" / "bundle" / "model" / "trees" / "model.json"
    path.write_text(path.read_text() + " ")


@pytest.mark.fault("F96")
@pytest.mark.parametrize(
    ("spoil", "why"),
    [(refused_report, "its gate report refuses it"), (no_report, "no gate report is kept of it"), (another_bundle, "has SHA-256")],
)
def test_a_version_that_the_gates_did_not_open_for_goes_back(
    copied: Passed, said: list[tuple[Any, ...]], caplog: pytest.LogCaptureFixture, spoil: Any, why: str
) -> None:
    """The alias is where it was, nothing is written down as a promotion, and both log and Prefect know why."""
    champion(copied)
    version, _ = rival(copied)
    spoil(copied, version)
    registry = moved(copied, version.number)

    told = admit.admit(MARKET, copied.home, copied.params)

    assert (told["champion"], told["moved_to"]) == (1, version.number)
    assert why in told["refused"]
    assert registry.version(MARKET, CHAMPION).number == 1
    assert registry.stands(MARKET)
    assert len(registry.promotions(MARKET)) == 1
    ((word, number, standing, reason),) = said
    assert (word, number, standing) == ("refused", version.number, 1)
    assert why in reason
    assert f"moved by hand to {version.number} and goes back to 1" in caplog.text
    assert champion(copied).version == "1"


def test_an_alias_taken_away_comes_back(copied: Passed, said: list[tuple[Any, ...]]) -> None:
    """With the tag that the record says it has."""
    registry = Registry(copied.home.mlflow)
    registry._client().delete_registered_model_alias(f"nightshift-{MARKET}", CHAMPION)
    registry._client().set_model_version_tag(f"nightshift-{MARKET}", "1", PROMOTION, "nothing")

    told = admit.admit(MARKET, copied.home, copied.params)

    assert (told["champion"], told["moved_to"]) == (1, None)
    assert registry.version(MARKET, CHAMPION).promotion == registry.promotions(MARKET)[-1]
    assert said[0][:3] == ("refused", None, 1)


def test_a_market_without_promotions_has_no_champion_after_a_move(
    tmp_path: Path, copied: Passed, said: list[tuple[Any, ...]]
) -> None:
    """There is nowhere to go back to: the alias is taken away."""
    registry = Registry(copied.home.mlflow)
    client = registry._client()
    version = registry.version(MARKET, 1)
    client.create_registered_model("nightshift-fx")
    client.create_model_version("nightshift-fx", f"{client.get_run(version.run_id).info.artifact_uri}/bundle", version.run_id)
    client.set_registered_model_alias("nightshift-fx", CHAMPION, "1")

    told = admit.admit("fx", copied.home, copied.params)

    assert (told["champion"], told["moved_to"]) == (None, 1)
    assert registry.stands("fx")


def test_a_registry_that_is_gone_is_no_refusal(copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes back because a server was down: the flow tries again."""
    champion(copied)
    version, _ = rival(copied)
    registry = moved(copied, version.number)

    def gone(*_arguments: object) -> None:
        raise ResourceError("MLflow does not answer")

    monkeypatch.setattr(retrain, "promote", gone)
    with pytest.raises(ResourceError):
        admit.admit(MARKET, copied.home, copied.params)

    assert registry.version(MARKET, CHAMPION).number == version.number


@pytest.fixture
def server(copied: Passed, tmp_path: Path) -> Iterator[str]:
    """Run MLflow's server over the home, as `nightshift up` does."""
    ports = up.Ports(mlflow=free_port())
    copied.home.logs.mkdir(parents=True, exist_ok=True)
    (service,) = (each for each in up.services(copied.home, ports) if each.name == "mlflow")
    stop = threading.Event()
    environment = {name: value for name, value in up.environment(copied.home, ports).items() if name != "PREFECT_API_URL"}
    with up._child(service, copied.home, environment) as child:
        up._wait_until_ready(child, stop)
        yield ports.mlflow_address


@pytest.mark.slow
def test_a_real_server_tells_of_an_alias_moved_by_hand(copied: Passed, server: str) -> None:
    """MLflow's own signature is good, the move is heard once although it was subscribed to twice, and the gates put it back."""
    champion(copied)
    version, _ = rival(copied)
    refused_report(copied, version)
    heard, moves = threading.Event(), []

    def tell(market: str, number: int | None) -> bool:
        moves.append((market, number))
        heard.set()
        return True

    with Receiver(0, webhook.secret(copied.home), tell) as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True).start()
        far = Registry(copied.home.mlflow, uri=server)
        for _ in range(2):
            far.subscribe(f"http://127.0.0.1:{receiver.server_port}{webhook.PLACE}", webhook.secret(copied.home))
        asked = {"name": f"nightshift-{MARKET}", "alias": CHAMPION, "version": str(version.number)}
        httpx.post(f"{server}/api/2.0/mlflow/registered-models/alias", json=asked, timeout=30).raise_for_status()
        assert heard.wait(30)
        assert moves == [(MARKET, version.number)]
        told = admit.admit(MARKET, copied.home, copied.params)
        assert "its gate report refuses it" in told["refused"]
        heard.clear()
        gone = {"name": f"nightshift-{MARKET}", "alias": CHAMPION}
        httpx.request("DELETE", f"{server}/api/2.0/mlflow/registered-models/alias", json=gone, timeout=30).raise_for_status()
        assert heard.wait(30)
        receiver.shutdown()

    assert moves == [(MARKET, version.number), (MARKET, None)]
    assert admit.admit(MARKET, copied.home, copied.params)["champion"] == 1
