"""Trees keep the contract, find a planted edge and nothing where nothing is."""

from tests.models.contract import ModelContract


class TestTrees(ModelContract):
    """XGBoost behind the contract."""

    family = "trees"
