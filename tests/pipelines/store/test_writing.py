"""Writers at once: every read is one version, and no row is lost, half there, or there twice."""

from pathlib import Path

import polars as pl
import pytest

from tests.pipelines.store import writing


@pytest.mark.slow
def test_two_processes_that_write_at_once_lose_nothing_a_reader_sees_whole_batches(tmp_path: Path) -> None:
    """Five seconds of what `benchmarks/store/writers.py` does for two minutes."""
    seen = writing.contest(tmp_path / "store", 5.0)

    assert seen.wrong == []
    assert seen.reads > 0
    assert len(seen.written) == writing.WRITERS
    assert seen.rows == sum(seen.written) * writing.ROWS + max(seen.written) * writing.SHARED + writing.WRITERS


def test_the_judge_of_a_version_sees_what_is_wrong_with_one() -> None:
    """A missing row, a missing batch, a doubled row, a shared row that is gone."""
    batches = [writing.batch(writer, number) for writer in range(2) for number in range(3)]
    whole = pl.concat(batches).unique(["symbol", "opened_at"], keep="last", maintain_order=True)

    assert writing.wrong(whole) is None
    assert "writer 0 counted to 2" in str(writing.wrong(whole[1:]))
    assert "writer 1 counted to 2" in str(writing.wrong(whole.filter(pl.col("symbol") != "W1-3")))
    assert writing.wrong(whole.vstack(whole[:1])) == "a row is there twice"
    assert "14 shared rows of 3 batches" in str(writing.wrong(whole.filter(~whole["symbol"].eq("both-1") | (whole["close"] > 0))))
