"""Many sessions at once: errors that are collected and retried, columns that differ, QC, frozen sets."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import numpy as np
import pandas as pd
import pytest

import one_async.transfer.plan
from one_async import ALFObject, AsyncONE
from one_async.emulator import Emulator
from one_async.errors import (
    ALFError,
    ALFObjectNotFound,
    InputError,
    LoginError,
    OfflineError,
    UnsafePath,
)
from one_async.tables.build import make_parquet_db

from .conftest import Make, login
from .faces import opened
from .worlds import World

EPHYS = "CX_001", "2023-06-09"
SORTING = "alf/probe00/pykilosort"


@pytest.fixture(scope="module")
def eid(seeded: World) -> str:
    return str(seeded.session(*EPHYS)["id"])


@pytest.fixture(scope="module")
def plain(seeded: World) -> str:
    """Return a session whose files have only one address, so that no other is tried after a failure."""
    return str(seeded.session("CX_003", "2023-09-22")["id"])


# ---- errors that are collected


@pytest.mark.parametrize("kind", ["trio", "blocking"], indirect=True)
def test_what_load_many_could_not_fetch_is_tried_again(
    make: Make, seeded: World, seeded_server: Emulator, plain: str
) -> None:
    one = make(seeded_server)
    seeded_server.faults.add("/data/", corrupt=100, times=None)
    frame, errors = one.ask("load_many", [plain], "wheel", on_error="collect")
    assert frame.is_empty()
    wheel = [d for d in seeded.of(plain) if d["name"].startswith("_ibl_wheel.")]
    assert len(wheel) > 1
    assert set(errors["did"]) == {d["id"] for d in wheel}
    assert set(errors["eid"]) == {plain}
    assert all(name.endswith(".npy") for name in errors["dataset"])
    assert set(errors["status"]) == {"failed"}
    (pair,) = one.items("iter_objects", [plain], "wheel", on_error="collect")
    assert pair[1].equals(errors)
    seeded_server.faults.clear()
    again = one.ask("retry", errors)
    assert again["did"].to_list() == errors["did"].to_list()
    assert set(again["status"]) == {"fetched"}
    assert one.ask("load_many", [plain], "wheel", on_error="collect").errors.is_empty()


@pytest.mark.parametrize("kind", ["asyncio", "blocking"], indirect=True)
def test_what_spike_sorting_could_not_fetch_is_tried_again(
    make: Make, seeded: World, seeded_server: Emulator, eid: str
) -> None:
    one = make(seeded_server)
    pid = next(row["id"] for row in seeded.rows("insertions") if row["session"] == eid)
    seeded_server.faults.add("/data/", corrupt=100, times=None)
    spikes, clusters, errors = one.ask("load_spike_sorting", [pid], on_error="collect")
    assert spikes.columns[:2] == clusters.columns[:2] == ["pid", "eid"]
    assert (spikes.height, clusters.height) == (0, 0)
    assert {name.rpartition("/")[2].partition(".")[0] for name in errors["dataset"]} == {
        "spikes",
        "clusters",
        "channels",
    }
    assert set(errors["pid"]) == {pid}
    assert None not in errors["did"].to_list()
    seeded_server.faults.clear()
    again = one.ask("retry", errors.to_pandas())
    assert set(again["status"]) == {"fetched"}
    assert again["pid"].equals(errors["pid"])
    assert one.ask("load_spike_sorting", []).spikes.columns == ["pid", "eid"]


def test_an_iterator_that_collects_goes_on(make: Make, seeded_server: Emulator, eid: str, plain: str) -> None:
    one = make(seeded_server)
    pairs = dict(one.items("iter_objects", [plain, eid], "spikes", on_error="collect", collection=SORTING))
    assert isinstance(pairs[UUID(eid)], ALFObject)
    (row,) = pairs[UUID(plain)].to_dicts()
    assert (row["eid"], row["did"], row["status"]) == (plain, None, "failed")
    assert "ALFObjectNotFound" in row["error"]
    assert (
        len(one.items("iter_objects", eid, "spikes", collection=SORTING)) == 1
    )  # one session as well as a list
    with pytest.raises(ALFObjectNotFound, match="2001-01-01_1_nobody"):
        one.items("iter_objects", ["2001-01-01_1_nobody"], "wheel", on_error="collect")
    before = seeded_server.requests.count("/")
    for wrong in ({"on_error": "ignore"}, {"at_once": 0}, {"qc": "good"}, {"revision_policy": "newest"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            one.items("iter_objects", [eid], "spikes", **wrong)
    with pytest.raises(InputError, match="download_only"):
        one.ask("load_many", [eid], "spikes", download_only=True)
    assert seeded_server.requests.count("/") == before
    with pytest.raises(
        InputError, match="objekt=… is not an ALF part"
    ):  # a wrong argument is not an error of a session
        one.ask("load_many", [eid], "spikes", on_error="collect", objekt="x")


def test_an_iterator_of_a_client_that_was_not_opened(
    seeded_server: Emulator, plain: str, tmp_path: Path
) -> None:
    async def main() -> list[Any]:
        one = AsyncONE(cache_dir=tmp_path, **login(seeded_server))
        try:
            found = one.iter_objects([plain, plain], "nothing", at_once=1, on_error="collect")
            return [error["eid"][0] async for _, error in found]
        finally:
            await one.aclose()

    assert anyio.run(main) == [plain, plain]


# ---- columns that differ


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    def fill(name: str, *tables: dict[str, Any]) -> Path:
        for number, columns in enumerate(tables, 1):
            place = tmp_path / f"lab/Subjects/s/2020-01-0{number}/001/alf"
            place.mkdir(parents=True)
            pd.DataFrame(columns).to_parquet(place / f"{name}.table.pqt")
        make_parquet_db(tmp_path)
        return tmp_path

    return fill


@pytest.mark.filterwarnings("ignore:No default revision")  # tables made of a folder do not record it
def test_columns_of_sessions_keep_what_is_missing_and_their_type(kind: str, folder: Any) -> None:
    root = folder(
        "trials",
        {"side": [None, None], "lst": [[1, 2], [3]]},
        {"side": ["left", "right"], "lst": [[4], None]},
    )
    with opened(kind, cache_dir=root) as one:
        frame = one.ask("load_many", one.ask("search"), "trials")
    assert frame["side"].to_list() == ["left", "right", None, None]
    assert frame["lst"].to_list() == [[4], None, [1, 2], [3]]


@pytest.mark.filterwarnings("ignore:No default revision")  # tables made of a folder do not record it
def test_a_session_with_incompatible_columns_is_a_separate_error(kind: str, folder: Any) -> None:
    root = folder("trials", {"x": [1.5]}, {"x": [pd.Timestamp("2020-01-01")]}, {"x": [2.5]}, {"eid": [2.5]})
    with opened(kind, cache_dir=root) as one:
        eids = one.ask("search")[::-1]
        frame, errors = one.ask("load_many", eids, "trials", on_error="collect")
        assert frame["x"].to_list() == [1.5, 2.5]
        assert errors["eid"].to_list() == [str(eids[1]), str(eids[3])]
        assert str(eids[0]) in errors["error"][0]
        with pytest.raises(ALFError, match=str(eids[1])):
            one.ask("load_many", eids[:3], "trials")


# ---- listed datasets can be loaded


CRITICAL = "alf/_ibl_wheelMoves.intervals.npy"


def test_what_is_listed_with_a_qc_is_loaded_with_it(
    make: Make, seeded_server: Emulator, tmp_path: Path
) -> None:
    one = make(seeded_server)
    eid, name = "f7285c8b-bb17-467b-8852-8364589b22d8", CRITICAL.rpartition("/")[2]
    loads: list[tuple[Any, ...]] = [
        ("load_dataset", eid, CRITICAL),
        ("load_dataset", eid, name),
        ("load_datasets", eid, [CRITICAL]),
        ("load_datasets", eid, [name]),
        ("load_object", eid, "wheelMoves", "alf", {"attribute": "intervals"}),
        ("load_many", [eid], "wheelMoves", "alf", {"attribute": "intervals"}),
        ("load_collection", eid, "alf", "wheelMoves", {"attribute": "intervals"}),
    ]

    def ask(method: str, *args: Any, **options: Any) -> Any:
        given = args[-1] if isinstance(args[-1], dict) else {}
        return one.ask(method, *args[: len(args) - bool(given)], **given, **options)

    assert CRITICAL not in one.ask("list_datasets", eid)
    assert CRITICAL in one.ask("list_datasets", eid, qc="CRITICAL")
    for load in loads:
        with pytest.raises(ALFObjectNotFound):
            ask(*load)
        assert len(ask(*load, qc="CRITICAL"))
        with pytest.raises(InputError, match=r"qc|QC"):
            ask(*load, qc="good")
    assert one.ask("download", eid, name, dry_run=True).is_empty()
    assert one.ask("download", eid, name, qc="CRITICAL")["status"].to_list() == ["present"]
    content = json.loads(one.ask("freeze", eid, tmp_path / "f.json", name, qc=50).read_text())
    assert [row["rel_path"] for row in content["datasets"]] == [CRITICAL]
    listed = one.ask("list_datasets", eid, ignore_qc_not_set=True)
    assert set(one.ask("download", eid, ignore_qc_not_set=True, dry_run=True)["dataset"].str.split(f"{eid}/").list.last()
               .str.extract(r"/\d{3}/(.*)")) == set(listed)  # fmt: skip


def test_a_path_says_which_revision_is_meant(
    make: Make, seeded_server: Emulator, eid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make(seeded_server)
    path = f"{SORTING}/spikes.times.npy"
    assert len(one.ask("load_dataset", eid, path, revision=""))
    assert len(one.ask("load_datasets", eid, [path], revisions="")[0][0])
    monkeypatch.setenv("ONE_REVISION_LAST_BEFORE", "2024-06-01")
    for method, given in (("load_dataset", path), ("load_datasets", [path])):
        with pytest.raises(InputError, match="ONE_REVISION_LAST_BEFORE"):
            one.ask(method, eid, given)


# ---- concurrent, and not on the event loop


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_datasets_of_a_list_are_asked_for_at_once(
    seeded: World, seeded_server: Emulator, plain: str, tmp_path: Path, backend: str
) -> None:
    """The server answers nothing, but receives the second request."""
    given = [d["id"] for d in seeded.of(plain) if d["name"].startswith("_ibl_wheel.")]

    async def main() -> None:
        async with AsyncONE(cache_dir=tmp_path, **login(seeded_server)) as one:
            await one.alyx.authenticate()
            seeded_server.faults.add("/data/", hang=math.inf, times=None)
            with anyio.fail_after(60):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(one.load_dataset_from_id, given)
                    while seeded_server.requests.count("/data/") < 2:  # noqa: ASYNC110 - a server's doing
                        await anyio.sleep(0.01)
                    tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_many_files_are_planned_off_the_event_loop(
    seeded: World, seeded_server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    threads: list[threading.Thread] = []
    real = one_async.transfer.plan.make_plan

    def noted(*args: Any, **options: Any) -> Any:
        threads.append(threading.current_thread())
        return real(*args, **options)

    monkeypatch.setattr(one_async.transfer.plan, "make_plan", noted)

    async def main() -> None:
        async with AsyncONE(cache_dir=tmp_path, **login(seeded_server)) as one:
            table = await one.download(
                await one.search(lab="cortexlab"), dry_run=True, revision_policy="exact"
            )
            assert table.height > 500

    anyio.run(main, backend=backend)
    assert threads
    assert threading.current_thread() not in threads


# ---- frozen sets


def test_a_frozen_set_is_fetched_whole(
    make: Make, kind: str, seeded: World, seeded_server: Emulator, eid: str, plain: str, tmp_path: Path
) -> None:
    one = make(seeded_server)
    listed = one.ask("list_datasets", plain, "*wheel*", "alf", details=True, keep_eid_index=True)
    file = one.ask("freeze", listed.select("did", "eid").to_pandas(), tmp_path / "wheel.json")
    account = {name: value for name, value in login(seeded_server).items() if name != "base_url"}

    def frozen(file: Path, **options: Any) -> Any:
        return opened(kind, lambda face: lambda **o: face.from_frozen(file, **o), **options)

    with frozen(file, cache_dir=tmp_path / "other", **account) as again:
        seeded_server.faults.add("/data/", corrupt=100, times=None)
        failed = again.ask("download", plain, on_error="collect")
        assert set(failed["did"]) == set(listed["did"])
        seeded_server.faults.clear()
        assert set(again.ask("retry", failed)["status"]) == {"fetched"}
        assert set(again.ask("download", plain)["status"]) == {"present"}
        other = seeded.dataset(eid, f"{SORTING}/spikes.times.npy")["id"]
        for mode in ("local", "remote", "auto"):
            with pytest.raises(ALFObjectNotFound):
                again.ask("load_dataset_from_id", other, query_type=mode)
    empty = one.ask("freeze", [plain], tmp_path / "empty.json", "nothing.here.npy")
    with frozen(empty, cache_dir=tmp_path / "other", **account) as again:
        assert again.ask("search") == []
        assert again.ask("load_many", [], "wheel").is_empty()
    with pytest.raises(InputError, match="did and eid"):
        one.ask("freeze", listed.select("did").to_pandas(), tmp_path / "no.json")


def test_the_error_of_an_absent_file_names_it_without_a_login(
    make: Make, kind: str, seeded_server: Emulator, plain: str, tmp_path: Path
) -> None:
    """The database cannot be queried for other addresses, so the file's own error is raised."""
    one = make(seeded_server)
    file = one.ask("freeze", [plain], tmp_path / "frozen.json", "_ibl_wheel*", "alf")
    file.write_text(file.read_text().replace(seeded_server.url, "http://127.0.0.1:9"))
    root = tmp_path / "cache"
    with opened(kind, lambda face: lambda **o: face.from_frozen(file, **o), cache_dir=root) as frozen:
        for call in (
            lambda: frozen.ask("load_object", plain, "wheel"),
            lambda: frozen.ask("load_dataset", plain, "_ibl_wheel.position.npy"),
            lambda: frozen.ask("load_many", [plain], "wheel"),
            lambda: frozen.ask("download", plain),
        ):
            with pytest.raises(LoginError, match=r"_ibl_wheel\.\w+\.npy must be fetched: "):
                call()
        failed = frozen.ask("download", plain, on_error="collect")
        assert set(failed["status"]) == {"failed"}
        assert all("must be fetched" in error for error in failed["error"])


def test_a_path_that_leaves_the_folder_is_not_read_either(
    make: Make, kind: str, seeded: World, seeded_server: Emulator, plain: str, tmp_path: Path
) -> None:
    one = make(seeded_server)
    file = one.ask("freeze", [plain], tmp_path / "frozen.json", "_ibl_wheel.position.npy", "alf")
    content = json.loads(file.read_text())
    (tmp_path / "secret").mkdir()
    np.save(tmp_path / "secret" / "a.b.npy", np.arange(5))
    content["datasets"][0]["rel_path"] = "../../../../../../secret/a.b.npy"
    content["origin"] = None
    file.write_text(json.dumps(content))
    root = tmp_path / "cache"
    session = root / "cortexlab/Subjects/CX_003/2023-09-22/001"
    session.mkdir(parents=True, exist_ok=True)
    assert (session / "../../../../../../secret/a.b.npy").resolve().exists()
    with opened(kind, lambda face: lambda **o: face.from_frozen(file, **o), cache_dir=root) as offline:
        with pytest.raises(UnsafePath):
            offline.ask("load_dataset_from_id", content["datasets"][0]["did"])
        with pytest.raises(OfflineError):
            offline.ask("download", plain)
