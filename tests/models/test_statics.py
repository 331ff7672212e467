"""Static covariates: the served contexts are the library's, and a transformer that is told them learns what it could not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from domain.error import ModelError
from domain.forecast import MEDIAN
from features import catalog
from models import metrics
from models.contract import Dataset
from models.forward.statics import Situated, Statics
from models.forward.transformer import ENCODERS, Transformer
from models.inputs import CLASSES, Places, Scaler
from models.networks import school, tft
from models.networks.strips import windows
from models.tft import Tft
from tests.models.contract import ModelContract
from tests.models.planted import HORIZON, planted, training
from tests.models.test_networks import rough

SYMBOLS, SECTOR = 4, (0.0, 1.0, 5.0, 31.0)


def held(names: tuple[str, ...], bars: int) -> np.ndarray:
    """Return inputs [T, SYMBOLS, F] of which what is static never changes; sectors are classes."""
    inputs = np.random.default_rng(2).standard_normal((bars, SYMBOLS, len(names))).astype(np.float32)
    for place, name in enumerate(names):
        if name.startswith("static_"):
            inputs[:, :, place] = SECTOR if name == "static_sector" else inputs[0, :, place]
    return inputs


STATIC = pytest.mark.parametrize(
    "names",
    [
        ("x0", "static_sector", "x1", "static_liquidity", "x2", "static_beta"),
        ("static_liquidity", "static_beta", "x0", "x1"),
        ("x0", "x1", "static_sector"),
        ("static_beta", "x0", "x1"),
    ],
)


@STATIC
def test_what_is_static_is_pytorch_forecastings_static(names: tuple[str, ...]) -> None:
    """Codes, numbers, both, one alone: the library's own forward pass within 1e-5, and a gradient for every weight."""
    architecture = tft.Architecture(names, 10, 3, 5, 8, 4, 2, 0.1)
    network = rough(tft.Fused(architecture))
    bars = torch.from_numpy(np.ascontiguousarray(held(names, 14).transpose(1, 0, 2)))

    cut = windows(bars, 10).reshape(-1, 10, len(names))
    with torch.inference_mode():
        library = network.library(tft.asked(cut, architecture))["prediction"].reshape(SYMBOLS, 5, -1)
        fused = network(bars)
    network(bars).square().sum().backward()

    np.testing.assert_allclose(fused.numpy(), library.numpy(), atol=1e-5)
    assert all(each.grad is not None and each.grad.abs().sum() > 0.0 for each in network.parameters())


def test_what_is_static_of_one_row_is_not_that_of_another() -> None:
    """A change of a symbol's statics in its newest row moves its newest forecast, and no other symbol's or row's."""
    names = ("x0", "static_sector", "x1", "static_liquidity")
    network = rough(tft.Fused(tft.Architecture(names, 10, 1, 5, 8, 4, 2, 0.1)))
    before = held(names, 14)
    after = before.copy()
    after[-1, 2, 1] = 7.0

    with torch.inference_mode():
        told = [network(torch.from_numpy(np.ascontiguousarray(each.transpose(1, 0, 2)))).numpy() for each in (before, after)]

    moved = np.abs(told[0] - told[1]).max(axis=2)
    assert moved[2, -1] > 1e-3
    moved[2, -1] = 0.0
    assert moved.max() < 1e-6


def test_codes_are_classes_and_never_scaled() -> None:
    """One above the code; 0 where it is missing, negative, beyond all classes, or higher than any that was learned from."""
    features = np.random.default_rng(0).normal(3.0, 2.0, (300, 6, 2)).astype(np.float32)
    features[..., 1] = [np.nan, -1.0, 0.0, 7.0, 30.0, 31.0]
    few = features.copy()
    few[..., 1] = np.minimum(features[..., 1], 7.0)

    found, later = Scaler.fit(features, (1,)).apply(features), Scaler.fit(few, (1,)).apply(features)

    assert (found[..., 1] == [0.0, 0.0, 1.0, 8.0, 31.0, 0.0]).all()
    assert (later[..., 1] == [0.0, 0.0, 1.0, 8.0, 0.0, 0.0]).all()
    np.testing.assert_array_equal(found[..., 0], Scaler.fit(features).apply(features)[..., 0])


def test_names_that_are_static_are_the_catalogues() -> None:
    """Features of the family are static to a network, and no other feature is; codes are the one that names a sector."""
    names = [feature.name for feature in catalog.CATALOG]

    places = Places.of(names)

    assert {names[place] for place in places.static} == {f.name for f in catalog.CATALOG if f.family == "static"}
    assert [names[place] for place in places.codes] == ["static_sector"]
    assert sorted((*places.varying, *places.static)) == list(range(len(names)))


def drawn(names: tuple[str, ...], *shape: int) -> np.ndarray:
    """Return scaled features [.., F] in which all changes, every class of a sector among it."""
    inputs = np.random.default_rng(4).standard_normal((*shape, len(names))).astype(np.float32)
    for place in Places.of(names).codes:
        inputs[..., place] = np.arange(inputs[..., place].size).reshape(shape) % CLASSES
    return inputs


@STATIC
def test_served_contexts_are_the_librarys(names: tuple[str, ...]) -> None:
    """All four within 1e-5, and a symbol's are the same bits alone and among many."""
    network, places = rough(tft.Fused(tft.Architecture(names, 10, 3, 5, 8, 4, 2, 0.1))), Places.of(names)
    inputs = drawn(names, 37)
    served = Statics(school.arrays(network), places)

    found = served.contexts(inputs[:, places.static])

    with torch.inference_mode():
        static = network.static(torch.from_numpy(inputs)[None])[0]
        for name, made in zip(ENCODERS, found, strict=True):
            np.testing.assert_allclose(made, getattr(network.library, name)(static).numpy(), atol=1e-5)
    for symbol in range(37):
        alone = served.contexts(inputs[symbol : symbol + 1, places.static])
        for one, all_ in zip(alone, found, strict=True):
            np.testing.assert_array_equal(one[0], all_[symbol])


@STATIC
def test_what_is_served_is_what_was_learned(names: tuple[str, ...]) -> None:
    """Statics that change from row to row, too: each row's choice by its own, each window's state by its newest."""
    network, places = rough(tft.Fused(tft.Architecture(names, 10, 2, 5, 8, 4, 2, 0.1))), Places.of(names)
    inputs, weights = drawn(names, 14, 19), school.arrays(network)
    stream = Situated(Transformer(weights, 10, 2, 2).stream(19), Statics(weights, places))

    told = []
    for row in inputs:
        stream.enter(row)
        told.append(stream.said())

    with torch.inference_mode():
        expected = network(torch.from_numpy(np.ascontiguousarray(inputs.transpose(1, 0, 2)))).numpy().transpose(1, 0, 2)
    np.testing.assert_allclose(np.stack(told[9:]), expected, atol=1e-5)


def test_two_features_that_vary_are_needed() -> None:
    """Those that are static are no choice over time."""
    dataset = planted(features=2, static=True)
    alone = replace(dataset, features=dataset.features[..., 1:], names=dataset.names[1:])

    with pytest.raises(ModelError, match="features that vary, two or more, but got return_20"):
        Tft.create(training(), HORIZON).fit(alone, np.arange(200), np.arange(0))


def told_nothing(dataset: Dataset) -> Dataset:
    """Return the dataset without what is static."""
    kept = list(Places.of(dataset.names).varying)
    return replace(dataset, features=dataset.features[..., kept], names=tuple(dataset.names[place] for place in kept))


def test_a_relation_that_depends_on_the_sector_is_learned_by_who_is_told_it() -> None:
    """The same rows and passes: a rank IC of 0.2 and more with what is static, and nothing worth the name without."""
    dataset, found = planted(bars=500, symbols=12, edge=0.8, static=True), []
    school_ = training()
    longer = school_.model_copy(update={"tft": school_.tft.model_copy(update={"epochs": 12})})
    for each in (dataset, told_nothing(dataset)):
        model = Tft.create(longer, HORIZON)
        model.fit(each, np.arange(400), np.arange(0))
        ranked = metrics.rank_ic(model.predict(each.features, each.scale)[410:, :, MEDIAN], each.forward[410:])
        found.append(metrics.mean(ranked))

    assert found[0] > 0.2
    assert abs(found[1]) < 0.1


class TestTftWithStatics(ModelContract):
    """The transformer behind the contract, told what is static."""

    family = "tft"

    @pytest.fixture
    def dataset(self) -> Dataset:
        """Return a market in which the relation depends on the sector."""
        return planted(static=True)
