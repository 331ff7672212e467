"""Keys: the home's own, one from outside, and what the trader refuses to serve."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from domain.error import ConfigurationError, CorruptBundle, ModelError
from flows import keys, trade
from flows.home import Home
from models import signature
from pipelines.registry import CHAMPION, Registry
from tests.flows.conftest import MARKET, Passed
from tests.flows.test_trade import SINCE, facts, trade_until


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

    with pytest.raises(ConfigurationError, match="is a link"):
        keys.signing(home)


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

    fetched = registry.fetch(version, tmp_path / "fetched")

    assert signature.verified(fetched, keys.trusted(passed.home)).model_digest
    with pytest.raises(CorruptBundle, match="which is not trusted here"):
        signature.verified(fetched, keys.trusted(Home(tmp_path / "stranger")))


def served(there: Passed) -> trade.Served:
    """Return the champion as the trader would load it."""
    return trade.champion(there.params.market(MARKET), there.params, there.home, Registry(there.home.mlflow))


def test_a_champion_that_no_gate_promoted_is_refused(copied: Passed) -> None:
    """The alias moved by hand, past the gates."""
    registry = Registry(copied.home.mlflow)
    client = registry._client()
    client.delete_model_version_tag(f"nightshift-{MARKET}", "1", "promotion")

    with pytest.raises(ModelError, match="but no gate promoted it: move aliases with `nightshift promote`"):
        served(copied)


def test_a_downgrade_is_refused(copied: Passed) -> None:
    """A champion by a promotion older than the one that this home has served."""
    assert served(copied).version == "1"
    standing = copied.home.models / MARKET / trade.STANDING
    noted = json.loads(standing.read_text())
    standing.write_text(json.dumps(noted | {"promotion": noted["promotion"] + 1}))

    with pytest.raises(ModelError, match="by promotion 1, but promotion 2 has been served here"):
        served(copied)


def test_a_changed_feature_schema_is_refused(copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same names measured otherwise."""
    monkeypatch.setattr("features.catalog.schema_hash", lambda features: "0" * 64)

    with pytest.raises(ModelError, match="this version measures 000000000000 under the same names"):
        served(copied)


def test_a_refused_champion_leaves_the_old_one_trading_and_an_alert(copied: Passed) -> None:
    """While it trades another champion appears whose bundle was tampered with: it goes on, and the journal says why, once."""
    from datetime import date

    from flows import learn
    from tests.flows.conftest import tiny

    registry, home = Registry(copied.home.mlflow), copied.home
    broken: list[int] = []

    def enough() -> bool:
        if not broken and len(facts(home, "bar")) >= 2:
            params = tiny(registry=copied.params.registry.model_dump(), learning={"drifted_share_max": 1.0})
            learn.night(MARKET, date(2017, 8, 1), home, params)
            version = registry.version(MARKET, CHAMPION)
            folder = home.models / MARKET / version.run_id
            registry.fetch(version, folder)
            weights = next(folder.rglob("location.ubj"))
            raw = bytearray(weights.read_bytes())
            raw[len(raw) // 2] ^= 1
            weights.write_bytes(raw)
            broken.append(len(facts(home, "bar")))
        return bool(broken) and len(facts(home, "bar")) >= broken[0] + 4

    told = trade_until(copied, enough, since=SINCE, pace_s=0.3)

    assert told["version"] == "1"
    assert [payload["version"] for payload in facts(home, "model")] == ["1"]
    (alert,) = facts(home, "alert")
    assert "version 1 goes on: bundle" in alert["reason"]
    assert "location.ubj' has SHA-256" in alert["reason"]
