"""Signature: who vouches for a bundle. Ed25519 (RFC 8032) over the digest of its manifest, which covers every byte beside it."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domain.error import CorruptBundle
from models import bundle
from models.bundle import SIGNATURE, Manifest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT = 1
#: What is signed begins with this, so that a signature over anything else is none over a bundle.
PURPOSE = b"nightshift bundle 1\n"
FINGERPRINT_CHARACTERS = 16
BYTES_MAX = 4096


@dataclass(frozen=True)
class Signature:
    """What signature.json tells."""

    key: str
    """Fingerprint of the public key."""
    digest: str
    """The manifest's digest at the moment of signing."""
    signed: bytes
    """Ed25519 over the purpose and that digest."""

    @property
    def raw(self) -> bytes:
        """The one byte string that this can be written as: any other is a change."""
        told = {"format": FORMAT, "key": self.key, "digest": self.digest, "signature": base64.b64encode(self.signed).decode()}
        return json.dumps(told, sort_keys=True).encode() + b"\n"


def sign(folder: Path, key: "Ed25519PrivateKey") -> bytes:
    """Verify a bundle, write its signature beside the manifest, and return the signature's bytes."""
    digest = bundle.verify(folder).digest
    raw = Signature(fingerprint(key.public_key()), digest, key.sign(_message(digest))).raw
    (folder / SIGNATURE).write_bytes(raw)
    return raw


def verified(folder: Path, trusted: Mapping[str, "Ed25519PublicKey"]) -> Manifest:
    """Check every byte of a bundle and that a trusted key signed it; raise CorruptBundle with the first thing that is wrong.

    `trusted` are public keys by their fingerprint.
    """
    from cryptography.exceptions import InvalidSignature

    manifest, found = bundle.verify(folder), _read(folder)
    if found.key not in trusted:
        known = ", ".join(sorted(trusted)) or "none"
        raise CorruptBundle(f"bundle {folder} is signed with key {found.key}, which is not trusted here; trusted: {known}")
    try:
        trusted[found.key].verify(found.signed, _message(found.digest))
    except InvalidSignature:
        raise CorruptBundle(f"bundle {folder}: the signature in {SIGNATURE} is not one of key {found.key}") from None
    if found.digest != manifest.digest:
        raise CorruptBundle(
            f"bundle {folder}: key {found.key} signed the manifest {found.digest[:12]}, but the bundle has {manifest.digest[:12]}"
        )
    return manifest


def fingerprint(key: "Ed25519PublicKey") -> str:
    """Return the name of a public key: the beginning of the SHA-256 of its raw bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:FINGERPRINT_CHARACTERS]


def _message(digest: str) -> bytes:
    return PURPOSE + digest.encode()


def _read(folder: Path) -> Signature:
    path = folder / SIGNATURE
    if path.is_symlink() or not path.is_file():
        raise CorruptBundle(f"bundle {folder} is not signed: it holds no {SIGNATURE}")
    if path.stat().st_size > BYTES_MAX:
        raise CorruptBundle(f"bundle {folder}: {SIGNATURE} is larger than {BYTES_MAX} bytes, so it was not read")
    raw = path.read_bytes()
    try:
        told = json.loads(raw)
        key, digest = (bytes.fromhex(told[name]).hex() for name in ("key", "digest"))
        number, found = told["format"], Signature(key, digest, base64.b64decode(told["signature"], validate=True))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CorruptBundle(f"bundle {folder}: {SIGNATURE} is not a signature") from None
    if number != FORMAT:
        raise CorruptBundle(f"bundle {folder}: {SIGNATURE} has format {number!r}, this version reads {FORMAT}")
    if found.raw != raw:
        raise CorruptBundle(f"bundle {folder}: {SIGNATURE} was changed after it was written")
    return found
