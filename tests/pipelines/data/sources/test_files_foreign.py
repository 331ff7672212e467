"""Files of other countries: their words for columns, their decimal comma, their dates and the encoding of their spreadsheets."""

import logging
from pathlib import Path

import pytest

from domain.error import UnreadableFile
from pipelines.data.sources import files
from tests.pipelines.data.sources.shelf import at, equity

EXCHANGE = ("{0};1.010,5;1.020,25;1.000,75;1.015,5;1.234", "{1};1.015,5;1.030,1;1.010,2;1.020,3;900")
PLAIN = ("{0};1010,5;1020,25;1000,75;1015,5;1234", "{1};1015,5;1030,1;1010,2;1020,3;900")
INVESTING = (
    '"{0}","1.015,5","1.010,5","1.020,25","1.000,75","1,234K","0,5%"',
    '"{1}","1.010,0","1.010,5","1.020,25","1.000,75","1,2K","0,5%"',
)
GERMAN, SLASHED = ("05.03.2024", "06.03.2024"), ("05/03/2024", "06/03/2024")

#: What exchanges and Investing.com write: columns, rows, and how they write the 5th and the 6th of March 2024.
FOREIGN = {
    "German": ("Datum;Eröffnung;Hoch;Tief;Schluss;Volumen", EXCHANGE, GERMAN),
    "German, Investing.com": ('"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"', INVESTING, GERMAN),
    "French": ("Date;Ouverture;Haut;Bas;Clôture;Volume", PLAIN, SLASHED),
    "French, Investing.com": ('"Date","Dernier","Ouv."," Plus Haut","Plus Bas","Vol.","Variation %"', INVESTING, SLASHED),
    "Spanish": ("Fecha;Apertura;Máximo;Mínimo;Cierre;Volumen", EXCHANGE, SLASHED),
    "Spanish, Investing.com": ('"Fecha","Último","Apertura","Máximo","Mínimo","Vol.","% var."', INVESTING, SLASHED),
    "Italian": ("Data;Apertura;Massimo;Minimo;Chiusura;Volume", PLAIN, SLASHED),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_read_as_it_was_meant(tmp_path: Path, name: str, encoding: str) -> None:
    """The day before the month, the comma before decimals, whatever the spreadsheet saved it in."""
    path = tmp_path / "ACME.csv"
    header, rows, days = FOREIGN[name]
    path.write_bytes("\n".join([header, *(row.format(*days) for row in rows), ""]).encode(encoding))

    bars = files.read(path, equity("1d"))

    first = bars.filter(bars["opened_at"] == at("2024-03-05 14:30"))
    assert first.select("open", "high", "low", "close", "volume").row(0) == (1010.5, 1020.25, 1000.75, 1015.5, 1234.0)
    assert bars.height == 2


def test_english_dates_stay_ambiguous(tmp_path: Path) -> None:
    """Nothing tells whether this is March or May: the sentence says how to write it."""
    path = tmp_path / "ACME.csv"
    path.write_text("Date;Open;Max;Min;Close\n05/03/2024;1;2;1,5;2\n06/04/2024;1;2;1,5;2\n")

    with pytest.raises(UnreadableFile, match="day or month first: write them as YYYY-MM-DD"):
        files.read(path, equity("1d"))


def test_a_folder_of_nothing_is_one_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not one for each of its files."""
    for name in ("LICENSE", "README", "NOTES"):
        (tmp_path / f"{name}.txt").write_text("Permission is hereby granted, free of charge.\n")

    with caplog.at_level(logging.WARNING), pytest.raises(UnreadableFile, match=r"none of the 3 files in the folder .* holds bars"):
        files.read(tmp_path, equity("1d"))

    assert caplog.text == ""


def test_what_is_left_out_beside_bars_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each of them."""
    (tmp_path / "LICENSE.txt").write_text("Permission is hereby granted, free of charge.\n")
    (tmp_path / "ACME.csv").write_text("date,open,high,low,close\n2024-03-05,1,2,1,2\n2024-03-06,1,2,1,2\n")

    with caplog.at_level(logging.WARNING):
        rows = files.read(tmp_path, equity("1d"))

    assert rows.height == 2
    assert "left out: " in caplog.text
    assert "LICENSE.txt" in caplog.text
