"""Wrong input, as a person meets it: one clear sentence, a non-zero exit, and nothing lost."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from domain import params as parameters
from domain.error import LeaseTaken
from flows import cli
from flows.home import PROJECT, Home
from pipelines.journal import Journal
from pipelines.store import Store

DAYS = 60


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


def refused(*words: str) -> str:
    """Run a command that must fail and return its sentence."""
    result = CliRunner().invoke(cli.app, list(words))

    assert result.exit_code not in {0, 2}, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    sentence = result.stderr.strip()
    assert sentence.startswith("nightshift: ")
    assert "\n" not in sentence
    return sentence


def candles(days: int = DAYS) -> pl.DataFrame:
    """Return plausible hourly crypto bars of two symbols, tidy, made of a fixed random walk."""
    walk = np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, (2, days * 24)), axis=1)) * 100
    frames = []
    for symbol, close in zip(("AAA", "BBB"), walk, strict=True):
        opened = np.concatenate(([100.0], close[:-1]))
        times = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(days * 24)]
        prices = {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close), "close": close}
        frames.append(pl.DataFrame({"symbol": symbol, "ts": times, **prices, "volume": 1000.0}))
    return pl.concat(frames).with_columns(pl.col("ts").dt.cast_time_unit("us"))


def test_an_unknown_parameter_is_answered_with_the_right_one(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in params.yaml is found before anything runs."""
    raw = yaml.safe_load((PROJECT / "params.yaml").read_text())
    raw["training"]["fold"] = 3
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    monkeypatch.setenv("NIGHTSHIFT_PARAMETERS", str(tmp_path / "params.yaml"))

    assert "training.fold is not a parameter: did you mean 'folds'?" in refused("status")


def test_an_unknown_market_is_answered_with_the_right_one(home: Home) -> None:
    """Every command checks its market first."""
    for words in (["learn"], ["import", "x.csv"], ["simulate", "--since", "2020-01-01"]):
        assert "did you mean 'crypto'?" in refused(*words, "--market", "crypot")


def test_an_empty_folder_is_refused(home: Home, tmp_path: Path) -> None:
    """Nothing to read is said so."""
    (tmp_path / "nothing").mkdir()

    assert "nothing" in refused("import", str(tmp_path / "nothing"), "--market", "crypto")


def test_a_missing_file_is_refused(home: Home, tmp_path: Path) -> None:
    """A wrong path names itself."""
    assert "gone.csv" in refused("import", str(tmp_path / "gone.csv"), "--market", "crypto")


def test_a_truncated_parquet_is_refused(home: Home, tmp_path: Path) -> None:
    """A copy that broke off half-way is not half imported."""
    candles().write_parquet(tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(content[: len(content) // 2])

    assert "half.parquet" in refused("import", str(tmp_path / "half.parquet"), "--market", "crypto")
    assert not home.store.exists() or Store(home.store).version("bars") < 1


def test_a_csv_of_another_kind_is_refused_with_its_columns(home: Home, tmp_path: Path) -> None:
    """The sentence says what was found and what is needed."""
    (tmp_path / "people.csv").write_text("name,age,city\nAda,36,London\n")

    sentence = refused("import", str(tmp_path / "people.csv"), "--market", "crypto")

    assert all(word in sentence for word in ("name", "age", "city", "open", "high", "low", "close"))


def test_nan_and_negative_prices_go_to_quarantine_and_the_rest_is_kept(home: Home, tmp_path: Path) -> None:
    """Impossible rows are neither repaired nor lost."""
    frame = candles().with_row_index()
    spoilt = frame.with_columns(
        close=pl.when(pl.col("index") == 100).then(float("nan")).when(pl.col("index") == 200).then(-5.0).otherwise(pl.col("close"))
    ).drop("index")
    spoilt.write_csv(tmp_path / "spoilt.csv")

    result = CliRunner().invoke(cli.app, ["import", str(tmp_path / "spoilt.csv"), "--market", "crypto", "--json"])

    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert told["quarantined"] == 2
    assert told["kept"] == 2 * DAYS * 24 - 2
    reasons = Store(home.store).read("quarantine")["reason"].to_list()
    assert len(reasons) == 2
    assert all(reasons)


def test_a_file_without_one_possible_row_is_refused(home: Home, tmp_path: Path) -> None:
    """A file of nothing but nonsense is a failure, not an empty success."""
    candles().with_columns(close=pl.lit(-1.0)).write_csv(tmp_path / "nonsense.csv")

    assert "possible" in refused("import", str(tmp_path / "nonsense.csv"), "--market", "crypto")


@pytest.mark.parametrize("command", ["ingest", "materialize", "train", "learn"])
def test_a_market_of_files_that_nothing_was_imported_for_is_refused(home: Home, command: str) -> None:
    """The sentence is the command that helps."""
    assert "nightshift import PATH --market crypto" in refused(command, "--market", "crypto")


def test_trading_without_a_promoted_model_is_refused(home: Home, tmp_path: Path) -> None:
    """Nothing trades ungated."""
    candles().write_parquet(tmp_path / "bars.parquet")
    CliRunner().invoke(cli.app, ["import", str(tmp_path / "bars.parquet"), "--market", "crypto"])

    for words in (["replay", "--since", "2024-02-01"], ["simulate", "--since", "2024-02-01"], ["trade"]):
        assert "has been promoted: train one" in refused(*words, "--market", "crypto")


def test_learning_from_too_little_is_refused(home: Home, tmp_path: Path) -> None:
    """Three days of bars teach nothing, and that is said."""
    candles(days=3).write_parquet(tmp_path / "bars.parquet")
    CliRunner().invoke(cli.app, ["import", str(tmp_path / "bars.parquet"), "--market", "crypto"])

    assert "bars" in refused("learn", "--market", "crypto")


def test_a_second_trader_on_one_account_is_refused(home: Home) -> None:
    """The account's journal is a lease: whoever comes second leaves at once."""
    folder = home.account("crypto")

    with Journal(folder / "journal.db"), pytest.raises(LeaseTaken, match="is being written by process"):
        Journal(folder / "journal.db")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small tmpfs cannot be mounted here: the test needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_sentence_and_nothing_stored_is_lost(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was imported before the disk filled up can still be read."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(small_disk))
    candles(days=20).write_parquet(tmp_path / "small.parquet")
    candles(days=2000).write_parquet(tmp_path / "large.parquet")
    first = CliRunner().invoke(cli.app, ["import", str(tmp_path / "small.parquet"), "--market", "crypto"])
    assert first.exit_code == 0, first.output

    sentence = refused("import", str(tmp_path / "large.parquet"), "--market", "crypto")

    assert "disk" in sentence
    market = parameters.load(PROJECT / "params.yaml", "crypto").market("crypto")
    assert Store(small_disk / "store").bars("crypto", market.timeframe).height == 2 * 20 * 24
