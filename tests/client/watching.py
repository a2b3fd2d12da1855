"""Record what runs on the event loop's thread during calls: ``python watching.py URL FOLDER MODE [opened]``.

Prints as JSON, for each call, the functions of Polars and the imports that ran there. ``opened`` uses ``async with``. The
folder has the facts that ``forking.py`` wrote.
"""

from __future__ import annotations

import json
import sys
import warnings
from operator import attrgetter
from pathlib import Path
from types import FrameType
from typing import Any

import anyio

sys.path.append(str(Path(__file__).parents[2]))

from tests.client.every_method import Facts, examples, is_iterator

from one_async import AsyncONE, OneError

#: Functions of Polars that inspect a frame's type, or take one value out of a series: they run no query.
HARMLESS = {
    "__len__", "height", "width", "is_empty", "columns", "shape", "len", "schema", "dtype", "name",
    "__getitem__", "get_series_item_by_key",
}  # fmt: skip


class Watch:
    """A profile function that records what must not run on this thread."""

    def __init__(self) -> None:
        self.polars: set[str] = set()
        self.imports: set[str] = set()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if "/polars/" in code.co_filename:
            caller = frame.f_back
            while caller is not None and "/polars/" in caller.f_code.co_filename:
                caller = caller.f_back
            if code.co_name not in HARMLESS and not is_few(frame) and caller is not None:
                self.polars.add(f"{caller.f_code.co_name}: {code.co_name}")
        elif code.co_name == "exec_module" and "importlib" in code.co_filename:
            self.imports.add(str(frame.f_locals["module"].__name__))


def is_few(frame: FrameType | None) -> bool:
    """Return whether this is work on few rows, which an interrupt does not break."""
    while frame is not None:
        if frame.f_code.co_name == "_attempt" and frame.f_code.co_filename.endswith("_threads.py"):
            return True
        frame = frame.f_back
    return False


async def watch(
    options: dict[str, Any], facts: Facts, opened: bool
) -> list[tuple[str, list[str], list[str]]]:
    found = []
    for example in examples(facts):
        one = AsyncONE(**options)
        if opened:
            await one.__aenter__()
        seen = Watch()
        sys.setprofile(seen)
        try:
            called = attrgetter(example.method)(one)(*example.args, **(example.kwargs or {}))
            if is_iterator(example):
                async for _ in called:
                    pass
            else:
                await called
        except OneError:
            pass
        finally:
            sys.setprofile(None)
        await (one.__aexit__(None, None, None) if opened else one.aclose())
        found.append((example.method, sorted(seen.polars), sorted(seen.imports)))
    return found


def main() -> None:
    """Run from the command line."""
    url, folder, mode = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    warnings.simplefilter("ignore")
    facts = Facts(**{**json.loads((folder / "facts.json").read_text()), "folder": folder})
    options = {
        "base_url": url,
        "username": "demo",
        "password": "demo",
        "cache_dir": folder / "cache",
        "mode": mode,
    }
    print(json.dumps(anyio.run(watch, options, facts, "opened" in sys.argv)))


if __name__ == "__main__":
    main()
