"""Sentiment: what every reader of headlines takes, gives and promises."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from domain.panel import FloatArray

#: The classes, in the order of the columns of `probabilities`.
LABELS = ("negative", "neutral", "positive")


class Sentiment(Protocol):
    """Reads headlines. What it says of one depends on that one alone, not on the others that are read with it."""

    name: str

    def probabilities(self, headlines: Sequence[str]) -> FloatArray:
        """Return float64 [N, 3]: the probabilities of LABELS, each row summing to 1; an empty text is neutral at best."""
        ...

    def score(self, headlines: Sequence[str]) -> FloatArray:
        """Return float64 [N] in [-1, 1]: the probability of good news less that of bad news."""
        ...


def balance(probabilities: FloatArray) -> FloatArray:
    """Return the probability of good news less that of bad news."""
    return np.asarray(probabilities[:, 2] - probabilities[:, 0])


def softmax(logits: FloatArray) -> FloatArray:
    """Return rows of probabilities."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
