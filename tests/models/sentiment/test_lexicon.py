"""Tests of the lexicon: what a person reads in a headline, it should read too."""

import pytest

from models.sentiment import Sentiment
from models.sentiment.lexicon import Lexicon
from tests.models.sentiment.contract import SentimentContract

GOOD = [
    "Agilent beats estimates", "Barrick raises outlook", "Goldman Upgrades ABC Corp to Buy", "Acme Q2 EPS $0.65 vs $0.60 Est",
    "Shares of Acme rise", "Acme cuts costs", "Net loss narrowed to 3 mn from 5 mn", "Acme not guilty of fraud",
    "Unemployment falls",
    "Operating profit rose to EUR 13.1 mn from EUR 8.7 mn",
]  # fmt: skip
BAD = [
    "Agilent misses estimates", "Barrick cuts outlook", "Goldman Downgrades ABC Corp to Sell", "Acme Q2 EPS $0.55 vs $0.60 Est",
    "Shares of Acme fall", "Costs rise at Acme", "Net loss widened to 5 mn from 3 mn", "Acme does not beat expectations",
    "Inflation rises", "Acme Q3 EPS $(0.12) vs $(0.10) Est", "Operating loss was 25 mn compared to a profit of 63 mn",
]  # fmt: skip


class TestLexicon(SentimentContract):
    """The embedded default."""

    @pytest.fixture
    def reader(self) -> Sentiment:
        """Return the lexicon."""
        return Lexicon()


@pytest.mark.parametrize("headline", GOOD)
def test_good_news_is_good(headline: str) -> None:
    """Phrases, directions by their subject, negation and compared numbers."""
    assert Lexicon().score([headline])[0] > 0.1


@pytest.mark.parametrize("headline", BAD)
def test_bad_news_is_bad(headline: str) -> None:
    """The same the other way round."""
    assert Lexicon().score([headline])[0] < -0.1


def test_emphasis_and_hedges_change_the_force() -> None:
    """Sharply is more than plainly, slightly is less."""
    weak, plain, strong = Lexicon().score(["Acme slightly declines", "Acme declines", "Acme sharply declines"])

    assert strong < plain < weak < 0.0


def test_a_headline_without_known_words_says_nothing() -> None:
    """Zero, not a little of anything."""
    assert Lexicon().score(["Annual meeting in May"])[0] == 0.0
