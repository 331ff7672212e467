"""params.yaml as frozen types: one section per stop of the path, an unknown key suggests the right one."""

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from domain import market as markets
from domain.cost import Cost
from domain.decision import Mode
from domain.error import ConfigurationError, UnknownMarket, UnknownParameter, nearest
from domain.instrument import Instrument
from domain.market import AssetClass, Market, Universe

STOPS = (
    "sources", "store", "quality", "features", "datasets", "training", "evaluation", "registry",
    "serving", "decisions", "risk", "orders", "fills", "journal", "learning",
)  # fmt: skip


class Section(BaseModel):
    """A frozen group of parameters that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Simulated(Section):
    """The market whose truth is known."""

    symbols: int = Field(ge=2)
    bars: int = Field(ge=50)
    """Bars of history made."""
    start: str
    """First day, ISO date."""
    edge: float = Field(ge=0)
    """0 plants nothing; 1 plants a signal that a good model clearly finds."""
    seed: int
    news_per_bar: float = Field(ge=0)
    """Expected headlines a bar over the whole market."""


class Yahoo(Section):
    """How Yahoo Finance is asked."""

    retries: int = Field(ge=0)
    """Times that a failed question is asked again, each after twice the wait or what Retry-After says."""
    spacing_s: float = Field(ge=0)
    """Seconds between two requests, whatever they ask."""
    settled_days: int = Field(ge=1)
    """Days after which an answer is kept for good; younger bars are asked for again, since Yahoo corrects them."""
    repair: bool
    """Whether known defects are repaired; what was answered goes to quarantine. Otherwise bars are stored as answered."""


class Alpaca(Section):
    """Alpaca Markets as a source; its keys are environment."""

    feed: Literal["iex", "sip", "otc", "delayed_sip"]
    """Whose trades stocks are made of: iex is one exchange with some 2% of the volume, sip all of them, delayed_sip all of them 15
    minutes later, otc what is traded over the counter."""
    channels: tuple[Literal["bars", "trades", "quotes", "news"], ...]
    """What is listened to live."""
    retries: int = Field(ge=0)
    """Times that a failed question or connection is tried again, each after twice the wait."""
    timeout_s: float = Field(gt=0)
    """Seconds without an answer after which a question has failed."""
    silence_s: float = Field(gt=0)
    """Seconds without a message in an open market after which a connection is opened anew."""


class Bloomberg(Section):
    """How a Bloomberg terminal is asked; its address is environment."""

    yellow_key: str
    """What follows a ticker to make a security of it; a symbol that has one of its own keeps it."""
    retries: int = Field(ge=0)
    """Times that a failed question or a lost session is tried again, each after twice the wait."""
    timeout_s: float = Field(gt=0)
    """Seconds without an answer after which a question has failed."""


class Recorder(Section):
    """How a live source is written to the store: a batch is stored when it is large or old enough, and is what a kill can cost."""

    batch_rows: int = Field(ge=1)
    batch_s: float = Field(gt=0)


class News(Section):
    """How headlines become numbers."""

    sentiment: Literal["lexicon", "classifier", "finbert"]
    """Who reads them: the embedded lexicon, our own classifier, or FinBERT."""
    model: str
    """Where the reader lies: the classifier's folder; FinBERT's folder or its name on the hub. The lexicon needs none."""
    device: str
    """Where FinBERT runs: cpu, cuda."""
    repetition_similarity: float = Field(gt=0, le=1)
    """Share of word runs in common (Jaccard) from which a headline repeats an earlier one: it counts as volume and not as news."""
    repetition_days: float = Field(gt=0)
    """How far back a headline can be repeated."""
    novelty_days: float = Field(gt=0)
    """How far back a symbol's headlines are compared with for novelty."""


class Ask(Section):
    """How much a source is asked for at once; each answer is stored before the next question."""

    symbols: int = Field(ge=1)
    bars: int = Field(ge=10)
    """Bars of one symbol."""
    since: date | None
    """First day that a new symbol is asked for, in pieces; None asks for all that the source has, in one."""
    companions: tuple[Literal["actions", "news", "trades", "quotes", "listings"], ...]
    """Tables beside the bars that are kept where the source has them; trades and quotes are large."""


class Sources(Section):
    """Where bars come from."""

    ask: Ask

    simulated: Simulated
    yahoo: Yahoo
    alpaca: Alpaca
    bloomberg: Bloomberg
    recorder: Recorder
    news: News


class Store(Section):
    """How tables are kept."""

    publication_delay_s: float = Field(ge=0)
    """Seconds from a bar's close until it can be read; `known_at = event_at + delay` for history."""
    retention_days: int = Field(ge=1)
    """Days that every version of every table stays readable; snapshots of registered models keep theirs."""


class Quality(Section):
    """What counts as suspicious."""

    spike_sigma: float = Field(gt=0)
    """A lone print this many robust deviations away, reversed by the next bar."""
    jump_log: float = Field(gt=0)
    """A log move of this size that stayed."""
    volume_break_ratio: float = Field(gt=1)
    """A lasting change of volume's scale by this factor."""
    gap_sessions: int = Field(ge=1)
    """Sessions (bars, for continuous markets) missing in a row before the next bar is flagged."""
    reconcile_tolerance: float = Field(gt=0)
    """Relative difference between two sources' prices that is none."""
    false_alarms: float = Field(gt=0, lt=1)
    """Share of sound rows that a learned profile may take for unlikely, and of sound symbols that may be taken to have drifted."""
    profile_cap: float = Field(ge=1)
    """Factor by which a profile's scale may differ from its market's: what history was fed cannot widen it further."""
    profile_bars: int = Field(ge=50)
    """Rows of a symbol from which on its own history weighs more than its market's."""
    psi_max: float = Field(gt=0)
    """Population stability index of raw data above which its distribution has drifted."""
    drift_sessions: int = Field(ge=5)
    """Newest sessions that are compared with those before."""


class Features(Section):
    """What is measured."""

    families: tuple[str, ...]
    """Families of the catalogue to compute, in catalogue order."""
    device: Literal["cpu", "cuda"]
    """Where a history is measured: on a GPU the values are those of the processor within rounding. A live bar never is."""
    threads: int = Field(ge=1)
    """Threads of one process: blocks of symbols, the same bits."""
    workers: int = Field(ge=1)
    """Processes of a Dask cluster that share a history, the same bits: our own, or the one that NIGHTSHIFT_DASK names."""


class Datasets(Section):
    """How features and labels become samples."""

    label: Literal["scaled", "net", "barrier"]
    """What models are fitted to: the forward return as it is, net of a round trip's cost, or to the first barrier touched; each in
    volatilities of the horizon, so that a wild symbol weighs no more than a calm one. All are judged by the forward return."""
    barrier_sigma: float = Field(gt=0)
    """Triple-barrier width in volatilities of the horizon."""
    bars_max: int = Field(ge=100)
    """Newest bars used; older ones only warm the features up."""


class Trees(Section):
    """XGBoost quantile trees."""

    rounds: int = Field(ge=1)
    depth: int = Field(ge=1)
    eta: float = Field(gt=0, le=1)
    subsample: float = Field(gt=0, le=1)
    colsample: float = Field(gt=0, le=1)
    min_child_weight: float = Field(ge=0)
    reg_lambda: float = Field(ge=0)


class Network(Section):
    """What every network is told of how it learns."""

    hidden: int = Field(ge=2)
    dropout: float = Field(ge=0, lt=1)
    epochs: int = Field(ge=1)
    """Passes over the training rows, at most."""
    patience: int = Field(ge=1)
    """Passes without improvement on the newest rows after which a fit ends."""
    batch: int = Field(ge=1)
    """Rows times symbols in one step."""
    span: int = Field(ge=1)
    """Neighbouring rows that are learned from side by side: what they share is computed once."""
    rate: float = Field(gt=0)
    """Peak step size."""
    decay: float = Field(ge=0)
    """Weight decay."""


class Sequence(Network):
    """A causal convolutional network over 2^layers rows."""

    layers: int = Field(ge=1, le=10)


class Tft(Network):
    """A Temporal Fusion Transformer."""

    context: int = Field(ge=2)
    """Rows that a forecast reads."""
    continuous: int
    """Size in which each feature is first written."""
    heads: int = Field(ge=1)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} cannot be shared among {self.heads} heads: choose a multiple")
        if not 2 <= self.continuous < self.hidden:
            raise ValueError(f"continuous {self.continuous} must be 2 or more and less than hidden, which is {self.hidden}")
        return self


class Hardware(Section):
    """Where models are trained: trees by `workers`, networks by all the rest."""

    device: Literal["cpu", "cuda"]
    """cuda without a GPU is refused, never replaced."""
    devices: int = Field(ge=1)
    """Processes on each machine, a GPU each."""
    nodes: int = Field(ge=1)
    """Machines."""
    bf16: bool
    """Multiply in bfloat16: pays where networks are wide, and with `compile`."""
    graph: bool
    """Play steps as CUDA graphs: seven times as fast for a Temporal Fusion Transformer of 32 units."""
    compile: bool
    """Let torch write the kernels: a step takes a third less, after half a minute at the start."""
    workers: int = Field(ge=1)
    """Processes of a Dask cluster that grow trees together: our own, or the one that NIGHTSHIFT_DASK names."""

    @model_validator(mode="after")
    def _fast(self) -> Self:
        asked = [name for name in ("bf16", "graph", "compile") if getattr(self, name)]
        if asked and self.device == "cpu":
            raise ValueError(f"{' and '.join(asked)} are for device cuda: on a processor they cost more than they save")
        return self


class Search(Section):
    """A search for each member's settings, on rows that no fold of the evaluation is judged by."""

    trials: int = Field(ge=0)
    """Settings tried a member; 0 takes those below as they are."""
    minutes: float = Field(gt=0)
    """After which no further trial is begun."""
    folds: int = Field(ge=2)
    """Purged folds that judge a trial."""


class Training(Section):
    """How models are fitted."""

    families: tuple[Literal["trees", "sequence", "tft", "zero", "drift", "momentum"], ...] = Field(min_length=1)
    """Members of the ensemble, each fitted on its own; one alone is an ensemble of one."""
    folds: int = Field(ge=2)
    train_fraction: float = Field(gt=0, lt=1)
    """Share of history that the first fold trains on."""
    embargo_bars: int = Field(ge=0)
    """Bars dropped after the purge, so that slow features do not carry the answer over."""
    seed: int
    threads: int = Field(ge=1)
    search: Search
    trees: Trees
    sequence: Sequence
    tft: Tft
    hardware: Hardware

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.families)) < len(self.families):
            raise ValueError(f"families {', '.join(self.families)} name one twice: a member is fitted once")
        return self


class Evaluation(Section):
    """How a model is judged out of sample."""

    confidence: float = Field(gt=0, lt=1)
    """Confidence of the intervals that are reported."""
    trials: int = Field(ge=1)
    """Configurations tried before this one was chosen; deflates the Sharpe ratio."""
    groups: int = Field(ge=0)
    """Parts of history for combinatorial purged cross-validation by the first family; 0 leaves it out, 6 cost 15 fits."""
    held: int = Field(ge=1)
    """Of these, how many each split tests."""


class Registry(Section):
    """The gates of promotion."""

    rank_ic_t_min: float
    """HAC t statistic of the out-of-sample rank IC."""
    baseline_t_min: float
    """HAC t of the rank IC over the best baseline's: -2 refuses what a baseline beats beyond doubt."""
    sharpe_probability_min: float = Field(ge=0, le=1)
    """Probabilistic Sharpe ratio against zero, net of costs (Bailey and Lopez de Prado 2012)."""
    coverage_error_max: float = Field(gt=0)
    """Largest distance between a quantile's level and the share of outcomes below it."""
    pinball_skill_min: float
    """Share of pinball loss saved against the better of the baselines that look at nothing."""
    drawdown_max: float = Field(gt=0, le=1)
    trades_min: int = Field(ge=0)
    challenger_p_max: float = Field(gt=0, le=1)
    """p value of the paired test against the champion on the same bars."""
    latency_ms_max: float = Field(gt=0)
    """Time to forecast the whole universe once."""
    memory_mb_max: float = Field(gt=0)
    """Memory that a process takes to load the model and forecast the whole universe once, in 10^6 bytes."""


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


class SizingSearch(Section):
    """Settings of sizing that a night tries: combinations of these values and those of `decisions`; without any it tries none."""

    edge_sigma_full: tuple[Annotated[float, Field(gt=0)], ...]
    band: tuple[Annotated[float, Field(ge=0)], ...]
    rate: tuple[Annotated[float, Field(gt=0, le=1)], ...]
    half_life: float = Field(gt=0)
    """Share of the judged bars after which a bar counts half as much."""
    p_max: float = Field(gt=0, lt=1)
    """p value, corrected for the number of settings, above which those of `decisions` stay."""


class Learning(Section):
    """The night shift."""

    psi_max: float = Field(gt=0)
    """Population stability index of a feature above which it has drifted."""
    drifted_share_max: float = Field(gt=0, le=1)
    """Share of drifted features above which the model is fitted anew however many nights that takes."""
    recent_bars: int = Field(ge=10)
    """Bars that count as recent for drift."""
    fine_tune_rounds: int = Field(ge=1)
    sizing: SizingSearch


class Experiment(Section):
    """What `dvc repro` runs; no stop of the path reads it."""

    market: str


class MarketParams(Section):
    """One market of the list."""

    asset_class: AssetClass
    calendar: str
    timeframe: str
    source: Literal["simulated", "files", "yahoo", "alpaca", "bloomberg"]
    horizon: int = Field(ge=1)
    symbols: tuple[str, ...] = ()
    universe: Universe = Universe()
    """Which symbols belong to the market on each day; by default all that trade."""
    stored: str | None = None
    """Timeframe of the stored bars, where they are finer than the market's and summed up while they are read."""
    hours: Literal["regular", "extended"] = "regular"
    """Whether pre-market and post-market bars are part of the market."""
    cost: Cost
    instrument: Instrument
    override: dict[str, Any] = {}
    """Parameters of any section that differ in this market."""


class Params(Section):
    """The whole of params.yaml after profile and market have been laid over it."""

    profile: Literal["tiny", "demo", "full"]
    experiment: Experiment
    markets: dict[str, MarketParams]
    accounts: tuple[AccountParams, ...]
    sources: Sources
    store: Store
    quality: Quality
    features: Features
    datasets: Datasets
    training: Training
    evaluation: Evaluation
    registry: Registry
    serving: Serving
    decisions: Decisions
    risk: Risk
    orders: Orders
    fills: Fills
    journal: Journal
    alerts: Alerts
    learning: Learning

    def market(self, name: str) -> Market:
        """Return one market; raise UnknownMarket with a suggestion."""
        if name not in self.markets:
            raise UnknownMarket(f"market '{name}' is not in params.yaml: {nearest(name, self.markets)}")
        chosen = self.markets[name]
        return Market(name, **{k: getattr(chosen, k) for k in MarketParams.model_fields if k != "override"})

    def fed_by(self, market: str) -> str:
        """Return where a market's bars come from: two feeds of one vendor are two, since they differ in volumes and in prices."""
        chosen = self.market(market)
        if chosen.source != "alpaca" or chosen.asset_class != AssetClass.EQUITY:
            return chosen.source
        # What comes late is of the same prints.
        return f"alpaca {self.sources.alpaca.feed.removeprefix('delayed_')}"

    def sized(self, sizing: Sizing | None) -> Self:
        """Return the parameters by which a model that brings `sizing` is traded; None brings nothing."""
        if sizing is None:
            return self
        return self.model_copy(update={"decisions": self.decisions.model_copy(update=sizing.model_dump())})

    def digest(self, *stops: str) -> str:
        """Return a SHA-256 over the named sections (all of them by default), stable across key order."""
        chosen = self.model_dump(mode="json", include=set(stops) or set(STOPS))
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def load(path: Path, market: str | None = None, profile: str | None = None) -> Params:
    """Read params.yaml, lay the profile and then the market's override over it, and check every key.

    Raises UnknownParameter with the nearest right name, UnknownMarket, or ConfigurationError.
    """
    raw = _read(path)
    profiles = raw.pop("profiles", {})
    name = profile or raw.get("profile")
    if name not in profiles:
        raise ConfigurationError(f"profile '{name}' is not in {path.name}: {nearest(str(name), profiles)}")
    merged = overlay(raw, {**profiles[name], "profile": name})
    if market is not None:
        merged = overlay(merged, _override(merged, market))
    return check(merged)


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"parameters were asked from {path}, but there is no such file") from None
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not text in UTF-8"
        raise ConfigurationError(f"parameters were asked from {path}, but it cannot be read: {reason}") from None
    except yaml.YAMLError as problem:
        raise ConfigurationError(f"{path.name} is not YAML: {' '.join(str(problem).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{path.name} must hold sections by name, found {type(raw).__name__}")
    return raw


def _override(merged: dict[str, Any], market: str) -> dict[str, Any]:
    markets = merged.get("markets", {})
    if market not in markets:
        raise UnknownMarket(f"market '{market}' is not in params.yaml: {nearest(market, markets)}")
    override = markets[market].get("override", {})
    for stop in override:
        if stop not in STOPS:
            raise UnknownParameter(f"markets.{market}.override.{stop} is not a parameter: {nearest(stop, STOPS)}")
    return dict(override)


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with every leaf of `top` laid over it; neither is changed."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def check(merged: dict[str, Any]) -> Params:
    """Return typed parameters; the first fault becomes one sentence."""
    try:
        params = Params.model_validate(merged)
    except ValidationError as problem:
        raise _explain(problem) from None
    params.market(params.experiment.market)
    for name, market in params.markets.items():
        markets.check_lengths(name, market.timeframe, market.stored)
    _check_accounts(params)
    return params


def _check_accounts(params: Params) -> None:
    """Raise ConfigurationError for accounts that cannot be: of markets that are not there, or two that the same keys open."""
    for account in params.accounts:
        for market in account.markets:
            params.market(market)
    brokers = [account.broker for account in params.accounts]
    for broker in sorted(set(brokers)):
        if brokers.count(broker) > 1:
            raise ConfigurationError(
                f"accounts names {brokers.count(broker)} accounts at {broker}, and one is all that its keys open: "
                "name the markets of all of them in one"
            )


def _explain(problem: ValidationError) -> ConfigurationError:
    fault = problem.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return ConfigurationError(f"parameter {where}: {fault['msg']} (found {fault.get('input')!r})")
    return UnknownParameter(f"{where} is not a parameter: {nearest(str(fault['loc'][-1]), _known(fault['loc'][:-1]))}")


def _known(path: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the section at `path`, through dictionaries and lists of sections."""
    section: Any = Params
    for part in path:
        if isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[str(part)].annotation
        else:
            # A dictionary or a list of sections.
            section = next((each for each in get_args(section) if isinstance(each, type) and issubclass(each, BaseModel)), Params)
    return list(section.model_fields)
