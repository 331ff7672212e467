"""Tests of FinBERT: the contract on a tiny transformer with random weights where the library is at hand, one sentence where not."""

import importlib.util
from pathlib import Path

import pytest

from domain.error import ConfigurationError, ModelError
from models.sentiment import Sentiment, load
from tests.models.sentiment.contract import HEADLINES, SentimentContract

INSTALLED = importlib.util.find_spec("transformers") is not None and importlib.util.find_spec("torch") is not None
NEEDED = pytest.mark.skipif(not INSTALLED, reason="transformers and torch are not installed: pip install 'nightshift[finbert]'")


def tiny(folder: Path, labels: tuple[str, ...] = ("positive", "negative", "neutral")) -> Path:
    """Save a BERT of one small layer, random weights and a vocabulary of letters."""
    import torch
    import transformers

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789$.%"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(pieces), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        num_labels=3, id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@NEEDED
class TestFinBert(SentimentContract):
    """A transformer under the contract."""

    @pytest.fixture
    def reader(self, tmp_path: Path) -> Sentiment:
        """Return a tiny one."""
        return load("finbert", str(tiny(tmp_path / "bert")))


@NEEDED
def test_the_models_own_order_of_labels_is_followed(tmp_path: Path) -> None:
    """The same weights whose labels are named the other way round say the opposite."""
    one = load("finbert", str(tiny(tmp_path / "a", ("positive", "negative", "neutral"))))
    other = load("finbert", str(tiny(tmp_path / "b", ("negative", "positive", "neutral"))))

    assert one.score(HEADLINES) == pytest.approx(-other.score(HEADLINES))


@NEEDED
def test_a_model_of_other_labels_is_refused(tmp_path: Path) -> None:
    """Stars are no sentiment."""
    with pytest.raises(ModelError, match="must know negative, neutral, positive"):
        load("finbert", str(tiny(tmp_path / "c", ("one", "two", "three"))))


@pytest.mark.skipif(INSTALLED, reason="transformers is installed")
def test_without_its_library_one_sentence_says_what_to_install() -> None:
    """It is loaded only where it is chosen."""
    with pytest.raises(ConfigurationError, match=r"pip install 'nightshift\[finbert\]', or choose the lexicon"):
        load("finbert", "ProsusAI/finbert")


def test_a_reader_that_does_not_exist_or_lies_nowhere_is_one_sentence() -> None:
    """The nearest name, and the parameter to set."""
    with pytest.raises(ConfigurationError, match="did you mean 'lexicon'"):
        load("lexikon")
    with pytest.raises(ConfigurationError, match=r"sources.news.model does not say where it lies"):
        load("classifier")
