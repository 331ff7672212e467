"""Decisions: from forecasts to the quantity wanted in every symbol, net of what getting there costs.

The conviction in a symbol is its expected return in volatilities of the horizon, 1 at `edge_sigma_full`. A full position risks the
same in every symbol, and the positions together aim at the volatility target under one average correlation, measured as we go:

    variance of the book = k^2 ((1 - rho) sum a^2 + rho (sum a)^2),    weight = k a / sigma,    |a| <= 1

With `k` set for N full positions and the book's actual tilt `sum a`, the target is reached when every conviction is full and not
exceeded, as far as one number tells how symbols move together. It does not where a few hundred names share sectors and betas: there
the books that were aimed at move more than was claimed of them. How much more is measured as well, and the next ones are made
smaller by it (Menchero, Orr and Wang 2011, The Barra US Equity Model (USE4): their volatility regime adjustment, of a whole book).

The aim is what a quadratic utility holds, so that the marginal gain of moving to it is known and can be set against the cost of the
round trip: inside that band nothing is traded, outside it a share `rate` of the way (Garleanu and Pedersen 2013).
"""

import math
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from domain import cost
from domain.compiled import money
from domain.cost import Rates
from domain.decision import Reason
from domain.forecast import LEVELS, MEDIAN
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params
from pipelines.execution import fills

CodeArray = npt.NDArray[np.int64]

LOWEST, HIGHEST = 0, len(LEVELS) - 1
#: What turns the distance between the outermost quantiles of LEVELS (0.05 and 0.95) of a normal into its standard deviation.
SIGMA_OF_SPREAD = 1 / (2 * 1.6448536269514722)
#: Correlation before any was measured, and the bars over which it is averaged.
CORRELATION_PRIOR = 0.3
CORRELATION_BARS = 250.0
CORRELATION_MAX = 0.95
#: Bars over which a book's own risk is averaged, and the multiple of what was expected above which one bar's square tells no more.
BIAS_BARS = 60.0
BIAS_MAX = 25.0


class Settings(NamedTuple):
    """What the step needs of params.yaml and the market, ready for compiled code."""

    rates: Rates
    lot: float
    shortable: bool
    volatility_bar: float
    """Volatility of one bar that the book aims at."""
    edge_sigma_full: float
    band: float
    rate: float
    symbol_weight_max: float
    gross_max: float
    net_max: float
    notional_min: float


class State(NamedTuple):
    """What decisions remember between bars; changed in place."""

    close: FloatArray
    """[S] last known close."""
    moments: FloatArray
    """[2] averages of N m^2 and of the mean of z^2, z the standardised returns of a bar and m their mean over N symbols."""
    active: FloatArray
    """[1] average of N."""
    weight: FloatArray
    """[S] weights that were last aimed at, of equity."""
    risk: FloatArray
    """[S] the same times each symbol's volatility of one bar."""
    bias: FloatArray
    """[1] average of the squared return of the aimed book over the variance that was claimed of it."""

    @classmethod
    def blank(cls, symbols: int) -> Self:
        """Return the memory of a book that has seen nothing: the correlation is the prior's."""
        count = float(max(symbols, 2))
        moments = np.array([1.0 + (count - 1.0) * CORRELATION_PRIOR, 1.0])
        return cls(np.full(symbols, np.nan), moments, np.array([count]), np.zeros(symbols), np.zeros(symbols), np.ones(1))


class Targets(NamedTuple):
    """What one bar decided; every row is overwritten."""

    quantity: FloatArray
    """[S] signed quantity wanted."""
    aim: FloatArray
    """[S] conviction in [-1, 1], 0 where nothing worth its cost is believed, NaN where there is no forecast."""
    sigma: FloatArray
    """[S] the forecast's volatility over the horizon."""
    full: FloatArray
    """[S] weight of a full position."""
    reason: CodeArray
    """[S] codes of Reason."""

    @classmethod
    def blank(cls, symbols: int) -> Self:
        """Return room for one bar."""
        return cls._make([*np.zeros((4, symbols)), np.zeros(symbols, dtype=np.int64)])


def settings(market: Market, params: Params) -> Settings:
    """Return how params.yaml wants a market decided; the aims keep within the gate's limits, so that it seldom has to cut."""
    chosen, limits = params.decisions, params.risk
    volatility_bar = chosen.volatility_target / math.sqrt(market.bars_a_year)
    return Settings(
        rates=market.cost.rates(),
        lot=market.instrument.lot,
        shortable=market.instrument.shortable,
        volatility_bar=volatility_bar,
        edge_sigma_full=chosen.edge_sigma_full,
        band=chosen.band,
        rate=chosen.rate,
        symbol_weight_max=limits.symbol_weight_max,
        gross_max=limits.gross_max,
        net_max=limits.net_max,
        notional_min=params.orders.notional_min,
    )


@money
def correlation(state: State) -> float:
    """Return the average pairwise correlation of the symbols, in [0, CORRELATION_MAX].

    With z standardised, N m^2 averages 1 + (N - 1) rho times the mean of z^2.
    """
    excess = state.moments[0] / state.moments[1] - 1.0 if state.moments[1] > 0.0 else 0.0
    return float(min(max(excess / max(state.active[0] - 1.0, 1.0), 0.0), CORRELATION_MAX))


@money
def variance(rho: float, own: float, tilt: float) -> float:
    """Return a book's variance of the sum of squares and the sum of its positions' risks, under one correlation."""
    return (1.0 - rho) * own + rho * tilt * tilt


@money
def observe(state: State, close: FloatArray, scale: FloatArray) -> float:
    """Take in one bar's returns and return the average correlation by then; gaps count over the bars that they span.

    What the book last aimed at has earned is held against the variance that was claimed of it, over the symbols that have a price.
    """
    before, gain, own, tilt = correlation(state), 0.0, 0.0, 0.0
    total, squares, count = 0.0, 0.0, 0
    for s in range(len(close)):
        if close[s] > 0.0:
            if state.close[s] > 0.0:
                move = close[s] / state.close[s] - 1.0
                gain += state.weight[s] * move
                own += state.risk[s] * state.risk[s]
                tilt += state.risk[s]
                if scale[s] > 0.0:
                    z = move / scale[s]
                    total += z
                    squares += z * z
                    count += 1
            state.close[s] = close[s]
    review(state, gain, variance(before, own, tilt))
    if count > 1:
        weight = 1.0 / CORRELATION_BARS
        state.moments[0] += weight * (total * total / count - state.moments[0])
        state.moments[1] += weight * (squares / count - state.moments[1])
        state.active[0] += weight * (count - state.active[0])
    return correlation(state)


@money
def review(state: State, gain: float, claimed: float) -> None:
    """Average the square of what a book earned over the variance claimed of it; one wild bar tells only so much."""
    if claimed > 0.0:
        most = BIAS_MAX * max(state.bias[0], 1.0)
        state.bias[0] += (min(gain * gain / claimed, most) - state.bias[0]) / BIAS_BARS


@money
def convictions(settings: Settings, forecast: FloatArray, close: FloatArray, scale: FloatArray, out: Targets) -> int:
    """Write each symbol's conviction to `out.aim`, NaN where forecast, price or scale is missing; return how many there are.

    It is 0 where the expected return does not pay for one trade, and where only a short would earn it and none is possible. Where
    shorting is possible the average conviction is taken out: it is the part that all symbols share, which forecasts know least
    about and which no number of symbols diversifies. On the simulated market with an edge (24 symbols, 1,464 days out of sample)
    this raised the yearly Sharpe ratio from 1.9 to 3.5, with a standard error of 0.4; on real bars it was within its error.
    """
    total, active = 0.0, 0
    for s in range(len(close)):
        sigma = (forecast[s, HIGHEST] - forecast[s, LOWEST]) * SIGMA_OF_SPREAD
        out.sigma[s], out.aim[s] = sigma, math.nan
        if sigma > 0.0 and close[s] > 0.0 and scale[s] > 0.0:
            out.aim[s] = min(max(forecast[s, MEDIAN] / (settings.edge_sigma_full * sigma), -1.0), 1.0)
            total += out.aim[s]
            active += 1
    mean = total / active if settings.shortable and active > 1 else 0.0
    paid = settings.band * cost.one_way(settings.rates, 0.0, 0.0)
    for s in range(len(close)):
        if not math.isnan(out.aim[s]):
            aim = min(max(out.aim[s] - mean, -1.0), 1.0)
            earned = abs(aim) * settings.edge_sigma_full * out.sigma[s]
            out.aim[s] = aim if earned > paid and (aim > 0.0 or settings.shortable) else 0.0
    return active


@money
def size(settings: Settings, scale: FloatArray, active: int, rho: float, bias: float, out: Targets) -> None:
    """Write the weight of a full position to `out.full`: equal risk, at the volatility target, within the limits of the gate.

    `bias` is how much more the books aimed at have varied than was claimed of them; a calmer one than claimed is made no larger.
    """
    tilt, gross, net = 0.0, 0.0, 0.0
    for s in range(len(scale)):
        tilt += 0.0 if math.isnan(out.aim[s]) else out.aim[s]
    spread = math.sqrt(variance(rho, float(active), tilt) * max(bias, 1.0))
    for s in range(len(scale)):
        out.full[s] = 0.0
        if not math.isnan(out.aim[s]):
            out.full[s] = min(settings.volatility_bar / (spread * scale[s]), settings.symbol_weight_max)
            gross += abs(out.aim[s]) * out.full[s]
            net += out.aim[s] * out.full[s]
    fit = 1.0
    if gross > settings.gross_max:
        fit = settings.gross_max / gross
    if abs(net) * fit > settings.net_max:
        fit = settings.net_max / abs(net)
    for s in range(len(scale)):
        out.full[s] *= fit


@money
def remember(state: State, scale: FloatArray, out: Targets) -> None:
    """Keep the book that is aimed at and its risk, for the next bar to review."""
    for s in range(len(scale)):
        state.weight[s] = 0.0 if math.isnan(out.aim[s]) else out.aim[s] * out.full[s]
        state.risk[s] = 0.0 if math.isnan(out.aim[s]) else state.weight[s] * scale[s]


@money
def change(settings: Settings, s: int, close: float, volume: float, scale: float, held: float, equity: float, out: Targets) -> None:
    """Decide one symbol: write the quantity wanted and why.

    Moving from weight w to the aim w* = a full gains, for the first unit moved, |w* - w| / full of a full conviction's expected
    return. The move is made when that exceeds `band` times the cost of the round trip, and then `rate` of it, or as much of that as
    the bar's volume takes at no more than this cost: what is large for its market goes a part at a time.
    """
    gap = out.aim[s] * out.full[s] - held * close / equity
    gain, band = settings.edge_sigma_full * out.sigma[s] * abs(gap), 2.0 * settings.band * out.full[s]
    out.reason[s] = Reason.HOLD
    if gain < band * cost.one_way(settings.rates, 0.0, scale) or gap == 0.0:
        return
    moved = settings.rate * gap * equity / close
    if band > 0.0 and volume > 0.0:
        moved = math.copysign(min(abs(moved), cost.affordable(settings.rates, gain / band, scale) * volume), moved)
    wanted = fills.whole_lots(held + moved, settings.lot)
    # The last of a position that nobody believes in is not worth keeping.
    if out.aim[s] == 0.0 and abs(wanted) * close < settings.notional_min:
        wanted = 0.0
    if wanted != held:
        out.quantity[s] = wanted
        out.reason[s] = Reason.FORECAST if out.aim[s] != 0.0 else Reason.NO_EDGE


@money
def step(
    settings: Settings, forecast: FloatArray, close: FloatArray, volume: FloatArray, scale: FloatArray, held: FloatArray,
    equity: float, state: State, out: Targets,
) -> None:  # fmt: skip
    """Decide one bar at its close: the signed quantity wanted in every symbol and why.

    `forecast` is [S, Q] log-return quantiles, the others [S]: prices, the bar's volume, one-bar volatility and the quantity held.
    Where forecast, price or scale is missing the quantity stays as it is. Nothing is wanted of an account without equity.
    """
    rho = observe(state, close, scale)
    active = convictions(settings, forecast, close, scale, out)
    size(settings, scale, active, rho, state.bias[0], out)
    remember(state, scale, out)
    for s in range(len(close)):
        out.quantity[s] = held[s]
        out.reason[s] = Reason.NO_FORECAST
        if not math.isnan(out.aim[s]) and equity > 0.0 and out.full[s] > 0.0:
            change(settings, s, close[s], volume[s], scale[s], held[s], equity, out)
