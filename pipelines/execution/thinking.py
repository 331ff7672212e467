"""Thinking: closed bars as the core's events, each with what the model says of it and how an order comes to its next open.

The model thinks in a thread of its own, so that news of orders is taken in meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from domain import factors, session
from domain.clock import Clock
from domain.factors import Actions, Factors
from domain.market import AssetClass, Market
from domain.order import NEXT_OPEN, Terms, TimeInForce
from domain.panel import Panel
from pipelines.execution import gaps, orders
from pipelines.execution.core.events import BarClosed, Event, TookOver
from pipelines.execution.mind import Mind

#: Days in which the next bar is looked for: most often soon, after the longest holidays at last.
AHEAD = (1, 4, 30)
#: An order that is sent after the close waits for the next session's open, as Alpaca has it; one at once would be refused.
OVERNIGHT = Terms(time_in_force=TimeInForce.DAY)


async def closed(
    mind: Mind, market: Market, bars: AsyncIterator[Panel], lived: int, time: Clock, laid: Factors | None = None
) -> AsyncIterator[Event]:  # fmt: skip
    """Yield what each bar leads to; `lived` bars are behind the account, and the mind has seen them.

    `laid` are the factors on the newest of those, of which none are the same as no actions ever.
    """
    async for bar in bars:
        heard_ns = time.monotonic_ns()
        laid = Factors.blank(len(bar.symbols)) if laid is None else laid
        for event in await asyncio.to_thread(spoken, mind, market, bar, lived, heard_ns, laid.between(bar)):
            yield event
        lived, laid = lived + 1, laid.after(bar)
        await asyncio.to_thread(mind.follow, lived, bar, bar.event_at[0])


def spoken(
    mind: Mind, market: Market, bar: Panel, lived: int, heard_ns: int = 0, actions: Actions | None = None
) -> list[Event]:  # fmt: skip
    """Return the events of one bar: another model, if one takes over, and the bar itself with its forecast.

    The model reads total returns; the account lives through what was printed, and is told what lies between.
    """
    version = mind.version
    facts = mind.hear(bar, lived)
    events: list[Event] = [] if mind.version == version else [TookOver(market.name, mind.served.version, mind.terms)]
    forecast = mind.think(bar, lived)
    day = float(session.days(market, bar.opened_at)[0])
    closing = float(gaps.most(market, mind.terms.risk, bar.event_at)[0])
    events.append(BarClosed(
        factors.printed(bar), forecast, mind.scale, day, closing, terms_after(market, bar), is_regular(market, bar),
        mind.valid(bar.event_at[0]), due_ns(market, bar), heard_ns, tuple(facts), actions,
    ))  # fmt: skip
    return events


def terms_after(market: Market, bar: Panel) -> Terms:
    """Return how an order sent at a bar's close comes to trade at the next open; what does not fill there ends, if not at once."""
    opened_at, event_at = orders.moment(bar.opened_at[0]), orders.moment(bar.event_at[0])
    overnight = market.asset_class == AssetClass.EQUITY and session.next_close(market, opened_at) <= event_at
    return OVERNIGHT if overnight else NEXT_OPEN


def due_ns(market: Market, bar: Panel) -> int:
    """Return when the bar after this one is to close, nanoseconds since 1970."""
    after = orders.moment(bar.event_at[0])
    opened = next(found for days in AHEAD if len(found := session.grid(market, after, after + timedelta(days=days))))[:1]
    return orders.microseconds(session.closes(market, opened)[0]) * 1000


def is_regular(market: Market, bar: Panel) -> bool:
    """Return whether a bar closes in a regular session, or at its end; before and after them only limit orders may be sent."""
    opened_at, event_at = orders.moment(bar.opened_at[0]), orders.moment(bar.event_at[0])
    table = session.sessions(market.calendar, opened_at.date(), event_at.date())
    return any(opened < event_at <= closed for opened, closed in zip(table["opened_at"], table["closed_at"], strict=True))
