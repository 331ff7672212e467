"""Recorded defects of Yahoo, each with its repaired twin, as the stand-in for Yahoo's servers answers them."""

from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from pipelines.data.sources.yahoo.asking import Question
from tests.pipelines.data.sources.chart_server import DATA, Exchange, speak

FOLDER = DATA.parent / "yfinance_bad_data"
#: By the ending of the symbol: zone, currency and calendar of the exchange.
EXCHANGES = {
    "T": ("Asia/Tokyo", "JPY", "XTKS"),
    "DE": ("Europe/Berlin", "EUR", "XETR"),
    "L": ("Europe/London", "GBp", "XLON"),
    "PA": ("Europe/Paris", "EUR", "XPAR"),
    "MI": ("Europe/Rome", "EUR", "XMIL"),
    "V": ("America/Toronto", "CAD", "XTSE"),
    "": ("America/New_York", "USD", "XNYS"),
}
COST = Cost(fee_bps=1, spread_bps=1, slippage_bps=1, impact=0, borrow_bps_year=0)


@dataclass(frozen=True)
class Defect:
    """One recording. Weekly bars are none of the house's: their rows are served as if they were days."""

    symbol: str
    timeframe: str
    what: str
    """The end of the file's name: bad-div, 100x-error, no-bad-divs..."""

    @property
    def name(self) -> str:
        """Return the file's name."""
        return f"{self.symbol.replace('.', '-')}-{self.timeframe}-{self.what}"

    @property
    def exchange(self) -> tuple[str, str, str]:
        """Return zone, currency and calendar."""
        return EXCHANGES[self.symbol.partition(".")[2]]

    @property
    def interval(self) -> str:
        """Return the bar length that it is served as."""
        return "1d" if self.timeframe == "1wk" else self.timeframe

    @property
    def market(self) -> Market:
        """Return a market with this symbol alone."""
        calendar = self.exchange[2]
        return Market("bad", AssetClass.EQUITY, calendar, self.interval, "yahoo", 5, COST, Instrument(), (self.symbol,))

    def recorded(self) -> pd.DataFrame:
        """Return the defective rows in yfinance's columns and the order of time."""
        return self._load(self.name)

    def twin(self) -> pd.DataFrame:
        """Return the rows as they should be; what is no defect is its own twin."""
        return self._load(self.name if self.what.startswith("no-") else f"{self.name}-fixed")

    def question(self, *, repair: bool) -> Question:
        """Return the question that brings all of it."""
        rows = self.recorded()
        since, until = rows.index[0] - timedelta(days=2), rows.index[-1] + timedelta(days=3)
        return Question(self.symbol, self.interval, since.to_pydatetime(), until.to_pydatetime(), repair)

    def serve(self, exchange: Exchange) -> None:
        """Let the stand-in answer with it."""
        zone, currency, _ = self.exchange
        kind = "MUTUALFUND" if "Capital Gains" in self.recorded() else "EQUITY"
        facts = {"symbol": self.symbol, "currency": currency, "instrumentType": kind, "exchangeTimezoneName": zone}
        hours = ("09:30", "16:00") if self.symbol == "EA" else ("00:00", "23:59:59")
        exchange.answers[self.symbol] = [speak(self.recorded(), facts, self.interval, hours)]

    def _load(self, name: str) -> pd.DataFrame:
        rows = pd.read_csv(FOLDER / f"{name}.csv")
        stamps = pd.to_datetime(rows.iloc[:, 0], utc=True)
        return rows.set_index(pd.DatetimeIndex(stamps).tz_convert(self.exchange[0])).iloc[:, 1:].sort_index()


DEFECTS = (
    Defect("AET.L", "1d", "100x-error"),
    Defect("ASAI.L", "1h", "bad-unit"),
    Defect("4063.T", "1d", "bad-stock-split"),
    Defect("ALPHA.PA", "1d", "bad-stock-split"),
    Defect("CNE.L", "1d", "bad-stock-split"),
    Defect("LA.V", "1d", "bad-stock-split"),
    Defect("8TRA.DE", "1d", "missing-div-adjust"),
    Defect("ABDP.L", "1d", "bad-div"),
    Defect("KME.MI", "1d", "bad-div"),
    Defect("SAND", "1d", "bad-div"),
    Defect("DODFX", "1d", "cg-double-count"),
    Defect("CALM", "1d", "no-bad-divs"),
    Defect("EA", "15m", "no-bad-divs"),
)
#: Asked of the library alone: Yahoo's weeks are not asked for.
WEEKS = Defect("AV.L", "1wk", "bad-stock-split")
