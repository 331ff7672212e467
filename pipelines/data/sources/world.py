"""World: the process behind the simulated market, and what of it could be known in advance.

One bar's log return of a symbol is gap + day:

    gap = sqrt(v) * shock, v > 0 only where the market was closed before the bar
    day = shock + drift,   shock = beta * M * e_market + C * e_sector + O * e_own + jumps

M, C, O are volatilities: a log-AR(1) of the market, one of each symbol (Taylor 1986) and a Markov regime (calm, nervous, turbulent)
that moves all of them and correlations with them. All shocks are symmetric around zero and independent of the past, and so
without drift the log return is a martingale difference: nothing that is known predicts it.

    drift[t+1] = edge * (size * O[t] * signal[t] + common size * beta * M[t] * common signal[t])

The signals are planted. They are decaying memories of what everybody could see by the close of bar t, z being the symbol's
own shock in its own volatilities, clipped, u the surprise in its volume and c the market's shock; tau is the memory in horizons:

    momentum   1.0 z          tau 12   what the symbol did by itself goes on, slowly
    volume     0.5 z max(u,0) tau 4    and more so when volume confirms it
    reversal  -1.3 z          tau 1.5  after the last bars' excess has come back
    news       0.4 polarity   tau 2    headlines are believed late
    common         c          tau 4    what the market did goes on, for all its symbols

Drift enters between open and close only, so that an order at the next open catches all of it. With edge = 1 the rank correlation
of `expected` with the label is 0.17 to 0.21; it decays over some horizons, which is what pays for the cost of trading it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from domain import session
from domain.market import AssetClass, Market
from domain.panel import FloatArray, TimeArray
from domain.params import Simulated

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Character:
    """What kind of market it is; volatilities are yearly."""

    market: float
    sector: float
    own: float
    jumps_year: float
    """Own jumps of one symbol in a year."""
    price: float
    """Median first price."""
    notional_day: float
    """Median traded notional of one symbol in a day."""


CHARACTERS = {
    AssetClass.EQUITY: Character(0.15, 0.10, 0.20, 4.0, 60.0, 2e8),
    AssetClass.CRYPTO: Character(0.35, 0.20, 0.60, 20.0, 20.0, 2e8),
    AssetClass.FX: Character(0.05, 0.03, 0.05, 2.0, 1.2, 2e10),
}

#: Correlation aimed at with edge = 1; jumps and unequal volatilities leave a tenth less of it as rank correlation.
CORRELATION = 0.21
#: What symbols are called by their class of assets, so that one account may hold some of each.
PREFIX = {AssetClass.EQUITY: "SIM", AssetClass.CRYPTO: "COIN", AssetClass.FX: "PAIR"}
CLIP = 3.0
NEWS_WEIGHT, NEWS_HORIZONS = 0.4, 2.0
COMMON_HORIZONS = 4.0

#: Regimes: volatility of the market factor, of everything else, and the mean stay in days of a daily market; bars of a part of a
#: day have their regimes, like all their volatility, on a scale between days and bars: see `_pace`.
REGIMES = np.array([[0.75, 0.9, 120.0], [1.2, 1.1, 60.0], [2.2, 1.5, 25.0]])

#: Variance of the hours when the market is closed, over that of an open session.
CLOSED_VARIANCE = 0.33
MISSING_SHARE = 0.001
LATE_SHARE, LATE_BARS = 0.1, 120


@dataclass(frozen=True)
class Memory:
    """One decaying memory of shocks."""

    weight: float
    horizons: float
    on_volume: bool


MEMORIES = (Memory(1.0, 12.0, False), Memory(0.5, 4.0, True), Memory(-1.3, 1.5, False))


@dataclass(frozen=True)
class World:
    """One simulated market, [T, S] unless it says otherwise."""

    symbols: tuple[str, ...]
    opened_at: TimeArray
    """[T]."""
    event_at: TimeArray
    """[T]."""
    gap: FloatArray
    """Log return from the last close to the open; row 0 holds the log of the first price."""
    day: FloatArray
    """Log return from open to close."""
    sigma: FloatArray
    """Volatility of the path between open and close."""
    volume: FloatArray
    present: npt.NDArray[np.bool_]
    expected: FloatArray
    """Planted log return from the next open to the open `horizon` bars later, as it is known at the bar's close."""
    news: "News"
    sector: IntArray
    """Number of each symbol's sector, [S]."""


@dataclass(frozen=True)
class News:
    """Headlines, [N] each, by row of the market."""

    row: IntArray
    column: IntArray
    polarity: IntArray
    """+1 good, -1 bad."""
    moment: FloatArray
    """When in its bar it was published, 0 at the open, 1 at the close."""
    wording: IntArray


@dataclass(frozen=True)
class Shocks:
    """What nobody could know before the bar, [T, S]; `gap` and `day` are log returns."""

    gap: FloatArray
    day: FloatArray
    sigma: FloatArray
    own_sigma: FloatArray
    own: FloatArray
    """The symbol's own part of the bar, in its own volatilities."""
    total: FloatArray
    """The whole bar, in volatilities of the bar."""
    common: FloatArray
    """[T, 1] the market's part, in volatilities of the market."""
    common_sigma: FloatArray
    """beta * M."""


def create(market: Market, parameters: Simulated) -> World:
    """Return the world of one seed. More bars lengthen it and change nothing that was there; more symbols are another world."""
    opened_at = _axis(market, datetime.combine(date.fromisoformat(parameters.start), datetime.min.time(), UTC), parameters.bars)
    event_at = session.closes(market, opened_at)
    symbols = market.symbols or tuple(f"{PREFIX[market.asset_class]}{i:03d}" for i in range(parameters.symbols))
    shape = (len(opened_at), len(symbols))
    dice = _dice(parameters.seed)
    shocks = _shocks(market, dice, _closed_variance(market, opened_at, event_at), shape)
    surprise = dice("surprise").standard_normal(shape)
    news = _news(dice("news"), parameters.news_per_bar, shape)
    signal, expected = _plant(market, shocks, surprise, news, parameters.news_per_bar)
    day, gap = shocks.day.copy(), shocks.gap
    day[1:] += parameters.edge * signal[:-1]
    gap[0] = np.log(CHARACTERS[market.asset_class].price) + 0.6 * dice("price").standard_normal(shape[1])
    volume = _volume(market, dice, opened_at, surprise, np.abs(shocks.total)) / np.exp(gap[0])
    return World(
        symbols, opened_at, event_at, gap, day, shocks.sigma, volume, _present(dice, shape), parameters.edge * expected, news,
        _sectors(shape[1]),
    )  # fmt: skip


class _Dice:
    """Hands out one independent stream a purpose, so that no draw moves another."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose.encode()])


def _dice(seed: int) -> _Dice:
    return _Dice(seed)


def _axis(market: Market, start: datetime, bars: int) -> TimeArray:
    days = 7
    while True:
        grid = session.grid(market, start, start + timedelta(days=days))
        if len(grid) >= bars:
            return grid[:bars]
        days *= 2


def _closed_variance(market: Market, opened_at: TimeArray, event_at: TimeArray) -> FloatArray:
    """Return [T, 1] the variance of the gap before each bar, over that of a bar."""
    closed = np.zeros(len(opened_at))
    closed[1:] = opened_at[1:] > event_at[:-1]
    return np.asarray(closed * CLOSED_VARIANCE * _bars_a_session(market))[:, None]


def _bars_a_session(market: Market) -> float:
    sessions_a_year = {session.CONTINUOUS: 365.0, session.FX_WEEK: 260.0}.get(market.calendar, 252.0)
    return market.bars_a_year / sessions_a_year


def _pace(market: Market) -> float:
    """Return how many bars volatility takes for what takes daily bars one."""
    return float(np.sqrt(_bars_a_session(market)))


def _shocks(market: Market, dice: _Dice, closed: FloatArray, shape: tuple[int, int]) -> Shocks:
    character = CHARACTERS[market.asset_class]
    bars, symbols = shape
    year = market.bars_a_year * _variance(market)
    regime = REGIMES[_regimes(dice("regime").random(bars), _pace(market))]
    stay = 50.0 * _pace(market)
    market_sigma = character.market / np.sqrt(year) * regime[:, :1] * _stochastic(dice("market volatility"), (bars, 1), stay, 0.3)
    others = regime[:, 1:2] * _stochastic(dice("own volatility"), shape, stay, 0.25) / np.sqrt(year)
    traits = dice("traits")
    beta, size = traits.uniform(0.6, 1.4, symbols), traits.uniform(0.7, 1.3, symbols)
    own_sigma, sector_sigma = others * character.own * size, others * character.sector
    sector = _sectors(symbols)
    open_part, closed_part = (_parts(dice, when, shape, sector) for when in ("open", "closed"))
    jump = _jumps(dice("jumps"), shape, character.jumps_year / market.bars_a_year)
    common = [beta * market_sigma * part[0] + sector_sigma * part[1] for part in (open_part, closed_part)]
    where_closed = closed > 0.0
    day = common[0] + own_sigma * (open_part[2] + np.where(where_closed, 0.0, jump))
    gap = np.sqrt(closed) * (common[1] + own_sigma * closed_part[2]) + own_sigma * np.where(where_closed, jump, 0.0)
    own = (open_part[2] + np.sqrt(closed) * closed_part[2] + jump) / np.sqrt(1.0 + closed)
    sigma = np.sqrt((beta * market_sigma) ** 2 + sector_sigma**2 + own_sigma**2)
    total = (gap + day) / (sigma * np.sqrt(1.0 + closed))
    shared = (open_part[0] + np.sqrt(closed) * closed_part[0]) / np.sqrt(1.0 + closed)
    return Shocks(gap, day, sigma, own_sigma, own, total, shared, beta * market_sigma)


def _sectors(symbols: int) -> IntArray:
    """Return the sector of each symbol: some six symbols in each."""
    return np.arange(symbols) % max(2, symbols // 6)


def _parts(dice: _Dice, when: str, shape: tuple[int, int], sector: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return unit shocks of the market [T, 1], of each symbol's sector and of each symbol [T, S]."""
    market = dice(f"market {when}").standard_normal((shape[0], 1))
    sectors = dice(f"sector {when}").standard_normal((shape[0], int(sector.max()) + 1))
    return market, sectors[:, sector], dice(f"own {when}").standard_normal(shape)


def _regimes(draws: FloatArray, pace: float) -> IntArray:
    """Return the regime of each bar: one leaves with probability 1 / stay, for either of the others alike."""
    leave = 1.0 / (REGIMES[:, 2] * pace)
    states = np.zeros(len(draws), dtype=np.int64)
    state = 0
    for row, draw in enumerate(draws.tolist()):
        if draw < leave[state]:
            state = (state + (1 if draw < 0.5 * leave[state] else 2)) % len(REGIMES)
        states[row] = state
    return states


def _stochastic(generator: np.random.Generator, shape: tuple[int, int], stay_bars: float, deviation: float) -> FloatArray:
    """Return volatility multiples with mean square one: the exponential of an AR(1), started in its stationary law."""
    keep = np.exp(-1.0 / stay_bars)
    draws = generator.standard_normal(shape)
    draws[1:] *= np.sqrt(1.0 - keep**2)
    log = lfilter([1.0], [1.0, -keep], draws, axis=0) * deviation
    return np.asarray(np.exp(log - deviation**2))


def _jumps(generator: np.random.Generator, shape: tuple[int, int], rate: float) -> FloatArray:
    """Return jumps in own volatilities: rare, symmetric, with the tail of a Student t with four degrees of freedom."""
    draws = generator.random(shape)
    hit = draws < rate
    # The draw that hit decides the size: no second stream whose length depends on the first.
    side = np.where(draws < 0.5 * rate, -1.0, 1.0)
    place = np.clip(np.where(draws < 0.5 * rate, draws, draws - 0.5 * rate) / (0.5 * rate), 1e-9, 1.0)
    return np.where(hit, side * 4.0 * np.minimum(place**-0.25, 4.0), 0.0)


def _news(generator: np.random.Generator, per_bar: float, shape: tuple[int, int]) -> News:
    bars, symbols = shape
    # A bar's headlines come from a block of its own, so that more bars leave earlier headlines alone.
    most = int(np.ceil(per_bar + 6.0 * np.sqrt(per_bar))) if per_bar > 0 else 0
    draws = generator.random((bars, most + 1, 5))
    happens = draws[:, 1:, 0] < (per_bar / most if most else 0.0)
    row, place = np.nonzero(happens)
    chosen = draws[row, place + 1]
    column = (chosen[:, 1] * symbols).astype(np.int64)
    polarity = np.where(chosen[:, 2] < 0.5, -1, 1)
    return News(row, column, polarity, chosen[:, 3], (chosen[:, 4] * 1000).astype(np.int64))


def _plant(market: Market, shocks: Shocks, surprise: FloatArray, news: News, per_bar: float) -> tuple[FloatArray, FloatArray]:
    """Return, for edge = 1, next bar's drift and the drift expected over the horizon, both as known at each bar's close."""
    horizon = market.horizon
    own = np.clip(shocks.own, -CLIP, CLIP)
    confirmed = np.maximum(surprise, 0.0)
    signal, expected = np.zeros_like(own), np.zeros_like(own)
    for memory in MEMORIES:
        decay = np.exp(-1.0 / (memory.horizons * horizon))
        held = memory.weight * np.sqrt(1.0 - decay**2) * _remember(own * confirmed if memory.on_volume else own, decay)
        signal += held
        expected += held * _summed(decay, horizon)
    polarity = np.zeros_like(own)
    np.add.at(polarity, (news.row, news.column), news.polarity)
    decay = np.exp(-1.0 / (NEWS_HORIZONS * horizon))
    rate = max(per_bar / own.shape[1], 1e-12)
    held = NEWS_WEIGHT * np.sqrt((1.0 - decay**2) / rate) * _remember(polarity, decay)
    size = _size(market) * shocks.own_sigma
    common, common_expected = _plant_common(market, shocks)
    return size * (signal + held) + common, size * (expected + held * _summed(decay, horizon)) + common_expected


def _plant_common(market: Market, shocks: Shocks) -> tuple[FloatArray, FloatArray]:
    decay = float(np.exp(-1.0 / (COMMON_HORIZONS * market.horizon)))
    summed = _summed(decay, market.horizon)
    held = shocks.common_sigma * np.sqrt(1.0 - decay**2) * _remember(np.clip(shocks.common, -CLIP, CLIP), decay)
    size = CORRELATION * np.sqrt(market.horizon * _variance(market)) / summed
    return size * held, size * summed * held


def _remember(values: FloatArray, decay: float) -> FloatArray:
    return np.asarray(lfilter([1.0], [1.0, -decay], values, axis=0))


def _summed(decay: float, horizon: int) -> float:
    """Return 1 + decay + ... over the horizon: what a memory of one is expected to give in all."""
    return float((1.0 - decay**horizon) / (1.0 - decay))


def _size(market: Market) -> float:
    """Return the drift of one bar, in own volatilities, for a signal of one: what CORRELATION asks for."""
    character = CHARACTERS[market.asset_class]
    kernels = [(m.weight, float(np.exp(-1.0 / (m.horizons * market.horizon))), m.on_volume) for m in MEMORIES]
    variance = 0.0
    for weight, decay, on_volume in kernels:
        for other_weight, other_decay, other_volume in kernels:
            # Moments of max(u, 0) for a normal u: mean 1/sqrt(2 pi), mean square 1/2.
            moment = 0.5 if on_volume and other_volume else 1.0 / np.sqrt(2.0 * np.pi) if on_volume or other_volume else 1.0
            overlap = np.sqrt((1.0 - decay**2) * (1.0 - other_decay**2)) / (1.0 - decay * other_decay)
            sums = _summed(decay, market.horizon) * _summed(other_decay, market.horizon)
            variance += weight * other_weight * moment * overlap * sums
    variance += (NEWS_WEIGHT * _summed(float(np.exp(-1.0 / (NEWS_HORIZONS * market.horizon))), market.horizon)) ** 2
    # Across symbols own, sector and unequal beta (variance 0.8^2 / 12) tell returns apart; the gaps carry variance and no drift.
    apart = np.sqrt(character.own**2 + character.sector**2 + 0.8**2 / 12.0 * character.market**2) / character.own
    return float(CORRELATION * apart * np.sqrt(market.horizon * _variance(market) / variance))


def _variance(market: Market) -> float:
    """Return the variance of a bar with its share of the closed hours, over that of the bar alone."""
    return 1.0 + CLOSED_VARIANCE * (market.calendar != session.CONTINUOUS)


def _volume(market: Market, dice: _Dice, opened_at: TimeArray, surprise: FloatArray, moved: FloatArray) -> FloatArray:
    """Return traded notional: lognormal, persistent, larger when prices move, U-shaped over a session."""
    shape = surprise.shape
    base = np.log(CHARACTERS[market.asset_class].notional_day / _bars_a_session(market)) + dice("liquidity").standard_normal(
        shape[1]
    )
    slow = np.log(_stochastic(dice("volume"), shape, 20.0 * _pace(market), 0.3))
    return np.asarray(np.exp(base + _u_shape(market, opened_at)[:, None] + slow + 0.35 * np.minimum(moved, 5.0) + 0.35 * surprise))


def _u_shape(market: Market, opened_at: TimeArray) -> FloatArray:
    """Return [T] log volume against the session's mean; zero where a bar is a whole session."""
    if market.timeframe == "1d":
        return np.zeros(len(opened_at))
    day = opened_at.astype("datetime64[D]")
    _, session_of_bar = np.unique(day, return_inverse=True)
    first = np.searchsorted(session_of_bar, session_of_bar, side="left")
    place = (np.arange(len(opened_at)) - first) / _bars_a_session(market)
    return np.asarray(1.2 * (2.0 * np.clip(place, 0.0, 1.0) - 1.0) ** 2 - 0.4)


def _present(dice: _Dice, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    listing = dice("listing").random((shape[1], 2))
    first = np.where(listing[:, 0] < LATE_SHARE, (listing[:, 1] * LATE_BARS).astype(np.int64), 0)
    listed = np.arange(shape[0])[:, None] >= first
    return np.asarray(listed & (dice("missing").random(shape) >= MISSING_SHARE))
