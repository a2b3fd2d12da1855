"""How a harvest finds rows that came or went while it read a list, and splits pages that a server cannot make in time."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import churn
import httpx
import polars as pl
import pytest
import worlds
from worlds import client

from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.harvest import complete, fetch, harvest
from one_async.harvest.plan import Job, pages, smaller

pytestmark = pytest.mark.anyio


def exchange(emulator: Emulator, endpoint: str, nth: int = 5) -> None:
    """Delete a row and insert another one beside it, in the same range of ids, with an old date."""
    deleted = sorted(worlds.ids_of(emulator, endpoint))[nth]
    emulator.store.delete(endpoint, deleted)
    emulator.store.insert(endpoint, worlds.MAKERS[endpoint](str(UUID(int=UUID(deleted).int + 1)), 7))


def keys(frame: pl.DataFrame) -> set[str]:
    return {churn.key_of(row) for row in frame.to_dicts()}


@pytest.mark.parametrize("endpoint", ["notes", "sessions"])
async def test_a_replaced_row_is_found_in_a_long_slow_list(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complete, "MOMENT", 0.0)
    with Emulator(worlds.world(**{endpoint: 15_000})) as emulator:
        emulator.faults.add(f"/{endpoint}", skip=14, call=lambda: exchange(emulator, endpoint))
        async with client(emulator, max_connections=2) as alyx:
            report = await harvest(alyx, endpoint)
        assert report.complete
        assert report[endpoint].compared == "ids"
        assert keys(report.frames[endpoint]) == worlds.ids_of(emulator, endpoint)


async def test_a_row_replaced_between_two_runs_is_found(tmp_path: Path) -> None:
    with Emulator(worlds.world(sessions=5000)) as emulator:
        async with client(emulator, max_connections=1) as alyx:
            emulator.faults.add("/sessions", skip=5, status=500, times=None)
            assert not (await harvest(alyx, "sessions", tmp_path, part_rows=500)).complete
            emulator.faults.clear()
            exchange(emulator, "sessions")
            report = await harvest(alyx, "sessions", tmp_path, part_rows=500)
        assert report.complete
        assert report["sessions"].resumed
        assert report["sessions"].compared == "ids"
        frame = pl.scan_parquet(tmp_path / "sessions" / "*.parquet").collect()
        assert keys(frame) == worlds.ids_of(emulator, "sessions")


@pytest.mark.parametrize("many", [None, 900])
async def test_a_row_replaced_before_a_merge_is_found_by_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int | None
) -> None:
    if many is not None:  # longer lists are compared by counts, and the report says so
        monkeypatch.setattr(complete, "FEW", many)
        monkeypatch.setattr(complete, "MANY", many)
    name = "water-administrations"
    with Emulator(worlds.world(water_administrations=3000)) as emulator:
        async with client(emulator) as alyx:
            await harvest(alyx, name, tmp_path)
            exchange(emulator, name)
            report = await harvest(alyx, name, tmp_path, since="2030-01-01")
        frame = pl.scan_parquet(tmp_path / name / "*.parquet").collect()
        assert report[name].compared == ("ids" if many is None else "counts")
        assert (keys(frame) == worlds.ids_of(emulator, name)) == (many is None)


async def test_rows_that_move_between_ranges_show_in_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complete, "MOMENT", 0.0)
    monkeypatch.setattr(complete, "FEW", 900)
    monkeypatch.setattr(complete, "MANY", 1800)
    with Emulator(worlds.world(notes=5000)) as emulator:

        def call() -> None:
            ids = sorted(worlds.ids_of(emulator, "notes"))
            emulator.store.delete("notes", ids[5])
            emulator.store.insert("notes", worlds.note(str(UUID(int=UUID(ids[-900]).int + 1)), 7))

        async with client(emulator, max_connections=1) as alyx:
            calm = await harvest(alyx, "notes")
            emulator.faults.add("/notes", skip=7, call=call)
            report = await harvest(alyx, "notes")
        assert calm["notes"].compared == "counts"
        assert report["notes"].compared == "ids"
        assert keys(report.frames["notes"]) == worlds.ids_of(emulator, "notes")


async def test_a_long_list_read_in_a_moment_needs_no_request_after_its_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(complete, "MOMENT", float("inf"))
    with Emulator(worlds.world(sessions=20_000)) as emulator:
        async with client(emulator) as alyx:
            report = await harvest(alyx, "sessions")
    assert report.complete
    assert report["sessions"].compared == "one moment"
    assert report["sessions"].requests == len(pages(20_000, 1000)) == 21


async def test_a_list_without_ids_is_compared_by_its_count() -> None:
    with Emulator(worlds.world(locations=1500)) as emulator:
        async with client(emulator) as alyx:
            report = await harvest(alyx, ["locations", "labs"])
    assert report.complete
    assert report["locations"].compared == "counts"
    assert report["labs"].compared == "one moment"


# ---- pages that take too long


@pytest.mark.parametrize("status", [502, 504])
async def test_pages_are_split_until_the_server_answers(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "backoff", lambda attempt: 0.0)
    counts = {"sessions": 3000, "notes": 3000, "locations": 1200}
    emulator = Emulator(worlds.world(**counts))  # not started: it answers within this process
    refused = []

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        """Answer requests for more than 300 rows of these lists with an error page."""
        limit = int(parse_qs(scope["query_string"].decode()).get("limit", ["250"])[0])
        if limit <= 300 or scope["path"].strip("/") not in counts:
            await emulator.app(scope, receive, send)
        else:
            refused.append(limit)
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b"too slow"})

    transport = httpx.ASGITransport(proxy)
    with closing(emulator):
        async with AsyncAlyxClient(
            "http://alyx.test", token=emulator.token("demo"), transport=transport
        ) as alyx:
            report = await harvest(alyx, list(counts))
    for name, count in counts.items():
        assert report[name].complete, report[name]
        assert report.frames[name].height == report[name].distinct == count
        assert report[name].retries > 0
    assert min(refused) > 300


async def test_a_page_that_times_out_is_requested_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "backoff", lambda attempt: 0.0)
    with Emulator(worlds.world(notes=2000)) as emulator:
        emulator.faults.add("/notes", skip=1, times=2, hang=30.0)
        async with client(emulator, timeout=1.0, max_connections=1) as alyx:
            report = await harvest(alyx, "notes")
        asked = [parse_qs(request.query).get("limit") for request in emulator.requests.copy()]
    assert report.complete
    assert report["notes"].distinct == 2000
    assert ["500"] in asked


async def test_smaller_pages_are_not_tried_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "backoff", lambda attempt: 0.0)
    with Emulator(worlds.world(sessions=3000)) as emulator:
        emulator.faults.add("/sessions", status=502, times=None)
        async with client(emulator) as alyx:
            report = await harvest(alyx, "sessions")
    assert not report.complete
    assert "502" in report["sessions"].missing[0]
    assert "limit=100:" in report["sessions"].missing[0]
    assert report["sessions"].requests > 6


def test_smaller_pages_share_a_row_and_end_where_the_large_one_did() -> None:
    parts = smaller(Job("page", 999, 1999), 500)
    assert [(part.low, part.high) for part in parts] == [(999, 1499), (1498, 1998), (1997, 1999)]
    assert smaller(Job("page", 0, 2), 100) == [Job("page", 0, 2)]


@pytest.mark.parametrize("endpoint", ["sessions", "subjects", "labs", "water-administrations"])
async def test_a_single_page_with_fewer_rows_than_are_counted_is_not_complete(endpoint: str) -> None:
    with Emulator(worlds.recorded_world()) as emulator:
        rows = emulator.app.world.records[endpoint]["list"][:3]
        page = {"count": 5, "next": None, "previous": None, "results": rows}
        as_json = {"content-type": "application/json"}
        emulator.faults.add(f"/{endpoint}", times=None, status=200, body=json.dumps(page), headers=as_json)
        async with client(emulator) as alyx:
            report = (await harvest(alyx, endpoint))[endpoint]
    assert not report.complete
    assert (report.counted, report.distinct) == (5, len(rows))
    assert len(report.missing) == 1
    assert "during" not in report.missing[0]
