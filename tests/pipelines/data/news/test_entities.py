"""Tests of linking: a name or a marked ticker is evidence, a word is not."""

from pathlib import Path

import polars as pl
import pytest

from domain.error import UnreadableFile
from pipelines.data.news import entities

TABLE = pl.DataFrame(
    {
        "symbol": ["A", "ALL", "IT", "AAPL", "BRK.B", "ACAS", "T", "KO"],
        "name": [
            "Agilent Technologies, Inc.", "The Allstate Corporation", "Gartner Inc", "Apple Inc.", "Berkshire Hathaway Inc.",

            "American Capital, Ltd.", "AT&T Inc.", "Coca-Cola Company",
        ],
        "aliases": ["", "", "", "", "Berkshire", "", "", "Coke"],
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("headline", "symbols"),
    [
        ("Agilent beats estimates", ("A",)),
        ("Agilent Technologies Signs Agreement", ("A",)),
        ("A Look At IT Spending: ALL You Need", ()),
        ("Allstate's profit rises", ("ALL",)),
        ("Shares of $ALL and $it climb", ("ALL", "IT")),
        ("Gold Continues Its Run (AAPL, KO)", ("AAPL", "KO")),
        ("Upgrade (NYSE: BRK.B)", ("BRK.B",)),
        ("AAPL leads tech higher", ("AAPL",)),
        ("apple growers expect a poor harvest", ()),
        ("ALL MARKETS FALL, IT SAYS", ()),
        ("American exports fall", ()),
        ("American Capital raises dividend", ("ACAS",)),
        ("Coke and Berkshire Hathaway talk", ("KO", "BRK.B")),
        ("AT&T cuts outlook", ("T",)),
        ("", ()),
    ],
)
def test_a_headline_is_linked_to_whom_it_names(headline: str, symbols: tuple[str, ...]) -> None:
    """Forms of companies are stripped, tickers that are words need a mark, capitals tell Apple from apples."""
    assert entities.build(TABLE).link(headline) == symbols


def test_a_name_that_two_symbols_share_names_neither() -> None:
    """Two classes of one company, or two companies of one first word."""
    table = pl.DataFrame({"symbol": ["X", "Y"], "name": ["Zenith Steel Inc", "Zenith Motors Inc"]})
    linked = entities.build(table)

    assert linked.link("Zenith rallies") == ()
    assert linked.link("Zenith Motors rallies") == ("Y",)


def test_a_table_without_names_is_one_sentence(tmp_path: Path) -> None:
    """Which columns it has and which it needs."""
    (tmp_path / "names.csv").write_text("ticker,company\nA,Agilent\n", encoding="utf-8")

    with pytest.raises(UnreadableFile, match="has the columns ticker, company: symbol and name are needed"):
        entities.read(tmp_path / "names.csv")
