"""An error about an argument names it as the method does that was called, or as the caller typed it."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from client.faces import KINDS, Face, opened
from one_async import ONE, AlyxClient, AsyncAlyxClient, AsyncONE
from one_async.emulator import Emulator
from one_async.errors import InputError, OneError
from one_async.registration import RegistrationClient
from one_async.sync import Registration
from one_async.tables.build import build_tables, make_parquet_db
from shared_worlds import recorded_world

EID = "d23a44ef-1402-4ed7-97f5-47e9a7a504d9"
FOLDER = "lab/Subjects/mouse/2024-05-06/001"
#: Valid values of required arguments, by name.
GOOD: dict[str, Any] = {
    "eid": EID, "eids": [EID], "pid": EID, "pids": [EID], "ref": "2024-05-06_1_X", "path": FOLDER, "obj": "trials",
    "dataset": "a.b.npy", "datasets": ["a.b.npy"], "object": "trials", "collection": "alf", "query": "SELECT 1",
    "endpoint": "labs", "url": "labs", "rest_query": "/labs", "action": "list", "limit": 5, "offset": 0,
    "endpoints": ["labs"], "ses_path": FOLDER, "file_list": f"{FOLDER}/alf/a.b.npy", "paths": f"{FOLDER}/alf/a.b.npy",
    "table": pl.DataFrame({"did": [], "status": []}), "relation": "subjects", "volume": 1.5, "weight": 20.5,
    "dset_id": EID, "record": {"rel_path": "a"}, "field_name": "json", "uuid": EID, "data": {"a": 1}, "key": "a", "every": None,
    "file": "frozen.json",
}  # fmt: skip
WRONG: dict[str, Any] = {
    "number": -1, "fraction": 1.5, "NUL": "a\0b", "list of None": [None], "mapping": {"unknown_part": 5}, "object": object(),
    "expression": "a[",
}  # fmt: skip
#: Methods that end the client, log in, or wait.
LEFT_OUT = {"aclose", "close", "logout", "authenticate", "setup", "browse", "watch_folder", "from_frozen"}
CLIENTS = {
    "": (ONE, AsyncONE),
    "alyx.": (AlyxClient, AsyncAlyxClient),
    "registration.": (Registration, RegistrationClient),
}


def methods() -> list[str]:
    """Return the public methods of the blocking clients."""
    return [
        prefix + name
        for prefix, (blocking, _) in CLIENTS.items()
        for name, value in inspect.getmembers(blocking, inspect.isroutine)
        if not name.startswith("_") and name not in LEFT_OUT
    ]


def parameters(method: Callable[..., Any]) -> list[inspect.Parameter]:
    return [one for one in inspect.signature(method).parameters.values() if one.name not in ("self", "cls")]


def required(method: Callable[..., Any]) -> list[inspect.Parameter]:
    return [
        one
        for one in parameters(method)
        if one.name == "every"
        or (one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD))
    ]


def call(method: Callable[..., Any], given: dict[str, Any]) -> None:
    """Call a method; the first item of an iterator is enough."""
    positional = [
        given.pop(one.name) for one in parameters(method)
        if one.kind is one.POSITIONAL_ONLY and one.name in given
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = method(*positional, **given)
        if inspect.isgenerator(answer):
            next(answer, None)


def misnamed(method: Callable[..., Any]) -> Iterator[str]:
    """Yield the errors for one wrong argument that name something which the caller did not pass."""
    for wrong in parameters(method):
        if wrong.kind in (wrong.VAR_KEYWORD, wrong.VAR_POSITIONAL):
            continue
        for kind, value in WRONG.items():
            given = {one.name: GOOD.get(one.name, "x") for one in required(method)}
            if wrong.name == "id" and "id" not in given:
                given.pop(next(iter(given), ""), None)
            given[wrong.name] = value
            typed = {*given, "unknown_part", *(one.name for one in parameters(method))}
            typed -= {"eid", "eids"} if wrong.name == "id" else set()
            try:
                call(method, given)
            except InputError as error:
                name = getattr(error, "argument", None)
                text = re.match(r"(\w+)=", str(error))
                named = {*(name.split(", ") if name else ()), *(text.groups() if text else ())}
                if not named <= typed:
                    yield f"{wrong.name}={kind}: {name}: {str(error)[:200]}"
            except OneError:
                pass


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ONE]:
    folder = tmp_path_factory.mktemp("names")
    with (
        Emulator(recorded_world()) as server,
        ONE(base_url=server.url, username="demo", password="demo", cache_dir=folder, mode="remote") as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the working folder, since relative paths are below it."""
    monkeypatch.chdir(tmp_path)


def attribute(owner: object, name: str) -> Any:
    for part in name.split("."):
        owner = getattr(owner, part)
    return owner


@pytest.mark.parametrize("name", methods())
def test_errors_name_the_arguments_of_the_method(one: ONE, name: str) -> None:
    found = list(misnamed(attribute(one, name)))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("function", [make_parquet_db, build_tables, ONE.from_frozen, AsyncONE.from_frozen])
def test_errors_name_the_arguments_of_the_function(function: Callable[..., Any]) -> None:
    found = list(misnamed(function))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", methods())
def test_a_missing_argument_is_named_in_one_line(one: ONE, name: str) -> None:
    method = attribute(one, name)
    names = [one.name for one in required(method) if one.default is one.empty]
    for missing in names:
        given = {other.name: GOOD.get(other.name, "x") for other in required(method) if other.name != missing}
        with pytest.raises(InputError, match=rf"^\w+\(\) missing \d required .*'{missing}'.*$") as caught:
            call(method, given)
        assert missing in str(caught.value).partition("missing")[2]
    if all(one.kind is not one.VAR_KEYWORD for one in parameters(method)):
        with pytest.raises(InputError, match=r"^\w+\(\) got an unexpected keyword argument 'quarry'"):
            call(method, {"quarry": 1, **{one: GOOD.get(one, "x") for one in names}})


# ---- in both clients


@pytest.fixture(scope="module", params=KINDS)
def face(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with Emulator(recorded_world()) as server:
        options = {"base_url": server.url, "username": "demo", "password": "demo", "mode": "remote"}
        with opened(request.param, cache_dir=tmp_path_factory.mktemp("face"), **options) as client:
            yield client


@pytest.mark.parametrize(
    ("method", "args", "options", "name"),
    [
        ("load_object", (EID, "spikes"), {"extre": "x"}, "extre"),
        ("load_object", (EID, "spikes"), {"lab": "x"}, "lab"),
        ("load_object", (EID, "spikes"), {"attribute": 5}, "attribute"),
        ("load_object", (EID, {"a": 1}), {}, "obj"),
        ("load_collection", (EID, "alf", "spikes"), {"names": "x"}, "names"),
        ("load_dataset", (EID, {"objekt": "spikes"}), {}, "objekt"),
        ("load_many", (["?"], "spikes"), {}, "eids"),
        ("download", (["?"],), {}, "eids"),
        ("list_datasets", (), {"id": "?"}, "id"),
        ("list_aggregates", ("subjects",), {"dataset": 5}, "dataset"),
        ("load_aggregate", ("subjects", 5), {}, "identifier"),
        ("search", (), {"laboratory": 5j}, "laboratory"),
        ("alyx.get", (5,), {}, "rest_query"),
        ("alyx.post", ("/a\0b", {}), {}, "rest_query"),
        ("alyx.frame", (5,), {}, "endpoint"),
        ("register_session", ("nowhere",), {}, "path"),
    ],
)
def test_the_name_is_the_one_that_was_typed(
    face: Face, method: str, args: tuple[Any, ...], options: dict[str, Any], name: str
) -> None:
    with pytest.raises(InputError, match=rf"^{name}=") as caught:
        face.ask(method, *args, **options)
    assert caught.value.argument == name


def test_a_missing_argument_is_named_in_both_clients(face: Face) -> None:
    for method, args in (
        ("load_object", (EID,)),
        ("eid2path", ()),
        ("alyx.page", ("labs", 5)),
        ("is_exp_ref", ()),
    ):
        with pytest.raises(
            InputError, match=rf"^{method.rpartition('.')[2]}\(\) missing 1 required .*'\w+'$"
        ):
            face.ask(method, *args)
    with pytest.raises(InputError, match=r"^iter_objects\(\) missing 1 required .*'obj'$"):
        face.items("iter_objects", [EID])
