"""The door for models: runs, versions and aliases in MLflow, which is imported here and nowhere else.

One experiment and one registered model a market, both named `nightshift-<market>`. A version is a run's code-free bundle; nothing
is pickled and nothing is loaded through MLflow. Aliases say what a version is for: `champion` is served, `challenger` waits at the
gates, `previous` is what a rollback returns to.
"""

import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from domain.clock import Clock, SystemClock, nanoseconds
from domain.error import DiskFull, ModelError, NoChampion, ResourceError
from pipelines import pictures

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Webhook
    from mlflow.entities.model_registry import ModelVersion

Found = TypeVar("Found")
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
BUNDLE, EVALUATION, GATES = "bundle", "evaluation", "gates"
LINEAGE = "lineage."
#: What the names of our registered models begin with, and the name of our webhook.
PREFIX, HOOK = "nightshift-", "nightshift"
PROMOTION = "promotion"
VALUE_CHARACTERS_MAX = 5_000
#: Tags by which a search and its trials are told from trainings.
_SEARCH = {"mlflow.source.name": "nightshift", "mlflow.source.type": "PROJECT", "kind": "search"}
TRIAL_STATES = {"complete": "FINISHED", "pruned": "KILLED"}
BATCH = 100
ABSENT = "RESOURCE_DOES_NOT_EXIST"
#: Laid under the environment before MLflow is imported: no telemetry, no progress bars, failures told once and soon.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Lineage:
    """Everything that is needed to make a version again."""

    tables: str
    """Versions of the tables that were read, as `versions.line` writes them."""
    snapshot: str
    """Digest of the snapshot that was cut from them."""
    first: str
    """Close of the oldest bar used, ISO 8601."""
    last: str
    """Close of the newest bar used, ISO 8601."""
    commit: str
    """Git commit of the code."""
    parameters: str
    """Params.digest of the run."""
    seed: int
    features: str
    """Hash of the feature schema."""


@dataclass(frozen=True)
class Promotion:
    """One entry of the list of all promotions and rollbacks of a market."""

    number: int
    """Counts from 1 and never back: a trader refuses a champion older than one it has served."""
    kind: str
    """promote or rollback."""
    version: int
    replaces: int | None
    at: str
    report: str
    """SHA-256 of the gate report, or the reason of a rollback."""


@dataclass(frozen=True)
class Version:
    """One version of a market's model."""

    market: str
    number: int
    name: str
    """The readable name of its run."""
    run_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    lineage: Lineage

    @property
    def promotion(self) -> Promotion | None:
        """The last promotion or rollback that made it champion, if any; raise ModelError where a person wrote something else."""
        text = self.tags.get(PROMOTION)
        try:
            return None if text is None else Promotion(**json.loads(text))
        except (ValueError, TypeError):
            asked = f"the promotion of version {self.number} of market '{self.market}' was asked"
            raise ModelError(f"{asked}, but its tag '{PROMOTION}' was changed by hand: promote it anew") from None


class Registry:
    """The models of all markets, in an SQLite file under `home`, or on the server that `uri` or MLFLOW_TRACKING_URI names."""

    def __init__(self, home: Path, clock: Clock | None = None, uri: str | None = None) -> None:
        self.home = home
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home.absolute() / 'mlflow.db'}"
        self.clock = clock or SystemClock()
        self._opened: MlflowClient | None = None

    def record(
        self,
        market: str,
        *,
        bundle: Path,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        artifacts: Path,
        lineage: Lineage,
        name: str,
        curves: Mapping[str, Sequence[float]] | None = None,
    ) -> Version:
        """Record one training as a run with everything about it, and its bundle as the market's newest version.

        `artifacts` is the folder that evaluation wrote; its `plots/*.csv` are drawn too. `curves` become metrics with steps, which
        MLflow lays over each other when runs are compared. Raises ResourceError when MLflow cannot be reached.
        """
        with self._asked(f"to record '{name}'") as client:
            run = client.create_run(
                self._experiment(client, market), self._milliseconds(), {**_lineage_tags(lineage), **_source_tags(lineage)}, name
            )
            run_id, status = run.info.run_id, "FAILED"
            try:
                self._log(client, run_id, params, metrics, curves or {})
                client.log_artifacts(run_id, str(artifacts), EVALUATION)
                self._log_pictures(client, run_id, artifacts)
                client.log_artifacts(run_id, str(bundle), BUNDLE)
                status = "FINISHED"
            finally:
                client.set_terminated(run_id, status, self._milliseconds())
            number = self._register(client, market, run_id, {**_lineage_tags(lineage), "name": name})
        return self.version(market, number)

    @contextmanager
    def study(self, market: str, name: str) -> Iterator["Study"]:
        """Yield a run whose children are the trials of a search; it ends as failed when the search does."""
        with self._asked(f"to begin '{name}'") as client:
            run_id = client.create_run(self._experiment(client, market), self._milliseconds(), _SEARCH, name).info.run_id
        status = "FAILED"
        try:
            yield Study(self, market, run_id)
            status = "FINISHED"
        finally:
            with self._asked(f"to end '{name}'") as client:
                client.set_terminated(run_id, status, self._milliseconds())

    def version(self, market: str, which: str | int) -> Version:
        """Return a version by number or alias; raise NoChampion when nothing was promoted, else ModelError when there is none."""
        with self._asked(f"for version {which} of market '{market}'") as client:
            aliases = self._aliases(client, market)
            number = aliases.get(which) if isinstance(which, str) and not which.isdecimal() else int(which)
            found = None if number is None else _found(lambda: client.get_model_version(_name(market), str(number)))
            if found is None:
                raise self._missing(market, which)
            return _version(market, found, aliases)

    def versions(self, market: str) -> list[Version]:
        """Return every version of the market, oldest first; none when nothing was recorded."""
        with self._asked(f"for the versions of market '{market}'") as client:
            aliases = self._aliases(client, market)
            found: list[ModelVersion] = []
            token: str | None = ""
            while token is not None:
                page = client.search_model_versions(f"name = '{_name(market)}'", page_token=token or None)
                found, token = found + list(page), page.token or None
        return sorted((_version(market, each, aliases) for each in found), key=lambda version: version.number)

    def metrics(self, version: Version) -> dict[str, float]:
        """Return the last value of every metric of the version's run."""
        with self._asked(f"for the metrics of version {version.number}") as client:
            return dict(client.get_run(version.run_id).data.metrics)

    def fetch(self, version: Version, folder: Path) -> Path:
        """Download the version's bundle so that `folder` holds its files only; models.bundle.verify then proves the bytes."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        what = f"for the bundle of version {version.number}"
        with self._asked(what) as client, tempfile.TemporaryDirectory(dir=folder.parent) as place:
            fetched = client.download_artifacts(version.run_id, BUNDLE, place)
            if folder.exists():
                shutil.rmtree(folder)
            Path(fetched).rename(folder)
        return folder

    def kept(self, version: Version, name: str, place: str) -> bytes:
        """Return a file that was attached to the version's run; raise ModelError where there is none."""
        with self._asked(f"for {place}/{name} of version {version.number}") as client, tempfile.TemporaryDirectory() as folder:
            if f"{place}/{name}" not in {entry.path for entry in client.list_artifacts(version.run_id, place)}:
                raise ModelError(f"'{name}' was asked of version {version.number} of market '{version.market}', but none is kept")
            return Path(client.download_artifacts(version.run_id, f"{place}/{name}", folder)).read_bytes()

    def attach(self, version: Version, files: Mapping[str, str | bytes], place: str = GATES) -> None:
        """Keep files, such as gates.json and gates.md, with the version's run."""
        with self._asked(f"to attach a report to version {version.number}") as client, tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                Path(folder, name).write_bytes(content.encode() if isinstance(content, str) else content)
            client.log_artifacts(version.run_id, folder, place)

    def challenge(self, market: str, number: int) -> None:
        """Let the version wait at the gates under the alias `challenger`."""
        version = self.version(market, number)
        with self._asked(f"to make version {number} the challenger") as client:
            client.set_registered_model_alias(_name(market), CHALLENGER, str(version.number))

    def promote(self, market: str, number: int, report: str, after: int | None = None) -> Version:
        """Make the version champion on the strength of its gate report (JSON), and the champion before it `previous`.

        Running it again does nothing; a crash in between leaves one of the two champions, and the next call completes it. Where the
        alias was moved by hand, the record says who stood before. `after` is the number of the promotion that stood when it was
        judged: a run that was given up and goes on must not undo what came since. Raises ModelError when the report does not
        promote, or another promotion stands.
        """
        if json.loads(report).get("promoted") is not True:
            raise ModelError(f"version {number} of market '{market}' was to be promoted, but its gate report refuses it")
        version = self.version(market, number)
        with self._asked(f"to promote version {number}") as client, self._alone():
            self._settle(client, market)
            recorded = self._promotions(client, market)
            if not recorded or not self._stands(client, version, recorded[-1]):
                _check_fence(version, after, recorded)
                before = next((made.version for made in reversed(recorded) if made.version != version.number), None)
                self._move(client, market, "promote", version.number, before, hashlib.sha256(report.encode()).hexdigest())
        return self.version(market, number)

    def rollback(self, market: str, reason: str = "asked for", of: int | None = None) -> Version:
        """Swap champion and previous, and return who stands now; with `of`, only while that version is the champion.

        Raises NoChampion when nothing was promoted, ModelError when nothing came before it.
        """
        with self._asked(f"to roll market '{market}' back") as client, self._alone():
            self._settle(client, market)
            aliases = self._aliases(client, market)
            champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
            if champion is None:
                raise self._missing(market, CHAMPION)
            if previous is None or previous == champion:
                raise ModelError(f"market '{market}' was to be rolled back, but version {champion} is the only one ever promoted")
            if of is None or of == champion:
                self._move(client, market, "rollback", previous, champion, reason)
        return self.version(market, CHAMPION)

    def stands(self, market: str) -> bool:
        """Return whether the champion is who the last promotion or rollback made it; before the first one nobody may be."""
        with self._asked(f"who stands in market '{market}'") as client, self._alone():
            self._settle(client, market)
            recorded, champion = self._promotions(client, market), self._aliases(client, market).get(CHAMPION)
            if champion is None or not recorded:
                return champion is None and not recorded
            version = _version(market, client.get_model_version(_name(market), str(champion)), {})
            return self._stands(client, version, recorded[-1])

    def restore(self, market: str) -> Version | None:
        """Put the champion back to where the last promotion or rollback left it; return it, None where there never was one."""
        with self._asked(f"to put the champion of market '{market}' back") as client, self._alone():
            self._settle(client, market)
            recorded = self._promotions(client, market)
            if recorded:
                last = recorded[-1]
                client.set_model_version_tag(_name(market), str(last.version), PROMOTION, json.dumps(asdict(last)))
                client.set_registered_model_alias(_name(market), CHAMPION, str(last.version))
            elif CHAMPION in self._aliases(client, market):
                client.delete_registered_model_alias(_name(market), CHAMPION)
        return self.version(market, CHAMPION) if recorded else None

    def subscribe(self, url: str, secret: str) -> None:
        """Let MLflow's server tell `url` of every alias that is moved or taken away, signed with `secret`; once, however often."""
        with self._asked(f"to tell {url} of aliases") as client:
            known: list[Webhook] = []
            token: str | None = ""
            while token is not None:
                page = client.list_webhooks(page_token=token or None)
                known, token = known + list(page), page.token or None
            for hook in known:
                if hook.name == HOOK:
                    client.delete_webhook(hook.webhook_id)
            client.create_webhook(HOOK, url, ["model_version_alias.created", "model_version_alias.deleted"], secret=secret)

    def standing(self, market: str) -> int:
        """Return the number of the newest promotion or rollback of a market, 0 before the first."""
        return max((made.number for made in self.promotions(market)), default=0)

    def promotions(self, market: str) -> list[Promotion]:
        """Return every promotion and rollback of the market, oldest first."""
        with self._asked(f"for the promotions of market '{market}'") as client:
            return self._promotions(client, market)

    def _promotions(self, client: "MlflowClient", market: str) -> list[Promotion]:
        model = _found(lambda: client.get_registered_model(_name(market)))
        kept = {} if model is None else {key: text for key, text in model.tags.items() if key.startswith(f"{PROMOTION}.")}
        return [Promotion(**json.loads(kept[key])) for key in sorted(kept)]

    def _move(self, client: "MlflowClient", market: str, kind: str, number: int, replaces: int | None, report: str) -> None:
        """Write down what is about to happen, then move the champion: between the two calls the old one still stands."""
        place = len(self._promotions(client, market)) + 1
        promotion = Promotion(place, kind, number, replaces, self.clock.now().isoformat(), report)
        client.set_model_version_tag(_name(market), str(number), PROMOTION, json.dumps(asdict(promotion)))
        client.set_registered_model_alias(_name(market), CHAMPION, str(number))
        self._complete(client, market, promotion)

    def _complete(self, client: "MlflowClient", market: str, promotion: Promotion) -> None:
        if promotion.replaces is not None:
            client.set_registered_model_alias(_name(market), PREVIOUS, str(promotion.replaces))
        if self._aliases(client, market).get(CHALLENGER) == promotion.version:
            client.delete_registered_model_alias(_name(market), CHALLENGER)
        client.set_registered_model_tag(_name(market), f"{PROMOTION}.{promotion.number:06d}", json.dumps(asdict(promotion)))

    def _stands(self, client: "MlflowClient", version: Version, last: Promotion) -> bool:
        """Return whether a version is champion by its alias, by its own tag and by the last entry of the record."""
        with suppress(ModelError):
            standing = self._aliases(client, version.market).get(CHAMPION)
            return standing == version.number == last.version and version.promotion == last
        return False

    def _settle(self, client: "MlflowClient", market: str) -> None:
        """Complete a promotion that a crash interrupted after the champion had moved."""
        champion = self._aliases(client, market).get(CHAMPION)
        if champion is None:
            return
        begun = None
        # What a person wrote into the tag is no promotion that was begun.
        with suppress(ModelError):
            begun = _version(market, client.get_model_version(_name(market), str(champion)), {}).promotion
        if begun is not None and begun.number > len(self._promotions(client, market)):
            self._complete(client, market, begun)

    def _experiment(self, client: "MlflowClient", market: str) -> str:
        known = client.get_experiment_by_name(_name(market))
        if known is not None:
            return str(known.experiment_id)
        place = (self.home.absolute() / "mlartifacts" / _name(market)).as_uri() if self.uri.startswith("sqlite:") else None
        return str(client.create_experiment(_name(market), artifact_location=place))

    def _register(self, client: "MlflowClient", market: str, run_id: str, tags: dict[str, str]) -> int:
        if _found(lambda: client.get_registered_model(_name(market))) is None:
            client.create_registered_model(_name(market), description=f"The models that trade {market}.")
        source = f"{client.get_run(run_id).info.artifact_uri}/{BUNDLE}"
        return int(client.create_model_version(_name(market), source, run_id, tags, await_creation_for=0).version)

    def _log(
        self,
        client: "MlflowClient",
        run_id: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[float]],
    ) -> None:
        from mlflow.entities import Metric, Param

        now = self._milliseconds()
        values = [Param(key, _shortened(text)) for key, text in _flat(params)]
        points = [Metric(key, value, now, 0) for key, value in metrics.items()]
        points += [Metric(key, v, now, step) for key, curve in curves.items() for step, v in enumerate(curve) if math.isfinite(v)]
        for first in range(0, max(len(values), len(points)), BATCH):
            client.log_batch(run_id, points[first : first + BATCH], values[first : first + BATCH])

    def _log_pictures(self, client: "MlflowClient", run_id: str, artifacts: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if pictures.draw(artifacts / "plots", Path(folder)):
                client.log_artifacts(run_id, folder, f"{EVALUATION}/plots")

    def _aliases(self, client: "MlflowClient", market: str) -> dict[str, int]:
        model = _found(lambda: client.get_registered_model(_name(market)))
        return {} if model is None else {alias: int(number) for alias, number in model.aliases.items()}

    def _missing(self, market: str, which: str | int) -> ModelError:
        if which == CHAMPION:
            return NoChampion(f"no model of market '{market}' has been promoted: train one and let it pass the gates")
        known = ", ".join(str(version.number) for version in self.versions(market)) or "none"
        return ModelError(f"market '{market}' has no version '{which}': the versions recorded are {known}")

    def _milliseconds(self) -> int:
        return nanoseconds(self.clock.now()) // 1_000_000

    def _client(self) -> "MlflowClient":
        if self._opened is None:
            from mlflow import MlflowClient

            with self._alone():
                self._opened = MlflowClient(self.uri, self.uri)
        return self._opened

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock under which this home's tables are made and its aliases moved: MLflow does neither at once."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "registry.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _asked(self, what: str) -> Iterator["MlflowClient"]:
        """Yield the client; whatever MLflow, its database or the disk refuses becomes one sentence."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield self._client()
        except (MlflowException, SQLAlchemyError, OSError) as problem:
            raise _refused(problem, what, self._place()) from problem

    def _place(self) -> str:
        """Return where MLflow is, without the password that an address may carry."""
        parts = urlsplit(self.uri)
        return self.uri if not parts.hostname else f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


class Trial(Protocol):
    """What is told of one trial of a search."""

    @property
    def number(self) -> int:
        """Its place in the search."""
        ...

    @property
    def settings(self) -> Mapping[str, float]:
        """What was tried."""
        ...

    @property
    def value(self) -> float:
        """What it was worth; NaN where it failed."""
        ...

    @property
    def state(self) -> str:
        """complete, pruned, fail."""
        ...


@dataclass(frozen=True)
class Study:
    """A search under way, as a run with a child for each trial."""

    registry: Registry
    market: str
    run_id: str

    def tried(self, trial: Trial) -> None:
        """Record a trial as a child run."""
        registry, tags = self.registry, {**_SEARCH, "mlflow.parentRunId": self.run_id, "state": trial.state}
        with registry._asked(f"to record trial {trial.number}") as client:
            now = registry._milliseconds()
            experiment = registry._experiment(client, self.market)
            run = client.create_run(experiment, now, tags, f"trial {trial.number}")
            registry._log(client, run.info.run_id, trial.settings, _finite({"rank_ic": trial.value}), {})
            client.set_terminated(run.info.run_id, TRIAL_STATES.get(trial.state, "FAILED"), registry._milliseconds())

    def found(self, settings: Mapping[str, float], value: float, trials: int, artifacts: Path) -> None:
        """Record what came of the search, with its tables and pictures."""
        registry = self.registry
        with registry._asked("to record a search") as client:
            registry._log(client, self.run_id, settings, _finite({"rank_ic": value, "trials": float(trials)}), {})
            client.log_artifacts(self.run_id, str(artifacts), "tuning")


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}


def market_of(model: str) -> str | None:
    """Return the market that a registered model is of, None where it is none of ours."""
    return model.removeprefix(PREFIX) if model.startswith(PREFIX) else None


def _name(market: str) -> str:
    return f"{PREFIX}{market}"


def _check_fence(version: Version, after: int | None, recorded: Sequence[Promotion]) -> None:
    """Raise ModelError where a version was judged while another promotion stood than the newest."""
    newest = recorded[-1].number if recorded else 0
    if after is not None and after != newest:
        raise ModelError(
            f"version {version.number} of market '{version.market}' was judged when promotion {after} stood, and {newest} have "
            "been made by now: it is not promoted, train anew"
        )


def _version(market: str, found: "ModelVersion", aliases: Mapping[str, int]) -> Version:
    tags = dict(found.tags)
    mine = tuple(sorted(alias for alias, number in aliases.items() if number == int(found.version)))
    return Version(market, int(found.version), tags.get("name", ""), str(found.run_id), mine, tags, _lineage(tags))


def _lineage(tags: Mapping[str, str]) -> Lineage:
    values = {field.name: tags.get(LINEAGE + field.name, "") for field in fields(Lineage)}
    return Lineage(**values | {"seed": int(values["seed"] or -1)})  # type: ignore[arg-type]  # the names come from the type itself


def _lineage_tags(lineage: Lineage) -> dict[str, str]:
    return {LINEAGE + name: str(value) for name, value in asdict(lineage).items()}


def _source_tags(lineage: Lineage) -> dict[str, str]:
    """Return the tags that MLflow's own pages show as the source of a run."""
    return {"mlflow.source.name": "nightshift", "mlflow.source.type": "PROJECT", "mlflow.source.git.commit": lineage.commit}


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value if isinstance(value, str) else json.dumps(value, default=str)


def _shortened(text: str) -> str:
    if len(text) <= VALUE_CHARACTERS_MAX:
        return text
    return f"{text[: VALUE_CHARACTERS_MAX - 100]}... sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def _found(ask: Callable[[], Found]) -> Found | None:
    """Return what MLflow has, or None where it says that there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as problem:
        if problem.error_code == ABSENT:
            return None
        raise


def _refused(problem: Exception, what: str, place: str) -> ResourceError:
    reason = " ".join(str(problem).partition("[SQL:")[0].split())
    if getattr(problem, "errno", None) in {errno.ENOSPC, errno.EDQUOT} or "disk is full" in reason:
        return DiskFull(f"MLflow at {place} was asked {what}, but the disk is full: free some space, what was recorded is intact")
    if "failed with exception" in reason:
        # Its text repeats the address, with the password that may be in it.
        return ResourceError(
            f"MLflow at {place} was asked {what}, but does not answer: start it with `nightshift up` or unset the address"
        )
    return ResourceError(f"MLflow at {place} was asked {what} and refused: {reason[:300]}")
