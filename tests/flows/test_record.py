"""`nightshift record` as a process of its own: stopped politely, killed outright, and asked of a market that tells nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from domain import params as parameters
from domain.clock import SystemClock
from flows import cli
from flows.home import Home
from pipelines.data import ingest
from pipelines.data.sources.alpaca import Access, Alpaca
from pipelines.store import Store
from tests.alpaca import history
from tests.alpaca.history import KEY, SECRET, Vendor
from tests.alpaca.stream import Stream, Talk, streaming
from tests.flows.conftest import ROOT

PATIENCE_S = 120.0
SYMBOLS = ("BTC/USD", "ETH/USD")
COUNT = 25


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Yield a vendor with minutes of the last hour."""
    first = SystemClock().now().astimezone(UTC).replace(second=0, microsecond=0) - timedelta(minutes=60)
    rows = [history.bar(first + timedelta(minutes=i), 100.0 + i, 101.0 + i, 99.0 + i, 100.5 + i, 10.0) for i in range(COUNT)]
    with history.running(Vendor(bars={"1Min": {symbol: list(rows) for symbol in SYMBOLS}})) as started:
        yield started


@pytest.fixture
def answered() -> list[bool]:
    """Return what is noted in when a listener has received all bars."""
    return []


@pytest.fixture
def stream(vendor: Vendor, answered: list[bool]) -> Iterator[Stream]:
    """Yield a stream of the same bars, a minute of both a frame, that then waits."""

    async def talk(line: Talk) -> None:
        for i in range(COUNT):
            await line.say(*({"T": "b", "S": symbol, **vendor.bars["1Min"][symbol][i]} for symbol in SYMBOLS))
        answered.append(bool(await (await line.socket.ping())))
        await line.wait()

    with streaming(Stream(talk)) as started:
        yield started


def written(folder: Path, **recorder: float) -> Path:
    """Write the project's parameters with a market of coins and return the file."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    coins = {**raw["markets"]["crypto"], "timeframe": "1m", "source": "alpaca", "symbols": list(SYMBOLS)}
    raw["markets"]["coins"] = coins
    raw["sources"]["recorder"] |= recorder
    raw["sources"]["alpaca"]["channels"] = ["bars"]
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def started(folder: Path, stream: Stream, vendor: Vendor, file: Path) -> "subprocess.Popen[str]":
    """Start the command in a process of its own."""
    access = {"ALPACA_API_KEY": KEY, "ALPACA_SECRET_KEY": SECRET, "ALPACA_DATA_URL": vendor.url, "ALPACA_STREAM_URL": stream.url}
    environment = {**os.environ, **access, "NIGHTSHIFT_HOME": str(folder / "home"), "NIGHTSHIFT_PARAMETERS": str(file)}
    command = [sys.executable, "-m", "flows.cli", "record", "--market", "coins", "--json"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(what: str, found: "subprocess.Popen[str]", met: "Iterator[bool]") -> None:
    """Wait until something is so, while the process lives."""
    until = time.monotonic() + PATIENCE_S
    for so in met:
        if so:
            return
        assert found.poll() is None, found.communicate()
        assert time.monotonic() < until, f"no {what} after {PATIENCE_S:g} s"
        time.sleep(0.1)


def test_ctrl_c_stores_what_was_heard_and_says_how_much(
    tmp_path: Path, stream: Stream, vendor: Vendor, answered: list[bool]
) -> None:
    """A batch that was neither full nor old; the answer is one JSON object and the exit is a good one."""
    process = started(tmp_path, stream, vendor, written(tmp_path, batch_rows=100_000, batch_s=600.0))
    wait_for("listener", process, (bool(answered) for _ in iter(int, 1)))
    time.sleep(2.0)

    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, error
    answer = json.loads(out)
    assert (answer["market"], answer["source"], answer["bars"], answer["updates"], answer["batches"]) == (
        "coins",
        "alpaca",
        50,
        50,
        1,
    )
    stored = Store(Home(tmp_path / "home").store).bars("coins", "1m")
    assert stored.height == 50


def test_a_kill_costs_no_more_than_the_batch_that_waited_and_ingest_brings_it(
    tmp_path: Path, stream: Stream, vendor: Vendor
) -> None:
    """Fifty bars in batches of twenty: forty are stored, ten wait for ten minutes, and then comes SIGKILL."""
    file = written(tmp_path, batch_rows=20, batch_s=600.0)
    process = started(tmp_path, stream, vendor, file)
    store = Store(Home(tmp_path / "home").store)
    wait_for("two batches", process, (store.holds("coins", "1m") and store.count("coins", "1m") >= 40 for _ in iter(int, 1)))

    process.kill()
    process.communicate(timeout=PATIENCE_S)

    assert store.bars("coins", "1m").height == 40
    params = parameters.load(file, "coins")
    source = Alpaca(params.sources.alpaca, Access(KEY, SECRET, vendor.url))
    first = datetime.fromisoformat(vendor.bars["1Min"]["BTC/USD"][0]["t"])
    ingest.from_source(params.market("coins"), params, store, first, source=source)
    whole = store.bars("coins", "1m")
    wanted = [row["c"] for symbol in SYMBOLS for row in vendor.bars["1Min"][symbol]]
    assert whole["close"].to_list() == wanted
    assert whole["opened_at"][0] == first


def test_a_market_whose_source_is_not_live_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the source, and one that would do."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))

    result = CliRunner().invoke(cli.app, ["record", "--market", "sim_equity"])

    assert result.exit_code == 1
    assert "its source, simulated, tells nothing live: alpaca does" in result.stderr
