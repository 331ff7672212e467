"""Keys: which one signs what passed its gates, and which are trusted by the trader.

The signing key is the PEM in NIGHTSHIFT_SIGNING_KEY, else the home's file, which nobody else may read. A home without either gets a
development key of its own, named as such: it proves that nothing changed since this home promoted it, and no more. Trusted are the
keys in the folder that NIGHTSHIFT_TRUSTED_KEYS names, else in the home's `keys/trusted`, else the signing key's own public half.
"""

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from domain.error import ConfigurationError
from flows.home import Home
from models import signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNING, TRUSTED = "NIGHTSHIFT_SIGNING_KEY", "NIGHTSHIFT_TRUSTED_KEYS"
WANTED = "it must be a plain file, no link, that belongs to you and that only you can read"
BYTES_MAX = 16_384
DEVELOPMENT = b"# A development key, made by this home for itself: replace it where models are trusted with money.\n"


def signing(home: Home) -> "Ed25519PrivateKey":
    """Return the key that signs; raise ConfigurationError for one that is no Ed25519 key or that others could have read."""
    told = os.environ.get(SIGNING)
    if told:
        return _private(told.encode(), SIGNING)
    path = home.keys / "signing.pem"
    try:
        return _private(_confided(path), str(path))
    except FileNotFoundError:
        return _made(path)


def trusted(home: Home) -> dict[str, "Ed25519PublicKey"]:
    """Return the public keys that may vouch for a model, by fingerprint; raise ConfigurationError for one that is none."""
    named = os.environ.get(TRUSTED)
    folder = Path(named).expanduser() if named else home.keys / "trusted"
    if named and not folder.is_dir():
        raise ConfigurationError(f"trusted keys were asked from {folder}, which {TRUSTED} names, but there is no such folder")
    found = [_public(path) for path in sorted(folder.glob("*.pem"))] if folder.is_dir() else []
    if not found and not named:
        found = [signing(home).public_key()]
    return {signature.fingerprint(key): key for key in found}


def is_development(home: Home) -> bool:
    """Return whether what this home signs is signed with a key that it made for itself."""
    path = home.keys / "signing.pem"
    return not os.environ.get(SIGNING) and path.exists() and _confided(path).startswith(DEVELOPMENT)


def described(home: Home) -> str:
    """Return in words which key signs here, making none for that; raise ConfigurationError for one that `signing` refuses."""
    if not os.environ.get(SIGNING) and not os.path.lexists(home.keys / "signing.pem"):
        return "none yet, a development key is made when it is first needed"
    name = signature.fingerprint(signing(home).public_key())
    if is_development(home):
        return f"{name}, a development key that this home made for itself"
    return f"{name}, of {SIGNING}" if os.environ.get(SIGNING) else f"{name}, of {home.keys / 'signing.pem'}"


def _made(path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    # Made with O_EXCL and 0600, under a name that nobody guesses and no killed process left behind.
    held, half = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(held, "wb") as file:
            file.write(DEVELOPMENT + key.private_bytes(serialization.Encoding.PEM, kind, plain))
            file.flush()
            os.fsync(held)
        # Whoever comes first wins: a link, unlike a rename, never replaces another process's key.
        os.link(half, path)
    except FileExistsError:
        return _private(_confided(path), str(path))
    finally:
        Path(half).unlink()
    return key


def _confided(path: Path) -> bytes:
    """Return the bytes of a plain file that is its owner's alone; raise FileNotFoundError where there is none."""
    try:
        # Whoever opens a pipe waits for its other end, unless told not to.
        held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise ConfigurationError(f"the signing key {path} cannot be opened ({problem.strerror}); {WANTED}") from None
    try:
        _check(path, os.fstat(held))
        return os.read(held, BYTES_MAX)
    finally:
        os.close(held)


def _check(path: Path, told: os.stat_result) -> None:
    if not stat.S_ISREG(told.st_mode):
        raise ConfigurationError(f"the signing key {path} is no plain file; {WANTED}")
    if told.st_uid != os.geteuid():
        raise ConfigurationError(f"the signing key {path} belongs to user {told.st_uid}; {WANTED}")
    if told.st_mode & 0o077:
        mode = f"{told.st_mode & 0o777:o}"
        raise ConfigurationError(f"the signing key {path} has mode {mode}; it must be yours and 600: chmod 600 {path}")


def _private(raw: bytes, where: str) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(
            f"a signing key was asked from {where}, but it holds no Ed25519 private key in PEM without password"
        )
    return key


def _public(path: Path) -> "Ed25519PublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (ValueError, OSError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(f"trusted keys were asked from {path.parent}, but {path.name} holds no Ed25519 public key in PEM")
    return key
