"""``one-async setup`` and ``login``: they prompt only on a terminal, and only for missing settings."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from one_async.cli import app as cli
from one_async.cli.app import app
from one_async.cli.show import frame_table
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
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the prompts on the terminal; the answer is always the same."""
    questions: list[str] = []

    def prompt(question: str, **_: Any) -> str:
        questions.append(question)
        return "alice"

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr(sys, "stdin", Terminal())
    return questions


def test_login_prompts_for_user_and_password(server: Emulator, prompts: list[str]) -> None:
    cli.login(server.url, None, False)
    assert prompts == ["User name", "Password"]
    assert TokenFile().load(server.url, "alice")


def test_login_uses_the_configured_user(server: Emulator, prompts: list[str]) -> None:
    cli.setup(server.url, "alice", None, None)
    prompts.clear()
    cli.login(None, None, False)
    assert prompts == ["Password"]


def test_login_reads_everything_from_the_environment(
    server: Emulator, prompts: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("BASE_URL", server.url), ("USERNAME", "alice"), ("PASSWORD", "alice")):
        monkeypatch.setenv(f"ONE_{name}", value)
    cli.login(None, None, False)
    assert prompts == []
    assert f"logged in to {server.url} as alice" in capsys.readouterr().out
    kept = TokenFile().load(server.url, "alice")
    assert kept is not None
    cli.login(None, None, False)  # a password starts a new login, even if there is a stored token
    assert prompts == []


def test_setup_without_a_terminal_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: Emulator
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(typer.Exit):
        cli.setup(None, None, None, None)
    assert "base_url is not set" in capsys.readouterr().err
    cli.setup(server.url, None, None, None)
    cli.setup(None, "alice", None, None)  # the default database is set now
    assert resolve().username == "alice"


# ---- words of users and servers are shown as text

ODD = [
    "[/x]",
    "[red]x[/red]",
    ":smile:",
    "[link=http://e]x",
    "\x1b]0;title\x07",
    "[[/]]",
    "lab=[/x]",
    "\udcff=1",
]


@pytest.mark.parametrize("text", ODD)
def test_control_characters_and_markup_are_shown_as_text(text: str, tmp_path: Path) -> None:
    for command in (["search", text], ["harvest", text, "--to", str(tmp_path)], ["tables", "build", text]):
        done = CliRunner().invoke(
            app, [*command, *([] if command[0] == "tables" else ["--url", "http://127.0.0.1:1"])]
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code in (1, 2)
        assert "\x1b" not in done.output
        assert "\N{SMILING FACE WITH OPEN MOUTH}" not in done.output
    if text == "[/x]":
        assert "[/x]" in CliRunner().invoke(app, ["search", text]).output


def test_cells_and_names_of_tables_are_text() -> None:
    out = io.StringIO()
    frame = pl.DataFrame({"[/col]": ["[/x]", ":mouse:", "a\x1b[2Jb"]})
    Console(file=out, markup=False, emoji=False, width=80).print(frame_table(frame))
    shown = out.getvalue()
    assert all(word in shown for word in ("[/col]", "[/x]", ":mouse:", "a\ufffd[2Jb"))


def test_the_user_of_the_environment_is_not_used_for_another_database(
    monkeypatch: pytest.MonkeyPatch, seeded_emulator: Emulator
) -> None:
    monkeypatch.setenv("ONE_USERNAME", "demo")
    monkeypatch.setenv("ONE_PASSWORD", "demo")
    done = CliRunner().invoke(app, ["search", "lab=cortexlab", "--url", seeded_emulator.url])
    assert done.exit_code == 1
    assert "no credentials" in done.output.replace("\n", " ")
