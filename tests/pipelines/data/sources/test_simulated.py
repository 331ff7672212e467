"""The simulated market: same seed same bytes, history never rewritten, nothing to find without edge, the truth where there is."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from scipy import stats

from domain import panel as panels
from domain import session
from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from domain.panel import FloatArray, Panel
from domain.params import Simulated as Parameters
from pipelines.data.sampling import Sampling
from pipelines.data.sources.simulated import Simulated
from tests.pipelines.data.sources.contract import NewsContract, SourceContract, TickContract, require_rows

COST = Cost(fee_bps=1, spread_bps=1, slippage_bps=1, impact=0, borrow_bps_year=0)
EQUITY = Market("equity", AssetClass.EQUITY, "XNYS", "1d", "simulated", 5, COST, Instrument())
CRYPTO = Market("crypto", AssetClass.CRYPTO, "24/7", "1h", "simulated", 6, COST, Instrument(lot=1e-4, shortable=False))
MARKETS = [EQUITY, CRYPTO]


def parameters(**others: object) -> Parameters:
    """Return small parameters of a market without edge."""
    chosen = {"symbols": 8, "bars": 400, "start": "2015-01-02", "edge": 0.0, "seed": 3, "news_per_bar": 2.0, **others}
    return Parameters.model_validate(chosen)


def panel(market: Market, source: Simulated) -> Panel:
    """Return all bars as a panel."""
    return panels.from_bars(source.bars(market, None, None), market.name, market.timeframe)


def label(made: Panel, horizon: int) -> FloatArray:
    """Return log(open[t+1+h] / open[t+1]), NaN at the end."""
    opened = np.log(made.open)
    forward = np.full_like(opened, np.nan)
    forward[: -1 - horizon] = opened[1 + horizon :] - opened[1:-horizon]
    return forward


def change(values: FloatArray, bars: int) -> FloatArray:
    """Return the difference over that many rows, NaN at the start."""
    out = np.full_like(values, np.nan)
    out[bars:] = values[bars:] - values[:-bars]
    return out


def rank_correlations(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return Spearman's correlation across symbols at each row where at least six have both."""
    both = np.isfinite(left) & np.isfinite(right)
    rows = both.sum(axis=1) >= 6
    ranks = [stats.rankdata(np.where(both, values, np.nan)[rows], axis=1, nan_policy="omit") for values in (left, right)]
    x, y = (rank - np.nanmean(rank, axis=1, keepdims=True) for rank in ranks)
    return np.asarray(np.nansum(x * y, axis=1) / np.sqrt(np.nansum(x * x, axis=1) * np.nansum(y * y, axis=1)))


class TestSimulatedEquities(SourceContract, NewsContract):
    """A year and a half of daily bars."""

    @pytest.fixture
    def source(self) -> Simulated:
        """Return a source with delay, so that known_at is not event_at."""
        return Simulated(parameters(), publication_delay_s=1.5)

    @pytest.fixture
    def market(self) -> Market:
        """Return daily equities."""
        return EQUITY


class TestSimulatedFiveMinutes(SourceContract, TickContract):
    """Any timeframe of any calendar."""

    @pytest.fixture
    def source(self) -> Simulated:
        """Return a source of four sessions."""
        return Simulated(parameters(bars=312))

    @pytest.fixture
    def market(self) -> Market:
        """Return five-minute equities."""
        return replace(EQUITY, timeframe="5m")


@pytest.mark.parametrize("market", MARKETS)
def test_bars_of_the_trades_are_the_simulated_bars(market: Market) -> None:
    """Open, high, low, close and volume to the bit, bar for bar; quotes beside them say the spread and change no price."""
    source = Simulated(parameters(bars=60))
    expected = source.bars(market, None, None)

    sampling = Sampling(market)
    found = sampling.advance(source.trades(market, None, None), source.quotes(market, None, None))
    found = pl.concat([found, sampling.until(expected["event_at"].max())]).sort("symbol", "opened_at")  # type: ignore[arg-type]

    columns = ["symbol", "opened_at", "event_at", "open", "high", "low", "close", "volume"]
    assert found.select(columns).equals(expected.select(columns))
    assert found["spread"].is_between(0.0, 1e-2).all()


def test_a_trade_happens_at_the_quote_before_it() -> None:
    """At the ask where a buyer started it, at the bid where a seller did; the ask is above the bid."""
    source = Simulated(parameters(bars=60))
    both = source.trades(EQUITY, None, None).join(source.quotes(EQUITY, None, None), on=["symbol", "event_at"], validate="1:1")

    taken = pl.when(pl.col("side") == "buy").then("ask").otherwise("bid")
    assert both.select((pl.col("price") == taken).all() & (pl.col("ask") > pl.col("bid")).all()).item()
    assert both.filter(pl.col("side") == "buy").height > 0.4 * both.height


def test_ticks_of_one_bar_are_the_same_whatever_else_is_asked_for() -> None:
    """A source that is asked for a day tells what it would have told of it in a year."""
    whole = Simulated(parameters(bars=60)).trades(EQUITY, None, None)
    since, until = datetime(2015, 2, 2, tzinfo=UTC), datetime(2015, 2, 6, tzinfo=UTC)

    part = Simulated(parameters(bars=60)).trades(EQUITY, since, until)

    assert part.equals(whole.filter(pl.col("event_at").is_between(since, until)))
    assert part.height > 0
    assert Simulated(parameters(bars=60)).trades(EQUITY, datetime(2031, 1, 1, tzinfo=UTC), None).is_empty()


def test_a_listing_is_a_symbols_first_bar() -> None:
    """And every symbol has a sector, some symbols in each."""
    source = Simulated(parameters(symbols=24))
    bars = source.bars(EQUITY, None, None).group_by("symbol").agg(pl.col("opened_at").min()).sort("symbol")

    listed = source.listings(EQUITY, None, None)

    require_rows("listings", listed, EQUITY)
    assert listed.sort("symbol")["event_at"].to_list() == bars["opened_at"].to_list()
    assert listed["kind"].unique().to_list() == ["listed"]
    assert listed.group_by("sector").len()["len"].to_list() == [6] * 4


def test_listings_between_two_moments() -> None:
    """Late symbols alone, where the first day is left out."""
    source = Simulated(parameters(symbols=60))
    whole = source.listings(EQUITY, None, None)

    late = source.listings(EQUITY, datetime(2015, 1, 3, tzinfo=UTC), None)

    assert 0 < late.height < whole.height
    assert late.equals(whole.filter(pl.col("event_at") >= datetime(2015, 1, 3, tzinfo=UTC)))


@pytest.mark.parametrize("market", MARKETS)
def test_a_seed_decides_every_byte(market: Market) -> None:
    """Equal for equal seeds, different for others, also in the headlines."""
    made = [Simulated(parameters(seed=seed)) for seed in (3, 3, 4)]

    bars = [source.bars(market, None, None) for source in made]
    news = [source.news(market, None, None) for source in made]

    assert bars[0].equals(bars[1])
    assert not bars[0].equals(bars[2])
    assert news[0].equals(news[1])
    assert not news[0].equals(news[2])


@pytest.mark.parametrize("market", MARKETS)
def test_more_bars_do_not_rewrite_history(market: Market) -> None:
    """Of bars, headlines and truth alike."""
    short, long = Simulated(parameters(edge=1.0)), Simulated(parameters(edge=1.0, bars=700))

    bars = short.bars(market, None, None)
    last = bars["opened_at"].max()
    assert isinstance(last, datetime)

    assert long.bars(market, None, last).equals(bars)
    assert long.news(market, None, None).head(short.news(market, None, None).height).equals(short.news(market, None, None))
    assert np.array_equal(long.truth(market)[:400], short.truth(market))


@pytest.mark.parametrize("market", MARKETS)
def test_bars_lie_on_the_calendar_but_for_the_few_that_are_missing(market: Market) -> None:
    """Late listings and lone holes: under two percent in all, never a row beside the grid."""
    made = panel(market, Simulated(parameters(symbols=40, bars=1500)))

    grid = session.grid(market, datetime(2015, 1, 2, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))[:1500]
    assert np.array_equal(made.opened_at, grid)
    assert np.array_equal(made.event_at, session.closes(market, grid))
    assert 0.0 < 1.0 - made.present.mean() < 0.02


@pytest.mark.parametrize("market", MARKETS)
def test_every_bar_is_possible(market: Market) -> None:
    """High above all, low below all, all above zero, whole volumes, prices on ticks: over twenty years of strong moves."""
    rows = Simulated(parameters(symbols=20, bars=5000, edge=1.0)).bars(market, None, None)

    possible = (
        (pl.col("low") > 0.0)
        & (pl.col("low") <= pl.min_horizontal("open", "close"))
        & (pl.col("high") >= pl.max_horizontal("open", "close"))
        & (pl.col("volume") >= 1.0)
        & (pl.col("volume") == pl.col("volume").round())
        & pl.all_horizontal(pl.col("open", "high", "low", "close", "volume").is_finite())
    )
    assert rows.select(possible.all()).item()
    if market is EQUITY:
        dear = rows.filter(pl.col("close") > 1.0)["close"].to_numpy()
        assert np.array_equal(dear, np.round(dear, 2))


@pytest.mark.parametrize("market", MARKETS)
def test_returns_look_like_returns(market: Market) -> None:
    """Fat tails, clustered volatility, volume that comes with movement, sectors, a common factor, gaps where the market closes."""
    made = panel(market, Simulated(parameters(symbols=24, bars=2500)))
    returns = np.nan_to_num(change(np.log(made.close), 1)[1:])
    gaps = np.nan_to_num(np.log(made.open[1:] / made.close[:-1]))

    size = np.abs(returns)
    volume = np.log(np.nan_to_num(made.volume[1:], nan=1.0))
    clustering = np.mean([np.corrcoef(x[:-5], x[5:])[0, 1] for x in size.T])
    with_volume = np.median(rank_correlations(size.T, volume.T))
    residual = np.corrcoef((returns - returns.mean(axis=1, keepdims=True)).T)
    sector = np.add.outer(np.arange(24), -np.arange(24)) % 4 == 0
    yearly = returns.std() * np.sqrt(market.bars_a_year)
    assert stats.kurtosis(returns.ravel()) > 2.0
    assert clustering > 0.05
    assert with_volume > 0.2
    assert np.asarray(np.corrcoef(returns.T))[np.triu_indices(24, 1)].mean() > 0.2
    assert residual[sector & ~np.eye(24, dtype=bool)].mean() > residual[~sector].mean() + 0.05
    assert (0.2 < yearly < 0.5) if market is EQUITY else (0.4 < yearly < 1.2)
    assert (gaps.std() > 0.3 * returns.std()) if market is EQUITY else (np.abs(gaps).max() < 1e-4)


def test_volume_is_high_at_the_open_and_the_close_of_a_session() -> None:
    """U-shaped over five-minute bars."""
    made = panel(replace(EQUITY, timeframe="5m"), Simulated(parameters(bars=78 * 30, start="2015-02-02")))

    by_time = np.nanmedian(made.volume.reshape(30, 78, -1), axis=(0, 2))

    assert min(by_time[:6].mean(), by_time[-6:].mean()) > 1.5 * by_time[30:48].mean()


@pytest.mark.slow
@pytest.mark.parametrize("market", MARKETS)
def test_without_edge_nothing_simple_predicts(market: Market) -> None:
    """Over 20 seeds the rank correlation of seven features with the label is centred at zero and as spread as chance says."""
    scores: dict[str, list[float]] = {}
    for seed in range(20):
        made = panel(market, Simulated(parameters(seed=seed, symbols=16, bars=1200)))
        forward = label(made, market.horizon)
        close, volume = np.log(made.close), np.log(made.volume)
        features = {f"change_{bars}": change(close, bars) for bars in (1, 5, 20, 60)}
        features |= {
            "volume": change(volume, 1),
            "volume_return": change(close, 1) * change(volume, 1),
            "range": np.log(made.high / made.low),
        }
        for name, feature in features.items():
            # Every h-th row: labels of neighbouring rows overlap.
            rows = rank_correlations(feature[60 :: market.horizon], forward[60 :: market.horizon])
            scores.setdefault(name, []).append(rows.mean() * np.sqrt(len(rows) * 15))

    for name, found in scores.items():
        # Under chance each score is a standard normal: its mean over 20 has deviation 0.22, its mean square lies in 0.4 to 1.9.
        assert abs(np.mean(found)) < 0.75, name
        assert np.mean(np.square(found)) < 2.2, name


@pytest.mark.parametrize("market", MARKETS)
def test_without_edge_returns_carry_no_memory(market: Market) -> None:
    """The signs of returns pass a Ljung-Box test of ten lags about as often as chance lets them."""
    made = panel(market, Simulated(parameters(symbols=30, bars=1500)))
    returns = np.nan_to_num(change(np.log(made.close), 1)[150:])
    signs = np.sign(returns)
    count = len(signs)

    lags = np.arange(1, 11)
    memory = np.array([[np.corrcoef(x[:-lag], x[lag:])[0, 1] for lag in lags] for x in signs.T])
    box = count * (count + 2) * (memory**2 / (count - lags)).sum(axis=1)

    # Symbols share a factor, so that their tests are not independent: only many failures at once speak.
    assert (stats.chi2.sf(box, 10) < 0.05).mean() < 0.25


@pytest.mark.parametrize("market", MARKETS)
def test_with_edge_one_the_truth_has_the_promised_rank_correlation(market: Market) -> None:
    """0.17 to 0.21 on average over four markets, and the truth's level is that of the returns that follow."""
    correlations, slopes = [], []
    for seed in range(4):
        source = Simulated(parameters(seed=seed, edge=1.0, symbols=24, bars=2500))
        truth, forward = source.truth(market), label(panel(market, source), market.horizon)
        correlations.append(rank_correlations(truth[:: market.horizon], forward[:: market.horizon]).mean())
        both = np.isfinite(forward)
        slopes.append(np.polyfit(truth[both], forward[both], 1)[0])

    assert 0.17 <= np.mean(correlations) <= 0.21
    assert np.mean(slopes) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("market", MARKETS)
def test_the_truth_grows_with_the_edge_and_can_be_seen_in_prices(market: Market) -> None:
    """Zero without edge, twice with twice; the change of sixty bars has a good part of it."""
    weak, strong = Simulated(parameters(edge=0.5)), Simulated(parameters(edge=1.0, symbols=24, bars=2500))
    made = panel(market, strong)

    seen = rank_correlations(change(np.log(made.close), 60)[:: market.horizon], label(made, market.horizon)[:: market.horizon])

    assert not Simulated(parameters()).truth(market).any()
    assert np.allclose(2.0 * weak.truth(market), Simulated(parameters(edge=1.0)).truth(market))
    assert seen.mean() > 0.05


@pytest.mark.parametrize("market", MARKETS)
def test_the_edge_pays_for_its_costs(market: Market) -> None:
    """Following the truth at the next open, half the way a bar, earns a yearly Sharpe ratio above two after 8 bps a trade."""
    source = Simulated(parameters(edge=1.0, symbols=24, bars=2500))
    made = panel(market, source)
    truth = source.truth(market)
    wanted = truth - (truth.mean(axis=1, keepdims=True) if market.instrument.shortable else 0.0)
    wanted = wanted if market.instrument.shortable else np.maximum(wanted - 0.0020, 0.0)
    scale = np.abs(wanted).sum(axis=1).mean()

    held, earned = np.zeros(24), []
    for t in range(len(truth) - 2):
        before, held = held, held + 0.5 * (wanted[t] / scale - held)
        gain = np.nan_to_num(np.log(made.open[t + 2] / made.open[t + 1]))
        earned.append(held @ np.expm1(gain) - 8e-4 * np.abs(held - before).sum())

    assert np.mean(earned) / np.std(earned) * np.sqrt(market.bars_a_year) > 2.0


@pytest.mark.parametrize(("edge", "leads"), [(0.0, False), (3.0, True)])
def test_headlines_lead_prices_only_with_an_edge(edge: float, leads: bool) -> None:
    """Good words minus bad words of a bar against the label of the same row."""
    source = Simulated(parameters(edge=edge, symbols=24, bars=2500, news_per_bar=6.0))
    made = panel(EQUITY, source)
    news = source.news(EQUITY, None, None)
    row = np.searchsorted(made.opened_at, session.naive(news["event_at"]), side="right") - 1
    good = news["headline"].str.contains("raises|beats|buyer|wins|clears").to_numpy()
    tone = np.zeros(made.open.shape)
    column = np.searchsorted(np.array(made.symbols), news["symbol"].to_numpy().astype(str))
    np.add.at(tone, (row, column), np.where(good, 1.0, -1.0))

    forward = label(made, EQUITY.horizon)
    ahead = np.nanmean(forward[tone > 0]) - np.nanmean(forward[tone < 0])
    noise = np.nanstd(forward) * np.sqrt(4.0 / np.count_nonzero(tone))

    assert (ahead > 4.0 * noise) == leads


def test_headlines_come_inside_their_bars_and_are_known_before_the_close() -> None:
    """About as many as asked, none before its event."""
    source = Simulated(parameters(bars=1000))
    news = source.news(EQUITY, None, None)
    grid = session.grid(EQUITY, datetime(2015, 1, 2, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))[:1000]

    closes = session.closes(EQUITY, grid)
    row = np.searchsorted(grid, session.naive(news["event_at"]), side="right") - 1

    assert news.height == pytest.approx(2000, rel=0.1)
    assert (session.naive(news["known_at"]) <= closes[row]).all()
    assert news.select((pl.col("known_at") > pl.col("event_at")).all()).item()


def test_a_market_may_name_its_symbols() -> None:
    """Then the number of symbols is theirs."""
    named = replace(EQUITY, symbols=("ABC", "XYZ"))

    assert sorted(Simulated(parameters()).bars(named, None, None)["symbol"].unique()) == ["ABC", "XYZ"]
