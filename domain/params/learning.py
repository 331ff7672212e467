"""What is learned: features, datasets, training, its judgement, the gates, and the nights."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from domain.params.section import Section


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
