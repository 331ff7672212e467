"""params.yaml: typed, frozen, and helpful about typing errors."""

from pathlib import Path

import pytest
import yaml

from domain import params
from domain.error import ConfigurationError, UnknownMarket, UnknownParameter

ROOT = Path(__file__).parents[2]


def written(folder: Path, change: dict[str, object]) -> Path:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params.overlay(raw, change)))
    return path


def test_a_section_exists_for_every_stop_in_the_order_of_the_path() -> None:
    """The fifteen words name the sections."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())

    sections = [name for name in raw if name in params.STOPS]

    assert sections == list(params.STOPS)
    assert set(raw) - set(params.STOPS) == {"profile", "profiles", "experiment", "markets", "accounts", "alerts"}


@pytest.mark.parametrize("profile", ["tiny", "demo", "full"])
def test_every_profile_loads_for_every_market(profile: str) -> None:
    """Each committed combination is checked against the types."""
    for market in params.load(ROOT / "params.yaml").markets:
        loaded = params.load(ROOT / "params.yaml", market=market, profile=profile)

        assert loaded.market(market).name == market


def test_an_unknown_parameter_suggests_the_right_one(tmp_path: Path) -> None:
    """A typing error is answered with the nearest key."""
    path = written(tmp_path, {"training": {"trees": {"detph": 3}}})

    with pytest.raises(UnknownParameter, match=r"training\.trees\.detph is not a parameter: did you mean 'depth'\?"):
        params.load(path)


def test_an_unknown_section_suggests_the_right_one(tmp_path: Path) -> None:
    """A misspelt stop is found as well."""
    with pytest.raises(UnknownParameter, match="did you mean 'training'"):
        params.load(written(tmp_path, {"trainign": {}}))


def test_an_unknown_key_in_a_market_suggests_the_right_one(tmp_path: Path) -> None:
    """Markets are checked like sections."""
    with pytest.raises(UnknownParameter, match="did you mean 'horizon'"):
        params.load(written(tmp_path, {"markets": {"fx": {"horzion": 3}}}))


def test_an_unknown_override_section_suggests_the_right_one(tmp_path: Path) -> None:
    """An override may only name stops."""
    with pytest.raises(UnknownParameter, match=r"markets\.fx\.override\.rsik is not a parameter: did you mean 'risk'"):
        params.load(written(tmp_path, {"markets": {"fx": {"override": {"rsik": {}}}}}), market="fx")


ACCOUNT = {"broker": "alpaca", "markets": ["us_equity", "crypto"], "mode": "autonomous", "answer_s": 300}


def test_an_account_at_a_broker_may_trade_several_markets(tmp_path: Path) -> None:
    """Its markets and who decides are read as they stand."""
    (account,) = params.load(written(tmp_path, {"accounts": [ACCOUNT]})).accounts

    assert (account.broker, account.markets, account.mode.value) == ("alpaca", ("us_equity", "crypto"), "autonomous")


@pytest.mark.parametrize(
    ("accounts", "fault"),
    [
        ([{**ACCOUNT, "mdoe": "manual"}], r"accounts\.0\.mdoe is not a parameter: did you mean 'mode'"),
        ([{**ACCOUNT, "markets": ["crypot"]}], "did you mean 'crypto'"),
        ([{**ACCOUNT, "markets": []}], r"accounts\.0\.markets"),
        ([{**ACCOUNT, "broker": "paper"}], r"accounts\.0\.broker.*'alpaca' or 'exchange'"),
        ([ACCOUNT, {**ACCOUNT, "markets": ["fx"]}], "2 accounts at alpaca, and one is all that its keys open"),
    ],
)
def test_an_account_that_cannot_be_is_one_sentence(tmp_path: Path, accounts: list[dict[str, object]], fault: str) -> None:
    """A misspelt word, a market that is not there, none, one on paper, and two that the same keys would open."""
    with pytest.raises(ConfigurationError, match=fault):
        params.load(written(tmp_path, {"accounts": accounts}))


def test_an_unknown_market_suggests_the_right_one() -> None:
    """The command line's market is checked before anything runs."""
    with pytest.raises(UnknownMarket, match="did you mean 'crypto'"):
        params.load(ROOT / "params.yaml", market="crypot")


def test_a_value_out_of_range_says_what_was_found(tmp_path: Path) -> None:
    """The sentence holds the path, the rule and the value."""
    with pytest.raises(ConfigurationError, match=r"risk\.drawdown_max.*less than or equal to 1.*1\.5"):
        params.load(written(tmp_path, {"risk": {"drawdown_max": 1.5}}))


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    """No traceback for a wrong path."""
    with pytest.raises(ConfigurationError, match="there is no such file"):
        params.load(tmp_path / "params.yaml")


@pytest.mark.fault("F104")
def test_a_file_that_is_not_yaml_is_one_sentence(tmp_path: Path) -> None:
    """A broken file is named."""
    (tmp_path / "params.yaml").write_text("a: [")

    with pytest.raises(ConfigurationError, match="is not YAML"):
        params.load(tmp_path / "params.yaml")


def test_the_override_of_a_market_changes_that_market_alone(tmp_path: Path) -> None:
    """The market's word lies over the general one."""
    path = written(tmp_path, {"markets": {"fx": {"override": {"training": {"folds": 9}}}}})

    assert params.load(path, market="fx").training.folds == 9
    assert params.load(path, market="crypto").training.folds != 9


def test_the_digest_follows_the_sections_that_it_names(tmp_path: Path) -> None:
    """A change of risk leaves the digest of training as it was."""
    before = params.load(ROOT / "params.yaml")
    after = params.load(written(tmp_path, {"risk": {"gross_max": 0.5}}))

    assert before.digest("training") == after.digest("training")
    assert before.digest() != after.digest()


def test_stored_bars_must_divide_those_of_the_market(tmp_path: Path) -> None:
    """Hours cannot be made of four-hour bars, nor of a length that does not exist."""
    with pytest.raises(ConfigurationError, match=r"markets\.fx stores 4h bars, of which no 1h bars can be made"):
        params.load(written(tmp_path, {"markets": {"fx": {"stored": "4h"}}}))
    with pytest.raises(ConfigurationError, match=r"markets\.fx\.stored"):
        params.load(written(tmp_path, {"markets": {"fx": {"stored": "7m"}}}))


def test_the_rules_of_a_universe_are_typed(tmp_path: Path) -> None:
    """A misspelled rule is a sentence, not a market without it."""
    told = params.load(written(tmp_path, {"markets": {"us_equity": {"universe": {"top": 50, "price_min": 5}}}}))

    assert told.market("us_equity").universe.top == 50
    with pytest.raises(UnknownParameter, match="top"):
        params.load(written(tmp_path, {"markets": {"us_equity": {"universe": {"tops": 50}}}}))


def test_a_model_changes_how_much_is_acted_upon_and_never_the_budget() -> None:
    """Its settings lie over params.yaml's own; the volatility target and all else stay, and the parameters are left alone."""
    loaded = params.load(ROOT / "params.yaml")
    brought = params.Sizing(edge_sigma_full=0.125, band=2.0, rate=1.0)

    sized = loaded.sized(brought)

    assert sized.decisions.sizing == brought
    assert sized.decisions.volatility_target == loaded.decisions.volatility_target
    assert sized.model_dump(exclude={"decisions"}) == loaded.model_dump(exclude={"decisions"})
    assert loaded.sized(None) == loaded == params.load(ROOT / "params.yaml")


@pytest.mark.parametrize("value", [{"rate": [1.5]}, {"edge_sigma_full": [0.0]}, {"band": [-1.0]}])
def test_settings_that_could_not_be_traded_are_not_tried(tmp_path: Path, value: dict[str, object]) -> None:
    """What a search may try keeps within the bounds of what it replaces."""
    with pytest.raises(ConfigurationError, match=rf"learning\.sizing\.{next(iter(value))}"):
        params.load(written(tmp_path, {"learning": {"sizing": value}}))
