"""``one-async setup`` and ``login``: they ask on a terminal only, and only for what is not known."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
import typer

from one_async.cli import app as cli
from one_async.emulator import Emulator
from one_async.settings import TokenFile, resolve


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def server(recorded_emulator: Emulator) -> Emulator:
    recorded_emulator.start()
    return recorded_emulator


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked for on the terminal; the answer is always the same."""
    questions: list[str] = []

    def prompt(question: str, **_: Any) -> str:
        questions.append(question)
        return "alice"

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr(sys, "stdin", Terminal())
    return questions


def test_login_asks_for_both(server: Emulator, asked: list[str]) -> None:
    cli.login(server.url, None, False)
    assert asked == ["User name", "Password"]
    assert TokenFile().load(server.url, "alice")


def test_login_knows_the_user_that_was_set_up(server: Emulator, asked: list[str]) -> None:
    cli.setup(server.url, "alice", None, None)
    asked.clear()
    cli.login(None, None, False)
    assert asked == ["Password"]


def test_login_takes_everything_from_the_environment(
    server: Emulator, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("BASE_URL", server.url), ("USERNAME", "alice"), ("PASSWORD", "alice")):
        monkeypatch.setenv(f"ONE_{name}", value)
    cli.login(None, None, False)
    assert asked == []
    assert f"logged in to {server.url} as alice" in capsys.readouterr().out
    kept = TokenFile().load(server.url, "alice")
    assert kept is not None
    cli.login(None, None, False)  # with a password it is a new login, also where a token is kept
    assert asked == []


def test_setup_without_a_terminal_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: Emulator
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(typer.Exit):
        cli.setup(None, None, None, None)
    assert "base_url is not set" in capsys.readouterr().err
    cli.setup(server.url, None, None, None)
    cli.setup(None, "alice", None, None)  # the default one is known now
    assert resolve().username == "alice"
