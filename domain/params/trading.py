"""What is traded: how a model is served, what is decided, what the gate allows, how orders fill, who is told."""

from typing import Literal

from pydantic import ConfigDict, Field

from domain.decision import Mode
from domain.params.section import Section


class Serving(Section):
    """What a trader asks of the model that it loads."""

    golden_tolerance: float = Field(ge=0)
    """Largest difference from the golden vectors at load."""
    age_bars_max: int = Field(ge=1)
    """A model trained longer ago than this opens nothing new."""
    judged_bars_min: int = Field(ge=1)
    """Scored bars before the live record of a version is judged at all."""
    false_alarm_max: float = Field(gt=0, lt=1)
    """Probability that a version that keeps its bounds is ever demoted, however long it trades."""
    coverage_error_max: float = Field(ge=0, lt=0.9)
    """How many fewer outcomes than promised may lie in the widest range, as a share of all."""
    climatology_bars: int = Field(ge=1)
    """Outcomes that the reference of the live record looks back on."""
    shadow_s_max: float = Field(gt=0)
    """Seconds that a challenger has for a bar, or for its first look at the history; a slower one is no longer served."""


class Sizing(Section):
    """How much of a forecast is acted upon; a model may bring settings of its own."""

    model_config = ConfigDict(allow_inf_nan=False)

    edge_sigma_full: float = Field(gt=0)
    """Expected return, in volatilities of the horizon, at which a position is full."""
    band: float = Field(ge=0)
    """A trade must be expected to earn this multiple of its cost."""
    rate: float = Field(gt=0, le=1)
    """Share of the way to the aim that is traded in one bar (Garleanu and Pedersen 2013, J. Finance 68(6))."""


class Decisions(Sizing):
    """How a forecast becomes a target."""

    volatility_target: float = Field(gt=0)
    """Yearly volatility that the book aims at: the budget, which no model changes."""
    weight: float = Field(gt=0)
    """Where one account trades several markets, how much of its equity this one sizes for, beside the weights of the others."""

    @property
    def sizing(self) -> Sizing:
        """Return what a model may bring settings of its own for."""
        return Sizing(**{name: getattr(self, name) for name in Sizing.model_fields})


class Risk(Section):
    """The limits of the gate. Fractions are of equity unless they say otherwise; zero means zero, and none can be left out.

    What adds exposure keeps them in the worst case: whichever of the orders that are working or new may fill.
    """

    symbol_weight_max: float = Field(ge=0)
    """Size of one symbol's position."""
    sector_gross_max: float = Field(ge=0)
    """Gross of the symbols of one sector; those whose sector is unknown count as one sector."""
    market_gross_max: float = Field(ge=0)
    """Gross of this market alone."""
    gross_max: float = Field(ge=0)
    """Gross of the whole account; it shrinks while the account swings more than `volatility_max`."""
    net_max: float = Field(ge=0)
    """Longs less shorts of the whole account, on either side."""
    leverage_max: float = Field(ge=0)
    """Gross of the whole account above which, whatever led there, nothing is added until it is back within."""
    overnight_gross_max: float = Field(ge=0)
    """Gross of this market that is held over a night; what is more is sold before the session's end, 0 leaves nothing."""
    weekend_gross_max: float = Field(ge=0)
    """The same over more than a night: weekends and holidays."""
    closing_bars: int = Field(ge=1)
    """Bars before a session's end from which on the two count; with more than 1 what the last ones do not fill is tried again."""
    volatility_max: float = Field(gt=0)
    """Volatility a year of the account's equity above which `gross_max` shrinks in proportion."""
    buying_power_max: float = Field(ge=0, le=1)
    """Share of what the broker lets the account spend that its orders may take."""
    turnover_max: float = Field(ge=0)
    """Traded notional in one bar."""
    order_notional_max: float = Field(ge=0)
    """In account currency."""
    order_quantity_max: float = Field(ge=0)
    """In units of the symbol."""
    price_collar: float = Field(ge=0)
    """Distance of an order's price from the last mark, as a share of the mark; a market order's price is the last that is known."""
    participation_max: float = Field(ge=0)
    """Share of the last bar's volume; above 1, volume caps nothing (a count of ticks is not a quantity)."""
    liquidity_max: float = Field(ge=0)
    """Share of the average volume of recent bars; above 1 it caps nothing."""
    stop_loss: float = Field(gt=0)
    """Loss on a position's average price that forces it out."""
    trailing_stop: float = Field(gt=0)
    """Loss on the best mark that a position has seen, or on its entry where that was better, that forces it out."""
    daily_loss_max: float = Field(gt=0, le=1)
    """Loss on the equity that the session began with after which nothing is added until the next session."""
    drawdown_max: float = Field(gt=0, le=1)
    """Fall from the equity peak that trips the kill latch."""
    halted: Literal["flatten", "hold"]
    """What a halted account does: close every position, or send nothing at all."""
    orders_max: int = Field(ge=0)
    """Orders in any `orders_window_s`; those that only reduce count and always pass."""
    orders_window_s: float = Field(gt=0)
    repeats_max: int = Field(ge=0)
    """Orders of the same symbol, side and quantity in any `repeats_window_s`."""
    repeats_window_s: float = Field(gt=0)
    symbol_age_bars_max: float = Field(ge=0)
    """Bars that the calendar has expected since a symbol's newest."""
    feed_silence_s_max: float = Field(ge=0)
    """Seconds without any message from a feed that the trader needs."""
    account_age_s_max: float = Field(ge=0)
    """Seconds since positions and orders were last compared with the broker's."""
    clock_offset_s_max: float = Field(ge=0)
    """Seconds between this machine's clock and the broker's, either way."""
    loop_lag_s_max: float = Field(ge=0)
    """Seconds by which the trader runs late."""


class Orders(Section):
    """What is worth sending."""

    notional_min: float = Field(ge=0)
    """Smaller orders are not sent; in account currency."""


class Fills(Section):
    """The paper exchange."""

    capital: float = Field(gt=0)
    """Cash of a new paper account."""
    participation_max: float = Field(gt=0)
    """Share of a bar's volume that one order can take, the rest expires; above 1, volume caps nothing."""


class Journal(Section):
    """How facts are kept: without a choice, each bar is durable before anything is sent."""


class Alerts(Section):
    """What a person hears of at once; where it goes is in the environment, NIGHTSHIFT_ALERTS."""

    topics: list[Literal["halt", "rejection", "alert", "risk", "signal", "fill", "model"]]
    every_s: float = Field(gt=0)
    """Seconds between two messages on one account; halts and rejections do not wait."""
    lines_max: int = Field(ge=1)
    """Lines of one message."""


class AccountParams(Section):
    """An account at a broker that `nightshift up` trades, beside the paper account that every market has of its own."""

    broker: Literal["alpaca", "exchange"]
    """Alpaca's paper account: what trades with money is begun by hand, where its number is typed."""
    markets: tuple[str, ...] = Field(min_length=1)
    mode: Mode
    answer_s: float = Field(gt=0)
    """Seconds that a person has to answer a proposal."""
