"""Publishing a harvest: concurrent harvests, kills, existing tables, and errors of one endpoint."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import churn
import polars as pl
import pytest
import worlds
from worlds import client

from one_async.emulator import Emulator
from one_async.errors import HarvestUnderWay, InputError, OneWarning
from one_async.harvest import HarvestReport, harvest, lease, storage
from one_async.harvest.storage import FolderStorage

pytestmark = pytest.mark.anyio


class Killed(BaseException):
    """End a harvest as a kill would, since no code catches it."""


def rows(folder: Path, endpoint: str) -> list[str]:
    """Return the keys of all rows that a reader of the folder sees."""
    frame = pl.scan_parquet(folder / endpoint / "*.parquet").collect()
    return sorted(map(churn.key_of, frame.to_dicts()))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def truth(emulator: Emulator, endpoint: str) -> list[str]:
    return sorted(worlds.ids_of(emulator, endpoint))


async def killed(run: Callable[[], Awaitable[Any]]) -> bool:
    try:
        await run()
    except BaseException as error:
        if isinstance(error, Killed) or (isinstance(error, BaseExceptionGroup) and error.subgroup(Killed)):
            return True
        raise
    return False


def kill_at(monkeypatch: pytest.MonkeyPatch, method: str, number: int) -> None:
    """Make the n-th call of a method of FolderStorage raise Killed."""
    real, calls = getattr(FolderStorage, method), 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(FolderStorage, method, call)


@pytest.fixture
def emulator() -> Any:
    with Emulator(worlds.world(notes=6000, water_administrations=1200)) as emulator:
        yield emulator


# ---- concurrent harvests


@pytest.mark.parametrize("resume", [False, True])
async def test_concurrent_harvests_write_one_after_the_other(
    emulator: Emulator, tmp_path: Path, resume: bool
) -> None:
    reports = []

    async def one() -> None:
        async with client(emulator) as alyx:
            reports.append(await harvest(alyx, ["notes"], tmp_path, part_rows=700, resume=resume))

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        group.start_soon(one)
    assert [report.complete for report in reports] == [True, True]
    assert rows(tmp_path, "notes") == truth(emulator, "notes")
    assert names(tmp_path) == ["notes", "report.json"]


async def test_an_endpoint_under_harvest_raises_before_any_request(
    recorded_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TIMEOUT", 0.1)
    recorded_emulator.requests.reset()
    async with lease.hold_lease(FolderStorage(tmp_path), "labs"), client(recorded_emulator) as alyx:
        with pytest.raises(HarvestUnderWay, match="labs") as caught:
            await harvest(alyx, ["labs", "tags"], tmp_path)
        assert (await harvest(alyx, ["tags"], tmp_path)).complete
        assert caught.value.endpoint == "labs"
        assert recorded_emulator.requests.count("/labs") == 0


async def test_a_harvest_that_lost_its_lease_publishes_nothing(emulator: Emulator, tmp_path: Path) -> None:
    async with client(emulator) as alyx:
        await harvest(alyx, "notes", tmp_path)
        before = rows(tmp_path, "notes")
        emulator.store.delete("notes", before[0])

        def lose(endpoint: str, number: int, total: int | None) -> None:
            (tmp_path / ".notes.claim" / "owner").write_text("another machine 1 1")

        report = await harvest(alyx, "notes", tmp_path, progress=lose)
        (tmp_path / ".notes.claim" / "owner").unlink()
    assert "HarvestUnderWay" in report["notes"].missing[0]
    assert rows(tmp_path, "notes") == before


async def test_missing_parts_do_not_delete_published_rows(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client(emulator) as alyx:
        await harvest(alyx, "notes", tmp_path)
        with monkeypatch.context() as patch:
            kill_at(patch, "move", 1)
            assert await killed(lambda: harvest(alyx, "notes", tmp_path, part_rows=1000))
        before = rows(tmp_path, "notes")
        state = tmp_path / ".harvest" / "notes" / "state.json"
        state.write_text(state.read_text().replace('"moves"', '"forgotten"'))
        for part in state.parent.glob("*.parquet"):
            part.unlink()
        report = await harvest(alyx, "notes", tmp_path)
    assert "FileDamaged" in report["notes"].missing[0]
    assert rows(tmp_path, "notes") == before


# ---- kills while the parts are published


@pytest.mark.parametrize("later", [{"since": "2019-01-05"}, {"since": "2019-01-05", "resume": False}, {}])
async def test_the_next_harvest_finishes_an_interrupted_publication(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: dict[str, Any]
) -> None:
    async with client(emulator) as alyx:
        await harvest(alyx, "notes", tmp_path, part_rows=700)
        with monkeypatch.context() as patch:
            kill_at(patch, "move", 4)
            assert await killed(lambda: harvest(alyx, "notes", tmp_path, part_rows=1000))
        assert set(rows(tmp_path, "notes")) == set(truth(emulator, "notes"))  # no row is missing meanwhile
        report = await harvest(alyx, "notes", tmp_path, part_rows=1000, **later)
    assert report.complete
    assert rows(tmp_path, "notes") == truth(emulator, "notes")
    assert report["notes"].distinct == 6000


async def test_a_merge_removes_duplicate_rows(emulator: Emulator, tmp_path: Path) -> None:
    async with client(emulator) as alyx:
        await harvest(alyx, "notes", tmp_path)
        part = tmp_path / "notes" / "part-00000.parquet"
        (tmp_path / "notes" / "part-00007.parquet").write_bytes(part.read_bytes())
        report = await harvest(alyx, "notes", tmp_path, since="2030-01-01")
    assert report.complete
    assert rows(tmp_path, "notes") == truth(emulator, "notes")


@pytest.mark.parametrize("method", ["move", "delete", "put"])
@pytest.mark.parametrize("format", ["parquet", "delta"])
async def test_the_report_of_a_merge_is_the_same_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, format: Any
) -> None:
    if format == "delta":
        pytest.importorskip("deltalake")
    with Emulator(worlds.world(notes=2000)) as emulator:
        async with client(emulator) as alyx:
            for number in (1, 3, 8):
                folder = tmp_path / f"{number}"
                await harvest(alyx, "notes", folder, part_rows=400, format=format)
                for id in truth(emulator, "notes")[:7]:
                    emulator.store.delete("notes", id)
                for at, id in enumerate(islice(worlds.uuids(f"{method} {number}"), 7)):
                    emulator.store.insert("notes", worlds.note(id, 4000 + at))
                merge = {"since": "2019-01-10", "part_rows": 300, "format": format}
                with monkeypatch.context() as patch:
                    kill_at(patch, method, number)
                    hit = await killed(lambda: harvest(alyx, "notes", folder, **merge))  # noqa: B023
                report = await harvest(alyx, "notes", folder, **merge)
                if format == "delta":
                    frame = pl.read_delta(str(folder / "notes"))
                    held = sorted(map(churn.key_of, frame.to_dicts()))
                else:
                    held = rows(folder, "notes")
                entry = report["notes"]
                assert report.complete
                assert held == truth(emulator, "notes")
                assert not (folder / ".harvest").exists()
                if hit:
                    assert entry.vanished == 7
                    assert 0 < entry.updated <= entry.written - 7


# ---- existing tables


@pytest.mark.parametrize(("first", "then"), [("delta", "parquet"), ("parquet", "delta")])
@pytest.mark.parametrize("since", [None, "2030-01-01"])
async def test_tables_of_another_format_are_refused(
    recorded_emulator: Any, tmp_path: Path, first: Any, then: Any, since: str | None
) -> None:
    pytest.importorskip("deltalake")
    async with client(recorded_emulator) as alyx:
        await harvest(alyx, "insertions", tmp_path, format=first)
        recorded_emulator.requests.reset()
        with pytest.raises(InputError) as caught:
            await harvest(alyx, "insertions", tmp_path, format=then, since=since)
        assert recorded_emulator.requests.count("/insertions") == 0
        assert (await harvest(alyx, "insertions", tmp_path, format=first, since=since)).complete
    assert caught.value.argument == "format"  # type: ignore[attr-defined]


async def test_a_harvest_in_another_format_starts_over(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("deltalake")
    async with client(emulator) as alyx:
        with monkeypatch.context() as patch:
            kill_at(patch, "put", 4)
            assert await killed(lambda: harvest(alyx, "notes", tmp_path, part_rows=1000))
        report = await harvest(alyx, "notes", tmp_path, format="delta")
    assert not report["notes"].resumed
    assert pl.read_delta(str(tmp_path / "notes")).height == 6000


async def test_since_requires_the_filters_of_the_existing_rows(
    recorded_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client(recorded_emulator) as alyx:
        await harvest(alyx, "sessions", tmp_path)
        before = rows(tmp_path, "sessions")
        narrow = {"sessions": {"lab": "cortexlab"}}
        with pytest.raises(InputError, match="none") as caught:
            await harvest(alyx, narrow, tmp_path, since="2024-01-01")
        assert caught.value.argument == "filters"  # type: ignore[attr-defined]
        # An incomplete harvest does not change the tables.
        recorded_emulator.faults.add("/sessions", times=None, status=500)
        with pytest.warns(OneWarning, match=r"lab=cortexlab replaces one with no filters"):
            assert not (await harvest(alyx, narrow, tmp_path)).complete
        recorded_emulator.faults.clear()
        with pytest.raises(InputError):
            await harvest(alyx, narrow, tmp_path, since="2024-01-01")
        assert rows(tmp_path, "sessions") == before
        # A complete harvest with other filters replaces the tables, and the filters of the next one are compared with those.
        with pytest.warns(OneWarning, match=r"lab=cortexlab replaces one with no filters"):
            taken = await harvest(alyx, narrow, tmp_path)
        assert "replaces rows that were read with no filters" in taken["sessions"].notes
        with pytest.raises(InputError, match="cortexlab"):
            await harvest(alyx, "sessions", tmp_path, since="2024-01-01")
        report = await harvest(alyx, narrow, tmp_path, since="2024-01-01")
    assert report.complete
    assert report["sessions"].vanished == 0
    stored = HarvestReport.model_validate_json((tmp_path / "report.json").read_bytes())
    assert stored.endpoints["sessions"].holds == {"lab": "cortexlab"}


async def test_unrelated_files_are_kept(recorded_emulator: Any, tmp_path: Path) -> None:
    (tmp_path / "labs").mkdir()
    (tmp_path / "labs" / "mine.parquet").write_text("precious")
    async with client(recorded_emulator) as alyx:
        await harvest(alyx, "labs", tmp_path)
        assert (await harvest(alyx, "labs", tmp_path, since="2030-01-01")).complete
    assert (tmp_path / "labs" / "mine.parquet").read_text() == "precious"


# ---- errors of one endpoint


async def test_a_full_disk_is_reported_and_other_endpoints_continue(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(number: int) -> None:
        if "notes" in str(Path(f"/proc/self/fd/{number}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    monkeypatch.setattr(storage.os, "fsync", fsync)
    async with client(emulator) as alyx:
        report = await harvest(alyx, ["notes", "labs"], tmp_path)
    assert report["labs"].complete
    assert "No space left on device" in " ".join(report["notes"].missing)
    assert report["notes"].requests > 0
    assert (tmp_path / "report.json").exists()


async def test_a_damaged_part_is_named(emulator: Emulator, tmp_path: Path) -> None:
    async with client(emulator) as alyx:
        await harvest(alyx, ["notes", "labs"], tmp_path)
        (tmp_path / "notes" / "part-00000.parquet").write_bytes(b"xx")
        report = await harvest(alyx, ["notes", "labs"], tmp_path, since="2019-01-03")
    assert report["labs"].complete
    assert "FileDamaged" in report["notes"].missing[0]
    assert "part-00000.parquet" in report["notes"].missing[0]


async def test_failed_requests_are_counted() -> None:
    with Emulator(worlds.recorded_world()) as emulator:
        emulator.faults.add("/sessions", times=None, status=500)
        async with client(emulator) as alyx:
            report = await harvest(alyx, "sessions")
    assert report["sessions"].requests >= 1


@pytest.mark.parametrize("to", ["/proc/nope", "file", "foo://bucket/x"])
async def test_impossible_targets_are_named_before_any_request(
    recorded_emulator: Any, tmp_path: Path, to: str
) -> None:
    (tmp_path / "file").write_text("")
    recorded_emulator.requests.reset()
    async with client(recorded_emulator) as alyx:
        with pytest.raises(InputError) as caught:
            await harvest(alyx, "labs", tmp_path / to if to == "file" else to)
    assert caught.value.argument == "to"  # type: ignore[attr-defined]
    assert len(recorded_emulator.requests) == 0


async def test_unknown_store_options_are_named(recorded_emulator: Any) -> None:
    async with client(recorded_emulator) as alyx:
        with pytest.raises(InputError) as caught:
            await harvest(alyx, "labs", "s3://bucket/x", storage_options={"bogus_option": "1"})
    assert caught.value.argument == "storage_options"  # type: ignore[attr-defined]


@pytest.mark.parametrize("endpoint", ["cache", "../labs"])
async def test_endpoints_without_a_list_of_rows_are_refused(
    recorded_emulator: Any, tmp_path: Path, endpoint: str
) -> None:
    async with client(recorded_emulator) as alyx:
        with pytest.raises(InputError) as caught:
            await harvest(alyx, [endpoint, "labs"], tmp_path)
    assert caught.value.argument == "endpoints"  # type: ignore[attr-defined]
