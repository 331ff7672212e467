"""What a headline says: text in, probabilities of bad, neutral and good news out."""

from models.sentiment.choice import load
from models.sentiment.contract import LABELS, Sentiment

__all__ = ["LABELS", "Sentiment", "load"]
