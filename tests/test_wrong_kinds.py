"""Every public method and function, found by inspection, is called with values of wrong types for every argument.

It must answer, or raise one of the library's own errors with a short text that can be pickled. Whether a value is
accepted or refused is tested elsewhere.
"""

from __future__ import annotations

import inspect
import io
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pytest

from one_async import ONE, AlyxClient, AsyncAlyxClient, AsyncONE
from one_async.emulator import Emulator
from one_async.errors import OneError
from one_async.tables.build import make_parquet_db
from shared_worlds import recorded_world

EID = "d23a44ef-1402-4ed7-97f5-47e9a7a504d9"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("nothing to see")


class Nested:
    """Nested lists, deeper than Python recurses."""

    @staticmethod
    def make() -> list[Any]:
        inner: list[Any] = []
        for _ in range(5000):
            inner = [inner]
        return inner


WRONG: dict[str, Callable[[], Any]] = {
    "0-d array": lambda: np.array(5),
    "0-d text": lambda: np.array("x"),
    "array": lambda: np.arange(4.0).reshape(2, 2),
    "array of objects": lambda: np.array([None, {}], dtype=object),
    "generator": lambda: (name for name in ["x", 5]),
    "generator that fails": lambda: (1 / 0 for _ in range(2)),
    "polars series": lambda: pl.Series([EID, None]),
    "polars numbers": lambda: pl.Series([1, 2]),
    "pandas series": lambda: pd.Series([EID, float("nan")]),
    "frame": lambda: pl.DataFrame({"eid": [EID]}),
    "pandas frame": lambda: pd.DataFrame({"eid": [EID]}),
    "surrogate": lambda: "\ud800",
    "NUL": lambda: "a\0b",
    "infinite": lambda: float("inf"),
    "NaN": lambda: float("nan"),
    "10**400": lambda: 10**400,
    "10**5000": lambda: 10**5000,
    "-1": lambda: -1,
    "1.5": lambda: 1.5,
    "True": lambda: True,
    "complex": lambda: 1 + 2j,
    "decimal": lambda: Decimal("NaN"),
    "20,000 texts": lambda: ["x"] * 20_000,
    "20,000 numbers": lambda: list(range(20_000)),
    "list of None": lambda: [None],
    "list of lists": lambda: [["x"], [["y"]]],
    "nested": Nested.make,
    "bytes": lambda: b"\xff",
    "object": object,
    "unprintable": Unprintable,
    "class": lambda: dict,
    "function": lambda: lambda: None,
    "mapping": lambda: {5: object()},
    "mapping of texts": lambda: {"x": "\ud800"},
    "set": lambda: {1, "x"},
    "date": lambda: date(2024, 1, 1),
    "UUID": lambda: UUID(int=5),
    "path": lambda: PurePath("../x"),
    "long text": lambda: "x" * 3000,
    "empty": lambda: "",
    "None": lambda: None,
}
#: The other required arguments of methods.
GOOD: dict[str, Any] = {
    "eid": EID, "eids": [EID], "id": EID, "pid": EID, "ref": "2024-05-06_1_X", "path": "x", "obj": "trials", "name": "x",
    "dataset": "a.b.npy", "datasets": ["a.b.npy"], "dset": EID, "object": "trials", "collection": "alf", "query": "SELECT 1",
    "endpoint": "labs", "url": "labs", "rest_query": "/labs", "action": "list", "limit": 5, "offset": 0, "file": "frozen.json",
    "endpoints": ["labs"], "results": [], "filename": "x", "file_path": "x/a.b.npy", "sessions": [EID],
    "every": None,
}  # fmt: skip
#: Methods that end the shared client, or accept a program or a password in place of data.
LEFT_OUT = {"aclose", "close", "logout", "authenticate", "setup", "wire"}


def methods(kind: type) -> list[str]:
    return [
        name
        for name in dir(kind)
        if not name.startswith("_")
        and name not in LEFT_OUT
        and not hasattr(Path, name)
        and callable(getattr(kind, name))
    ]


def calls(function: Callable[..., Any]) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Return the arguments of calls, one of which has a wrong type."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    for wrong in parameters:
        for kind, make in WRONG.items():
            positional: list[Any] = []
            named: dict[str, Any] = {}
            for parameter in parameters:
                if parameter is wrong:
                    value = make()
                elif (parameter.default is parameter.empty and parameter.kind not in (
                    parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL
                )) or parameter.name == "every":  # fmt: skip
                    value = GOOD.get(parameter.name, "x")
                else:
                    continue
                if parameter.kind is parameter.POSITIONAL_ONLY or parameter.kind is parameter.VAR_POSITIONAL:
                    positional.append(value)
                elif parameter.kind is parameter.VAR_KEYWORD:
                    named["mode" if function.__name__ == "from_frozen" else "lab"] = value
                else:
                    named[parameter.name] = value
            yield f"{wrong.name}={kind}", positional, named


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and its causes and contexts."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def pickled(error: OneError) -> bytes:
    """Pickle an error without the reducers of others: Dask adds causes and tracebacks to errors."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.dispatch_table = {}
    pickler.dump(error)
    return buffer.getvalue()


def frame_count(error: BaseException) -> int:
    return sum(1 for _ in traceback.walk_tb(error.__traceback__))


def failure(function: Callable[..., Any], positional: list[Any], named: Mapping[str, Any]) -> str | None:
    """Make a call; return what is wrong with its error, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = function(*positional, **named)
            if inspect.isgenerator(answer) or type(answer).__name__ == "BlockingIterator":
                next(iter(answer), None)
    except OneError as error:
        text = str(error)
        if len(text) >= 500:
            return f"{type(error).__name__} of {len(text)} characters"
        text.encode()
        if (frames := max(map(frame_count, chain_of(error)))) > 300:  # Dask pickles it with the error
            return f"{type(error).__name__} has a traceback of {frames} frames"
        again = pickle.loads(pickled(error))
        return (
            None if (type(again), str(again)) == (type(error), text) else f"{error!r} does not survive pickle"
        )
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:100]} ({Path(where.filename).name}:{where.lineno})"
    return None


def check(function: Callable[..., Any]) -> None:
    failures = {
        what: found
        for what, positional, named in calls(function)
        if (found := failure(function, positional, named))
    }
    assert not failures, "\n".join(f"{what}: {found}" for what, found in failures.items())


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ONE]:
    folder = tmp_path_factory.mktemp("local")
    session = folder / "lab/Subjects/mouse/2024-05-06/001/alf"
    session.mkdir(parents=True)
    np.save(session / "trials.choice.npy", np.arange(3))
    make_parquet_db(folder)
    with ONE(cache_dir=folder, mode="local") as one:
        GOOD["eid"] = str(one.search()[0])
        yield one


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ONE]:
    """Yield a client of its own server, since some of these calls write."""
    folder = tmp_path_factory.mktemp("remote")
    with (
        Emulator(recorded_world()) as server,
        ONE(base_url=server.url, username="demo", password="demo", cache_dir=folder, mode="remote") as one,
    ):
        yield one


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the working folder, since relative paths are below it."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", methods(AsyncONE))
def test_methods_of_a_client_of_a_folder_raise_only_one_errors(local: ONE, name: str) -> None:
    check(getattr(local, name))


@pytest.mark.parametrize("name", methods(AsyncONE))
def test_methods_of_a_client_of_a_database_raise_only_one_errors(remote: ONE, name: str) -> None:
    check(getattr(remote, name))


@pytest.mark.parametrize("name", methods(AsyncAlyxClient))
def test_methods_of_the_rest_client_raise_only_one_errors(remote: ONE, name: str) -> None:
    check(getattr(remote.alyx, name))


@pytest.mark.parametrize("kind", [ONE, AlyxClient, AsyncONE, AsyncAlyxClient])
def test_constructors_raise_only_one_errors(kind: type) -> None:
    check(kind)
