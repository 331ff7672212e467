"""A bundle is loaded as it was signed off, or not at all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from domain.error import CorruptBundle
from domain.panel import FloatArray
from domain.params import Sizing
from models import bundle, family
from models.bundle import Golden, Schema
from models.contract import Dataset, Float32Array, Model
from models.ensemble import Ensemble
from tests.models.planted import HORIZON, planted, training

LINEAGE = {"table_version": 3, "commit": "abc", "seed": 7}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return a planted market."""
    return planted()


def _fitted(dataset: Dataset) -> Model:
    model = family.create(training(rounds=10), HORIZON, family="trees")
    model.fit(dataset, np.arange(240), np.arange(0))
    return model


def _write(folder: Path, dataset: Dataset, lineage: dict[str, object] = LINEAGE, sizing: Sizing | None = None) -> bundle.Manifest:
    schema, golden = Schema(dataset.names, "s" * 64), Golden.of(dataset)
    return bundle.write(folder, _fitted(dataset), schema, golden, params_hash="p" * 64, lineage=lineage, sizing=sizing)


@pytest.fixture(scope="module")
def pristine(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle that nobody touches."""
    folder = tmp_path_factory.mktemp("pristine") / "bundle"
    _write(folder, dataset)
    return folder


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """Return a copy to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "bundle"))


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_loaded_forecasts_what_was_written(pristine: Path, dataset: Dataset):
    """To the last bit, with the manifest's account of it."""
    model, manifest = bundle.load(pristine)

    np.testing.assert_array_equal(
        model.predict(dataset.features, dataset.scale), _fitted(dataset).predict(dataset.features, dataset.scale)
    )
    assert manifest == bundle.verify(pristine)
    assert (manifest.family, manifest.horizon, manifest.features) == ("trees", HORIZON, dataset.names)
    assert manifest.lineage == LINEAGE


def test_a_bundle_holds_no_code(pristine: Path):
    """Only JSON, UBJSON and plain arrays; arrays load without pickle."""
    assert {Path(name).suffix for name in _names(pristine)} == {".json", ".ubj", ".npy"}
    for path in pristine.rglob("*.npy"):
        np.load(path, allow_pickle=False)


def test_the_model_digest_does_not_know_when_it_was_made(dataset: Dataset, pristine: Path, tmp_path: Path):
    """The same data, parameters and seed give the same model digest under another lineage; the full digest differs."""
    first = bundle.verify(pristine)

    second = _write(tmp_path / "again", dataset, {"commit": "def", "made_at": "2026-01-01"})

    assert second.model_digest == first.model_digest
    assert second.digest != first.digest


def test_every_changed_byte_is_found(folder: Path):
    """One bit flipped at the start, in the middle and at the end of every file, the manifest included."""
    for name in _names(folder):
        path = folder / name
        raw = path.read_bytes()
        for place in {0, len(raw) // 3, len(raw) // 2, len(raw) - 1}:
            path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
            with pytest.raises(CorruptBundle) as caught:
                bundle.verify(folder)
            assert "\n" not in str(caught.value)
        path.write_bytes(raw)
    bundle.verify(folder)


def test_every_missing_file_is_found(folder: Path):
    """By its name; without a manifest there is no bundle."""
    for name in _names(folder):
        raw = (folder / name).read_bytes()
        (folder / name).unlink()
        with pytest.raises(CorruptBundle, match=name.rsplit("/", maxsplit=1)[-1]):
            bundle.verify(folder)
        (folder / name).write_bytes(raw)


def test_an_added_file_is_found(folder: Path):
    """Even one of an allowed kind."""
    (folder / "model" / "extra.json").write_text("{}")

    with pytest.raises(CorruptBundle, match=r"holds 'model/extra.json', which its manifest does not list"):
        bundle.verify(folder)


@pytest.mark.parametrize("name", ["model/run.py", "model/weights.pkl", ".hidden.json", "model/a..json", "Model.json"])
def test_a_name_of_another_kind_is_refused(folder: Path, name: str):
    """Whatever the manifest says of it."""
    (folder / name).write_text("{}")

    with pytest.raises(CorruptBundle, match="is no name for a bundle's file"):
        bundle.verify(folder)


def test_a_link_is_refused(folder: Path, tmp_path: Path):
    """Even one to the same bytes."""
    target = tmp_path / "model.json"
    shutil.move(folder / "model" / "model.json", target)
    (folder / "model" / "model.json").symlink_to(target)

    with pytest.raises(CorruptBundle, match="is a link or a device"):
        bundle.verify(folder)


def test_a_bundle_too_large_is_refused_unread(folder: Path):
    """A sparse file of a gigabyte costs nothing to find."""
    with (folder / "model" / "huge.npy").open("wb") as sparse:
        sparse.truncate(bundle.BYTES_MAX + 1)

    with pytest.raises(CorruptBundle, match="so it was not read"):
        bundle.verify(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"manifest": 3}', '{"manifest": {"files": 1}}', "\x00\xff", "[" * 100_000])
def test_a_manifest_of_another_kind_is_refused(folder: Path, text: str):
    """In one sentence, whatever it holds."""
    (folder / bundle.MANIFEST).write_text(text)

    with pytest.raises(CorruptBundle, match=r"manifest\.json is not a manifest"):
        bundle.verify(folder)


@pytest.mark.fault("F98")
def test_a_model_that_forecasts_otherwise_is_refused(folder: Path):
    """Golden vectors that say something else, sealed with matching digests: only the comparison can tell."""
    path = folder / "golden" / "quantiles.npy"
    np.save(path, np.load(path) * 1.001)
    _seal(folder)

    with pytest.raises(CorruptBundle, match="differs from its golden vectors by"):
        bundle.load(folder)
    bundle.load(folder, tolerance=0.1)


def _flat(model: Model, features: Float32Array, scale: FloatArray) -> FloatArray:
    """Return the same returns of every symbol and bar."""
    return np.broadcast_to(np.array((-0.02, -0.01, 0.003, 0.01, 0.02)), (*scale.shape, 5)).copy()


def _alone(dataset: Dataset, name: str) -> Ensemble:
    """Return a fitted ensemble of one family."""
    model = Ensemble([family.create(training(rounds=5), HORIZON, family=name)], (1.0,))
    model.fit(dataset, np.arange(240), np.arange(0))
    return model


@pytest.mark.fault("F100")
@pytest.mark.parametrize("name", ["trees", "zero"])
def test_the_same_return_of_all_is_refused(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """Their volatilities differ, and a baseline as well tells them apart by these."""
    model = _alone(dataset, name)
    monkeypatch.setattr(Ensemble, "predict", _flat)

    with pytest.raises(CorruptBundle, match="forecasts the same for every symbol and bar"):
        bundle.write(tmp_path / "b", model, Schema(dataset.names, "s" * 64), Golden.of(dataset), params_hash="p" * 64, lineage={})


@pytest.mark.parametrize("name", family.BASELINES)
def test_an_ensemble_of_a_baseline_is_a_baseline(dataset: Dataset, tmp_path: Path, name: str):
    """It may say the same of all in volatilities of each, which is how baselines are traded."""
    model = _alone(dataset, name)

    bundle.write(tmp_path / "b", model, Schema(dataset.names, "s" * 64), Golden.of(dataset), params_hash="p" * 64, lineage={})

    assert bundle.load(tmp_path / "b")[0].predict(dataset.features, dataset.scale).shape == (*dataset.scale.shape, 5)


def test_an_unreadable_model_with_matching_digests_is_refused(folder: Path):
    """XGBoost's own complaint becomes one sentence."""
    for path in (folder / "model").glob("*.ubj"):
        path.write_bytes(b"nonsense")
    _seal(folder)

    with pytest.raises(CorruptBundle, match="cannot be loaded although its digests hold") as caught:
        bundle.load(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_in_use_is_not_written_over(pristine: Path, dataset: Dataset):
    """Files of two models never mix."""
    with pytest.raises(CorruptBundle, match="already holds files"):
        _write(pristine, dataset)


def test_an_unknown_family_is_refused(tmp_path: Path):
    """With the families that this version knows."""
    (tmp_path / "model.json").write_text(json.dumps({"family": "tree"}))

    with pytest.raises(CorruptBundle, match="did you mean 'trees'"):
        family.load(tmp_path)


def _seal(folder: Path) -> None:
    """Write the manifest that whoever changed the files would have to write."""
    told = json.loads((folder / bundle.MANIFEST).read_text())["manifest"]
    files = {name: bundle._digest((folder / name).read_bytes()) for name in told["files"]}
    manifest = bundle.Manifest(**{**told, "levels": tuple(told["levels"]), "features": tuple(told["features"]), "files": files})
    (folder / bundle.MANIFEST).write_bytes(bundle._sealed(manifest))


def test_a_model_brings_the_settings_that_it_was_given(dataset: Dataset, pristine: Path, tmp_path: Path):
    """To the bit, covered by the digests of the manifest; a bundle without them leaves them to params.yaml."""
    brought = Sizing(edge_sigma_full=0.1 + 0.2, band=0.0, rate=1.0)

    manifest = _write(tmp_path / "bundle", dataset, sizing=brought)

    assert bundle.sizing(tmp_path / "bundle") == brought
    assert bundle.DECISIONS in manifest.files
    assert manifest.model_digest != bundle.verify(pristine).model_digest
    assert bundle.sizing(pristine) is None


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ('{"edge_sigma_full": 0.25, "band": 1.0, "rate": 1.5}', "rate"),
        ('{"edge_sigma_full": 0.0, "band": 1.0, "rate": 0.5}', "edge_sigma_full"),
        ('{"edge_sigma_full": Infinity, "band": 1.0, "rate": 0.5}', "edge_sigma_full"),
        ('{"edge_sigma_full": 0.25, "band": "1", "rate": 0.5}', "band"),
        ('{"edge_sigma_full": 0.25, "rate": 0.5}', "band"),
        ('{"edge_sigma_full": 0.25, "band": 1.0, "rate": 0.5, "volatility_target": 9.0}', "volatility_target"),
        ("[]", r"decisions\.json"),
        ("nonsense", r"decisions\.json"),
    ],
)
def test_settings_that_params_could_not_hold_are_refused(dataset: Dataset, tmp_path: Path, told: str, wrong: str):
    """Sealed with matching digests: out of bounds, of another kind, lacking or more than a model may bring."""
    folder = tmp_path / "bundle"
    _write(folder, dataset, sizing=Sizing(edge_sigma_full=0.1, band=1.0, rate=1.0))
    (folder / bundle.DECISIONS).write_text(told)
    _seal(folder)

    with pytest.raises(CorruptBundle, match=rf"{wrong} cannot be traded by") as caught:
        bundle.load(folder)
    assert "\n" not in str(caught.value)


def test_settings_taken_out_of_a_bundle_are_missed(dataset: Dataset, tmp_path: Path):
    """What was signed with settings of its own is not traded by others."""
    _write(tmp_path / "bundle", dataset, sizing=Sizing(edge_sigma_full=0.1, band=1.0, rate=1.0))
    (tmp_path / "bundle" / bundle.DECISIONS).unlink()

    with pytest.raises(CorruptBundle, match=r"lacks 'decisions\.json'"):
        bundle.load(tmp_path / "bundle")
