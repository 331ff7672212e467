"""Two markets in one account, as a person trades them: days of equities beside hours of crypto, at one exchange."""

from datetime import date
from decimal import Decimal

import pytest

from domain import params as parameters
from domain.error import ConfigurationError
from flows import learn, live, trade
from flows.home import Broker, Home
from pipelines import journal as journals
from pipelines.execution.accounts import JOURNAL
from tests.flows.conftest import MARKET, OPEN, Passed, tiny
from tests.flows.test_live import SINCE, facts, money, opened, reconciled, trade_until, truth

CRYPTO = "sim_crypto"
BOTH = (CRYPTO, MARKET)
#: Hours of crypto around the days at which the exchange begins.
HOURS = {"simulated": {"bars": 700, "start": "2016-01-15"}}


@pytest.fixture
def both(copied: Passed) -> tuple[Passed, dict[str, parameters.Params]]:
    """Return a home in which two markets have a champion, and the parameters of each."""
    learned, spot = tiny(CRYPTO, registry=OPEN, sources=HOURS), {"markets": {CRYPTO: {"instrument": {"shortable": False}}}}
    assert learn.night(CRYPTO, date(2016, 2, 13), copied.home, learned)["promoted"]
    return copied, {
        CRYPTO: parameters.check(parameters.overlay(learned.model_dump(mode="json"), spot)), MARKET: copied.params
    }  # fmt: skip


def traded(there: Passed, market: str) -> int:
    """Return how many bars of a market the account has lived through."""
    return sum(bar["market"] == market for bar in facts(there, "bar"))


def filled(there: Passed) -> set[str]:
    """Return the markets in which something was filled, by the names of their symbols."""
    symbols = {fill["symbol"][0] for fill in facts(there, "fill")}
    return {MARKET if symbol.startswith("SIM") else CRYPTO for symbol in symbols}


def test_one_account_trades_two_markets_and_goes_on_after_a_restart(both):
    """One journal, one purse: what it holds of both is what the exchange holds, to the cent; changed settings are written down.

    The exchange takes its fee of the coins that are bought.
    """
    there, params = both
    tighter = parameters.check(parameters.overlay(params[CRYPTO].model_dump(mode="json"), {"risk": {"gross_max": 1.1}}))
    with opened(there, 0.25, SINCE, BOTH, "--fee-in-coin") as where:
        assert where["markets"] == sorted(BOTH)
        first = trade_until(there, lambda: filled(there) == set(BOTH) and traded(there, MARKET) >= 2, params)
        second = trade_until(there, lambda: traded(there, CRYPTO) > first["markets"][0]["bars"] + 3, {**params, CRYPTO: tighter})
    with opened(there, 1000.0, None, BOTH, "--fee-in-coin") as where:
        trade_until(there, lambda: reconciled(there, where), {**params, CRYPTO: tighter})
        held, cash = truth(where)["positions"], truth(where)["cash"]

    assert [each["market"] for each in first["markets"]] == sorted(BOTH)
    assert traded(there, CRYPTO) > 10 * traded(there, MARKET)
    assert second["markets"][0]["bars"] > first["markets"][0]["bars"]
    assert money(there)[0] == {symbol: Decimal(size) for symbol, size in held.items()}
    assert abs(money(there)[1] - Decimal(cash)) < Decimal("0.005")
    assert [paid for paid in facts(there, "charge") if paid["kind"] == "CFEE" and Decimal(paid["quantity"]) < 0]
    (changed,) = facts(there, "settings")
    assert (changed["market"], changed["changed"]) == (CRYPTO, {"risk.gross_max": [params[CRYPTO].risk.gross_max, 1.1]})
    folder = there.home.account(*BOTH, broker=Broker.EXCHANGE)
    assert journals.verify(folder / JOURNAL).sealed
    assert {path.parent.parent for path in trade.command(CRYPTO, there.home, "halt", "ann", "")} == {
        folder, there.home.account(CRYPTO)
    }  # fmt: skip


def test_what_cannot_be_traded_together_is_one_sentence(beside: Passed):
    """An exchange of one market has no other; what it lacks is named."""
    with opened(beside), pytest.raises(ConfigurationError, match=f"it is open for {MARKET}: open it for all"):
        live.practice(BOTH, beside.home)


def test_an_account_has_one_journal(beside: Passed):
    """A second one that trades the same account would undo its orders: it is refused, with the first one's folder."""
    with opened(beside):
        trade_until(beside, lambda: facts(beside, "bar"))
        folder = beside.home.account(MARKET, broker=Broker.EXCHANGE)
        folder.rename(beside.home.journals / f"{MARKET}+another@exchange")
        with pytest.raises(ConfigurationError, match="is traded by"):
            trade_until(Passed(Home(beside.home.root), beside.params, {}), lambda: False)
    assert not folder.exists()  # nothing is left of what was refused
