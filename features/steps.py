"""Steps beyond the plain indicators, named by what they compute: arithmetic, order flow, regimes, rows, sessions, higher bars."""

import hashlib
from typing import Any

from features import indicators as plain
from features.feature import Feature, Source, label
from features.kernels import (
    arithmetic,
    cross_section,
    exponent,
    flow,
    group,
    normalise,
    order_statistics,
    ranking,
    realised,
    regime,
    robust,
    session,
    timeframe,
    volume,
    window,
)

#: A name that would be longer is cut and told apart by a digest.
NAME_MAX = 80


def step(operation: str, kernel: Any, *inputs: Source, **more: Any) -> Feature:
    """Return a step whose name follows from its operation, inputs and parameters, so that equal steps are one."""
    parameters = ", ".join([*map(label, inputs), *(f"{p:g}" for p in more.get("parameters", ()))])
    name = f"{operation}({parameters})"
    if len(name) > NAME_MAX:
        name = f"{operation}({parameters[: NAME_MAX // 2]}..{hashlib.sha256(name.encode()).hexdigest()[:12]})"
    return Feature(name, kernel, inputs, **more)


def part(of: Feature, place: int, delay: int = 0) -> Feature:
    """Return one series of a step that writes several; `delay` is what it needs beyond the step's own."""
    return Feature(f"{of.name}[{place}]", of.kernel, (of,), part=place, delay=delay)


def linear(x: Source, y: Source, a: float, b: float, c: float = 0.0) -> Feature:
    """Return a x + b y + c."""
    return step("linear", arithmetic.linear, x, y, parameters=(float(a), float(b), float(c)))


def clip(x: Source, low: float, high: float) -> Feature:
    """Return x within fixed limits."""
    return step("clip", arithmetic.clip, x, parameters=(float(low), float(high)))


def magnitude(x: Source) -> Feature:
    """Return the absolute value."""
    return step("abs", arithmetic.magnitude, x)


def sign(x: Source) -> Feature:
    """Return -1, 0 or 1."""
    return step("sign", arithmetic.sign, x)


def product(x: Source, y: Source) -> Feature:
    """Return x y."""
    return step("product", volume.traded, x, y)


def first_known(x: Source, y: Source) -> Feature:
    """Return x, or y where x is unknown."""
    return step("first_known", arithmetic.first_known, x, y)


def settled(x: Feature, grid: float = 0.0, present: Source = "close") -> Feature:
    """Return x, or 0 where x has no value although its warm-up is over; rounded to multiples of 1 / grid where that is positive."""
    return step("settled", arithmetic.settle, x, present, parameters=(x.warm_up + 1, grid), slots=1)


def rounded(x: Source, grid: float) -> Feature:
    """Return x rounded to multiples of 1 / grid."""
    return step("rounded", arithmetic.rounded, x, parameters=(grid,))


def vwap() -> Feature:
    """Return the bar's volume-weighted price: the covariate, or the typical price where it is unknown."""
    return first_known("vwap", plain.typical())


def traded_value() -> Feature:
    """Return what was traded in money: volume at the volume-weighted price."""
    return product(vwap(), "volume")


def hyperbolic_tangent(x: Source, inner: float, outer: float) -> Feature:
    """Return outer * tanh(inner * x)."""
    parameters = (float(inner), float(outer))
    return step("tanh", exponent.hyperbolic_tangent, x, parameters=parameters, slots=exponent.PAIR_SLOTS)


def antilogarithm(x: Source) -> Feature:
    """Return e ** x."""
    return step("exp", exponent.antilogarithm, x, slots=exponent.SLOTS)


def correlation(x: Source, y: Source, bars: int, grid: float = 0.0) -> Feature:
    """Return the rolling correlation of two series, 0 where one of them is flat."""
    return settled(plain.correlation(x, y, bars), grid)


def covariance(x: Source, y: Source, bars: int, grid: float = 0.0) -> Feature:
    """Return the population covariance of two series, 0 where x is flat."""
    return settled(product(plain.beta(x, y, bars), plain.variance(x, bars)), grid)


def yang_zhang(overnight: Feature, body: Feature, drift_free: Feature, bars: int) -> Feature:
    """Return Yang and Zhang's variance of a bar."""
    spreads = (plain.deviation(overnight, bars), plain.deviation(body, bars))
    return step("yang_zhang", realised.yang_zhang, *spreads, plain.sma(drift_free, bars), parameters=(bars,))


def garch(square: Feature, level: Feature, alpha: float, beta: float) -> Feature:
    """Return next bar's variance by GARCH(1, 1) with fixed parameters."""
    return step("garch", realised.garch, square, level, parameters=(alpha, beta), slots=realised.GARCH_SLOTS)


def tick_rule() -> Feature:
    """Return the side of a bar's last move."""
    return step("tick_rule", flow.tick_rule, "close", slots=flow.TICK_SLOTS, delay=1)


def buyer_share(score: Feature) -> Feature:
    """Return the share of volume that buyers started, from `buy_volume` or else from the bar's price change."""
    return step("buyer_share", flow.buyer_share, "buy_volume", "volume", score, slots=exponent.PAIR_SLOTS)


def vpin(share: Feature, size: Feature, buckets: int) -> Feature:
    """Return the imbalance of the last volume buckets, known as many bars after its inputs as there are buckets."""
    slots = flow.VPIN_HEAD + buckets
    return step("vpin", flow.vpin, share, "volume", size, parameters=(buckets, buckets), slots=slots, delay=buckets - 1)


def two_bar_spread(high: Feature, low: Feature, close: Feature) -> Feature:
    """Return Corwin and Schultz's spread of two bars, a fraction of the price, from log prices."""
    alpha = step("two_bar_alpha", flow.two_bar_spread, high, low, close, slots=flow.SPREAD_SLOTS, delay=1)
    return hyperbolic_tangent(alpha, 0.5, 2.0)


def wild_probability(z: Feature, stay_calm: float, stay_wild: float, calm: float, wild: float) -> Feature:
    """Return the filtered probability of the wild one of two states of a standardised return."""
    parameters = (stay_calm, stay_wild, calm, wild)
    return step("two_states", regime.two_states, z, parameters=parameters, slots=regime.TWO_SLOTS)


def three_states(z: Feature, stay: float, means: tuple[float, float], deviations: tuple[float, float, float]) -> Feature:
    """Return the step that writes the filtered probabilities of a falling, a calm and a rising state."""
    parameters = (stay, *means, *deviations)
    return step("three_states", regime.three_states, z, parameters=parameters, slots=regime.THREE_SLOTS, parts=3)


def cusum(z: Feature, drift: float) -> Feature:
    """Return the step that writes the upper and the lower sum of Page's test."""
    return step("cusum", regime.cusum, z, parameters=(drift,), slots=regime.CUSUM_SLOTS, parts=2)


def percentile(x: Source) -> Feature:
    """Return the rank in the row, in (0, 1]; a rank is its own rank."""
    if isinstance(x, Feature) and x.kernel is ranking.percentile:
        return x
    return step("rank", ranking.percentile, x, slots=cross_section.RANK_SLOTS, whole_row=True)


def scaled(x: Source) -> Feature:
    """Return x over the sum of the row's absolute values."""
    return step("scale", ranking.scale, x, whole_row=True)


def demeaned(x: Source) -> Feature:
    """Return x less the mean of its sector in the row."""
    return step("demeaned", group.demean, x, "sector", slots=group.MEAN_SLOTS, whole_row=True)


def sector_rank(x: Source) -> Feature:
    """Return the rank among the sector's values in the row, -0.5 to 0.5."""
    return step("sector_rank", group.rank, x, "sector", slots=group.RANK_SLOTS, whole_row=True)


def row_rank(x: Source) -> Feature:
    """Return the rank in the row, -0.5 to 0.5."""
    return step("row_rank", cross_section.rank, x, slots=cross_section.RANK_SLOTS, whole_row=True)


def row_score(x: Source) -> Feature:
    """Return the distance from the row's mean in the row's deviations."""
    return step("row_score", group.score, x, whole_row=True)


def residual(y: Feature, x: Feature, slope: Feature) -> Feature:
    """Return y - slope * x."""
    return step("residual", group.residual, y, x, slope)


def row_mean(x: Source) -> Feature:
    """Return the row's mean."""
    return step("row_mean", cross_section.mean, x, whole_row=True)


def row_summary(x: Source) -> Feature:
    """Return the step that writes the row's deviation, share above zero, and maximum."""
    return step("row_summary", group.summary, x, whole_row=True, parts=3)


def rolling_share(x: Source, bars: int) -> Feature:
    """Return the mean rank of x in its window over the window's length, in (0, 1]."""
    slots = window.HEAD + 1 + bars
    return step("window_rank", normalise.rolling_rank, x, parameters=(bars,), slots=slots, delay=bars - 1)


def extreme_place(x: Source, bars: int, side: float) -> Feature:
    """Return the place, 1 (oldest) to `bars`, of the highest (`side` 1) or the lowest (-1) of the last bars."""
    slots = window.HEAD + 2 + bars
    return step("extreme_place", normalise.extreme_place, x, parameters=(bars, float(side)), slots=slots, delay=bars - 1)


def exponential_score(x: Source, bars: int) -> Feature:
    """Return the distance from the exponential mean in exponential deviations."""
    return step("ema_score", normalise.exponential_score, x, parameters=(bars,), slots=normalise.SCORE_SLOTS, delay=bars - 1)


def robust_score(x: Source, bars: int) -> Feature:
    """Return the distance from the window's median in interquartile ranges of a normal variable's deviation."""
    slots = order_statistics.HEAD + 2 * bars
    return step("robust_score", robust.score, x, parameters=(bars,), slots=slots, delay=bars - 1)


def fractional(x: Source, orders: tuple[float, float], bars: int) -> Feature:
    """Return the step that writes two fractional differences."""
    slots = window.HEAD + normalise.ORDERS + bars
    parts = normalise.ORDERS
    return step("fractional", normalise.fractional, x, parameters=(*orders, bars), slots=slots, delay=bars - 1, parts=parts)


def sessions() -> Feature:
    """Return the step that says where a bar lies in its session."""
    inputs = ("opened_at", "event_at", plain.logarithm("open"), plain.logarithm("close"), "since_open", "until_close")
    return step("session", session.session, *inputs, slots=session.SLOTS, parts=6)


def volume_clock(minutes: int, slots: int, gain: float) -> Feature:
    """Return the session's volume so far over what is usual at this time of the session.

    Unknown in a symbol's first session; that `delay` says one bar is true where a session has one.
    """
    clock = sessions()
    return step(
        "volume_clock",
        session.volume_clock,
        part(clock, 0),
        part(clock, 2),
        "volume",
        parameters=(minutes, slots, gain),
        slots=session.CLOCK_HEAD + slots,
        delay=1,
    )


def higher_bars(bars: int) -> tuple[Feature, Feature, Feature, Feature, Feature]:
    """Return open, high, low, close and volume of each `bars` bars, known at the last of them and unknown at all others."""
    inputs = ("open", "high", "low", "close", "volume")
    made = step(
        "higher_bars",
        timeframe.every,
        *inputs,
        parameters=(bars,),
        slots=timeframe.BAR_SLOTS,
        delay=bars - 1,
        parts=timeframe.BAR_PARTS,
    )
    return part(made, 0), part(made, 1), part(made, 2), part(made, 3), part(made, 4)


def calendar_bars(period_us: int, offset_us: int = 0) -> tuple[Feature, Feature, Feature, Feature, Feature]:
    """Return open, high, low, close and volume of each hour, day or week (UTC), known when it is complete.

    How many bars that takes depends on the market, so that `warm_up` is a lower bound.
    """
    inputs = ("event_at", "open", "high", "low", "close", "volume")
    parameters, slots = (period_us, offset_us), timeframe.BAR_SLOTS
    made = step("calendar_bars", timeframe.calendar, *inputs, parameters=parameters, slots=slots, parts=timeframe.BAR_PARTS)
    return part(made, 0), part(made, 1), part(made, 2), part(made, 3), part(made, 4)


def held(x: Feature, bars: int = 1) -> Feature:
    """Return the last known value of a measure of higher bars, each of `bars` bars, at every bar."""
    higher = x.warm_up - (bars - 1)
    return step("held", timeframe.held, x, "close", slots=timeframe.HELD_SLOTS, delay=higher * (bars - 1))
