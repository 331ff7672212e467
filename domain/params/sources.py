"""What comes in: where bars and headlines come from, how they are kept, and what is believed of them."""

from datetime import date
from typing import Literal

from pydantic import Field

from domain.params.section import Section


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
