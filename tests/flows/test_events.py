"""Events: a promotion is told to Prefect when it listens, and never waits for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows import events
from flows.home import Home


def test_without_a_server_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain command on a machine without Prefect is not even slower."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    assert events.promoted("crypto", 3, Home(tmp_path)) is False


def test_a_dead_server_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The promotion stands; the log says what was not told, and to whom."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    home = Home(tmp_path)
    home.addresses.write_text(json.dumps({"prefect": "http://127.0.0.1:9/api", "mlflow": "http://127.0.0.1:9"}))

    assert events.promoted("crypto", 3, home) is False
    assert "crypto version 3" in caplog.text
    assert "127.0.0.1:9" in caplog.text


def test_moves_and_refusals_are_told_like_promotions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each under its own name, about its market, with what a trigger or a person needs."""
    heard: list[tuple[str, str, dict[str, Any]]] = []

    async def emit(_api: str, name: str, market: str, payload: dict[str, Any]) -> None:
        heard.append((name, market, payload))

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(events, "_emit", emit)

    assert events.moved("fx", None, Home(tmp_path))
    assert events.refused("fx", 3, 1, "no gate", Home(tmp_path))
    assert heard == [
        ("nightshift.model.moved", "fx", {"version": None}),
        ("nightshift.model.refused", "fx", {"version": 3, "standing": 1, "reason": "no gate"}),
    ]
