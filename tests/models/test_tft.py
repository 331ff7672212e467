"""The transformer keeps the contract."""

from tests.models.contract import ModelContract


class TestTft(ModelContract):
    """The Temporal Fusion Transformer behind the contract."""

    family = "tft"
