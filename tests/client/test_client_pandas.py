"""``tables="pandas"`` applies everywhere, frames of either kind are accepted, and a session may be given as ``id=``."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pytest

from one_async import ONE, AlyxClient, AsyncONE
from one_async import api as one_api
from one_async.emulator import Emulator
from one_async.errors import InputError
from one_async.tables.pandas_frames import as_pandas, rows_of_pandas

from .conftest import login
from .every_method import Facts, examples, facts_of
from .faces import Face, opened

TRIALS = "_ibl_trials.table.pqt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module")
def plain(seeded_emulator: Emulator, folder: Path) -> Iterator[ONE]:
    with ONE(cache_dir=folder / "cache", **login(seeded_emulator)) as one:
        yield one


@pytest.fixture(scope="module")
def facts(plain: ONE, folder: Path) -> Facts:
    return facts_of(plain, folder)


@pytest.fixture(scope="module", params=["asyncio", "blocking"])
def pandas_one(request: pytest.FixtureRequest, seeded_emulator: Emulator, folder: Path) -> Iterator[Face]:
    with opened(request.param, cache_dir=folder / "cache", tables="pandas", **login(seeded_emulator)) as face:
        yield face


def frames_in(value: Any) -> Iterator[Any]:
    """Return the frames and series of both kinds that a result contains."""
    if isinstance(value, pl.DataFrame | pl.LazyFrame | pl.Series | pd.DataFrame | pd.Series):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from frames_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from frames_in(one)
    elif hasattr(value, "frames"):
        yield from frames_in(value.frames)


#: More calls of methods whose plain call returns no frame.
DETAILS = {
    "search": {"details": True},
    "list_datasets": {"details": True},
    "list_collections": {"details": True},
    "list_revisions": {"details": True},
    "type2datasets": {"details": True},
    "get_details": {"full": True, "query_type": "local"},
}
#: Methods outside the sweep: those of the REST client that read and write its JSON, and iterators.
OTHERS = ("watch", "watch_folder", "iter_objects", "from_frozen")


def test_every_frame_is_of_pandas(plain: ONE, pandas_one: Face, facts: Facts) -> None:
    """The calls are those of `every_method`; the plain client shows which of them return frames, and with which rows."""
    plain.refresh_cache("refresh")
    pandas_one.ask("refresh_cache", "refresh")
    met = set()
    registering = [
        replace(example, method=f"registration.{example.method}")
        for example in examples(facts)
        if example.method.startswith("register_")
    ]
    for example in [*examples(facts), *registering]:
        if example.method in OTHERS or (
            example.method.startswith("alyx.") and example.method != "alyx.frame"
        ):
            continue
        for more in ({}, DETAILS.get(example.method, {})):
            kwargs = {**(example.kwargs or {}), **more}
            args = example.args if "details" not in more or example.method != "search" else ()
            try:
                expected = list(frames_in(attrgetter(example.method)(plain)(*args, **kwargs)))
            except Exception as error:
                with pytest.raises(type(error)):
                    pandas_one.ask(example.method, *args, **kwargs)
                continue
            found = list(frames_in(pandas_one.ask(example.method, *args, **kwargs)))
            assert len(found) == len(expected), example
            for theirs, ours in zip(found, expected, strict=True):
                assert isinstance(theirs, pd.DataFrame | pd.Series), example
                rows = ours.collect() if isinstance(ours, pl.LazyFrame) else ours
                assert len(theirs) == len(rows), example
                met.add(example.method)
    assert met >= {"search", "list_datasets", "sessions", "datasets", "sql", "load_many", "load_spike_sorting", "download",
                   "trajectories", "brain_regions", "type2datasets", "list_collections", "list_revisions",
                   "get_details", "alyx.frame", "register_session", "register_files", "registration.register_session",
                   "registration.register_files", "harvest", "quality"}  # fmt: skip


def test_aggregates_are_found_and_read(pandas_one: Face, plain: ONE) -> None:
    row = plain.list_aggregates("subjects").row(0, named=True)
    given = {
        "relation": "subjects",
        "identifier": row["identifier"],
        "dataset": row["rel_path"].rpartition("/")[2],
    }
    loaded = pandas_one.ask("load_aggregate", **given)
    assert isinstance(loaded, pd.DataFrame)
    assert len(loaded) == len(plain.load_aggregate(**given)) > 0


def test_no_method_uses_frames_of_another_public_method() -> None:
    """Frames within the client are Polars frames; public methods return pandas frames."""
    frames = {
        name
        for name, method in inspect.getmembers(AsyncONE, inspect.isfunction)
        if not name.startswith("_") and "Frame" in str(method.__annotations__.get("return"))
    }
    assert {"list_aggregates", "sessions", "download"} <= frames
    package = Path(inspect.getfile(AsyncONE)).parent
    used = {
        f"{file.name}: {ast.unparse(node)}"
        for file in package.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in frames and ast.unparse(node.value) == "self"
    }
    assert used == set()


def test_a_rest_client_alone_returns_the_configured_frames(seeded_emulator: Emulator) -> None:
    server = {
        name: value
        for name, value in login(seeded_emulator).items()
        if name in ("base_url", "username", "password")
    }
    with (
        AlyxClient(**server, tables="pandas", cache_rest=None) as alyx,
        AlyxClient(**server, cache_rest=None) as other,
    ):
        theirs, ours = alyx.frame("sessions", limit=3), other.frame("sessions", limit=3)
    assert isinstance(theirs, pd.DataFrame)
    assert isinstance(ours, pl.DataFrame)
    assert list(theirs["id"]) == ours["id"].to_list()
    assert list(theirs.columns) == ours.columns
    with pytest.raises(InputError, match="tables"):
        AlyxClient(**server, tables="arrow")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("identifier", "dataset"),
    [
        ("CX_001", "_ibl_subjectTrials.table"),
        ("cortexlab/CX_002", "_ibl_subjectTraining.table.pqt"),
        ("HB_011", "*Trials*"),
        ("SU_101", {"object": "subjectTraining", "attribute": "table"}),
    ],
)
def test_aggregates_are_loaded_as_pandas(pandas_one: Face, identifier: str, dataset: Any) -> None:
    arguments = ("subjects", identifier, dataset)
    path = pandas_one.ask("load_aggregate", *arguments, download_only=True)
    pd.testing.assert_frame_equal(pandas_one.ask("load_aggregate", *arguments), pd.read_parquet(path))


def test_no_method_reads_frames_of_another_public_one() -> None:
    """Public methods return frames of the client's kind, so a method that needs Polars frames must not call them."""
    public = dict(inspect.getmembers(AsyncONE, inspect.iscoroutinefunction))
    framed = {
        name
        for name, value in public.items()
        if "DataFrame" in str(inspect.signature(value).return_annotation)
    }
    assert {"list_aggregates", "brain_regions"} <= framed
    for name, value in public.items():
        called = set(re.findall(r"\bself\.(\w+)\(", inspect.getsource(inspect.unwrap(value)))) & framed
        assert not called, f"{name} calls {called}"


def test_items_of_an_iterator_are_pandas(pandas_one: Face, facts: Facts) -> None:
    ((eid, errors),) = pandas_one.items("iter_objects", [facts.eid], "nothing", on_error="collect")
    assert eid == UUID(facts.eid)
    assert isinstance(errors, pd.DataFrame)
    assert list(errors["eid"]) == [facts.eid]


def test_workers_of_an_executor_load_pandas(
    pandas_one: Face, facts: Facts, seeded_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in login(seeded_emulator).items():
        monkeypatch.setenv(f"ONE_{name.upper()}", value)
    with ThreadPoolExecutor(1) as executor:
        elsewhere = pandas_one.ask("load_many", [facts.eid], "trials", executor=executor)
    pd.testing.assert_frame_equal(elsewhere, pandas_one.ask("load_many", [facts.eid], "trials"))


def test_tables_have_an_index_of_ids(plain: ONE, pandas_one: Face, facts: Facts) -> None:
    eids, sessions = pandas_one.ask("search", details=True, query_type="remote")
    assert list(sessions.index) == eids
    assert type(sessions["date"].iloc[0]) is date
    ours = plain.list_datasets(facts.eid, details=True, keep_eid_index=True)
    listed = pandas_one.ask("list_datasets", facts.eid, details=True)
    assert list(map(str, listed.index)) == ours["did"].to_list()
    assert {type(one) for one in listed.index} == {UUID}
    assert listed["qc"].dtype.ordered
    assert list(listed["file_size"]) == ours["file_size"].to_list()
    both = pandas_one.ask("list_datasets", facts.eid, details=True, keep_eid_index=True)
    assert both.index.names == ["eid", "id"]
    assert set(both.index.get_level_values("eid")) == {UUID(facts.eid)}


@pytest.fixture(scope="module")
def inputs(plain: ONE, pandas_one: Face, facts: Facts) -> dict[str, Any]:
    """Return the same dataset in each form that a public method returns."""
    keep = {"details": True, "filename": TRIALS}
    frame = pandas_one.ask("list_datasets", facts.eid, **keep)
    indexed = pandas_one.ask("list_datasets", facts.eid, keep_eid_index=True, **keep)
    ours = plain.list_datasets(facts.eid, **keep)
    record = dict(plain.alyx.rest("datasets", "read", id=facts.did))
    return {
        "pandas frame": frame,
        "pandas frame with eid": indexed,
        "pandas frame without index": indexed.reset_index(),
        "pandas row": frame.iloc[0],
        "pandas row with eid": indexed.iloc[0],
        "list of pandas rows": [frame.iloc[0]],
        "frame": ours,
        "frame with eid": plain.list_datasets(facts.eid, keep_eid_index=True, **keep),
        "row": ours.to_dicts()[0],
        "row of ONE-api": {**ours.drop("did").to_dicts()[0], "id": UUID(facts.did)},
        "row of an address": {**facts.row, "eid": None, "data_url": record["file_records"][0]["data_url"]},
        "record": record,
        "list of records": [record],
        "frame of types": pandas_one.ask("type2datasets", facts.eid, "trials.table", details=True).iloc[:1],
    }


FORMS = ("pandas frame", "pandas frame with eid", "pandas frame without index", "pandas row", "pandas row with eid",
         "list of pandas rows", "frame", "frame with eid", "row", "row of ONE-api", "row of an address", "record",
         "list of records")  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_results_are_accepted_as_arguments(
    plain: ONE, pandas_one: Face, facts: Facts, inputs: dict[str, Any], form: str
) -> None:
    given = inputs[form]
    name = facts.row["rel_path"]
    file = Path(str(facts.path)) / name

    def first(value: Any) -> Any:
        return value[0] if isinstance(value, list) else value

    for one in (plain, pandas_one):
        ask = (
            one.ask
            if isinstance(one, Face)
            else lambda name, *args, one=one, **kw: getattr(one, name)(*args, **kw)
        )
        assert Path(first(ask("record2path", given))) == file
        assert str(first(ask("record2url", given))).startswith("http")
        assert facts.did in str(first(ask("record2url", given)))
        assert Path(first(ask("load_dataset_from_id", given, download_only=True))) == file
        got = ask("download", given)
        assert list(got["did"]) == [facts.did]
        assert set(got["status"]) <= {"present", "fetched"}
        assert list(ask("download", got, dry_run=True)["did"]) == [facts.did]
        many = [given] if isinstance(given, Mapping | pd.Series) else given
        paths, _ = ask("load_datasets", facts.eid, many, download_only=True)
        assert list(map(Path, paths)) == [file]
        assert ask("freeze", many, facts.folder / "again.json").exists()


def test_rows_without_an_identifier_are_refused(pandas_one: Face) -> None:
    with pytest.raises(InputError):
        pandas_one.ask("record2url", pd.DataFrame({"x": [1]}))
    with pytest.raises(InputError):
        pandas_one.ask("download", pd.Series({"rel_path": "alf/spikes.times.npy"}))


def test_values_stay_exact() -> None:
    big = 2**53 + 1
    frame = as_pandas(pl.DataFrame({"n": [big, None], "when": [date(2024, 1, 2), None], "text": ["a", None]}))
    assert frame["n"][0] == big
    assert frame["n"].isna().to_list() == [False, True]
    assert frame["when"].to_list() == [date(2024, 1, 2), None]
    assert frame["text"].to_list() == ["a", None]
    assert rows_of_pandas(frame)[1] == {"n": None, "when": None, "text": None}


def takes_sessions() -> list[str]:
    """Return the methods whose first parameter names sessions."""
    return [
        name
        for name, method in inspect.getmembers(AsyncONE, inspect.isfunction)
        if not name.startswith("_") and list(inspect.signature(method).parameters)[1:2] in (["eid"], ["eids"])
    ]


@pytest.mark.parametrize(
    "kind",
    [pd.Series, pd.Index, np.array, pl.Series, iter],
    ids=["series", "index", "array", "polars", "iterator"],
)
def test_filters_are_lists_of_any_kind(pandas_one: Face, facts: Facts, kind: Any) -> None:
    names, folders = [TRIALS, "_ibl_wheel.position.npy"], ["alf", "raw_behavior_data"]
    asked = pandas_one.ask("list_datasets", facts.eid)
    for filters in (
        {"filename": names},
        {"collection": folders},
        {"filename": names, "collection": folders[:1]},
    ):
        own = {name: kind(value) for name, value in filters.items()}
        expected = [
            path
            for path in asked
            if path.rpartition("/")[2] in filters.get("filename", path)
            and path.rpartition("/")[0] in filters.get("collection", path)
        ]
        assert expected
        assert pandas_one.ask("list_datasets", facts.eid, **own) == expected
        own = {name: kind(value) for name, value in filters.items()}
        assert len(pandas_one.ask("download", facts.eid, dry_run=True, **own)) == len(expected)
    _, rows = pandas_one.ask("load_datasets", facts.eid, kind(names), collections=kind(["alf", "alf"]))
    assert [row["rel_path"] for row in rows] == [f"alf/{name}" for name in names]
    _, rows = pandas_one.ask("load_datasets", facts.eid, kind([f"alf/{name}" for name in names]))
    assert [row["rel_path"] for row in rows] == [f"alf/{name}" for name in names]


def test_every_method_takes_the_session_as_id(pandas_one: Face, facts: Facts) -> None:
    calls = {example.method: example for example in examples(facts) if example.args}
    names = takes_sessions()
    assert {"load_object", "load_dataset", "load_collection", "get_details", "eid2path", "type2datasets", "eid2ref",
            "list_datasets", "download"} <= set(names)  # fmt: skip
    assert set(names) <= set(calls)
    for name in names:
        own = next(iter(inspect.signature(getattr(AsyncONE, name)).parameters.items()))[0]
        assert own == "self"
        session, *others = calls[name].args
        parameters = list(inspect.signature(getattr(AsyncONE, name)).parameters)[2:]
        kwargs = {**dict(zip(parameters, others, strict=False)), **(calls[name].kwargs or {})}
        ask = pandas_one.items if name == "iter_objects" else pandas_one.ask
        assert repr(ask(name, id=session, **kwargs)) == repr(ask(name, session, **kwargs)), name


def test_an_id_beside_the_session_is_a_filter_or_refused(pandas_one: Face, facts: Facts) -> None:
    pids, _ = pandas_one.ask("eid2pid", pandas_one.ask("pid2eid", facts.pid)[0], id=facts.pid)
    assert pids == [UUID(facts.pid)]
    for name in ("eid2path", "get_details", "download", "list_datasets"):
        with pytest.raises(InputError, match="give one of them"):
            pandas_one.ask(name, facts.eid, id=facts.eid)
    assert pandas_one.ask("eid2path", facts.eid, id=None) == pandas_one.ask("eid2path", facts.eid)


def test_the_import_line_of_one_api_means_pandas(seeded_emulator: Emulator, tmp_path: Path) -> None:
    kinds = {
        kind: kind(cache_dir=tmp_path, **login(seeded_emulator))
        for kind in (one_api.ONE, one_api.OneAlyx, ONE)
    }
    for kind, one in kinds.items():
        with one:
            _, frame = one.search(details=True, query_type="remote")
            assert isinstance(frame, pl.DataFrame if kind is ONE else pd.DataFrame)
    with one_api.ONE(cache_dir=tmp_path, tables="polars", **login(seeded_emulator)) as one:
        assert isinstance(one.search(details=True, query_type="remote")[1], pl.DataFrame)
