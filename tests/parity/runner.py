"""Run the same calls in ONE-api, `ONE` and `AsyncONE`, each with a folder of its own, and give their answers."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .protocol import Writer, follow, revive

HERE = Path(__file__).parent
Call = list[Any] | dict[str, Any]
Answer = dict[str, Any]


def interpreter() -> str:
    """Give the Python of the environment that ONE-api is in."""
    python = os.environ.get("ONE_API_PYTHON")
    if not python:
        pytest.fail(
            "set ONE_API_PYTHON to the Python of an environment with ONE-api 3.6.1; `nox -s parity` makes one"
        )
    return python


@dataclass
class Bench:
    """One server, or none, and folders for those who ask it."""

    folder: Path
    mode: str = "remote"
    server: dict[str, str] | None = None
    tables_dir: Path | None = None
    wildcards: bool = True
    made: list[str] = field(default_factory=list)

    def oracle(self, calls: list[Call]) -> list[Answer]:
        """Ask ONE-api, all calls in one process."""
        folder = self._folder("oracle")
        spec = {
            "home": tempfile.mkdtemp(dir=self.folder), "cache_dir": str(folder), "mode": self.mode, "server": self.server,
            "tables_dir": self.tables_dir and str(self.tables_dir), "wildcards": self.wildcards, "calls": calls,
        }  # fmt: skip
        done = subprocess.run(
            [interpreter(), str(HERE / "oracle.py")],
            input=json.dumps(spec), capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        lines = done.stdout.splitlines()
        assert done.returncode == 0 and len(lines) == len(calls), done.stderr[-3000:]
        return [json.loads(line) for line in lines]

    def options(self, who: str) -> dict[str, Any]:
        """Give the arguments that make our side's instance."""
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
        """Ask `ONE`."""
        from one_async.api import ONE

        from .scripts import our_names, run

        options = self.options("blocking")
        writer, answers = Writer(options["cache_dir"]), []
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

                for item in calls:
                    answers.append(json.loads(writer.answer(lambda item=item: ask(item))))  # type: ignore[misc]
        return answers

    def awaited(self, calls: list[Call]) -> list[Answer]:
        """Ask `AsyncONE`."""
        import anyio

        return anyio.run(self._awaited, calls)

    async def _awaited(self, calls: list[Call]) -> list[Answer]:
        import inspect

        from one_async.api import AsyncONE

        from .scripts import our_names, run_async

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
                        json.loads(writer.answer(lambda value=value, error=error: _give(value, error)))
                    )  # type: ignore[misc]
        return answers


def _give(value: Any, error: Exception | None) -> Any:
    if error is not None:
        raise error
    return value
