"""Choice: the reader of headlines that the parameters ask for."""

from pathlib import Path

from domain.error import ConfigurationError, nearest
from models.sentiment.contract import Sentiment

CHOICES = ("lexicon", "classifier", "finbert")


def load(name: str, place: str = "", device: str = "cpu") -> Sentiment:
    """Return the reader called `name`: lexicon, classifier (`place` is its folder) or finbert (a folder or a hub's name).

    `device` is where finbert runs, cpu or cuda. Raises ConfigurationError for another name, or one that needs a place and has
    none; ModelError when nothing usable lies there.
    """
    if name not in CHOICES:
        raise ConfigurationError(f"sentiment was to be read by '{name}': {nearest(name, CHOICES)}")
    if name == "lexicon":
        from models.sentiment.lexicon import Lexicon

        return Lexicon()
    if not place:
        raise ConfigurationError(f"sentiment was to be read by the {name}, but sources.news.model does not say where it lies")
    if name == "classifier":
        from models.sentiment.classifier import Classifier

        return Classifier.load(Path(place).expanduser())
    from models.sentiment.finbert import FinBert

    return FinBert(place, device)
