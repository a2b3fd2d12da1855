"""Call methods in forked children, each after a call of the parent: ``python forking.py URL FOLDER KIND``.

Prints the outcome of each call as JSON: ``answered``, ``refused`` (with the reason), an error, or ``hung``.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import warnings
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))

from tests.client.every_method import Example, Facts, examples, facts_of, is_iterator, missing

from one_async import ONE, AsyncONE, OneError

WORKERS = 4
#: Seconds after which a call counts as hung.
LONG = 60.0


def options(url: str, folder: Path) -> dict[str, Any]:
    return {"base_url": url, "username": "demo", "password": "demo", "cache_dir": folder, "mode": "auto"}


def outcome(error: BaseException | None) -> str:
    if error is None:
        return "answered"
    if isinstance(error, OneError):
        return f"refused {error}" if "spawn" in str(error) else f"OneError {type(error).__name__}: {error}"
    return f"{type(error).__name__}: {error}"


def call(one: Any, example: Example) -> str:
    """Make a call in this process."""
    try:
        found = attrgetter(example.method)(one)(*example.args, **(example.kwargs or {}))
        if is_iterator(example):
            list(found)
    except BaseException as error:
        return outcome(error)
    return outcome(None)


def call_async(client: dict[str, Any], example: Example) -> str:
    """Call a method with its own client and event loop."""

    async def work() -> None:
        one = AsyncONE(**client)
        try:
            found = attrgetter(example.method)(one)(*example.args, **(example.kwargs or {}))
            if is_iterator(example):
                async for _ in found:
                    pass
            else:
                await found
        finally:
            await one.aclose()

    try:
        asyncio.run(work())
    except BaseException as error:
        return outcome(error)
    return outcome(None)


_parent: dict[str, Any] = {}


def in_child(index: int) -> list[str]:
    """Call a method with the parent's own client, and one with the async client; or call a function."""
    if index >= len(_parent["examples"]):
        name, function = functions(_parent["folder"])[index - len(_parent["examples"])]
        try:
            function()
        except BaseException as error:
            return [name, outcome(error), outcome(error)]
        return [name, "answered", "answered"]
    example = _parent["examples"][index]
    return [example.method, call(_parent["one"], example), call_async(_parent["options"], example)]


def functions(folder: Path) -> list[tuple[str, Callable[[], object]]]:
    """Return functions that need no client; the first two need no Polars."""
    from one_async.files.objects import load_object
    from one_async.files.read import read_file
    from one_async.tables.build import make_parquet_db
    from one_async.tables.catalogue import Catalogue

    return [
        ("read npy", lambda: read_file(folder / "some.times.npy")),
        ("load_object of npy", lambda: load_object(folder, "some")),
        ("read csv", lambda: read_file(folder / "a.b.csv")),
        ("read tsv", lambda: read_file(folder / "a.b.tsv")),
        ("read pqt", lambda: read_file(next(folder.rglob("*.pqt")))),
        ("to_frame", lambda: load_object(folder, "some").to_frame()),
        ("make_parquet_db", lambda: make_parquet_db(folder, folder)),
        ("Catalogue.open", lambda: Catalogue.open(folder / "cache")),
    ]


def prepare(kind: str, one: ONE, facts: Facts, folder: Path) -> None:
    """Make the calls of the parent that precede the fork."""
    match kind:
        case "search":
            one.search(subject=facts.record["subject"])
        case "load":
            one.load_object(facts.eid, "trials")
        case "identify":
            one.path2eid([facts.path] * 50)
        case "frame":
            one.alyx.frame("labs")
        case "polars":
            import polars as pl

            pl.DataFrame({"a": [1, 2]}).filter(pl.col("a") > 1)
        case "file":
            for name in ("read csv", "read pqt", "to_frame"):
                dict(functions(folder))[name]()
        case "async":
            call_async(_parent["options"], Example("search"))


def main() -> None:
    """Run from the command line."""
    url, folder, kind = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    warnings.simplefilter("ignore")
    known = json.loads((folder / "facts.json").read_text()) if kind != "facts" else {}
    if kind == "facts":
        with ONE(**options(url, folder / "cache")) as one:
            facts = facts_of(one, folder)
            assert not missing(facts), missing(facts)
            found = {**vars(facts), "folder": str(folder)}
            np.save(folder / "some.times.npy", np.arange(3.0))
            (folder / "a.b.csv").write_text("a,b\n1,2\n")
            (folder / "a.b.tsv").write_text("a\tb\n1\t2\n")
            one.load_object(facts.eid, "trials")
            (folder / "facts.json").write_text(json.dumps(found, default=str))
        return
    facts = Facts(**{**known, "folder": folder})
    _parent["options"] = options(url, folder / "cache")
    _parent["examples"], _parent["folder"] = examples(facts), folder
    one = _parent["one"] = ONE(**_parent["options"])
    prepare(kind, one, facts, folder)
    context = multiprocessing.get_context("fork")
    with context.Pool(WORKERS) as pool:
        count = len(_parent["examples"]) + len(functions(folder))
        pending = [pool.apply_async(in_child, (index,)) for index in range(count)]
        said = []
        for index, result in enumerate(pending):
            try:
                said.append(result.get(LONG))
            except multiprocessing.TimeoutError:
                said.append([f"call {index}", "hung", "hung"])
                break
        print(json.dumps(said))
        pool.terminate()


if __name__ == "__main__":
    main()
