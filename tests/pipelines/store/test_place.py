"""Place: the same store over object storage, through a real server that speaks S3."""

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from domain.error import ConfigurationError, NoData, ResourceError
from pipelines.store import Store
from tests.pipelines.store.rows import bar, many, table

ROOT = Path(__file__).parents[3]
BUCKET = "tables"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Yield the address of an S3 server with one bucket."""
    import boto3

    command = [sys.executable, "-m", "tests.pipelines.store.object_storage"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{int(server.stdout.readline())}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=address, **keys).create_bucket(Bucket=BUCKET)
        yield address
        server.kill()


@pytest.fixture
def reached(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put endpoint and keys where a person would."""
    environment = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    for name, value in {**environment, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("reached")
def test_a_store_by_url_is_a_store(tmp_path: Path) -> None:
    """Rows, versions, corrections, batches and names that need quoting are what they are in a folder."""
    far, near = Store(f"s3://{BUCKET}/some/prefix"), Store(tmp_path)
    with pytest.raises(NoData, match=r"nothing was ever stored in s3://tables/some/prefix/bars"):
        far.bars("m", "1h")

    for store in (far, near):
        first = store.upsert("bars", pl.concat([many(40), table(bar("A", 0, 3.0, market="it's b/c"))]))
        assert store.upsert("bars", many(40)) == first
        store.upsert("bars", table(bar("S1", 1, 9.0), bar("S2", 1, 8.0, late=3)))

    assert far.bars("m", "1h").equals(near.bars("m", "1h"))
    assert far.at({"bars": first}).bars("m", "1h").equals(near.at({"bars": first}).bars("m", "1h"))
    assert far.bars("it's b/c", "1h")["close"].to_list() == [3.0]
    assert pl.concat(far.batches("m", "1h", rows=15)).height == 40
    assert far.version("bars") == near.version("bars")


def _write(root: str, writer: int) -> None:
    for number in range(3):
        Store(root).upsert("bars", table(bar(f"W{writer}", number), bar("both", number)))


@pytest.mark.usefixtures("reached")
def test_two_processes_that_write_at_once_lose_nothing_there_either() -> None:
    """The server refuses to overwrite a commit that the other made first, and the slower one tries again."""
    root, context = f"s3://{BUCKET}/contested", multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(root, number)) for number in range(2)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()

    assert [process.exitcode for process in writers] == [0, 0]
    stored = Store(root).read("bars")
    assert stored["symbol"].value_counts().sort("symbol").rows() == [("W0", 3), ("W1", 3), ("both", 3)]


@pytest.mark.usefixtures("reached")
def test_storage_that_does_not_serve_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is not there, for a reader and a writer; then an endpoint where nobody listens."""
    lost = Store("s3://nowhere/prefix")
    for ask in (lambda: lost.bars("m", "1h"), lambda: lost.upsert("bars", many(2))):
        with pytest.raises(ConfigurationError, match=r"s3://nowhere/prefix/bars, but there is no such bucket: create it") as caught:
            ask()
        assert "\n" not in str(caught.value)

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ResourceError, match=r"cannot be reached: look at AWS_ENDPOINT_URL") as unreachable:
        Store(f"s3://{BUCKET}/some/prefix").bars("m", "1h")
    assert "\n" not in str(unreachable.value)
