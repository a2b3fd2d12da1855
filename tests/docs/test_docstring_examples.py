"""Every public method and function has an example in its docstring that runs against the emulator.

Examples are written as for IPython, those of async methods with ``await`` at the top level. The blocking methods
have the same docstrings without ``await``, so that one text documents both clients. Names that an example does not define
come from `world`.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from anyio.from_thread import start_blocking_portal
from doc_pages import DOCS, ROOT

from one_async import ONE, ALFPath, AsyncONE
from one_async.emulator import Emulator
from one_async.filesystem import OneFileSystem

sys.path.append(str(ROOT / "tests" / "typing"))
from public_api import MODULES, public_names

for extra in ("av", "matplotlib", "pandas"):
    pytest.importorskip(extra)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
#: Functions without their own example, by module or class, with the reason.
EXEMPT = {
    "Mapped": "what `map_sessions` returns",
    "map_sessions": "needs a Dask cluster; examples/dask_map.py has one",
    "recorded": "reads a folder of recordings, which only this repository has",
    "serve": "runs until a signal",
    "s3_download_file": "needs a bucket; tests/transfer/test_transfer_bucket.py has one",
    "s3_download_folder": "needs a bucket",
    "get_s3_from_alyx": "needs a repository with a bucket",
    "ByteStream": "what a replaced network implements",
    "StreamOpener": "what a replaced network implements",
    "TokenStore": "what an application implements that keeps tokens itself",
}


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class that this project defines."""
    ours = {name for base in kind.__mro__ if base.__module__.startswith("one_async") for name in vars(base)}
    for name in sorted(ours):
        static = inspect.getattr_static(kind, name)
        is_member = inspect.isroutine(getattr(static, "__func__", static)) or inspect.isdatadescriptor(static)
        if not name.startswith("_") and is_member:
            yield f"{kind.__name__}.{name}", static


def documented() -> Iterator[tuple[str, Any]]:
    """Yield the exports of modules and the objects on pages of the reference, each class with its members."""
    places = [
        f"{module}.{name}" for module in MODULES for name in public_names(importlib.import_module(module))
    ]
    for page in sorted(DOCS.glob("reference/*.md")):
        places += re.findall(r"^::: (\S+)", page.read_text("utf-8"), re.MULTILINE)
    for module, _, name in (place.rpartition(".") for place in places):
        value = getattr(importlib.import_module(module), name)
        if not str(getattr(value, "__module__", None)).startswith("one_async"):
            continue
        if inspect.isclass(value) or inspect.isroutine(value):
            yield name, value
        if inspect.isclass(value):
            yield from members(value)


#: The first of each name: `one_async.api` has classes of the same names.
PUBLIC = dict(reversed(list(documented())))
#: Docstrings that several names share run once.
TEXTS = {
    text: name
    for name in sorted(PUBLIC, reverse=True)
    if ">>> " in (text := inspect.getdoc(PUBLIC[name]) or "")
}


def is_async(text: str) -> bool:
    return re.search(r"\bawait |\basync (for|with) ", text) is not None


def is_function(value: Any) -> bool:
    function = getattr(value, "__func__", value)
    return inspect.isfunction(function) and function.__module__.startswith("one_async")


def test_each_public_function_has_an_example() -> None:
    functions = [name for name, value in PUBLIC.items() if is_function(value)]
    lacking = {name for name in functions if ">>> " not in (inspect.getdoc(PUBLIC[name]) or "")}
    exempt = {key: [name for name in lacking if key in (name, name.partition(".")[0])] for key in EXEMPT}
    assert lacking == {name for names in exempt.values() for name in names}
    assert all(exempt.values())  # every exemption is needed


def test_async_methods_show_await_and_blocking_ones_do_not() -> None:
    for name, value in PUBLIC.items():
        text = inspect.getdoc(value) or ""
        if name.startswith(("ONE.", "AlyxClient.", "Registration.")):
            assert not is_async(text), name
        elif inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value):
            assert is_async(text) or name.partition(".")[0] in EXEMPT, name


@pytest.fixture(scope="module")
def clients(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, ONE, AsyncONE, Callable[..., Any]]]:
    """Yield the emulator's address, a blocking and an async client, and a function that awaits in the async client's loop."""
    folder = tmp_path_factory.mktemp("examples")
    with Emulator() as emulator, start_blocking_portal() as portal:
        fsspec.register_implementation(
            "one", OneFileSystem, clobber=True
        )  # the installed package may be older
        blocked, awaited = (
            kind(base_url=emulator.url, username="demo", password="demo", cache_dir=folder / kind.__name__)
            for kind in (ONE, AsyncONE)
        )
        with blocked, portal.wrap_async_context_manager(awaited):
            yield emulator.url, blocked, awaited, portal.call
        OneFileSystem.clear_instance_cache()


@pytest.fixture
def world(
    clients: tuple[str, ONE, AsyncONE, Callable[..., Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Return the names that examples use: ids of a session, its probe and a dataset, a path, and a new session's folder."""
    url, one, _, _ = clients
    settings = {"ONE_BASE_URL": url, "ONE_USERNAME": "demo", "ONE_PASSWORD": "demo", "MPLBACKEND": "agg"}
    for name, value in {**settings, "ONE_CACHE_DIR": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "displayhook", lambda value: value is None or print(repr(value)))
    folder = tmp_path / "data" / "cortexlab" / "Subjects" / "CX_001" / "2019-01-14" / "001"
    (folder / "alf").mkdir(parents=True)
    for attribute in ("position", "timestamps"):
        np.save(folder / "alf" / f"_ibl_wheel.{attribute}.npy", np.arange(3.0))
    eid = one.to_eid("2024-06-24_1_SU_101")
    path = ALFPath("summitlab/Subjects/SU_101/2024-06-24/001/alf/probe00/pykilosort/spikes.times.npy")
    return {
        "one": one,
        "eid": eid,
        "pid": one.eid2pid(eid)[0][0],
        "did": one.list_datasets(eid, "spikes.times.npy", details=True)["did"][0],
        "path": path,
        "folder": folder,
        "data_dir": tmp_path / "data",
    }


@pytest.mark.parametrize("text", TEXTS, ids=TEXTS.values())
def test_example_runs(
    text: str, world: dict[str, Any], clients: tuple[str, ONE, AsyncONE, Callable[..., Any]]
) -> None:
    _, _, awaited, wait = clients
    if is_async(text):
        world["one"] = awaited
    for example in doctest.DocTestParser().get_examples(text):
        found = outcome(example, world, wait)
        if not doctest.OutputChecker().check_output(example.want, found, FLAGS):
            pytest.fail(f"{example.source}{doctest.OutputChecker().output_difference(example, found, FLAGS)}")


def outcome(example: doctest.Example, names: dict[str, Any], wait: Callable[..., Any]) -> str:
    """Run an example like the interactive prompt of IPython; return its output, or its error in doctest's form."""
    code = compile(example.source, "<example>", "single", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)

    async def awaited() -> None:
        await eval(code, names)

    with redirect_stdout(StringIO()) as said:
        try:
            if code.co_flags & inspect.CO_COROUTINE:
                wait(awaited)
            else:
                exec(code, names)
        except Exception as error:
            if example.exc_msg is None:
                raise
            text = traceback.format_exception_only(error)[-1]
            return (
                example.want if doctest.OutputChecker().check_output(example.exc_msg, text, FLAGS) else text
            )
    return said.getvalue()
