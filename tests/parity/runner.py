"""Run the same calls in ONE-api, `ONE` and `AsyncONE`, each with its own folder, and return their answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from protocol import Writer, follow, revive
from worlds import Facts

HERE = Path(__file__).parent
Call = list[Any] | dict[str, Any]
Answer = dict[str, Any]


def interpreter() -> str:
    """Return the Python of the environment that has ONE-api."""
    python = os.environ.get("ONE_API_PYTHON")
    if not python:
        pytest.fail(
            "set ONE_API_PYTHON to the Python of an environment with ONE-api 3.6.1; `nox -s parity` makes one"
        )
    return python


@dataclass
class Bench:
    """A server, or none, and a folder for each client."""

    folder: Path
    mode: str = "remote"
    server: dict[str, str] | None = None
    tables_dir: Path | None = None
    wildcards: bool = True

    def oracle(self, calls: list[Call]) -> list[Answer]:
        """Return ONE-api's answers; all calls are made in one process."""
        return self._in_process("oracle", interpreter(), calls)

    def compat(self, calls: list[Call]) -> list[Answer]:
        """Return the answers of our stand-in for the package `one`; all calls are made in one process."""
        return self._in_process("compat", sys.executable, calls)

    def _in_process(self, who: str, python: str, calls: list[Call]) -> list[Answer]:
        folder = self._folder(who)
        spec = {
            "home": tempfile.mkdtemp(dir=self.folder), "cache_dir": str(folder), "mode": self.mode, "server": self.server,
            "tables_dir": self.tables_dir and str(self.tables_dir), "wildcards": self.wildcards, "calls": calls,
            "compat": who == "compat",
        }  # fmt: skip
        done = subprocess.run(
            [python, str(HERE / "oracle.py")],
            input=json.dumps(spec), capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        lines = done.stdout.splitlines()
        assert len(lines) == len(calls), done.stderr[-3000:]
        return [json.loads(line) for line in lines]

    def options(self, who: str) -> dict[str, Any]:
        """Return the arguments of our client."""
        server = self.server or {}
        options: dict[str, Any] = {
            "cache_dir": self._folder(who),
            "mode": self.mode,
            "wildcards": self.wildcards,
            **server,
        }
        return options | ({"tables_dir": self.tables_dir} if self.tables_dir else {})

    def _folder(self, who: str) -> Path:
        folder = self.folder / who
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def blocking(self, calls: list[Call]) -> list[Answer]:
        """Return the answers of `ONE`."""
        from scripts import our_names, run

        from one_async import ONE

        options = self.options("blocking")
        writer = Writer(options["cache_dir"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with ONE(**options) as one:
                scope = our_names(one)

                def ask(item: Call) -> Any:
                    if isinstance(item, dict):
                        return run(item["code"], scope, revive(item.get("names", {}), one.cache_dir))
                    found = follow(one, item[0])
                    return (
                        found(*revive(item[1], one.cache_dir), **revive(item[2], one.cache_dir))
                        if callable(found)
                        else found
                    )

                answers = [json.loads(writer.answer(partial(ask, item))) for item in calls]
        return answers

    def awaited(self, calls: list[Call]) -> list[Answer]:
        """Return the answers of `AsyncONE`."""
        import anyio

        return anyio.run(self._awaited, calls)

    async def _awaited(self, calls: list[Call]) -> list[Answer]:
        import inspect

        from scripts import our_names, run_async

        from one_async.api import AsyncONE

        options = self.options("awaited")
        writer, answers = Writer(options["cache_dir"]), []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            async with AsyncONE(**options) as one:
                scope = our_names(one)

                async def ask(item: Call) -> Any:
                    if isinstance(item, dict):
                        return await run_async(
                            item["code"], scope, revive(item.get("names", {}), one.cache_dir)
                        )
                    found = follow(one, item[0])
                    found = (
                        found(*revive(item[1], one.cache_dir), **revive(item[2], one.cache_dir))
                        if callable(found)
                        else found
                    )
                    return await found if inspect.isawaitable(found) else found

                for item in calls:
                    try:
                        value, error = await ask(item), None
                    except Exception as caught:
                        value, error = None, caught
                    answers.append(
                        json.loads(writer.answer(lambda value=value, error=error: _result(value, error)))
                    )  # type: ignore[misc]
        return answers


def _result(value: Any, error: Exception | None) -> Any:
    if error is not None:
        raise error
    return value


def prepare(facts: Facts, folder: Path, world: Any) -> None:
    """Write the published tables of a world, and the files of the sessions that calls load from."""
    facts.unpack_tables(folder)
    addresses = {row["url"][-36:]: row["file_records"] for row in world.records["datasets"]["list"]}
    for session in facts.pick(4):
        rows = facts.datasets.filter(facts.datasets["eid"] == session["eid"])
        root = (
            folder
            / session["lab"]
            / "Subjects"
            / session["subject"]
            / str(session["date"])
            / f"{session['number']:03d}"
        )
        for row in rows.iter_rows(named=True):
            url = next((one["data_url"] for one in addresses[row["did"]] if one["data_url"]), None)
            data = (
                url and (row["file_size"] or 0) < 300_000 and world.read_file(url.partition("data.test/")[2])
            )
            if data:
                (root / row["rel_path"]).parent.mkdir(parents=True, exist_ok=True)
                (root / row["rel_path"]).write_bytes(data)
