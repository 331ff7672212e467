"""Tests of the classifier, on sentences made here: what it must learn, keep and refuse."""

from pathlib import Path

import numpy as np
import pytest

from domain.error import DataError, ModelError
from models.sentiment import LABELS, Sentiment, load
from models.sentiment.classifier import Classifier
from tests.models.sentiment.contract import HEADLINES, SentimentContract

WORDS = {"negative": ("falls", "drops", "loses"), "neutral": ("meets", "names", "moves"), "positive": ("gains", "wins", "climbs")}


def sentences(seed: int) -> tuple[list[str], list[str]]:
    """Return 300 sentences whose verb alone tells the label, a tenth of them labelled wrongly."""
    draw = np.random.default_rng(seed)
    labels = [LABELS[i % 3] for i in range(300)]
    texts = [f"Company {draw.integers(50)} {WORDS[label][draw.integers(3)]} in {draw.integers(2000, 2020)}" for label in labels]
    return texts, [LABELS[draw.integers(3)] if draw.random() < 0.1 else label for label in labels]


@pytest.fixture(scope="module")
def trained() -> Classifier:
    """Return a classifier that learned from such sentences."""
    model = Classifier()
    model.fit(*sentences(1))
    return model


class TestClassifier(SentimentContract):
    """Our own reader."""

    @pytest.fixture
    def reader(self, trained: Classifier) -> Sentiment:
        """Return the trained one."""
        return trained


def test_it_learns_what_is_there(trained: Classifier) -> None:
    """Nine in ten sentences that it never saw are read rightly, and its certainty is no more than that by much."""
    texts, _ = sentences(2)
    found = trained.probabilities(texts)

    assert (found.argmax(axis=1) == np.arange(300) % 3).mean() > 0.95
    assert 0.8 < found.max(axis=1).mean() < 0.99


def test_what_was_saved_reads_the_same_and_holds_no_code(trained: Classifier, tmp_path: Path) -> None:
    """JSON and plain arrays; the loaded one is the saved one to the bit."""
    trained.save(tmp_path)
    loaded = load("classifier", str(tmp_path))

    np.testing.assert_array_equal(loaded.probabilities(HEADLINES), trained.probabilities(HEADLINES))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".npz"}
    with np.load(tmp_path / "classifier.npz", allow_pickle=False) as arrays:
        assert all(array.dtype.kind == "f" for array in arrays.values())


def test_what_cannot_be_used_is_one_sentence(trained: Classifier, tmp_path: Path) -> None:
    """Wrong labels, too few sentences, nothing there, half a model, asked too early."""
    with pytest.raises(DataError, match="labelled 'good', but a label is one of negative, neutral, positive"):
        Classifier().fit(["a"], ["good"])
    with pytest.raises(DataError, match="from 0 negative sentences, but needs 50"):
        Classifier().fit(["a"] * 60, ["neutral"] * 60)
    with pytest.raises(ModelError, match="none can be read there"):
        load("classifier", str(tmp_path / "nowhere"))
    trained.save(tmp_path)
    (tmp_path / "classifier.npz").write_bytes(b"PK")
    with pytest.raises(ModelError, match="none can be read there"):
        load("classifier", str(tmp_path))
    with pytest.raises(ModelError, match="before it had learned"):
        Classifier().score(["a"])
