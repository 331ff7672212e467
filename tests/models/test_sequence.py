"""A sequence network keeps the contract."""

from tests.models.contract import ModelContract


class TestSequence(ModelContract):
    """The convolutional network behind the contract."""

    family = "sequence"
