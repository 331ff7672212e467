"""Status: what a person and a program are told of the key that signs."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from flows import cli, keys, status
from flows.home import Home

#: RFC 8032, first test vector, and the beginning of the SHA-256 of its public key.
KEY, NAME = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "21fe31dfa154a261"


def pem() -> bytes:
    """Return the vector's private key."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(KEY))
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def test_asking_for_the_key_makes_none(tmp_path: Path) -> None:
    """Nothing was signed here yet."""
    found = status.signing(Home(tmp_path))

    assert found == {"check": "signing key", "found": "none yet, a development key is made when it is first needed", "well": True}
    assert not list(tmp_path.iterdir())


def test_a_key_of_the_home_is_named(tmp_path: Path) -> None:
    """By its fingerprint and its place; one that the home made for itself is called a development key."""
    home = Home(tmp_path)
    keys.signing(home)
    path = home.keys / "signing.pem"
    (made,) = keys.trusted(home)
    development = status.signing(home)

    path.write_bytes(pem())

    assert (development["found"], development["well"]) == (f"{made}, a development key that this home made for itself", True)
    assert status.signing(home)["found"] == f"{NAME}, of {path}"


def test_a_key_of_the_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies in the home."""
    keys.signing(Home(tmp_path))
    monkeypatch.setenv(keys.SIGNING, pem().decode())

    assert status.signing(Home(tmp_path))["found"] == f"{NAME}, of NIGHTSHIFT_SIGNING_KEY"


def test_a_key_that_is_refused_is_unwell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor fails with the sentence, the status is told beside it."""
    home = Home(tmp_path)
    keys.signing(home)
    (home.keys / "signing.pem").chmod(0o644)
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))

    found, told = (CliRunner().invoke(cli.app, [word, "--json"]) for word in ("doctor", "status"))

    (row,) = [each for each in json.loads(found.stdout)["findings"] if each["check"] == "signing key"]
    assert (found.exit_code, told.exit_code, row["well"]) == (1, 0, False)
    assert "has mode 644; it must be yours and 600: chmod 600" in row["found"]
    assert json.loads(told.stdout)["signing_key"] == row["found"]
