"""Fees that a broker takes of the coins that were bought, by hand: whether it tells of them at once, late, or never."""

from decimal import Decimal

import pytest

from pipelines.execution.core.events import Charge, Ticked
from pipelines.execution.core.machine import Core
from pipelines.execution.core.seat import Traded
from tests.pipelines.execution import recorded
from tests.pipelines.execution.core.test_machine import CAPITAL, Hand

COINS, PARAMS = recorded.terms("crypto", decisions={"rate": 1.0, "band": 0.0}, risk={"turnover_max": 3.0})
RATE = Decimal("0.0025")


class Wallet(Hand):
    """An account of coins."""

    traded = Traded(COINS, PARAMS, ("BTC/USD", "ETH/USD"), "1")

    def bought(self):
        """Buy coins, of which a fee is taken without a word; return how much was bought."""
        sent = self.bar((3.0, 0.0))["BTC/USD"]
        self.fill(sent)
        self.held["BTC/USD"] -= sent.quantity * RATE
        return sent.quantity

    def wait(self, readings=2):
        """Let time pass, and the account be read."""
        for _ in range(readings):
            self.second += 61
            self.step(Ticked())
            self.read()

    def fee(self, size, identity="F1"):
        """Tell of a fee in coins."""
        self.charges.append(Charge(identity, Decimal(0), "CFEE", self.at.ns, "BTC/USD", -size))

    @property
    def told(self):
        return [each.payload for each in self.records if each.kind == "charge"]


@pytest.fixture
def wallet():
    return Wallet()


@pytest.mark.fault("F78")
def test_a_fee_that_is_told_of_is_booked(wallet):
    """The coins are fewer, and have cost what the whole purchase cost."""
    size = wallet.bought()
    wallet.fee(size * RATE)
    wallet.wait()
    book = wallet.core.seats["crypto"].trader.book

    assert wallet.core.desk.holdings == wallet.held
    assert book.average[0] == pytest.approx(100 / (1 - float(RATE)))
    assert wallet.core.ready
    assert wallet.core.desk.prepaid == {}


@pytest.mark.fault("F78")
@pytest.mark.parametrize("again", [False, True])
def test_a_fee_that_is_told_of_late_is_booked_once(wallet, again):
    """What stands as a difference is believed to be the fee; its word, when it comes, moves nothing more."""
    size = wallet.bought()
    wallet.wait()
    assert wallet.core.ready
    assert wallet.core.desk.holdings == wallet.held
    assert wallet.core.desk.prepaid == {"BTC/USD": size * RATE}
    if again:
        wallet.core = Core([wallet.traded], CAPITAL).restore(wallet.core.packed(), [], wallet.at)
    wallet.fee(size * RATE)
    wallet.wait()

    assert wallet.core.desk.holdings == wallet.held
    assert wallet.core.desk.prepaid == {}
    assert [Decimal(each["quantity"]) for each in wallet.told] == [-size * RATE, 0]


def test_a_part_of_what_is_told_of_is_new(wallet):
    """A fee was believed, and another one has been taken since: the word tells of both."""
    size = wallet.bought()
    wallet.wait()
    wallet.fee(size * RATE * 2)
    wallet.held["BTC/USD"] -= size * RATE
    wallet.wait()

    assert wallet.core.desk.holdings == wallet.held
    assert wallet.core.ready


def test_what_is_too_much_for_a_fee_is_a_difference(wallet):
    """A hundredth is gone: nothing new is opened until a person has looked."""
    size = wallet.bought()
    wallet.held["BTC/USD"] -= size / 100
    wallet.wait()

    assert not wallet.core.ready
    assert wallet.core.desk.prepaid == {}


def test_of_shares_no_fee_is_taken():
    """A broker that holds fewer of them is to be looked at."""
    hand = Hand()
    sent = hand.bar((3.0, 0.0))["AAA"]
    hand.fill(sent)
    hand.held["AAA"] -= sent.quantity * RATE
    for _ in range(2):
        hand.second += 61
        hand.step(Ticked())
        hand.read()

    assert not hand.core.ready
