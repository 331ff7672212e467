"""FinBERT: a transformer that was trained on financial sentences elsewhere; the stronger reader, loaded only where it is chosen.

Araci 2019, arXiv:1908.10063. Any BERT-like classifier of three classes called negative, neutral and positive will do.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domain.error import ConfigurationError, ModelError
from domain.panel import FloatArray
from models.sentiment import contract
from models.sentiment.contract import LABELS

#: Headlines read at once. Sorted by length, so that little of a batch is padding.
BATCH = 64
#: Word pieces of a headline that are read; longer ones are cut.
PIECES_MAX = 128


class FinBert:
    """A transformer under the contract. `place` is a folder, or a name that the hub is asked for unless HF_HUB_OFFLINE is set."""

    name = "finbert"

    def __init__(self, place: str, device: str = "cpu") -> None:
        transformers, self._torch = _libraries()
        if device.startswith("cuda") and not self._torch.cuda.is_available():
            raise ConfigurationError(f"FinBERT was to run on {device}, but there is no such device: set sources.news.device to cpu")
        self._device = device
        source = {"local_files_only": Path(place).expanduser().is_dir() or os.environ.get("HF_HUB_OFFLINE", "") not in {"", "0"}}
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(place, **source)
            # Weights as safetensors only: the older format is a pickle, which runs what it holds.
            model = transformers.AutoModelForSequenceClassification.from_pretrained(place, use_safetensors=True, **source)
        except (OSError, ValueError) as problem:
            raise ModelError(
                f"FinBERT was asked from '{place}', but could not be loaded: {' '.join(str(problem).split())}"
            ) from None
        self._model = model.to(device).eval()
        self._order = _order({int(i): str(label).lower() for i, label in model.config.id2label.items()}, place)

    def probabilities(self, headlines: Sequence[str]) -> FloatArray:
        """Return [N, 3] probabilities; see the contract."""
        found = np.zeros((len(headlines), len(LABELS)))
        for rows in _batches(headlines):
            found[rows] = contract.softmax(self._logits([headlines[row] for row in rows]))
        return found

    def score(self, headlines: Sequence[str]) -> FloatArray:
        """Return [N] scores in [-1, 1]."""
        return contract.balance(self.probabilities(headlines))

    def _logits(self, headlines: list[str]) -> FloatArray:
        pieces = self._tokenizer(headlines, padding=True, truncation=True, max_length=PIECES_MAX, return_tensors="pt")
        with self._torch.inference_mode():
            logits = self._model(**pieces.to(self._device)).logits
        return np.asarray(logits.double().cpu().numpy()[:, self._order])


def _batches(headlines: Sequence[str]) -> Iterator[list[int]]:
    order = sorted(range(len(headlines)), key=lambda row: (len(headlines[row]), row))
    for first in range(0, len(order), BATCH):
        yield order[first : first + BATCH]


def _order(named: dict[int, str], place: str) -> list[int]:
    """Return the model's columns in the order of LABELS."""
    if sorted(named.values()) != sorted(LABELS):
        found = ", ".join(named[i] for i in sorted(named))
        raise ModelError(f"'{place}' classifies as {found}, but a reader of headlines must know {', '.join(LABELS)}")
    place_of = {label: column for column, label in named.items()}
    return [place_of[label] for label in LABELS]


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as problem:
        raise ConfigurationError(
            f"sentiment was to be read by FinBERT, which needs {problem.name}: pip install 'nightshift[finbert]', "
            "or choose the lexicon or the classifier"
        ) from None
    return transformers, torch
