"""Classifier: our own reader, learned from labelled sentences that the user has. Words and characters, logistic, calibrated."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from domain.error import DataError, ModelError
from domain.panel import FloatArray
from models.sentiment import contract
from models.sentiment.contract import LABELS

DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
#: Runs of words, and of characters inside words; of each the most common ones.
WORDS: dict[str, Any] = {"analyzer": "word", "ngram_range": (1, 3), "token_pattern": r"[^\W_]+|[%$#+-]"}
CHARACTERS: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (2, 5)}
FEATURES_MAX = {"words": 40_000, "characters": 60_000}
#: The inverse strength of the penalty, chosen by cross-validated log loss among 1, 2, 4, 8 and 16.
STRENGTH = 8.0
FOLDS = 5
SENTENCES_MIN = 50
FORMAT = 1


class Classifier:
    """TF-IDF of word and character n-grams under a multinomial logistic regression, its logits cooled to be calibrated."""

    name = "classifier"

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}
        self._weights = np.zeros((0, len(LABELS)))
        self._bias = np.zeros(len(LABELS))
        self._temperature = 1.0

    def fit(self, sentences: Sequence[str], labels: Sequence[str], seed: int = 0) -> None:
        """Learn from sentences and their LABELS; the temperature comes from sentences that each fold had not seen.

        Guo, Pleiss, Sun, Weinberger 2017, ICML, section 4.2. Raises DataError for unknown labels, or too few of one.
        """
        from sklearn.model_selection import StratifiedKFold

        classes = _classes(labels)
        texts = np.array(sentences, dtype=object)
        logits = np.zeros((len(texts), len(LABELS)))
        for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(texts, classes):
            self._learn(texts[train].tolist(), classes[train])
            logits[test] = self._logits(texts[test].tolist())
        self._learn(list(sentences), classes)
        self._temperature = _temperature(logits, classes)

    def probabilities(self, headlines: Sequence[str]) -> FloatArray:
        """Return [N, 3] calibrated probabilities; see the contract. Raises ModelError before `fit` or `load`."""
        if not self._parts:
            raise ModelError("the sentiment classifier was asked before it had learned: train it or load it first")
        if not len(headlines):
            return np.zeros((0, len(LABELS)))
        return contract.softmax(self._logits(headlines) / self._temperature)

    def score(self, headlines: Sequence[str]) -> FloatArray:
        """Return [N] scores in [-1, 1]."""
        return contract.balance(self.probabilities(headlines))

    def save(self, folder: Path) -> None:
        """Write classifier.json and classifier.npz: terms and numbers, nothing that could be run."""
        folder.mkdir(parents=True, exist_ok=True)
        terms = {name: part.get_feature_names_out().tolist() for name, part in self._parts.items()}
        told = {"format": FORMAT, "labels": LABELS, "temperature": self._temperature, "terms": terms}
        (folder / "classifier.json").write_text(json.dumps(told, ensure_ascii=False) + "\n", encoding="utf-8")
        rarity: dict[str, Any] = {f"rarity_{name}": part.idf_ for name, part in self._parts.items()}
        np.savez_compressed(folder / "classifier.npz", weights=self._weights, bias=self._bias, **rarity)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raise ModelError when it is not there or not whole."""
        try:
            told = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
            with np.load(folder / "classifier.npz", allow_pickle=False) as arrays:
                return cls._restored(told, dict(arrays))
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise ModelError(
                f"a sentiment classifier was asked from {folder}, but none can be read there ({problem}): "
                "train one with nightshift train-sentiment"
            ) from None

    @classmethod
    def _restored(cls, told: dict[str, Any], arrays: dict[str, FloatArray]) -> Self:
        if told["format"] != FORMAT or tuple(told["labels"]) != LABELS:
            raise ValueError(f"format {told['format']} of labels {told['labels']}")
        model = cls()
        model._weights, model._bias, model._temperature = arrays["weights"], arrays["bias"], float(told["temperature"])
        for name, terms in told["terms"].items():
            part = _vectorizer(name, vocabulary={term: place for place, term in enumerate(terms)})
            part.idf_ = arrays[f"rarity_{name}"]
            model._parts[name] = part
        if sum(map(len, told["terms"].values())) != len(model._weights):
            raise ValueError("terms and weights are not equally many")
        return model

    def _learn(self, sentences: list[str], classes: npt.NDArray[np.int64]) -> None:
        from sklearn.linear_model import LogisticRegression

        self._parts = {name: _vectorizer(name, max_features=most).fit(sentences) for name, most in FEATURES_MAX.items()}
        fitted = LogisticRegression(C=STRENGTH, max_iter=300).fit(self._terms(sentences), classes)
        self._weights, self._bias = fitted.coef_.T.copy(), fitted.intercept_.copy()

    def _logits(self, sentences: Sequence[str]) -> FloatArray:
        return np.asarray(self._terms(sentences) @ self._weights + self._bias)

    def _terms(self, sentences: Sequence[str]) -> Any:
        from scipy.sparse import hstack

        return hstack([part.transform(list(sentences)) for part in self._parts.values()], format="csr")


def plain(sentence: str) -> str:
    """Return a sentence in lower case, every number as one sign: what matters is that there is one."""
    return DIGITS.sub("#", sentence.lower())


def _vectorizer(name: str, **more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    kind = WORDS if name == "words" else CHARACTERS
    return TfidfVectorizer(preprocessor=plain, sublinear_tf=True, **kind, **more)


def _classes(labels: Sequence[str]) -> npt.NDArray[np.int64]:
    unknown = sorted(set(labels) - set(LABELS))
    if unknown:
        raise DataError(f"sentences were labelled '{unknown[0]}', but a label is one of {', '.join(LABELS)}")
    classes = np.array([LABELS.index(label) for label in labels], dtype=np.int64)
    counts = np.bincount(classes, minlength=len(LABELS))
    if counts.min() < SENTENCES_MIN:
        scarce = LABELS[int(counts.argmin())]
        raise DataError(
            f"a sentiment classifier was to learn from {counts.min()} {scarce} sentences, but needs {SENTENCES_MIN} of each label"
        )
    return classes


def _temperature(logits: FloatArray, classes: npt.NDArray[np.int64]) -> float:
    """Return what logits are best divided by: the least log loss on sentences that were not learned from."""

    def loss(log_temperature: float) -> float:
        probabilities = contract.softmax(logits / np.exp(log_temperature))
        return float(-np.log(np.maximum(probabilities[np.arange(len(classes)), classes], 1e-300)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))
