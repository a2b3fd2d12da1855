"""Uses of both faces that their types allow: accepted by mypy --strict and by pyright, and never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type
from uuid import UUID

import polars as pl

from one_async import (
    ONE,
    QC,
    ALFObject,
    ALFPath,
    AlyxClient,
    AsyncAlyxClient,
    AsyncONE,
    OneError,
    Settings,
    no_cache,
)
from one_async.errors import InputError, StatusError
from one_async.types import Mode


async def awaited(eid: UUID) -> None:
    async with AsyncONE(base_url="https://alyx.test", token="0", default_expiry=timedelta(days=1)) as one:
        assert_type(one, AsyncONE)
        assert_type(one.mode, Mode)
        assert_type(one.offline, bool)
        assert_type(one.cache_dir, Path)
        assert_type(one.settings, Settings)
        assert_type(one.alyx, AsyncAlyxClient)
        one.mode = "auto"
        one.cache_expiry = timedelta(hours=1)

        assert_type(await one.search(lab="cortexlab"), list[UUID])
        assert_type(await one.search(details=False, query_type="remote"), list[UUID])
        assert_type(await one.search(details=True, subject=["a", "b"]), tuple[list[UUID], pl.DataFrame])
        assert_type(await one.search_terms(), tuple[str, ...])
        assert_type(await one.list_subjects(), list[str])
        assert_type(await one.list_datasets(eid, "spikes.*", qc=QC.PASS), list[str])
        assert_type(await one.list_datasets(eid, details=True), pl.DataFrame)
        assert_type(await one.sql("SELECT 1"), pl.DataFrame)
        assert_type(await one.sessions(), pl.LazyFrame)
        assert_type(await one.download(eid, dry_run=True), pl.DataFrame)
        assert_type(await one.freeze([eid], "set.json"), Path)
        assert_type(await one.eid2path(eid), ALFPath | None)
        sorting = await one.load_spike_sorting(eid)
        assert_type(sorting.spikes, pl.DataFrame)
        assert_type(one.iter_objects([eid], "trials"), AsyncIterator[tuple[UUID, ALFObject]])
        async for _, trials in one.iter_objects([eid], "trials"):
            assert_type(trials, ALFObject)
            assert_type(trials.to_frame(), pl.DataFrame)
        with no_cache(one.alyx):
            assert_type(await one.alyx.list_endpoints(), list[str])
        async for page in one.alyx.pages("sessions", lab="cortexlab"):
            assert_type(page, list[dict[str, Any]])
    assert_type(AsyncONE.from_frozen("set.json"), AsyncONE)


def blocked(eid: UUID) -> None:
    with ONE(base_url="https://alyx.test", username="a", password="b", mode="remote", cache_rest=None) as one:
        assert_type(one, ONE)
        assert_type(one.mode, Mode)
        assert_type(one.offline, bool)
        assert_type(one.cache_dir, Path)
        assert_type(one.settings, Settings)
        assert_type(one.alyx, AlyxClient)
        one.mode = "auto"
        one.cache_expiry = timedelta(hours=1)
        one.alyx.default_expiry = timedelta(days=20)

        assert_type(one.list_subjects(), list[str])
        assert_type(one.search_terms(endpoint="insertions"), tuple[str, ...])
        assert_type(one.sql("SELECT 1"), pl.DataFrame)
        assert_type(one.download([eid], "spikes.*", on_error="collect"), pl.DataFrame)
        assert_type(one.freeze([eid], Path("set.json")), Path)
        assert_type(one.load_spike_sorting([eid]).clusters, pl.DataFrame)
        assert_type(one.iter_objects([eid], "trials"), Iterator[tuple[UUID, ALFObject]])
        for _, trials in one.iter_objects([eid], "trials"):
            assert_type(trials, ALFObject)
        with no_cache(one.alyx) as alyx:
            assert_type(alyx, AlyxClient)
        assert_type(one.alyx.list_endpoints(), list[str])
        for page in one.alyx.pages("sessions", limit=100):
            assert_type(page, list[dict[str, Any]])
    assert_type(ONE.from_frozen("set.json"), ONE)


def searched(one: ONE, eid: UUID) -> None:
    """The overloads on the blocking face."""
    assert_type(one.search(lab="cortexlab"), list[UUID])
    assert_type(one.search(details=True), tuple[list[UUID], pl.DataFrame])
    assert_type(one.list_datasets(eid), list[str])
    assert_type(one.list_datasets(eid, details=True), pl.DataFrame)
    assert_type(one.eid2path(eid), ALFPath | None)


def caught(one: ONE) -> int:
    try:
        one.search(number=1)
    except InputError as error:
        value: ValueError = error
        raise value from None
    except StatusError as error:
        return error.status
    except OneError as error:
        return len(str(error))
    return 0


def overloads(one: ONE, eids: list[UUID]) -> None:
    """A list argument returns a list, and details return a frame, in any position of the argument."""
    assert_type(one.eid2path([*eids]), list[ALFPath | None])
    assert_type(one.search(True, lab="cortexlab"), tuple[list[UUID], pl.DataFrame])
    assert_type(one.list_datasets(eids[0], "spikes.*", "alf*", details=True, qc="PASS"), pl.DataFrame)
