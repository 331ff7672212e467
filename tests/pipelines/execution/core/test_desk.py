"""The desk keeps the compiled book equal to what is exact."""

from decimal import Decimal

import numpy as np

from domain.order import OrderState
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
