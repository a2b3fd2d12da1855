"""Which harvests a later call resumes, and which it replaces or updates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import anyio
import churn
import polars as pl
import pytest
import worlds
from worlds import client

from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.errors import InputError
from one_async.harvest import HarvestReport, checkpoint, harvest

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # test_publish.py and test_harvest.py run harvests under trio as well


def keys(folder: Path, endpoint: str) -> list[str]:
    frame = pl.scan_parquet(folder / endpoint / "*.parquet").collect()
    return sorted(churn.key_of(row) for row in frame.to_dicts())


async def interrupt(alyx: AsyncAlyxClient, folder: Path, **options: Any) -> None:
    """Cancel a harvest of notes when it has written a few parts."""
    with anyio.CancelScope() as scope:

        def enough(endpoint: str, rows: int, total: int | None) -> None:
            if rows >= 2000:
                scope.cancel()

        await harvest(alyx, "notes", folder, part_rows=500, progress=enough, **options)
    assert scope.cancelled_caught
    assert list((folder / ".harvest" / "notes").glob("*.parquet"))


@pytest.mark.parametrize(
    ("first", "then", "resumed"),
    [
        ({}, {}, True),
        ({}, {"resume": False}, False),
        ({}, {"filters": {"notes": {"django": "text__isnull,False"}}}, False),
        ({"filters": {"notes": {"django": "text__isnull,False"}}}, {}, False),
        ({}, {"since": "2019-01-01"}, False),
        ({"since": "2019-01-01"}, {"since": "2019-01-01"}, True),
        ({"since": "2019-01-01"}, {}, False),
    ],
    ids=str,
)
async def test_only_the_same_harvest_is_resumed(first: Any, then: Any, resumed: bool, tmp_path: Path) -> None:
    with Emulator(worlds.world(notes=3000)) as emulator:
        async with client(emulator) as alyx:
            await interrupt(alyx, tmp_path, **first)
            gone, edited = sorted(worlds.ids_of(emulator, "notes"))[:2]
            emulator.store.delete("notes", gone)
            emulator.store.update("notes", edited, text="edited")
            report = await harvest(alyx, "notes", tmp_path, part_rows=500, **then)
        assert report.complete
        assert report["notes"].resumed == resumed
        assert any("resumes" in note for note in report["notes"].notes) == resumed
        assert keys(tmp_path, "notes") == sorted(worlds.ids_of(emulator, "notes"))
        frame = pl.scan_parquet(tmp_path / "notes" / "*.parquet").filter(id=edited).collect()
        assert resumed or frame["text"].to_list() == ["edited"]


def filter_of(low: int, high: int) -> str:
    lower = [f"pk__gte,{UUID(int=low)}"] if low else []
    return ",".join([*lower, *([f"pk__lt,{UUID(int=high)}"] if high < 1 << 128 else [])])


async def test_finished_ranges_of_ids_are_kept_when_the_count_changes(tmp_path: Path) -> None:
    """A range has the same ids whatever the count is; a page by offset does not."""
    with Emulator(worlds.world(notes=3000)) as emulator:
        async with client(emulator) as alyx:
            await interrupt(alyx, tmp_path)
            state = json.loads((tmp_path / ".harvest" / "notes" / "state.json").read_text())
            assert {kind for kind, *_ in state["done"]} == {"range"}
            done = {filter_of(int(low), int(high)) for _, low, high in state["done"]}
            emulator.store.delete("notes", min(worlds.ids_of(emulator, "notes")))
            emulator.requests.reset()
            report = await harvest(alyx, "notes", tmp_path, part_rows=500)
        assert report.complete
        requested = [request for request in emulator.requests if request.path == "/notes"]
        assert not done & {parse_qs(request.query).get("django", [""])[0] for request in requested}
        assert keys(tmp_path, "notes") == sorted(worlds.ids_of(emulator, "notes"))


async def test_a_finished_harvest_is_replaced_by_a_new_one(tmp_path: Path) -> None:
    with Emulator(worlds.world(notes=1500)) as emulator:
        async with client(emulator) as alyx:
            await harvest(alyx, ["notes", "labs"], tmp_path)
            edited = min(worlds.ids_of(emulator, "notes"))
            emulator.store.update("notes", edited, text="edited")
            report = await harvest(alyx, ["notes", "labs"], tmp_path)
        assert not report["notes"].resumed
        frame = pl.scan_parquet(tmp_path / "notes" / "*.parquet").filter(id=edited).collect()
        assert frame["text"].to_list() == ["edited"]


async def test_an_old_harvest_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator(worlds.world(notes=3000)) as emulator:
        async with client(emulator) as alyx:
            await interrupt(alyx, tmp_path)
            monkeypatch.setattr(checkpoint, "RESUMABLE", timedelta(0))
            report = await harvest(alyx, "notes", tmp_path, part_rows=500)
    assert report.complete
    assert not report["notes"].resumed


async def test_since_last_harvests_what_a_resumed_harvest_missed(tmp_path: Path) -> None:
    """Rows that were edited between the two runs may have the state of the first; ``last`` counts from its start."""
    with Emulator(worlds.world(notes=3000)) as emulator:
        async with client(emulator) as alyx:
            begun = datetime.now(UTC)
            await interrupt(alyx, tmp_path)
            later = datetime.now(UTC)
            report = await harvest(alyx, "notes", tmp_path, part_rows=500)
            as_of = report["notes"].as_of
            assert as_of is not None
            assert begun <= as_of <= later
            edited = min(worlds.ids_of(emulator, "notes"))
            moment = as_of.replace(tzinfo=None).isoformat()
            emulator.store.update("notes", edited, text="edited", date_time=moment)
            report = await harvest(alyx, ["notes", "labs"], tmp_path, since="last")
        assert report.complete
        assert (report["notes"].written, report["notes"].updated) == (1, 1)
        frame = pl.scan_parquet(tmp_path / "notes" / "*.parquet").filter(id=edited).collect()
        assert frame["text"].to_list() == ["edited"]
        assert report["labs"].written == report["labs"].counted == 3  # it is new in the folder


async def test_since_last_covers_the_gap_of_a_later_since(tmp_path: Path) -> None:
    """A ``since`` after the last harvest leaves a gap, which the next ``last`` covers."""
    with Emulator(worlds.world(notes=1200)) as emulator:
        async with client(emulator) as alyx:
            first = await harvest(alyx, "notes", tmp_path)
            gap = await harvest(alyx, "notes", tmp_path, since="2035-01-01")
            assert gap["notes"].as_of == first["notes"].as_of
            edited = min(worlds.ids_of(emulator, "notes"))
            emulator.store.update("notes", edited, text="edited", date_time="2034-01-01T00:00:00")
            report = await harvest(alyx, "notes", tmp_path, since="last")
        assert report["notes"].updated == 1
        last, before = report["notes"].as_of, first["notes"].as_of
        assert last is not None
        assert before is not None
        assert last > before
        stored = HarvestReport.model_validate_json((tmp_path / "report.json").read_bytes())
        assert stored.endpoints["notes"].as_of == last


async def test_a_failed_harvest_keeps_the_time_of_the_rows(tmp_path: Path) -> None:
    with Emulator(worlds.world(notes=1200)) as emulator:
        async with client(emulator) as alyx:
            first = await harvest(alyx, "notes", tmp_path)
            emulator.faults.add("/notes", times=None, status=500)
            assert not (await harvest(alyx, "notes", tmp_path)).complete
    stored = HarvestReport.model_validate_json((tmp_path / "report.json").read_bytes())
    assert stored.endpoints["notes"].as_of == first["notes"].as_of


async def test_last_needs_the_same_filters(recorded_emulator: Any, tmp_path: Path) -> None:
    async with client(recorded_emulator) as alyx:
        await harvest(alyx, {"sessions": {"lab": "cortexlab"}}, tmp_path)
        with pytest.raises(InputError, match="cortexlab"):
            await harvest(alyx, "sessions", tmp_path, since="last")
