"""One odd dataset affects nothing else: it is returned, or refused by name, and all others are unchanged."""

from __future__ import annotations

import io
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alyx.servers import serving
from one_async import ONE
from one_async.alf.path import rel_path_parts
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, ALFWarning, AnswerError, OneError
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import save_tables

from .worlds import World, path_of

SUBJECT, DAY = "CX_003", "2023-09-22"
#: Cells of a dataset in a session's detail, and in the rows of `/datasets`.
CELLS = [
    "name", "file_size", "hash", "collection", "revision", "data_url", "default_revision", "default_dataset", "qc",
    "version", "file_records", "session", "dataset_type", "tags", "json", "exists", "no such field",
]  # fmt: skip
VALUES: list[Any] = [
    None,
    -1,
    10**30,
    "x\ud800y",
    "",
    1.5,
    True,
    [],
    {},
    [None],
    {"a": None},
    "x" * 5000,
    "../..",
    "NaN",
]
Row = dict[str, Any]


class OddServer:
    """The emulator, with other values in the cells of one dataset wherever it is sent."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.did = ""
        self.cells: Row = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].startswith(("/sessions", "/datasets")):
            await self.emulator.app(scope, receive, send)
            return
        start: Row = {}
        body = bytearray()

        async def keep(message: Any) -> None:
            start.update(message if message["type"] == "http.response.start" else {})
            body.extend(message.get("body", b""))

        await self.emulator.app(scope, receive, keep)
        content = json.dumps(self._changed(json.loads(body))).encode()
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(content)).encode())]})
        await send({"type": "http.response.body", "body": content})

    def _changed(self, answer: Any) -> Any:
        if isinstance(answer, list):
            return [self._changed(one) for one in answer]
        if not isinstance(answer, dict):
            return answer
        answer = {name: self._changed(one) for name, one in answer.items()}
        is_dataset = "collection" in answer and self.did == (answer.get("id") or answer.get("url", ""))[-36:]
        return {**answer, **{k: v for k, v in self.cells.items() if k in answer}} if is_dataset else answer


@pytest.fixture(scope="module")
def server(seeded_emulator: Emulator) -> Iterator[tuple[OddServer, str]]:
    app = OddServer(seeded_emulator)
    with serving(app) as url:
        yield app, url


@pytest.fixture(scope="module")
def tables(seeded_emulator: Emulator, seeded: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the server's tables without the datasets of the session, which auto mode queries from the server."""
    folder = tmp_path_factory.mktemp("tables")
    with zipfile.ZipFile(io.BytesIO(seeded_emulator.app.cache_zip())) as archive:
        archive.extractall(folder)
    opened = Catalogue.open(folder)
    eid = seeded.session(SUBJECT, DAY)["id"]
    datasets = opened.datasets().collect().filter(pl.col("eid") != eid)
    save_tables(opened.replace(datasets=datasets), folder, clobber=True)
    return folder


@contextmanager
def opened(mode: str, url: str, tables: Path, folder: Path) -> Iterator[ONE]:
    shutil.rmtree(folder, ignore_errors=True)
    own = folder / "tables"
    if mode == "auto":
        shutil.copytree(tables, own)
    with ONE(
        base_url=url, username="demo", password="demo", cache_dir=folder, tables_dir=own, mode=mode, cache_rest=None,
        progress=False,
    ) as one:  # fmt: skip
        yield one


def named(found: list[warnings.WarningMessage], did: str) -> bool:
    return any(issubclass(one.category, ALFWarning) and did in str(one.message) for one in found)


def is_alf(row: Row) -> bool:
    """Return whether a path is ALF; lists leave out others, as those of ONE-api do."""
    if not isinstance(row["name"], str) or not isinstance(row["collection"], str | None):
        return True
    path = f"{row['collection'] or ''}/{row['name']}".lstrip("/")
    return any(rel_path_parts(path, assert_valid=False))


def check_others(one: ONE, world: World, odd: Row, datasets: list[Row]) -> list[str]:
    """Check that all methods answer for the other datasets as before; return the paths that stand for the odd one."""
    session = world.session(SUBJECT, DAY)
    eid = session["id"]
    assert {str(found) for found in one.search(subject=SUBJECT)} == {
        s["id"] for s in world.sessions if s["subject"] == SUBJECT
    }
    others = {path_of(row, world.revisions): row for row in datasets if row["id"] != odd["id"]}
    listed = one.list_datasets(eid, qc="CRITICAL")
    extra = sorted(set(listed) - set(others))
    assert len(listed) == len(others) + len(extra) <= len(datasets)
    frame = one.list_datasets(eid, details=True, qc="CRITICAL", keep_eid_index=True)
    assert sorted(frame["rel_path"]) == sorted(listed)
    for row in frame.filter(pl.col("did") != odd["id"]).iter_rows(named=True):
        own = others[row["rel_path"]]
        assert (row["did"], row["eid"], row["file_size"], row["hash"], row["qc"]) == (
            own["id"], eid, own["file_size"], own["hash"], own["qc"]
        )  # fmt: skip
    arrays = [path for path in others if path.endswith(".npy")][:2]
    for path in arrays:
        assert np.array_equal(one.load_dataset(eid, path), world.array(eid, path))
    if one.mode == "remote":
        root = one.eid2path(eid, query_type="remote")
        records = one.path2record([root / path for path in arrays])
        assert [row["did"] for row in records] == [others[path]["id"] for path in arrays]
        kinds = {others[path]["dataset_type"] for path in arrays}
        typed = set(one.type2datasets(eid, sorted(kinds)))
        assert {path for path, row in others.items() if row["dataset_type"] in kinds} <= typed
        data = one.load_dataset_from_id([others[path]["id"] for path in arrays])
        assert all(map(np.array_equal, data, (world.array(eid, path) for path in arrays)))
    return extra


def check_odd(one: ONE, world: World, odd: Row, paths: list[str]) -> None:
    """Check that the odd dataset has its own bytes, or raises an error that names it."""
    eid, path = world.session(SUBJECT, DAY)["id"], path_of(odd, world.revisions)
    content = world.content(odd)

    def is_right(data: Any) -> bool:
        if isinstance(data, Path):  # a file whose suffix does not show its format
            return data.read_bytes() == content
        return np.array_equal(data, np.load(io.BytesIO(content)))

    for name in [*paths, path]:
        outcome = outcome_of(partial(one.load_dataset, eid, name))
        if isinstance(outcome, OneError):
            names = (odd["id"], repr(name)[1:-1], name[:100], odd["name"])
            assert any(part in str(outcome) for part in names), outcome
        else:
            assert is_right(outcome)
    outcome = outcome_of(partial(one.load_dataset_from_id, odd["id"]))
    assert isinstance(outcome, OneError) or is_right(outcome)


def outcome_of(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except OneError as error:
        return error


@pytest.mark.parametrize("mode", ["remote", "auto"])
@given(st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_cell_of_a_dataset(
    mode: str, server: tuple[OddServer, str], tables: Path, seeded: World, tmp_path: Path, data: st.DataObject
) -> None:
    app, url = server
    datasets = [dict(row) for row in seeded.of(seeded.session(SUBJECT, DAY)["id"])]
    odd = data.draw(st.sampled_from([row for row in datasets if row["name"].endswith(".npy")]), "dataset")
    cells = data.draw(
        st.dictionaries(st.sampled_from(CELLS), st.sampled_from(VALUES), min_size=1, max_size=2), "cells"
    )
    app.did, app.cells = odd["id"], cells
    with warnings.catch_warnings(record=True) as found, opened(mode, url, tables, tmp_path / "cache") as one:
        warnings.simplefilter("always")
        extra = check_others(one, seeded, odd, datasets)
        if not extra and is_alf({**odd, **cells}):
            assert named(found, odd["id"])
        check_odd(one, seeded, odd, extra)


@pytest.mark.parametrize("mode", ["remote", "auto"])
@pytest.mark.parametrize(
    "cells", [{"name": None}, {"name": ""}, {"revision": "no such id", "data_url": None}], ids=str
)
def test_a_dataset_without_a_path_is_left_out_with_a_warning(
    mode: str, cells: Row, server: tuple[OddServer, str], tables: Path, seeded: World, tmp_path: Path
) -> None:
    app, url = server
    eid = seeded.session(SUBJECT, DAY)["id"]
    odd = seeded.dataset(eid, "alf/licks.times.npy")
    app.did, app.cells = odd["id"], cells
    with opened(mode, url, tables, tmp_path) as one:
        with pytest.warns(ALFWarning, match=f"{odd['id']}.* is left out"):
            listed = one.list_datasets(eid)
        assert listed == [path for path in seeded.paths(eid) if path != "alf/licks.times.npy"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ALFWarning)
            with pytest.raises(ALFObjectNotFound):
                one.load_object(eid, "licks")
            wheel = one.load_object(eid, "wheel")
        assert np.array_equal(wheel["position"], seeded.array(eid, "alf/_ibl_wheel.position.npy"))


def test_invalid_ids_are_refused(
    server: tuple[OddServer, str], tables: Path, seeded: World, tmp_path: Path
) -> None:
    app, url = server
    eid = seeded.session(SUBJECT, DAY)["id"]
    app.did = seeded.of(eid)[0]["id"]
    for value in (None, 5, [1], "x"):
        app.cells = {"id": value, "url": value}
        with (
            opened("remote", url, tables, tmp_path) as one,
            pytest.raises(AnswerError, match="sessions: "),
        ):
            one.list_datasets(eid)
