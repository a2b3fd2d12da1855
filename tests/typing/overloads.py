"""The return types of the overloads of both faces: accepted by mypy --strict and by pyright, and never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type
from uuid import UUID

import numpy as np
import polars as pl

from one_async import ONE, ALFObject, ALFPath, AlyxClient, AsyncONE
from one_async.types import Reference, ReferenceText

Record = dict[str, Any]
Probes = tuple[list[UUID], list[str]] | tuple[None, None]
ProbesDetails = tuple[list[UUID], list[str], list[Record]] | tuple[None, None, None]


async def names_awaited(one: AsyncONE, eid: UUID, eids: list[UUID], paths: tuple[Path, ...]) -> None:
    assert_type(await one.to_eid(eid), UUID | None)
    assert_type(await one.to_eid({"subject": "a", "date": "2024-01-01", "number": 1}), UUID | None)
    assert_type(await one.to_eid(eids), list[UUID | None])
    assert_type(await one.to_eid(["2024-01-01_1_a", None]), list[UUID | None])
    assert_type(await one.eid2path(eids), list[ALFPath | None])
    assert_type(await one.path2eid("x"), UUID | None)
    assert_type(await one.path2eid(paths), list[UUID | None])
    assert_type(await one.eid2ref(eid), Reference)
    assert_type(await one.eid2ref(eid, parse=False), ReferenceText)
    assert_type(await one.eid2ref(eids, as_dict=False), list[str | None])
    assert_type(await one.ref2eid("2024-01-01_1_a"), UUID)
    assert_type(await one.ref2path(["2024-01-01_1_a"]), list[ALFPath])
    assert_type(await one.pid2eid(eid), tuple[UUID, str] | tuple[None, None])
    assert_type(await one.pid2eid(eids), list[tuple[UUID, str] | tuple[None, None]])
    assert_type(await one.eid2pid(eid), Probes)
    assert_type(await one.eid2pid(eids, details=True, name="probe00"), list[ProbesDetails])
    assert_type(await one.path2record("x"), Record | None)
    assert_type(await one.path2record(paths), list[Record | None])
    assert_type(await one.record2path({"did": ""}), ALFPath)
    assert_type(await one.record2path(pl.DataFrame()), list[ALFPath])
    assert_type(await one.record2url([{"did": ""}]), list[str])
    assert_type(await one.path2url("x"), str | None)
    assert_type(await one.path2url(paths), list[str | None])


async def answers_awaited(one: AsyncONE, eid: UUID, eids: list[UUID], details: bool) -> None:
    assert_type(await one.search(details=details), list[UUID] | tuple[list[UUID], pl.DataFrame])
    assert_type(await one.search_insertions(name="probe00"), list[UUID])
    assert_type(await one.search_insertions(details=True), tuple[list[UUID], list[Record]])
    assert_type(await one.get_details(eid), Record)
    assert_type(await one.get_details(eids), list[Record])
    assert_type(await one.get_details(eid, full=True), Record | pl.DataFrame)
    assert_type(await one.list_datasets(eids), list[list[str]])
    assert_type(await one.list_datasets(eid, "x", None, None, "PASS", False, True), pl.DataFrame)
    assert_type(await one.list_datasets(eid, details=details), list[str] | pl.DataFrame)
    assert_type(await one.list_collections(eid), list[str])
    assert_type(await one.list_collections(eids, details=True), list[dict[str, pl.DataFrame]])
    assert_type(await one.list_revisions(eid, details=True), dict[str, pl.DataFrame])
    assert_type(await one.describe_dataset(), list[Record])
    assert_type(await one.describe_dataset("spikes.times.npy"), Record)
    assert_type(await one.describe_revision("2024-01-01"), str)
    assert_type(await one.dataset2type([eid, "spikes.times.npy"]), list[str])
    assert_type(await one.type2datasets(eid, "spikes.times"), list[str])
    assert_type(await one.type2datasets(eids, "spikes.times", details=True), list[pl.DataFrame])
    assert_type(await one.list_aggregates("subjects"), pl.DataFrame)


async def by_id_awaited(one: AsyncONE, eid: UUID, eids: list[UUID], details: bool) -> None:
    """The session is given by ONE-api's keyword `id`, and everything else by keyword."""
    assert_type(await one.eid2path(id=eid), ALFPath | None)
    assert_type(await one.eid2path(id=eids), list[ALFPath | None])
    assert_type(await one.get_details(id=eid), Record)
    assert_type(await one.get_details(id=eids), list[Record])
    assert_type(await one.list_datasets(id=eid, details=True), pl.DataFrame)
    assert_type(await one.list_datasets(id=eid, details=details), list[str] | pl.DataFrame)
    assert_type(await one.type2datasets(id=eid, dataset_type="spikes.times"), list[str])
    assert_type(await one.eid2ref(id=eid, parse=False), ReferenceText)
    assert_type(await one.download(id=eids, dry_run=True), pl.DataFrame)
    await one.load_object(id=eid, obj="trials", collection="alf")
    await one.load_object(id=eid)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    async for found, trials in one.iter_objects(id=eids, obj="trials"):
        assert_type(found, UUID)
        assert_type(trials, ALFObject)


def by_id(one: ONE, eid: UUID, eids: list[UUID]) -> None:
    assert_type(one.eid2path(id=eid), ALFPath | None)
    assert_type(one.eid2path(id=eids), list[ALFPath | None])
    assert_type(one.get_details(id=eid, full=True), Record | pl.DataFrame)
    assert_type(one.list_datasets(id=eids), list[list[str]])
    assert_type(one.type2datasets(id=eid, dataset_type="spikes.times", details=True), pl.DataFrame)
    assert_type(one.eid2pid(id=eid, details=True), ProbesDetails)
    one.load_dataset(id=eid, dataset="spikes.times.npy", collection="alf")
    one.load_datasets(id=eid, datasets=["spikes.times.npy"])
    one.load_collection(id=eid, collection="alf")
    one.load_dataset(id=eid)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    for _, trials in one.iter_objects(id=eids, obj="trials"):
        assert_type(trials, ALFObject)


def names(one: ONE, eid: UUID, eids: list[UUID], paths: tuple[Path, ...]) -> None:
    assert_type(one.to_eid(eid), UUID | None)
    assert_type(one.to_eid(np.array(["2024-01-01_1_a"])), list[UUID | None])
    assert_type(one.to_eid(pl.Series(["2024-01-01_1_a"])), list[UUID | None])
    assert_type(one.path2eid("x"), UUID | None)
    assert_type(one.path2eid(paths), list[UUID | None])
    assert_type(one.eid2ref(eid), Reference)
    assert_type(one.eid2ref(eids, parse=False), list[ReferenceText])
    assert_type(one.eid2ref(eid, as_dict=False), str | None)
    assert_type(one.ref2eid(["2024-01-01_1_a"]), list[UUID])
    assert_type(one.ref2path("2024-01-01_1_a"), ALFPath)
    assert_type(one.pid2eid(eid), tuple[UUID, str] | tuple[None, None])
    assert_type(one.eid2pid(eids), list[Probes])
    assert_type(one.eid2pid(eid, details=True), ProbesDetails)
    assert_type(one.path2record("x"), Record | None)
    assert_type(one.record2path([{"did": ""}]), list[ALFPath])
    assert_type(one.record2url({"did": ""}), str)
    assert_type(one.path2url(paths), list[str | None])
    assert_type(one.is_exp_ref("x"), bool)
    assert_type(one.is_exp_ref(["x"]), list[bool])
    assert_type(one.ref2dict("2024-01-01_1_a"), Reference)
    assert_type(AsyncONE.ref2dict(["2024-01-01_1_a"], parse=False), list[ReferenceText])
    assert_type(ONE.dict2ref({}), str | None)
    assert_type(one.path2ref(paths, as_dict=False), list[str | None])


def answers(one: ONE, eid: UUID, eids: list[UUID], details: bool) -> None:
    assert_type(one.search(details=details), list[UUID] | tuple[list[UUID], pl.DataFrame])
    assert_type(one.search_insertions(True), tuple[list[UUID], list[Record]])
    assert_type(one.search_insertions(), list[UUID])
    assert_type(one.get_details(eid), Record)
    assert_type(one.list_datasets(eids, details=True), list[pl.DataFrame])
    assert_type(one.list_datasets(eid, "x", None, None, "PASS", False, True), pl.DataFrame)
    assert_type(one.list_datasets(eid, details=details), list[str] | pl.DataFrame)
    assert_type(one.list_collections(eid, details=details), list[str] | dict[str, pl.DataFrame])
    assert_type(one.list_revisions(eids), list[list[str]])
    assert_type(one.describe_dataset("spikes.times.npy"), Record)
    assert_type(one.describe_revision("2024-01-01", full=True), Record)
    assert_type(one.dataset2type(eid), str)
    assert_type(one.type2datasets(eid, "spikes.times", details), list[str] | pl.DataFrame)


def clients() -> None:
    """Clients are made as in ONE-api: without arguments, by position, by keyword."""
    AlyxClient()
    AlyxClient("https://alyx.test", "a", "b")
    assert_type(AlyxClient(base_url="https://alyx.test", silent=True).cache_dir, Path)
