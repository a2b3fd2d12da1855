"""Harvest an emulator over HTTP: complete results, resumed and merged harvests, and reports of what is missing."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import churn
import polars as pl
import pytest
import worlds
from worlds import client

from one_async import AsyncONE
from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.errors import InputError, LoginError
from one_async.harvest import HarvestReport, complete, harvest

pytestmark = pytest.mark.anyio


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(worlds.world(sessions=3100, water_administrations=2700, locations=1500)) as emulator:
        yield emulator


def read(folder: Path, endpoint: str) -> pl.DataFrame:
    return pl.scan_parquet(folder / endpoint / "*.parquet").collect()


def keys(frame: pl.DataFrame) -> list[str]:
    return [churn.key_of(row) for row in frame.to_dicts()]


def _rows(frame: pl.DataFrame) -> list[str]:
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in frame.to_dicts())


async def test_every_endpoint_of_the_recorded_world_is_harvested(
    recorded_emulator: Any, tmp_path: Path
) -> None:
    records = worlds.recorded_world().records
    names = [name for name, held in records.items() if held["list"]]
    async with client(recorded_emulator) as alyx:
        report = await harvest(alyx, names, tmp_path)
        memory = await harvest(alyx, names)
    assert report.complete
    for name in names:
        rows = {json.dumps(row, sort_keys=True) for row in records[name]["list"]}
        assert report[name].distinct == read(tmp_path, name).height == len(rows)
        # endpoints without order may return another one
        assert _rows(memory.frames[name]) == _rows(read(tmp_path, name))
    stored = HarvestReport.model_validate_json((tmp_path / "report.json").read_bytes())
    assert stored.complete
    assert stored.endpoints == report.endpoints
    assert not (tmp_path / ".harvest").exists()


async def test_files_have_even_row_groups_and_the_documented_columns(
    emulator: Emulator, tmp_path: Path
) -> None:
    async with client(emulator) as alyx:
        report = await harvest(alyx, ["sessions"], tmp_path, part_rows=400)
        frame = await alyx.frame("sessions", lab="nowhere")
    heights = [pl.read_parquet(file).height for file in sorted((tmp_path / "sessions").iterdir())]
    assert heights == [400] * 7 + [300]
    assert read(tmp_path, "sessions").schema == frame.schema
    assert sorted(keys(read(tmp_path, "sessions"))) == sorted(worlds.ids_of(emulator, "sessions"))
    assert report["sessions"].counted == report["sessions"].written == 3100


async def test_unstable_pages_neither_lose_nor_repeat_rows(emulator: Emulator) -> None:
    emulator.app.unstable_paging = 7
    async with client(emulator) as alyx:
        report = await harvest(alyx, ["water-administrations", "locations"])
    assert report.complete
    for name in ("water-administrations", "locations"):
        assert sorted(keys(report.frames[name])) == sorted(worlds.ids_of(emulator, name))


@pytest.mark.parametrize("seed", range(3))
async def test_a_harvest_of_a_changing_database_is_right_or_incomplete(seed: int) -> None:
    for outcome in (await churn.run(seed)).values():
        assert outcome.right, outcome.report


async def test_equal_numbers_of_new_and_deleted_rows_are_found_in_a_long_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(complete, "MOMENT", 0.0)  # regardless of this machine's speed
    counts = {"water_administrations": 16_000, "sessions": 16_000}
    with Emulator(worlds.world(**counts)) as emulator:
        for name in ("water-administrations", "sessions"):
            emulator.faults.add(f"/{name}", skip=12, call=lambda name=name: swap(emulator, name, 15))
        async with client(emulator) as alyx:
            report = await harvest(alyx, ["water-administrations", "sessions"])
        assert report.complete
        for name in ("water-administrations", "sessions"):
            assert set(keys(report.frames[name])) == worlds.ids_of(emulator, name)
            assert report[name].compared == "ids"


def swap(emulator: Emulator, name: str, number: int) -> None:
    """Insert ``number`` rows and delete as many, all over the list."""
    rng = random.Random(name)
    for id in islice(worlds.uuids(f"more {name}"), number):
        emulator.store.insert(name, worlds.MAKERS[name](id, rng.randrange(16_000)))
    for key in rng.sample(sorted(worlds.ids_of(emulator, name)), number):
        emulator.store.delete(name, key)


async def test_the_report_names_what_is_missing(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.add(
        "/water-administrations", skip=1, times=None, status=503, headers={"retry-after": "0"}
    )
    async with client(emulator) as alyx:
        report = await harvest(alyx, ["water-administrations", "labs"], tmp_path)
    assert not report.complete
    assert report["labs"].complete
    assert "503" in report["water-administrations"].missing[0]
    assert "ids" in report["water-administrations"].missing[0]
    assert not (tmp_path / "water-administrations").exists()
    emulator.faults.clear()
    emulator.requests.reset()
    async with client(emulator) as alyx:
        again = await harvest(alyx, ["water-administrations", "labs"], tmp_path)
    assert again.complete
    assert emulator.requests.count("/labs") == 1
    assert sorted(keys(read(tmp_path, "water-administrations"))) == sorted(
        worlds.ids_of(emulator, "water-administrations")
    )


async def test_transient_faults_are_only_retried(emulator: Emulator) -> None:
    rules = [
        emulator.faults.add("/sessions", skip=1, status=503),
        emulator.faults.add("/sessions", skip=2, cut=True),
        emulator.faults.add("/sessions", skip=1, drop=True),
        emulator.faults.add("/sessions", broken=True),
        emulator.faults.add("/water-administrations", status=429, headers={"retry-after": "1"}),
        emulator.faults.add("/water-administrations", html=True),
    ]
    async with client(emulator) as alyx:
        report = await harvest(alyx, ["sessions", "water-administrations"])
    assert report.complete
    assert all(rule.hits == 1 for rule in rules)
    assert sum(entry.retries for entry in report.endpoints.values()) == len(rules)
    assert report["water-administrations"].throttled == 1


async def test_a_refused_token_raises_login_error(emulator: Emulator) -> None:
    async with AsyncAlyxClient(emulator.url, token="0" * 40) as alyx:
        with pytest.raises(LoginError):
            await harvest(alyx, ["sessions", "labs"])


async def test_since_replaces_the_rows_that_changed(tmp_path: Path) -> None:
    with Emulator(worlds.recorded_world()) as emulator:
        async with client(emulator) as alyx:
            await harvest(alyx, ["insertions", "datasets", "labs"], tmp_path)
            changed, deleted = sorted(worlds.ids_of(emulator, "insertions"))[:2]
            emulator.store.update(
                "insertions", changed, auto_datetime="2030-01-01T00:00:00", serial="new one"
            )
            emulator.store.delete("insertions", deleted)
            row = next(r for r in worlds.recorded_world().records["insertions"]["list"] if r["id"] == changed)
            [id] = islice(worlds.uuids("insertion"), 1)
            emulator.store.insert("insertions", {**row, "id": id, "auto_datetime": "2030-01-02T00:00:00"})
            report = await harvest(alyx, ["insertions", "datasets", "labs"], tmp_path, since="2030-01-01")
        frame = read(tmp_path, "insertions")
        assert report.complete
        assert set(frame["id"]) == worlds.ids_of(emulator, "insertions")
        assert frame["id"].is_unique().all()
        assert frame.filter(id=changed)["serial"].to_list() == ["new one"]
        entry = report["insertions"]
        assert (entry.written, entry.updated, entry.vanished, entry.since_by) == (2, 1, 1, "auto_datetime")
        assert report["datasets"].written == 0
        assert read(tmp_path, "datasets").height == 875
        assert report["labs"].since_by is None
        assert read(tmp_path, "labs").height == 3


async def test_delta_tables_are_written_and_merged(tmp_path: Path) -> None:
    pytest.importorskip("deltalake")
    with Emulator(worlds.recorded_world()) as emulator:
        async with client(emulator) as alyx:
            first = await harvest(alyx, ["datasets"], tmp_path, format="delta")
            table = pl.read_delta(str(tmp_path / "datasets"))
            changed = churn.key_of(table.row(0, named=True))
            emulator.store.update("datasets", changed, auto_datetime="2030-01-01T00:00:00", hash="f" * 32)
            later = await harvest(alyx, ["datasets"], tmp_path, format="delta", since="2030-01-01")
    assert first.complete
    assert later.complete
    newer = pl.read_delta(str(tmp_path / "datasets"))
    assert newer.height == table.height == 875
    assert newer.filter(pl.col("url").str.ends_with(changed))["hash"].to_list() == ["f" * 32]
    assert later["datasets"].updated == 1


async def test_filters_select_rows_and_repeated_rows_are_joined(recorded_emulator: Any) -> None:
    async with client(recorded_emulator) as alyx:
        report = await harvest(
            alyx,
            {"sessions": {"projects": "ibl"}, "datasets": {"lab": "cortexlab"}, "imaging-stack": None},
            filters={"datasets": {"name": "spikes.times.npy"}},
        )
        rows = await alyx.rest("sessions", "list", projects="ibl")
        datasets = await alyx.rest("datasets", "list", lab="cortexlab", name="spikes.times.npy")
    assert report.complete
    assert set(report.frames["sessions"]["id"]) == {row["id"] for row in rows}
    assert report.frames["sessions"].height == report["sessions"].counted
    assert sorted(report.frames["datasets"]["url"]) == sorted(row["url"] for row in datasets)
    assert report.frames["imaging-stack"].height == 1  # the list has it twice, for its two slices


async def test_consecutive_ids_are_harvested_with_few_requests() -> None:
    def in_order(name: str) -> Iterator[str]:
        return (f"00000000-0000-4000-8000-{number:012x}" for number in range(10**6))

    rows = {"list": worlds.Rows("channels", 4321, in_order), "detail": {}}
    world = worlds.world()
    world = type(world)(**{**world.__dict__, "records": {**world.records, "channels": rows}})
    with Emulator(world) as emulator:
        async with client(emulator) as alyx:
            report = await harvest(alyx, "channels")
    assert report.complete
    assert report["channels"].distinct == 4321
    assert report["channels"].requests < 150


async def test_harvested_pages_are_not_stored_in_the_rest_cache(emulator: Emulator, tmp_path: Path) -> None:
    async with AsyncAlyxClient(emulator.url, token=emulator.token("demo"), cache_dir=tmp_path) as alyx:
        await alyx.schema()
        await alyx.rest("labs", "list")
        emulator.requests.reset()
        await harvest(alyx, ["labs", "sessions"])
        await alyx.rest("sessions", "list", limit=1)
        assert emulator.requests.count("/labs") == 1
        assert emulator.requests.count("/sessions") > 4


async def test_progress_reports_rows_and_total(emulator: Emulator) -> None:
    said: list[tuple[str, int, int | None]] = []
    async with client(emulator) as alyx:
        await harvest(alyx, "sessions", progress=lambda *what: said.append(what))
    assert said[0] == ("sessions", 0, 3100)
    assert said[-1] == ("sessions", 3100, 3100)
    assert [rows for _, rows, _ in said] == sorted(rows for _, rows, _ in said)


@pytest.mark.parametrize("at", [0, 3100])
async def test_an_error_of_the_progress_function_is_not_wrapped(emulator: Emulator, at: int) -> None:
    def broken(endpoint: str, rows: int, total: int | None) -> None:
        if rows >= at:
            raise KeyError("mine")

    async with client(emulator) as alyx:
        with pytest.raises(KeyError, match="mine"):
            await harvest(alyx, ["labs", "sessions"], progress=broken)


async def test_a_cancelled_harvest_can_be_resumed(emulator: Emulator, tmp_path: Path) -> None:
    async with client(emulator) as alyx:
        with anyio.CancelScope() as scope:

            def enough(endpoint: str, rows: int, total: int | None) -> None:
                if rows >= 2000:
                    scope.cancel()

            await harvest(alyx, "sessions", tmp_path, part_rows=500, progress=enough)
        assert scope.cancelled_caught
        parts = list((tmp_path / ".harvest" / "sessions").glob("*.parquet"))
        assert 2 <= len(parts) < 7
        report = await harvest(alyx, "sessions", tmp_path, part_rows=500)
    assert report.complete
    assert report["sessions"].resumed
    assert sorted(keys(read(tmp_path, "sessions"))) == sorted(worlds.ids_of(emulator, "sessions"))


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        ((["nonsense"],), {}, "endpoints"),
        (([],), {}, "endpoints"),
        (({"sessions": {"labb": "x"}},), {}, "labb"),
        ((["sessions"],), {"filters": {"labs": {}}}, "filters"),
        (({"sessions": {"limit": 5}},), {}, "limit"),
        ((["sessions"],), {"since": "2025-01-01"}, "since"),
        ((["sessions"], "there"), {"since": "last week"}, "since"),
        ((["sessions"], "there"), {"format": "csv"}, "format"),
        ((["sessions"], "there"), {"format": "frame"}, "to"),
        ((["sessions"],), {"format": "parquet"}, "to"),
        ((["sessions"], "there"), {"part_rows": 0}, "part_rows"),
        ((["sessions"], ""), {}, "to"),
    ],
)
async def test_wrong_arguments_are_named(
    recorded_emulator: Any, tmp_path: Path, arguments: Any, options: Any, name: str
) -> None:
    token = recorded_emulator.token("demo")
    async with AsyncONE(base_url=recorded_emulator.url, token=token, cache_dir=tmp_path) as one:
        with pytest.raises(InputError) as caught:
            await one.harvest(*arguments, **options)
    assert caught.value.argument == name  # type: ignore[attr-defined]


async def test_all_selects_every_endpoint_with_a_list(recorded_emulator: Any, tmp_path: Path) -> None:
    records = worlds.recorded_world().records
    async with AsyncONE(
        base_url=recorded_emulator.url, token=recorded_emulator.token("demo"), cache_dir=tmp_path / "cache"
    ) as one:
        report = await one.harvest(["all"], tmp_path / "lake", filters={"sessions": {"lab": "cortexlab"}})
        named = await one.alyx.list_endpoints()
        with pytest.raises(InputError, match="'all'"):
            await one.harvest(named)
    assert report.complete
    # The recorded server answers these with something other than a list of records.
    others = {"cache", "cache.zip", "check-protected", "sync-file-status"}
    assert set(report.endpoints) == {name for name, held in records.items() if held["list"]} - others
    assert set(report.endpoints) <= set(named)
    assert 0 < report["sessions"].distinct < len(records["sessions"]["list"])
    assert read(tmp_path / "lake", "labs").height == len(records["labs"]["list"])
