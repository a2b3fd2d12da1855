"""Ctrl-C ends every command with 130, wherever it is, without a traceback, and leaves the terminal as it was."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import typer

from one_async.cli.app import app
from one_async.tables.build import make_parquet_db

if sys.platform == "win32":
    pytest.skip("pseudo-terminals", allow_module_level=True)

from terminals import CTRL_C, SECONDS, Terminal

Environment = dict[str, str]


class SilentServer:
    """Accepts connections, reads requests, and does not answer."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                if connection.recv(1000):
                    self.asked.set()

    def close(self) -> None:
        for one in (self._socket, *self._open):
            one.close()


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    (tmp_path / "data").mkdir()
    return {"ONE_CACHE_DIR": str(tmp_path / "data"), "ONE_CONFIG_DIR": str(tmp_path / "config")}


@pytest.fixture
def session(tmp_path: Path) -> str:
    folder = tmp_path / "lab/Subjects/KS046/2024-05-06/001"
    (folder / "alf").mkdir(parents=True)
    (folder / "alf/wheel.position.npy").write_bytes(b"x")
    return str(folder)


#: Commands that ask the server something.
ASKING: dict[str, list[str]] = {
    "search": ["search", "lab=x"],
    "ls": ["ls", "2024-05-06_1_KS046"],
    "show": ["show", "2024-05-06_1_KS046"],
    "download": ["download", "2024-05-06_1_KS046"],
    "verify": ["cache", "verify", "2024-05-06_1_KS046", "--mode", "remote"],
    "harvest": ["harvest", "sessions", "--to", "FOLDER"],
    "register": ["register", "SESSION"],
    "watch": ["watch"],
    "login": ["login"],
    "doctor": ["doctor"],
    "browse": ["browse", "--no-open", "--mode", "refresh"],
}


def words_of(name: str, session: str, folder: Path) -> list[str]:
    return [{"SESSION": session, "FOLDER": str(folder / "harvest")}.get(word, word) for word in ASKING[name]]


def asking(
    name: str, environment: Environment, session: str, folder: Path
) -> tuple[list[str], Environment, SilentServer]:
    """Return a command's words and environment, and the server that it asks."""
    server = SilentServer()
    places = {"SESSION": session, "FOLDER": str(folder / "harvest")}
    login = {"ONE_BASE_URL": server.url, "ONE_USERNAME": "demo", "ONE_PASSWORD": "demo"}
    return [places.get(word, word) for word in ASKING[name]], {**environment, **login}, server


def interrupt(terminals: Mapping[str, Terminal]) -> None:
    """Press Ctrl-C in each terminal until its command ends; check how it ends."""
    for terminal in terminals.values():
        terminal.type(CTRL_C)
    for name, terminal in terminals.items():
        end = time.monotonic() + SECONDS
        while (status := terminal.status(3)) is None:  # Ctrl-C is lost just before readline begins to wait
            assert time.monotonic() < end, (name, terminal.screen)
            terminal.type(CTRL_C)
        assert status == 130, (name, terminal.screen)
        assert not {"Traceback", "Aborted", "Error"} & set(re.split(r"\W+", terminal.screen)), (
            name,
            terminal.screen,
        )
        assert terminal.is_restored, (name, terminal.screen)


def test_during_a_request(environment: Environment, session: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        terminals, servers = {}, {}
        for name in ASKING:
            words, variables, servers[name] = asking(name, environment, session, tmp_path)
            stack.callback(servers[name].close)
            terminals[name] = stack.enter_context(Terminal(*words, environment=variables))
        end = time.monotonic() + SECONDS
        for name, server in servers.items():
            while not server.asked.is_set():
                assert time.monotonic() < end, (name, terminals[name].screen)
                for terminal in terminals.values():
                    terminal.read(0.01)
        interrupt(terminals)


def test_during_a_request_in_a_pipe(environment: Environment, session: str, tmp_path: Path) -> None:
    running = {}
    for name in ("search", "harvest", "watch"):
        words, variables, server = asking(name, environment, session, tmp_path)
        process = subprocess.Popen(
            [sys.executable, "-m", "one_async", *words], env={**os.environ, **variables}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        running[name] = process, server
    for name, (process, server) in running.items():
        with process:
            assert server.asked.wait(SECONDS), name
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SECONDS)
        server.close()
        assert (process.returncode, out, err) == (130, b"", b""), name


#: Commands that prompt, and what they then show.
PROMPTS = {
    "user": (["login"], "User name: "),
    "password": (["login", "--user", "x"], "Password: "),
    "token": (["login", "--user", "x", "--token"], "Token: "),
    "setup": (["setup"], "Username: "),
    "clear": (["cache", "clear"], "[y/N]: "),
}


def test_at_a_prompt(environment: Environment) -> None:
    with ExitStack() as stack:
        terminals = {
            name: stack.enter_context(
                Terminal(*words, "--url", "http://127.0.0.1:9", environment=environment)
            )
            for name, (words, _) in PROMPTS.items()
        }
        for name, (_, shown) in PROMPTS.items():
            terminals[name].shows(shown)
        interrupt(terminals)
        for name, terminal in terminals.items():
            assert terminal.screen.endswith("\r\n"), name  # the shell's own prompt begins a line


def test_the_end_of_the_input_at_a_prompt_is_an_error(environment: Environment) -> None:
    with Terminal("login", "--url", "http://127.0.0.1:9", environment=environment) as terminal:
        terminal.shows("User name: ")
        terminal.type(b"\x04")
        assert terminal.status() == 1
        assert terminal.screen.endswith("\r\nAborted!\r\n")


#: Commands that run until they are interrupted, or work without a server, and what they then show.
BUSY = {
    "emulator": (["emulator"], "stop it with Ctrl-C"),
    "browse": (["browse", "--no-open", "--cache-dir", "TABLES"], "Press Ctrl-C to stop"),
    "build": (["tables", "build", "TABLES", "--watch"], "sessions"),
    "demo": (["demo"], "generating"),
}


def test_while_it_works(environment: Environment, session: str, tmp_path: Path) -> None:
    make_parquet_db(tmp_path)
    with ExitStack() as stack:
        terminals = {}
        for name, (words, _) in BUSY.items():
            given = [str(tmp_path) if word == "TABLES" else word for word in words]
            terminals[name] = stack.enter_context(Terminal(*given, environment=environment))
        for name, (_, shown) in BUSY.items():
            terminals[name].shows(shown)
        interrupt(terminals)


def test_while_modules_are_imported(environment: Environment) -> None:
    code = (
        "import sys, types, importlib.abc\n"
        "class Stop(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'one_async.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from one_async.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "modes"],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_all_commands_are_here() -> None:
    """Those that are left out neither prompt, nor ask a server, nor run for long."""
    group = typer.main.get_command(app)
    names = {name for name, command in group.commands.items() if not hasattr(command, "commands")}  # type: ignore[attr-defined]
    tested = {words[0] for words in ASKING.values()} | {
        words[0] for words, _ in [*PROMPTS.values(), *BUSY.values()]
    }
    assert names - tested == {"whoami", "modes", "logout"}
