"""Lexicon: the reader that needs nothing but its vocabulary. Phrases, negation, emphasis, directions and compared numbers."""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from domain.panel import FloatArray
from models.sentiment import contract, vocabulary

WORD = re.compile(r"[a-z0-9]+(?:[.&'-][a-z0-9]+)*")
#: "0.65 vs $0.60", "13.1 mn from EUR 8.7": a number, and the one that it is compared with. Brackets are a loss.
COMPARED = re.compile(
    r"(?P<new>\(?-?\b(?!(?:19|20)\d\d\b)\d[\d,]*\.?\d*\)?)[^\d;:()]{0,24}?"
    r"\b(?:vs\.?|versus|compared (?:to|with)|as against|against|(?:up |down )?from)"
    r"(?P<between>[^\d;:()]{0,24})(?P<old>\(?-?\d[\d,]*\.?\d*\)?)"
)
#: What makes a compared number a loss, or no longer one.
LOSS, GAIN = re.compile(r"\b(?:loss(?:es)?|negative)\b"), re.compile(r"\bprofits?\b")
#: Words before a word that may turn it round or change its force.
CONTEXT = 3
#: How far before and after a direction word its subject may stand.
BEFORE, AFTER = 6, 4
DIRECTION, DIRECTION_ALONE, NUMBERS = 0.9, 0.6, 1.0
REVERSED, EMPHASIS, HEDGE = -0.7, 1.4, 0.6
#: From the sum of weights to class logits; fitted by log loss to `benchmarks/news/sentiment.md`'s labelled sentences, rounded.
SLOPE, NEUTRAL = 1.9, 1.3

_PHRASES: dict[str, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
for _phrase, _weight in sorted(vocabulary.PHRASES.items(), key=lambda item: -len(item[0])):
    _PHRASES[_phrase[0]].append((_phrase, _weight))


class Lexicon:
    """The embedded default: knows some hundred words and phrases of financial headlines, and learns nothing."""

    name = "lexicon"

    def probabilities(self, headlines: Sequence[str]) -> FloatArray:
        """Return [N, 3] probabilities; see the contract."""
        total = np.array([weigh(headline) for headline in headlines], dtype=np.float64)
        return contract.softmax(np.stack([-SLOPE * total, np.full_like(total, NEUTRAL), SLOPE * total], axis=1))

    def score(self, headlines: Sequence[str]) -> FloatArray:
        """Return [N] scores in [-1, 1]; 0 for a headline without any known word."""
        return contract.balance(self.probabilities(headlines))


def weigh(headline: str) -> float:
    """Return the sum of what a headline's words weigh: positive for good news."""
    text = headline.lower().replace("’", "'")
    words = WORD.findall(text)
    total, place = _compared(text, words), 0
    while place < len(words):
        weight, length = _read(words, place)
        total += weight
        place += length
    return total


def _read(words: list[str], place: int) -> tuple[float, int]:
    """Return the weight of the phrase or direction that begins at `place`, in its context, and how many words it takes."""
    for phrase, weight in _PHRASES.get(words[place], ()):
        if tuple(words[place : place + len(phrase)]) == phrase:
            return weight * _context(words, place), len(phrase)
    sign = (words[place] in vocabulary.UP) - (words[place] in vocabulary.DOWN)
    return (sign * _subject(words, place) * _context(words, place) if sign else 0.0), 1


def _context(words: list[str], place: int) -> float:
    """Return by what negation and emphasis just before (and emphasis just after) multiply a weight."""
    before, near = words[max(0, place - CONTEXT) : place], words[max(0, place - 1) : place + 2]
    factor = REVERSED if any(word in vocabulary.NEGATORS for word in before) else 1.0
    factor *= EMPHASIS if any(word in vocabulary.STRONGER for word in near) else 1.0
    return factor * (HEDGE if any(word in vocabulary.WEAKER for word in near) else 1.0)


def _subject(words: list[str], place: int) -> float:
    """Return what a rise means for the nearest noun that is known, those before it first: 1 good, -1 bad, less where none is."""
    before = words[max(0, place - BEFORE) : place][::-1]
    for word in (*before, *words[place + 1 : place + 1 + AFTER]):
        if word in vocabulary.UNWELCOME:
            # A loss that narrows is good news although the word alone is bad.
            return -2.0 * DIRECTION if (word,) in vocabulary.BAD else -DIRECTION
        if word in vocabulary.WELCOME:
            return DIRECTION
    return DIRECTION_ALONE


def _compared(text: str, words: list[str]) -> float:
    """Return the weight of a number that is compared with another: more of what is welcome is good."""
    found = COMPARED.search(text)
    if found is None:
        return 0.0
    known = [word for word in words if word in vocabulary.WELCOME or word in vocabulary.UNWELCOME]
    if not known:
        return 0.0
    lost = LOSS.search(text[: found.start("new")]) is not None
    lost_before = lost if GAIN.search(found["between"]) is None else False
    new, old = _signed(found["new"], lost), _signed(found["old"], lost_before or LOSS.search(found["between"]) is not None)
    welcome = 1.0 if lost or known[0] in vocabulary.WELCOME else -1.0
    return float(NUMBERS * welcome * np.sign(new - old))


def _signed(text: str, lost: bool) -> float:
    negative = lost or text.startswith(("(", "-"))
    return (-1.0 if negative else 1.0) * float(text.strip("()-").replace(",", "").rstrip("."))
