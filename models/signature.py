"""Signature: who vouches for a bundle. Ed25519 (RFC 8032) over the digest of its manifest, which covers every byte beside it."""

import base64
import hashlib
import json
from collections.abc import Mapping
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


def sign(folder: Path, key: "Ed25519PrivateKey") -> bytes:
    """Verify a bundle, write its signature beside the manifest, and return the signature's bytes."""
    manifest = bundle.verify(folder)
    signed = base64.b64encode(key.sign(PURPOSE + manifest.digest.encode())).decode()
    told = {"format": FORMAT, "key": fingerprint(key.public_key()), "signature": signed}
    raw = json.dumps(told, sort_keys=True).encode() + b"\n"
    (folder / SIGNATURE).write_bytes(raw)
    return raw


def verified(folder: Path, trusted: Mapping[str, "Ed25519PublicKey"]) -> Manifest:
    """Check every byte of a bundle and that a trusted key signed it; raise CorruptBundle with the first thing that is wrong.

    `trusted` are public keys by their fingerprint.
    """
    from cryptography.exceptions import InvalidSignature

    manifest = bundle.verify(folder)
    key, signed = _read(folder)
    if key not in trusted:
        known = ", ".join(sorted(trusted)) or "none"
        raise CorruptBundle(f"bundle {folder} is signed with key {key}, which is not trusted here; trusted: {known}")
    try:
        trusted[key].verify(signed, PURPOSE + manifest.digest.encode())
    except InvalidSignature:
        raise CorruptBundle(f"bundle {folder}: {SIGNATURE} is not the signature of key {key} over this bundle") from None
    return manifest


def fingerprint(key: "Ed25519PublicKey") -> str:
    """Return the name of a public key: the beginning of the SHA-256 of its raw bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:FINGERPRINT_CHARACTERS]


def _read(folder: Path) -> tuple[str, bytes]:
    """Return the fingerprint that a signature names and its bytes."""
    path = folder / SIGNATURE
    if path.is_symlink() or not path.is_file():
        raise CorruptBundle(f"bundle {folder} is not signed: it holds no {SIGNATURE}")
    if path.stat().st_size > BYTES_MAX:
        raise CorruptBundle(f"bundle {folder}: {SIGNATURE} is larger than {BYTES_MAX} bytes, so it was not read")
    try:
        told = json.loads(path.read_bytes())
        number, key, signed = told["format"], str(told["key"]), base64.b64decode(told["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CorruptBundle(f"bundle {folder}: {SIGNATURE} is not a signature") from None
    if number != FORMAT:
        raise CorruptBundle(f"bundle {folder}: {SIGNATURE} has format {number}, this version reads {FORMAT}")
    return key, signed
