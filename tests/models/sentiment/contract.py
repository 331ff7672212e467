"""What every reader of headlines must hold to; each one's tests inherit it."""

import numpy as np
import pytest

from models.sentiment import LABELS, Sentiment

HEADLINES = [
    "Acme beats expectations and raises outlook", "Acme misses estimates, cuts guidance", "Acme to hold its annual meeting in May",
    "", "ACME SHARES PLUNGE!!!", "Gewinn steigt um 5 % – größte Übernahme", "$ACME 12.5 vs. (0.3)", "a" * 2000,
]  # fmt: skip


class SentimentContract:
    """The promises of the contract."""

    @pytest.fixture
    def reader(self) -> Sentiment:
        """Return the reader under test."""
        raise NotImplementedError

    def test_probabilities_are_probabilities(self, reader: Sentiment) -> None:
        """Three a headline, none negative, one in sum: whatever the text is."""
        found = reader.probabilities(HEADLINES)

        assert found.shape == (len(HEADLINES), len(LABELS))
        assert found.dtype == np.float64
        assert (found >= 0.0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)

    def test_the_score_is_good_less_bad(self, reader: Sentiment) -> None:
        """It lies in [-1, 1], whoever reads."""
        found = reader.probabilities(HEADLINES)

        np.testing.assert_allclose(reader.score(HEADLINES), found[:, 2] - found[:, 0], atol=1e-12)

    def test_a_headline_is_read_alone(self, reader: Sentiment) -> None:
        """What stands beside it and in which order changes nothing: features must not depend on how news was batched."""
        together = reader.score(HEADLINES)

        np.testing.assert_allclose([reader.score([headline])[0] for headline in HEADLINES], together, atol=1e-6)
        np.testing.assert_allclose(reader.score(HEADLINES[::-1]), together[::-1], atol=1e-6)

    def test_nothing_to_read_is_no_error(self, reader: Sentiment) -> None:
        """A quiet day has no headlines."""
        assert reader.score([]).shape == (0,)
        assert reader.probabilities([]).shape == (0, 3)
