"""Background work of an open client, and the number of requests of one call, in both faces."""

from __future__ import annotations

import gc
import io
import json
import os
import time
import weakref
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from one_async.emulator import Emulator
from shared_worlds import checks, downloads, unzip

from .conftest import LATER, Make
from .test_modes import ALL, CORTEX, found, wait_until

OFTEN = timedelta(seconds=0.05)


@pytest.mark.parametrize("mode", ["local", "remote"])
def test_a_mode_without_refresh_stops_the_background_refresh(make: Make, alyx: Emulator, mode: str) -> None:
    one = make(alyx, mode="auto", cache_expiry=OFTEN)
    assert found(one) == ALL
    wait_until(lambda: checks(alyx) >= 3)
    one.put("mode", mode)
    asked = checks(alyx)
    time.sleep(1)
    assert checks(alyx) <= asked + 1  # the check that had started
    one.put("mode", "auto")
    assert found(one) == ALL
    wait_until(lambda: checks(alyx) >= asked + 4)


def claims(folder: Path) -> list[str]:
    """Return the names of claims below a folder, which may disappear meanwhile."""
    return [name for _, folders, _ in os.walk(folder) for name in folders if name.endswith(".claim")]


def test_an_offline_mode_ends_a_running_download(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    unzip(alyx, tmp_path / "cache")
    alyx.touch_tables(LATER)
    rule = alyx.faults.add("/cache.zip", hang=60)
    one = make(alyx, mode="auto")
    assert found(one) == ALL
    wait_until(lambda: rule.hits)
    one.put("mode", "local")
    wait_until(lambda: not claims(tmp_path / "cache"))  # released by the process that downloads
    assert found(one) == ALL
    assert one.look("tables_info").checked is None


def test_an_auto_search_of_a_remote_client_does_not_wait_for_a_refresh(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    unzip(alyx, tmp_path / "cache")
    rule = alyx.faults.add("/cache", hang=60, times=None)
    one = make(alyx)
    for _ in range(3):
        assert found(one, lab="cortexlab", query_type="auto") == CORTEX
    wait_until(lambda: rule.hits)
    assert found(one, lab="cortexlab", query_type="auto") == CORTEX
    assert (one.look("tables_info").checked, rule.hits) == (None, 1)


def test_an_auto_search_of_a_remote_client_starts_a_download_of_newer_tables(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    unzip(alyx, tmp_path / "cache")
    alyx.touch_tables(LATER)
    one = make(alyx)
    assert found(one, query_type="auto") == ALL
    wait_until(lambda: downloads(alyx) == 1 and not one.look("tables_info").expired)
    assert found(one, query_type="auto") == ALL
    assert checks(alyx) == 1


def _damaged_lzma(alyx: Emulator) -> None:
    """Publish an archive whose damaged members make zipfile raise its own kind of error."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(alyx.app.cache_zip())) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_LZMA)
    data = bytearray(out.getvalue())
    member = zipfile.ZipFile(out).getinfo("datasets.pqt")
    middle = member.header_offset + 30 + len(member.filename) + member.compress_size // 2
    data[middle : middle + 200] = bytes(200)
    alyx.touch_tables(LATER, bytes(data))


def _odd_port(alyx: Emulator) -> None:
    """Publish a location whose port is invalid for a socket."""
    said = {"date_created": LATER, "location": "http://127.0.0.1:99999/x"}
    alyx.faults.add("/cache/info", body=json.dumps(said), times=3)
    alyx.touch_tables(LATER)


@pytest.mark.parametrize("trouble", [_damaged_lzma, _odd_port])
def test_a_client_recovers_from_bad_tables_of_the_server(
    make: Make, alyx: Emulator, tmp_path: Path, trouble: Callable[[Emulator], None]
) -> None:
    unzip(alyx, tmp_path / "cache")
    good = alyx.app.cache_zip()
    trouble(alyx)
    one = make(alyx, mode="auto", cache_expiry=OFTEN)
    assert found(one) == ALL
    for asked in range(1, 4):
        assert found(one, lab="cortexlab") == CORTEX
        wait_until(lambda asked=asked: checks(alyx) >= asked)  # type: ignore[misc]
    loaded = one.look("tables_info").loaded
    alyx.touch_tables(LATER, good)
    wait_until(lambda: one.look("tables_info").loaded > loaded)
    assert found(one, lab="cortexlab") == CORTEX


CALLS: dict[str, dict[str, Any]] = {
    "list_datasets": {},
    "list_collections": {},
    "list_revisions": {},
    "get_details": {},
    "eid2path": {},
    "eid2ref": {},
    "eid2pid": {"name": "probe00"},
    "path2record": {},
    "freeze": {"file": "frozen.json", "revision_policy": "exact"},
}


@pytest.mark.parametrize("method", CALLS)
def test_one_call_checks_for_newer_tables_once(
    make: Make, alyx: Emulator, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call resolves the path of the session with the same tables that answer the call."""
    monkeypatch.chdir(tmp_path)
    one = make(alyx)
    one.ask("refresh_cache", "refresh")
    (eid,) = one.ask("search", subject="KS014", date="2020-02-18", query_type="local")
    path = one.ask("eid2path", eid, query_type="local")
    before = checks(alyx)
    one.ask(method, path, query_type="refresh", **CALLS[method])
    assert checks(alyx) == before + 1


def test_replaced_tables_are_freed(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    """The background task that a call started does not keep them either."""
    unzip(alyx, tmp_path / "cache")
    one = make(alyx, cache_expiry=OFTEN)
    one.put("mode", "auto")
    (eid,) = make(alyx, mode="local").ask("search", subject="KS014", date="2020-02-18")
    assert one.ask("list_datasets", eid)
    old = weakref.ref(
        one.look("_context.tables" if hasattr(one, "_portal") else "_here._context.tables").loaded
    )
    alyx.touch_tables(LATER)
    wait_until(lambda: downloads(alyx) == 1)
    wait_until(lambda: gc.collect() >= 0 and old() is None)


# ---- details of sessions


@pytest.mark.parametrize("mode", ["auto", "refresh"])
@pytest.mark.parametrize("full", [False, True])
def test_details_are_read_from_tables_that_have_them(
    make: Make, alyx: Emulator, mode: str, full: bool
) -> None:
    one = make(alyx)
    one.ask("refresh_cache", "refresh")
    eids = one.ask("search", lab="cortexlab", query_type="local")[:3]
    before = len(alyx.requests), checks(alyx)
    details = one.ask("get_details", eids, full=full, query_type=mode)
    in_tables = one.ask("get_details", eids, full=full, query_type="local")
    assert len(alyx.requests) == before[0] + (mode == "refresh")
    assert checks(alyx) == before[1] + (mode == "refresh")
    if full:
        assert [frame.rows() for frame in details] == [frame.rows() for frame in in_tables]
    else:
        assert details == in_tables
        assert {row["lab"] for row in details} == {"cortexlab"}


def test_details_of_sessions_that_the_tables_lack_are_queried_from_the_server(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    """All answers of one call have the same source."""
    from one_async.tables.disk import write_table

    folder = unzip(alyx, tmp_path / "cache")
    one = make(alyx)
    eids = one.ask("search", lab="cortexlab", query_type="local")[:3]
    sessions = one.ask("sessions").collect()
    said = {"date_created": "2025-01-01 00:00"}
    write_table(folder / "sessions.pqt", "sessions", sessions.filter(sessions["eid"] != str(eids[1])), said)
    one = make(alyx)
    assert "start_time" not in one.ask("get_details", eids[0], query_type="auto")
    details = one.ask("get_details", eids, query_type="auto")
    assert all("start_time" in row for row in details)
    assert details == one.ask("get_details", eids, query_type="remote")


def test_details_need_no_server(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    folder = unzip(alyx, tmp_path / "cache")
    alyx.stop()
    bare = make(None, cache_dir=folder, mode="auto")
    one = make(alyx, mode="local")
    (eid,) = bare.ask("search", subject="KS014", date="2020-02-18")
    for face, mode in ((bare, "auto"), (bare, "refresh"), (bare, None), (one, "auto")):
        assert face.ask("get_details", eid, query_type=mode)["subject"] == "KS014"
        assert len(face.ask("get_details", eid, full=True, query_type=mode)) > 0
