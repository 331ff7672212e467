"""The desk keeps the compiled book equal to what is exact."""

from dataclasses import replace
from decimal import Decimal

import numpy as np

from domain.order import OrderState
from pipelines.execution.core import remembered
from pipelines.execution.core.desk import Desk, Patience, Place
from pipelines.execution.core.events import Execution, Moment, Report
from pipelines.execution.core.plan import Plan
from pipelines.execution.fills import Book


def test_the_first_price_of_a_symbol_may_be_that_of_an_execution():
    """An order by hand fills before the symbol's first bar: the position is worth what it was bought at, until there is one."""
    book, plan = Book.opened(2, 1_000.0), Plan(Moment(0, 1))
    desk = Desk(book.cash, Patience(), Decimal(1_000), {"AAA": Place(book, 0), "BBB": Place(book, 1)})
    desk.report(Report("by-hand", "B1", "BBB", Decimal(5), OrderState.FILLED, Decimal(5)), plan)

    assert desk.execute(Execution("by-hand", "BBB", Decimal(5), Decimal(20), Decimal(1), Decimal(5), 0), plan) == ""
    assert np.isnan(book.mark[0])
    assert book.mark[1] == 20.0
    assert (desk.holdings, desk.cash) == ({"BBB": Decimal(5)}, Decimal(899))


def test_an_order_by_value_reserves_what_it_buys_at_the_newest_price():
    """Somebody else's 1,000 worth at 50 are 20; what fills at a better price comes to a little more, and is booked."""
    book, plan = Book.opened(1, 1_000.0), Plan(Moment(0, 1))
    book.mark[0] = 50.0
    desk = Desk(book.cash, Patience(), Decimal(1_000), {"AAA": Place(book, 0)})
    working = desk.report(Report("by-hand", "B1", "AAA", Decimal(0), OrderState.NEW, Decimal(0), Decimal(1_000)), plan)

    assert (working.quantity, working.reserved) == (20, 20)
    half = Execution("by-hand", "AAA", Decimal("12.5"), Decimal(40), Decimal(0), Decimal("12.5"), 0)
    assert desk.execute(half, plan) == ""
    assert working.reserved == Decimal("7.5")
    assert desk.execute(replace(half, cumulative=Decimal(25)), plan) == ""
    desk.report(Report("by-hand", "B1", "AAA", Decimal(25), OrderState.FILLED, Decimal(25), Decimal(1_000)), plan)
    assert (working.settled, desk.holdings, desk.cash) == (True, {"AAA": Decimal(25)}, 0)
    told = remembered.adoption(working)["adopted"]
    assert (told["by_value"], Decimal(told["quantity"])) == (True, 20)
