"""Keys: the home's own, one from outside, and what the trader refuses to serve."""

import base64
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from domain.clock import SystemClock
from domain.error import ConfigurationError, CorruptBundle, ModelError
from domain.panel import Panel
from domain.params import Params
from flows import keys, retrain, trade
from flows.home import Home
from models import bundle, family, signature
from pipelines.execution.loop import Loop
from pipelines.execution.serving import Served
from pipelines.registry import BUNDLE, CHAMPION, PROMOTION, Registry, Version
from tests.flows.conftest import MARKET, Passed
from tests.flows.test_trade import facts

GATES = '{"promoted": true, "criteria": []}'


def pem(key: Ed25519PrivateKey | X25519PrivateKey) -> str:
    """Return a private key as PEM."""
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, kind, plain).decode()


def public(key: Ed25519PrivateKey) -> bytes:
    """Return its public half as PEM."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_a_first_run_makes_a_development_key_that_is_named_as_such(tmp_path: Path) -> None:
    """Only its owner can read it, it says what it is, it stays, and its public half is trusted."""
    home = Home(tmp_path)

    first, again = keys.signing(home), keys.signing(home)

    path = home.keys / "signing.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("# A development key")
    assert keys.is_development(home)
    assert first.private_bytes_raw() == again.private_bytes_raw()
    assert set(keys.trusted(home)) == {signature.fingerprint(first.public_key())}
    assert [each.name for each in home.keys.iterdir()] == ["signing.pem"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """With the command that helps."""
    home = Home(tmp_path)
    keys.signing(home)
    (home.keys / "signing.pem").chmod(mode)

    with pytest.raises(ConfigurationError, match=rf"has mode {mode:o}; it must be yours and 600: chmod 600"):
        keys.signing(home)


def test_a_link_is_no_key(tmp_path: Path) -> None:
    """Whoever can move it can change who signs."""
    home, other = Home(tmp_path / "a"), Home(tmp_path / "b")
    keys.signing(other)
    home.keys.mkdir(parents=True)
    (home.keys / "signing.pem").symlink_to(other.keys / "signing.pem")

    with pytest.raises(ConfigurationError, match=r"signing\.pem cannot be opened .* it must be a plain file, no link"):
        keys.signing(home)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_only_a_plain_file_is_a_key(tmp_path: Path, make: Callable[[Path, int], None]) -> None:
    """A pipe is not waited for."""
    home = Home(tmp_path)
    home.keys.mkdir()
    make(home.keys / "signing.pem", 0o600)

    with pytest.raises(ConfigurationError, match=r"signing\.pem is no plain file"):
        keys.signing(home)


def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where it could be read."""
    home = Home(tmp_path)
    keys.signing(home)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)

    with pytest.raises(ConfigurationError, match=f"belongs to user {mine}; it must be"):
        keys.signing(home)


#: PKCS #8 of an algorithm, 1.1.3.4, that there is not.
RAW = base64.b64encode(bytes.fromhex("302e0201003005060329030404220420") + bytes(32)).decode()
UNKNOWN = f"-----BEGIN PRIVATE KEY-----\n{RAW}\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("text", ["", "nothing", UNKNOWN], ids=["empty", "text", "unknown"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    """It is not replaced by a development key either."""
    home = Home(tmp_path)
    home.keys.mkdir()
    path = home.keys / "signing.pem"
    path.write_text(text)
    path.chmod(0o600)

    with pytest.raises(ConfigurationError, match=r"holds no Ed25519 private key in PEM without password"):
        keys.signing(home)
    assert path.read_text() == text


def test_two_first_runs_agree_on_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second to finish takes the first one's; what a killed one left behind is in nobody's way."""
    home, link, first = Home(tmp_path), os.link, []

    def raced(source: str, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        first.append(keys.signing(home).private_bytes_raw())
        link(source, target)

    home.keys.mkdir()
    (home.keys / f"signing.pem.{os.getpid()}").write_text("")
    monkeypatch.setattr(os, "link", raced)

    assert [keys.signing(home).private_bytes_raw()] == first
    assert sorted(each.name for each in home.keys.iterdir()) == ["signing.pem", f"signing.pem.{os.getpid()}"]


def test_a_key_of_the_environment_is_used_and_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one of another kind is refused."""
    home, key = Home(tmp_path), Ed25519PrivateKey.generate()
    monkeypatch.setenv(keys.SIGNING, pem(key))

    assert keys.signing(home).private_bytes_raw() == key.private_bytes_raw()
    assert not home.keys.exists()
    monkeypatch.setenv(keys.SIGNING, pem(X25519PrivateKey.generate()))
    with pytest.raises(ConfigurationError, match="NIGHTSHIFT_SIGNING_KEY, but it holds no Ed25519 private key in PEM"):
        keys.signing(home)


def test_trusted_keys_come_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home's, or the one that is named; the home's own key is then trusted no more."""
    home, key = Home(tmp_path), Ed25519PrivateKey.generate()
    folder = home.keys / "trusted"
    folder.mkdir(parents=True)
    (folder / "desk.pem").write_bytes(public(key))

    assert set(keys.trusted(home)) == {signature.fingerprint(key.public_key())}
    (folder / "other.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"other\.pem holds no Ed25519 public key"):
        keys.trusted(home)
    monkeypatch.setenv(keys.TRUSTED, str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match="which NIGHTSHIFT_TRUSTED_KEYS names, but there is no such folder"):
        keys.trusted(home)


def test_what_was_promoted_is_signed_here_and_in_the_registry(passed: Passed, tmp_path: Path) -> None:
    """A copy fetched anew verifies with the home's key."""
    registry = Registry(passed.home.mlflow)
    version = registry.version(MARKET, CHAMPION)

    anew = registry.fetch(version, tmp_path / "anew")

    assert signature.verified(anew, keys.trusted(passed.home)).model_digest
    with pytest.raises(CorruptBundle, match="which is not trusted here"):
        signature.verified(anew, keys.trusted(Home(tmp_path / "stranger")))


def champion(there: Passed) -> Served:
    """Return the champion as the trader would load it."""
    return trade.champion(there.params.market(MARKET), there.params, there.home, Registry(there.home.mlflow))


def fetched(there: Passed, which: str | int = CHAMPION) -> Path:
    """Return where a version's bundle is kept on this machine."""
    return there.home.models / MARKET / Registry(there.home.mlflow).version(MARKET, which).run_id


def resealed(source: Path, folder: Path, told: dict[str, Any] | None = None, **shape: Any) -> Path:
    """Return another bundle, made of one by giving its trees another shape: golden vectors and digests are right."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("signature.json"))
    path = folder / "model" / "trees" / "model.json"
    trees = json.loads(path.read_text())
    path.write_text(json.dumps(trees | {"shape": trees["shape"] | shape}))
    features, scale = (np.load(folder / "golden" / f"{name}.npy") for name in ("features", "scale"))
    np.save(folder / "golden" / "quantiles.npy", family.load(folder / "model").predict(features, scale))
    manifest = json.loads((folder / "manifest.json").read_text())["manifest"] | (told or {"lineage": {"seed": 8}})
    tuples = {name: tuple(manifest[name]) for name in ("levels", "features")}
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in manifest["files"]}
    (folder / "manifest.json").write_bytes(bundle._sealed(bundle.Manifest(**{**manifest, **tuples, "files": files})))
    return folder


def rival(there: Passed, **changed: Any) -> tuple[Version, Path]:
    """Record another version, made of the champion; return it and its unsigned bundle, kept as a run that passed its gates."""
    registry = Registry(there.home.mlflow)
    standing = registry.version(MARKET, CHAMPION)
    run = there.home.runs / MARKET / str(standing.number + 1)
    made = resealed(fetched(there), run / "ensemble" / "bundle", **changed)
    (run / "gates.json").write_text(GATES)
    (run / "artifacts").mkdir()
    told: dict[str, Any] = {"params": {}, "metrics": {}, "lineage": standing.lineage, "name": "rival"}
    return registry.record(MARKET, bundle=made, artifacts=run / "artifacts", **told), made


def enthroned(there: Passed, key: Ed25519PrivateKey | None = None, **changed: Any) -> Version:
    """Make a rival the champion, signed with a key, the home's own by default."""
    version, made = rival(there, **changed)
    registry = Registry(there.home.mlflow)
    registry.attach(version, {"signature.json": signature.sign(made, key or keys.signing(there.home))}, BUNDLE)
    return registry.promote(MARKET, version.number, GATES)


def tampered(there: Passed) -> None:
    """Flip one bit of a sound rival's weights."""
    version = enthroned(there)
    folder = Registry(there.home.mlflow).fetch(version, fetched(there))
    weights = folder / "model" / "trees" / "location.ubj"
    raw = bytearray(weights.read_bytes())
    raw[len(raw) // 2] ^= 1
    weights.write_bytes(raw)


def unsigned(there: Passed) -> None:
    """Promote past the flow that signs."""
    Registry(there.home.mlflow).promote(MARKET, rival(there)[0].number, GATES)


def by_hand(there: Passed) -> None:
    """Move the alias as MLflow's pages do."""
    registry, (version, _) = Registry(there.home.mlflow), rival(there)
    registry._client().set_registered_model_alias(f"nightshift-{MARKET}", CHAMPION, str(version.number))


def borrowed(there: Passed) -> None:
    """Move the alias, and copy the tag of the promoted version."""
    registry = Registry(there.home.mlflow)
    tag = registry.version(MARKET, CHAMPION).tags[PROMOTION]
    by_hand(there)
    registry._client().set_model_version_tag(f"nightshift-{MARKET}", "2", PROMOTION, tag)


def scribbled(there: Passed) -> None:
    """Write something else into the tag."""
    version = enthroned(there)
    Registry(there.home.mlflow)._client().set_model_version_tag(f"nightshift-{MARKET}", str(version.number), PROMOTION, "{")


def exposed(there: Passed) -> None:
    """Let others read the key."""
    enthroned(there)
    (there.home.keys / "signing.pem").chmod(0o644)


REFUSED: dict[str, tuple[Callable[[Passed], object], str]] = {
    "a tampered byte": (tampered, r"'model/trees/location\.ubj' has SHA-256 [0-9a-f]{12}, its manifest says"),
    "a wrong key": (lambda there: enthroned(there, Ed25519PrivateKey.generate()), "which is not trusted here"),
    "no signature": (unsigned, "is not signed"),
    "another schema": (lambda there: enthroned(there, told={"schema_hash": "0" * 64}), "features with schema 000000000000"),
    "no number": (lambda there: enthroned(there, drift=math.nan), "forecasts no number"),
    "a constant": (
        lambda there: enthroned(there, worth=0.0, tide=0.0, quantiles=[-2, -1, 0, 1, 2]),
        "forecasts the same",
    ),
    "no width": (lambda there: enthroned(there, quantiles=[0.0] * 5), "quantiles are all the same"),
    "an alias moved by hand": (by_hand, "but no gate promoted it"),
    "a borrowed promotion": (borrowed, "but no gate promoted it"),
    "a promotion that is none": (scribbled, "its tag 'promotion' was changed by hand"),
    "a key that others can read": (exposed, "it must be yours and 600"),
}


@contextmanager
def trading(there: Passed) -> Iterator[tuple[Loop, Iterator[Panel]]]:
    """Yield the trader as `trade.trade` opens it, and the last six bars of the store for it."""
    market = there.params.market(MARKET)
    desk = trade.Desk.opened(market, there.params, there.home, there.home.account(MARKET))
    history = desk.bars()
    first = history.bars - 6
    folder = there.home.account(MARKET)
    with Loop(market, there.params, desk.served, desk.symbols, folder, SystemClock(), successor=desk.successor) as live:
        live.recover(history.rows(0, first))
        yield live, history.rows(first, history.bars).each()


@pytest.mark.parametrize(("spoil", "said"), REFUSED.values(), ids=REFUSED)
def test_a_refused_champion_leaves_the_old_one_trading_and_one_alert(
    copied: Passed, spoil: Callable[[Passed], object], said: str
) -> None:
    """Another champion appears while it trades: it goes on, bar after bar, and the journal says why, once."""
    champion(copied)

    with trading(copied) as (live, bars):
        live.on_bar(next(bars))
        spoil(copied)
        for _ in range(3):
            live.on_bar(next(bars))

        assert live.version == "1"
    assert Registry(copied.home.mlflow).version(MARKET, CHAMPION).number == 2
    assert [payload["version"] for payload in facts(copied.home, "model")] == ["1"]
    assert len(facts(copied.home, "bar")) == 4
    (alert,) = facts(copied.home, "alert")
    assert re.search(f"^version 1 goes on: .*{said}", alert["reason"])


@pytest.mark.fault("F96")
def test_a_downgrade_is_refused(copied: Passed) -> None:
    """A later champion is served, then the alias is moved back by hand to one of an older promotion."""
    champion(copied)

    with trading(copied) as (live, bars):
        live.on_bar(next(bars))
        enthroned(copied)
        live.on_bar(next(bars))
        Registry(copied.home.mlflow)._client().set_registered_model_alias(f"nightshift-{MARKET}", CHAMPION, "1")
        live.on_bar(next(bars))

        assert live.version == "2"
    assert [payload["version"] for payload in facts(copied.home, "model")] == ["1", "2"]
    (alert,) = facts(copied.home, "alert")
    said = "version 1 of market 'sim_equity' is the champion by promotion 1, but promotion 2 has been served here: promote it anew"
    assert alert["reason"] == f"version 2 goes on: {said}"


@pytest.mark.fault("F46")
def test_a_champion_of_another_feed_is_refused(copied: Passed) -> None:
    """The market is fed by a vendor from one day to the next: whoever was trained before knows other volumes and prices."""
    assert champion(copied).version == "1"
    raw = copied.params.model_dump()
    raw["markets"][MARKET]["source"] = "alpaca"
    params = Params.model_validate(raw)

    with pytest.raises(ModelError, match=r"trained on bars of 'simulated', the market is fed by 'alpaca iex' now: train it anew"):
        trade.champion(params.market(MARKET), params, copied.home, Registry(copied.home.mlflow))


def test_a_rollback_is_no_downgrade(copied: Passed) -> None:
    """It is a promotion of its own, with a number of its own."""
    champion(copied)
    enthroned(copied)

    assert champion(copied).version == "2"
    Registry(copied.home.mlflow).rollback(MARKET)

    assert champion(copied).version == "1"


def test_a_trader_that_starts_beside_a_refused_champion_goes_on_with_the_last_one(copied: Passed) -> None:
    """And says so at its first bar; where that one cannot be vouched for either, nothing trades."""
    champion(copied)
    unsigned(copied)

    with trading(copied) as (live, bars):
        live.on_bar(next(bars))

        assert live.version == "1"
    (alert,) = facts(copied.home, "alert")
    assert re.search("^version 1 goes on: .* is not signed", alert["reason"])
    (fetched(copied, 1) / "signature.json").unlink()
    with pytest.raises(CorruptBundle, match="is not signed"), trading(copied):
        pass


def test_a_trader_that_never_served_refuses_to_start(copied: Passed) -> None:
    """There is no other champion to go on with."""
    champion(copied)
    unsigned(copied)
    (copied.home.models / MARKET / trade.STANDING).unlink()

    with pytest.raises(CorruptBundle, match="is not signed"), trading(copied):
        pass


def test_the_last_served_champion_that_is_refused_later_does_not_start_again(copied: Passed) -> None:
    """Its own promotion is gone."""
    champion(copied)
    Registry(copied.home.mlflow)._client().delete_model_version_tag(f"nightshift-{MARKET}", "1", PROMOTION)

    with pytest.raises(ModelError, match="but no gate promoted it: move aliases with `nightshift promote`"), trading(copied):
        pass


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": "1", "run_id": "a", "promotion": "many"}'])
def test_a_note_that_cannot_be_read_is_told_of(copied: Passed, text: str) -> None:
    """Which promotions were served is then unknown, and a person decides."""
    champion(copied)
    (copied.home.models / MARKET / trade.STANDING).write_text(text)

    with pytest.raises(ModelError, match=r"champion\.json, but none can be read there: remove it"):
        champion(copied)


def test_a_promotion_by_hand_signs_with_the_key_of_the_environment(copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the registry as well, after the report is asked; the champion is then served."""
    champion(copied)
    version, _ = rival(copied)
    key = Ed25519PrivateKey.generate()
    monkeypatch.setenv(keys.SIGNING, pem(key))

    retrain.promote(MARKET, version.number, copied.home, copied.params)

    anew = Registry(copied.home.mlflow).fetch(version, copied.home.root / "anew")
    assert signature.verified(anew, {signature.fingerprint(key.public_key()): key.public_key()}).lineage == {"seed": 8}
    assert champion(copied).version == "2"


def test_what_its_gates_did_not_judge_is_not_signed(copied: Passed) -> None:
    """Another bundle in the registry than the one that the run left, sealed as it should be."""
    champion(copied)
    version, made = rival(copied)
    shutil.rmtree(made)
    resealed(fetched(copied), made, told={"lineage": {"seed": 9}})

    with pytest.raises(CorruptBundle, match="was to be promoted, but its gates judged bundle"):
        retrain.promote(MARKET, version.number, copied.home, copied.params)

    assert Registry(copied.home.mlflow).version(MARKET, CHAMPION).number == 1
    assert not (fetched(copied, 2) / "signature.json").exists()
