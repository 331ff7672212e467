"""Every table of an evaluation becomes one picture, the same bytes each time."""

from pathlib import Path

from pipelines import pictures

TABLES = {
    "calibration": "level,share\n0.05,0.04\n0.5,0.52\n0.95,0.96\n",
    "equity": "event_at,equity,benchmark\n2024-01-02T21:00:00,1.0,1.0\n2024-01-03T21:00:00,1.01,\n",
    "importance": "feature,gain\nmomentum_20,0.6\nvolatility_60,0.4\n",
    "nothing": "row,value\n",
}


def test_each_table_is_drawn_once_and_alike(tmp_path: Path) -> None:
    """Numbers, times with gaps, words and an empty table: PNG files of the tables' names, equal when drawn again."""
    for name, content in TABLES.items():
        (tmp_path / f"{name}.csv").write_text(content)
    (tmp_path / "again").mkdir()

    first = pictures.draw(tmp_path, tmp_path)
    again = pictures.draw(tmp_path, tmp_path / "again")

    assert [picture.stem for picture in first] == sorted(TABLES)
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in first)
    assert [picture.read_bytes() for picture in first] == [picture.read_bytes() for picture in again]


def test_a_folder_without_tables_gives_no_pictures(tmp_path: Path) -> None:
    """Missing or empty, nothing is drawn and nothing fails."""
    assert pictures.draw(tmp_path, tmp_path) == pictures.draw(tmp_path / "missing", tmp_path) == []
