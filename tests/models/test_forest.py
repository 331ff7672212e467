"""Forest: workers of a real Dask cluster grow together what one process grows alone, or nothing at all."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import dask
import numpy as np
import pytest
from distributed import LocalCluster
from hypothesis import given
from hypothesis import strategies as st

from domain.error import ConfigurationError, ModelError, ResourceError
from domain.forecast import LEVELS
from domain.panel import FloatArray
from models import forest, metrics
from models.contract import Dataset
from models.trees import Trees
from tests.models import dying
from tests.models.planted import HORIZON, PROCESSOR, planted, training

#: What is drawn for each tree differs from one number of workers to another, as it does between seeds.
WHOLE: dict[str, Any] = {"subsample": 1.0, "colsample": 1.0}
TRAIN, VALID, LATER = np.arange(300), np.arange(310, 400), np.arange(410, 900)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return a market with a planted edge, gaps included."""
    return planted(bars=900)


@pytest.fixture(scope="module")
def two() -> Iterator[str]:
    """Return the address of a cluster of two processes, each begun anew when it is killed, however often."""
    patient = dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    with patient, LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def named(two: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name that cluster in the environment."""
    monkeypatch.setenv("NIGHTSHIFT_DASK", two)


def trees(workers: int, **chosen: Any) -> Trees:
    """Return unfitted trees of as many workers."""
    return Trees.create(training(hardware=PROCESSOR.model_copy(update={"workers": workers}), **chosen), HORIZON)


def forecasts(workers: int, dataset: Dataset, **chosen: Any) -> FloatArray:
    """Return what trees forecast that as many workers fitted and fine-tuned."""
    model = trees(workers, **chosen)
    model.fit(dataset, TRAIN, VALID)
    model.fine_tune(dataset, np.arange(200, 400), 5)
    return model.predict(dataset.features[LATER], dataset.scale[LATER])


def loss(found: FloatArray, dataset: Dataset) -> float:
    """Return the mean pinball loss of later rows."""
    return float(np.nanmean(metrics.pinball_rows(found, dataset.forward[LATER], LEVELS)))


@pytest.mark.usefixtures("named")
def test_two_workers_grow_what_one_process_grows(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all rows for every tree: rounds, both forests and what is added to them are the same to a millionth of a range.

    Thresholds come from a few of the samples, the same few.
    """
    monkeypatch.setattr(forest, "DRAWN_SAMPLES", 400)
    one, two = (forecasts(workers, dataset, **WHOLE) for workers in (1, 2))
    width = np.nanmean(one[..., -1] - one[..., 0])

    np.testing.assert_allclose(two / width, one / width, rtol=0.0, atol=1e-6)


@pytest.mark.usefixtures("named")
def test_two_workers_that_draw_rows_lose_as_little_as_one_process(dataset: Dataset) -> None:
    """Each draws from its own block, so that the trees are others: mean pinball loss is the same within half a percent."""
    assert loss(forecasts(2, dataset), dataset) == pytest.approx(loss(forecasts(1, dataset), dataset), rel=5e-3)


def test_two_workers_give_the_same_bits_again(
    dataset: Dataset, two: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a cluster that was there and in one of our own, whatever its workers' addresses are; and say nothing on stdout."""
    found = []
    for address in (two, two, ""):
        monkeypatch.setenv("NIGHTSHIFT_DASK", address)
        model = trees(2)
        model.fit(dataset, TRAIN, VALID)
        found.append(model.predict(dataset.features, dataset.scale))

    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("killed", [dying.second, dying.every])
def test_workers_that_are_killed_leave_no_half_model(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, killed: Callable[..., bytes]
) -> None:
    """One sentence; what was fitted before stays, what was not is still unfitted, and the next fit is whole."""
    fitted, unfitted = trees(2, **WHOLE), trees(2, **WHOLE)
    fitted.fit(dataset, TRAIN, VALID)
    before, rounds = fitted.predict(dataset.features, dataset.scale), fitted.rounds
    monkeypatch.setattr(forest, "LOOK_S", 1)

    with monkeypatch.context() as patch:
        patch.setattr(forest, "grow", killed)
        for model in (fitted, unfitted):
            with pytest.raises(ResourceError, match="by 2 workers together, but one was lost or failed, and nothing was kept"):
                model.fit(replace(dataset, label=-dataset.label), TRAIN, VALID)

    np.testing.assert_array_equal(fitted.predict(dataset.features, dataset.scale), before)
    assert (fitted.rounds, unfitted.rounds) == (rounds, 0)
    with pytest.raises(ModelError, match="before they were fitted"):
        unfitted.predict(dataset.features, dataset.scale)
    unfitted.fit(dataset, TRAIN, VALID)
    np.testing.assert_array_equal(unfitted.predict(dataset.features, dataset.scale), before)


@pytest.mark.usefixtures("named")
def test_more_workers_than_there_are_is_refused(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both numbers in one sentence, no smaller cluster in silence."""
    monkeypatch.setattr(forest, "ARRIVAL_S", 0.1)

    with pytest.raises(ConfigurationError, match=r"workers 3 was asked for, but the cluster at .* has 2 workers"):
        trees(3).fit(dataset, TRAIN, VALID)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere"])
def test_a_cluster_that_does_not_answer_is_one_sentence(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Trees are not grown elsewhere instead."""
    monkeypatch.setenv("NIGHTSHIFT_DASK", address)

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ResourceError, match=f"NIGHTSHIFT_DASK names a cluster at {address}, but no scheduler answers there"),
    ):
        trees(2).fit(dataset, TRAIN, VALID)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 6))
def test_blocks_are_of_whole_bars_and_about_equal(bars: list[int], blocks: int) -> None:
    """Every sample is in one block; no edge can be nearer to its equal share than the end of the nearest bar."""
    edges = forest.divided(np.array(bars), blocks).tolist()
    ends = [sum(bars[:t]) for t in range(len(bars) + 1)]

    assert edges[0] == 0
    assert edges[-1] == sum(bars)
    assert edges == sorted(set(edges))
    for share in range(blocks + 1):
        wanted = sum(bars) * share / blocks
        assert min(abs(edge - wanted) for edge in edges) == pytest.approx(min(abs(end - wanted) for end in ends))
