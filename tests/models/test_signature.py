"""A bundle is served when a trusted key vouches for every byte of it, and refused otherwise."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.error import CorruptBundle
from domain.panel import FloatArray
from models import bundle, family, signature
from models.bundle import Golden, Manifest, Schema
from models.contract import Float32Array
from models.trees import Trees
from tests.models.planted import HORIZON, planted, training

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = {signature.fingerprint(KEY.public_key()): KEY.public_key()}


def written(folder: Path) -> Path:
    """Return a bundle of small trees, unsigned."""
    dataset = planted()
    model = Trees.create(training(rounds=5), HORIZON)
    model.fit(dataset, np.arange(240), np.arange(0))
    bundle.write(folder, model, Schema(dataset.names, "s" * 64), Golden.of(dataset), params_hash="p" * 64, lineage={"seed": 7})
    return folder


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a signed bundle that nobody touches."""
    folder = written(tmp_path_factory.mktemp("signed") / "bundle")
    signature.sign(folder, KEY)
    return folder


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """Return a copy to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "bundle"))


def test_a_signed_bundle_is_verified_and_its_digest_is_what_was_signed(pristine: Path):
    """The signature is plain Ed25519 over the purpose and the manifest's digest, as anyone can check."""
    manifest = signature.verified(pristine, TRUSTED)

    told = json.loads((pristine / "signature.json").read_text())
    raw = b"nightshift bundle 1\n" + manifest.digest.encode()
    KEY.public_key().verify(base64.b64decode(told["signature"]), raw)
    assert bundle.load(pristine)[1] == manifest


@pytest.mark.fault("F95")
def test_a_tampered_byte_in_any_file_is_refused(folder: Path):
    """One bit of the middle byte of each file in turn, manifest and signature included."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(names) >= 8
    for name in names:
        raw = (folder / name).read_bytes()
        changed = bytearray(raw)
        changed[len(raw) // 2] ^= 1
        (folder / name).write_bytes(changed)
        with pytest.raises(CorruptBundle):
            signature.verified(folder, TRUSTED)
        (folder / name).write_bytes(raw)

    assert signature.verified(folder, TRUSTED).family == "trees"


def test_every_byte_of_a_signature_counts(folder: Path):
    """A bit of each byte, and all bits of the last ones: base64 leaves four of its last digit unread."""
    path = folder / "signature.json"
    raw = path.read_bytes()
    places = {(at, 0) for at in range(len(raw))} | {(at, bit) for at in range(len(raw) - 8, len(raw)) for bit in range(8)}
    for at, bit in sorted(places):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :])
        with pytest.raises(CorruptBundle) as caught:
            signature.verified(folder, TRUSTED)
        assert "\n" not in str(caught.value)
    path.write_bytes(raw)

    assert signature.verified(folder, TRUSTED).family == "trees"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"format": 1', b'"format": true'),
        (b'"format": 1', b'"format": 1.0'),
        (b"{", b'{"note": "approved", '),
        (b"{", b"\xef\xbb\xbf{"),
        (b"}\n", b"}"),
        (b'"key": "', b'"key": " '),
    ],
)
def test_a_signature_written_otherwise_is_a_change(folder: Path, old: bytes, new: bytes):
    """The same key and the same signature in other bytes."""
    path = folder / "signature.json"
    raw = path.read_bytes()
    assert raw.count(old) == 1
    path.write_bytes(raw.replace(old, new))

    with pytest.raises(CorruptBundle, match="was changed after it was written"):
        signature.verified(folder, TRUSTED)


def test_a_wrong_key_is_refused(folder: Path):
    """Its name is told, and those that are trusted."""
    signature.sign(folder, Ed25519PrivateKey.generate())

    with pytest.raises(CorruptBundle, match=r"signed with key [0-9a-f]{16}, which is not trusted here; trusted: [0-9a-f]{16}$"):
        signature.verified(folder, TRUSTED)


def test_a_borrowed_name_does_not_help(folder: Path):
    """A stranger's signature under the trusted key's name."""
    signature.sign(folder, Ed25519PrivateKey.generate())
    told = json.loads((folder / "signature.json").read_text())
    (folder / "signature.json").write_text(json.dumps(told | {"key": next(iter(TRUSTED))}, sort_keys=True) + "\n")

    with pytest.raises(CorruptBundle, match=f"the signature in signature.json is not one of key {next(iter(TRUSTED))}$"):
        signature.verified(folder, TRUSTED)


def test_a_manifest_changed_after_it_was_signed_is_refused(folder: Path):
    """Sealed again as it should be: only the signature knows of another one."""
    told = json.loads((folder / "manifest.json").read_text())["manifest"]
    tuples = {name: tuple(told[name]) for name in ("levels", "features")}
    changed = Manifest(**{**told, **tuples, "lineage": {"seed": 8}})
    signed = bundle.verify(folder).digest
    (folder / "manifest.json").write_bytes(bundle._sealed(changed))

    assert bundle.verify(folder) == changed
    with pytest.raises(CorruptBundle, match=f"signed the manifest {signed[:12]}, but the bundle has {changed.digest[:12]}$"):
        signature.verified(folder, TRUSTED)


def test_a_digest_borrowed_from_this_bundle_makes_no_signature(folder: Path):
    """The trusted key signed another digest than the one that is told."""
    told = json.loads((folder / "signature.json").read_text())
    other = base64.b64encode(KEY.sign(b"nightshift bundle 1\n" + b"0" * 64)).decode()
    (folder / "signature.json").write_text(json.dumps(told | {"signature": other}, sort_keys=True) + "\n")

    with pytest.raises(CorruptBundle, match="is not one of key"):
        signature.verified(folder, TRUSTED)


def test_a_signature_without_its_purpose_is_none(folder: Path):
    """What the key signed for something else cannot vouch for a bundle."""
    told = json.loads((folder / "signature.json").read_text())
    bare = base64.b64encode(KEY.sign(told["digest"].encode())).decode()
    (folder / "signature.json").write_text(json.dumps(told | {"signature": bare}, sort_keys=True) + "\n")

    with pytest.raises(CorruptBundle, match="is not one of key"):
        signature.verified(folder, TRUSTED)


def test_a_signature_of_another_bundle_is_none_of_this_one(folder: Path, tmp_path: Path):
    """Even by the trusted key."""
    other = written(tmp_path / "other")
    dataset = planted(seed=1)
    model = family.load(other / "model")
    shutil.rmtree(other)
    lineage = {"seed": 8}
    bundle.write(other, model, Schema(dataset.names, "s" * 64), Golden.of(dataset), params_hash="p" * 64, lineage=lineage)
    signed = signature.sign(other, KEY)
    (folder / "signature.json").write_bytes(signed)

    with pytest.raises(CorruptBundle, match=r"signed the manifest [0-9a-f]{12}, but the bundle has [0-9a-f]{12}$"):
        signature.verified(folder, TRUSTED)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "is not signed: it holds no signature.json"),
        (b"{}", "is not a signature"),
        (b'{"digest": "00", "format": 2, "key": "00", "signature": ""}', "has format 2, this version reads 1"),
        (b'{"digest": "00", "format": 1, "key": ["00"], "signature": ""}', "is not a signature"),
        (b'{"digest": "no", "format": 1, "key": "00", "signature": ""}', "is not a signature"),
        (b'{"digest": "00", "format": 1, "key": "00", "signature": "%"}', "is not a signature"),
        (b"[" * 4000, "is not a signature"),
        (b" " * 5000, "larger than 4096 bytes"),
    ],
)
def test_what_is_no_signature_is_refused(folder: Path, raw: bytes | None, said: str):
    """Each with its own sentence."""
    (folder / "signature.json").unlink()
    if raw is not None:
        (folder / "signature.json").write_bytes(raw)

    with pytest.raises(CorruptBundle, match=said):
        signature.verified(folder, TRUSTED)


def test_a_fingerprint_is_the_hash_of_the_raw_key():
    """RFC 8032's first test vector."""
    raw = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")

    assert signature.fingerprint(Ed25519PublicKey.from_public_bytes(raw)) == "21fe31dfa154a261"


SOUND = Trees.predict


def silent(model: Trees, features: Float32Array, scale: FloatArray) -> FloatArray:
    """Return no number."""
    return np.full_like(SOUND(model, features, scale), np.nan)


def constant(model: Trees, features: Float32Array, scale: FloatArray) -> FloatArray:
    """Return the same quantiles everywhere, in volatilities."""
    return scale[..., None] * np.array((-2.0, -1.0, 0.3, 1.0, 2.0))


def point(model: Trees, features: Float32Array, scale: FloatArray) -> FloatArray:
    """Return the median in every quantile."""
    return np.repeat(SOUND(model, features, scale)[..., 2:3], 5, axis=-1)


@pytest.mark.parametrize(
    ("predict", "said"),
    [
        (silent, "forecasts no number for any of its golden vectors"),
        (constant, "forecasts the same for every symbol and bar"),
        (point, "quantiles are all the same"),
    ],
)
def test_a_model_that_says_nothing_is_refused_at_load(
    predict: Callable[..., FloatArray], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whatever its digests say; writing such a bundle fails as well."""
    monkeypatch.setattr(Trees, "predict", predict)

    with pytest.raises(CorruptBundle, match=said):
        written(tmp_path / "bundle")


def test_a_symbol_that_stands_still_hides_no_constant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing can be told in volatilities of zero; the other symbols tell enough."""
    dataset = planted()
    model, golden = Trees.create(training(rounds=5), HORIZON), Golden.of(dataset)
    model.fit(dataset, np.arange(240), np.arange(0))
    golden.scale[:, 0] = 0.0
    monkeypatch.setattr(Trees, "predict", constant)

    with pytest.raises(CorruptBundle, match="forecasts the same for every symbol and bar"):
        bundle.write(tmp_path / "b", model, Schema(dataset.names, "s" * 64), golden, params_hash="p" * 64, lineage={})


def test_a_baseline_may_say_the_same_of_all(tmp_path: Path):
    """In volatilities of each symbol, that is its nature."""
    dataset = planted()
    model = family.create(training(), HORIZON, family="zero")
    model.fit(dataset, np.arange(240), np.arange(0))

    bundle.write(tmp_path / "b", model, Schema(dataset.names, "s" * 64), Golden.of(dataset), params_hash="p" * 64, lineage={})

    assert bundle.load(tmp_path / "b")[1].family == "zero"
