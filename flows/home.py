"""Home: where run-time state lies, and the switches that keep libraries from phoning home."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

#: The checkout: params.yaml, dvc.yaml and the code lie here.
PROJECT = Path(__file__).resolve().parent.parent

#: What each library reads to stay silent and to run the same way twice. What a person set already is left alone.
QUIET: dict[str, str] = {
    "DO_NOT_TRACK": "true",  # MLflow knows only the word, not 1
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "DVC_NO_ANALYTICS": "true",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "POLARS_ENGINE_AFFINITY": "in-memory",  # the streaming engine loses row order and changes sums between runs
}


class Broker(StrEnum):
    """Who holds an account."""

    PAPER = "paper"
    """The trader's own process; every other broker is reached by wire."""
    EXCHANGE = "exchange"
    ALPACA = "alpaca"


def label(markets: Iterable[str], broker: str) -> str:
    """Return the name of the account that trades these markets at a broker."""
    name = "+".join(sorted(markets))
    return name if broker == Broker.PAPER else f"{name}@{broker}"


@dataclass(frozen=True)
class Home:
    """The one folder that holds everything the house writes while it runs."""

    root: Path
    tables: str = ""
    """A folder or URL for the Delta tables, such as s3://bucket/prefix; empty for the home's own folder."""

    @property
    def store(self) -> Path | str:
        """Delta tables."""
        return self.tables or self.root / "store"

    @property
    def mlflow(self) -> Path:
        """What the registry keeps: its database and the artifacts of every run."""
        return self.root / "mlflow"

    @property
    def tuning(self) -> Path:
        """Searches for settings, one folder a market and snapshot, which several processes may share."""
        return self.root / "tuning"

    @property
    def runs(self) -> Path:
        """One folder a training run, laid out by stage."""
        return self.root / "runs"

    @property
    def replays(self) -> Path:
        """Journals and equity of replays."""
        return self.root / "replays"

    @property
    def journals(self) -> Path:
        """One folder an account: its journal, and the commands left for its trader."""
        return self.root / "journals"

    def account(self, *markets: str, broker: Broker = Broker.PAPER) -> Path:
        """Return the folder of the account that trades these markets at a broker."""
        return self.journals / label(markets, broker)

    def accounts(self, market: str, broker: Broker | None = None) -> list[Path]:
        """Return the folders of the accounts that trade a market, alone or beside others, at a broker or at any."""
        folders = sorted(each for each in self.journals.glob("*") if each.is_dir())
        parted = ((each, *each.name.partition("@")) for each in folders)
        return [
            each for each, names, _, at in parted if market in names.split("+") and broker in {None, Broker(at or Broker.PAPER)}
        ]

    @property
    def keys(self) -> Path:
        """The key that signs models, and those that are trusted."""
        return self.root / "keys"

    @property
    def models(self) -> Path:
        """Bundles fetched from the registry, one folder a version: trading goes on from here when MLflow is down."""
        return self.root / "models"

    @property
    def docs(self) -> Path:
        """Data Docs, one folder a market."""
        return self.root / "docs"

    @property
    def answers(self) -> Path:
        """What vendors told of days long closed; whoever removes it has them asked again."""
        return self.root / "answers"

    @property
    def reports(self) -> Path:
        """HTML reports."""
        return self.root / "reports"

    @property
    def logs(self) -> Path:
        """What the servers print."""
        return self.root / "logs"

    @property
    def addresses(self) -> Path:
        """Where `nightshift up` notes the addresses of its servers while they run."""
        return self.root / "addresses.json"


def from_environment(environment: Mapping[str, str] | None = None) -> Home:
    """Return the home that NIGHTSHIFT_HOME names, `var` in the checkout by default; nothing is created.

    NIGHTSHIFT_STORE names another place for its tables, a folder or a URL.
    """
    known = os.environ if environment is None else environment
    chosen, tables = known.get("NIGHTSHIFT_HOME", ""), known.get("NIGHTSHIFT_STORE", "")
    if tables and "://" not in tables:
        tables = str(Path(tables).expanduser().absolute())
    return Home(Path(chosen).expanduser().absolute() if chosen else PROJECT / "var", tables)


def parameters(environment: Mapping[str, str] | None = None) -> Path:
    """Return the params.yaml that NIGHTSHIFT_PARAMETERS names, the checkout's by default."""
    known = os.environ if environment is None else environment
    chosen = known.get("NIGHTSHIFT_PARAMETERS", "")
    return Path(chosen).expanduser().absolute() if chosen else PROJECT / "params.yaml"


def quiet() -> None:
    """Turn off telemetry and unordered queries for this process and its children; an entry point's first call."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
