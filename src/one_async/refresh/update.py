"""Download the server's tables to a folder: one process downloads, and the others use its tables."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from one_async._progress import Display, Task, shown
from one_async._threads import run_sync
from one_async.errors import InputError, TablesDamaged, TablesError
from one_async.files.claim import claim
from one_async.queries.records import DatasetRecord, parse_known
from one_async.refresh.download import download, part_name
from one_async.refresh.filter_by_tag import filter_tables
from one_async.refresh.prepare_subprocess import SMALL, prepare, prepare_in_subprocess
from one_async.refresh.swap import DOWNLOAD, WORK, State, clear_work, new_folder, stamp_of, swap
from one_async.tables.catalogue import Catalogue

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient
    from one_async.refresh.info import Offer

__all__ = ["download_claim", "fetch"]

_LONGEST_PAUSE = 1.0


@asynccontextmanager
async def download_claim(folder: Path) -> AsyncIterator[bool]:
    """Try to claim the download to a folder, which only one process may do at a time; yield whether it is ours."""
    path = folder / WORK / DOWNLOAD
    holder = claim(path, wait=0.0)

    def enter() -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            holder.__enter__()
        except TimeoutError:
            return False
        return True

    is_ours = await run_sync(enter)
    try:
        yield is_ours
    finally:
        if is_ours:
            with anyio.CancelScope(shield=True):
                await run_sync(holder.__exit__, None, None, None)


async def fetch(
    alyx: AsyncAlyxClient,
    offer: Offer,
    folder: Path,
    is_installed: Callable[[], Awaitable[bool]],
    display: Display | None = None,
) -> bool:
    """Download the offered tables to a folder; return False if another process did so first.

    Raises ServerErrors, UnsafePath, TablesDamaged and OSError, and leaves the old tables as they are.
    """
    pause = 0.02
    while True:
        async with download_claim(folder) as is_ours:
            if await is_installed():
                return False
            if is_ours:
                await _download_and_install(alyx, offer, folder, display)
                return True
        await anyio.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


async def _download_and_install(
    alyx: AsyncAlyxClient, offer: Offer, folder: Path, display: Display | None
) -> None:
    part = folder / WORK / part_name(offer.url, offer.minute)
    await run_sync(clear_work, folder, part)
    made = await _download_and_prepare(alyx, offer, folder, part, display)
    try:
        if offer.tag is not None:
            await _filter_by_tag(alyx, made, offer.tag)
        await run_sync(_install, made, folder, offer)
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(partial(shutil.rmtree, made, ignore_errors=True))


def _install(made: Path, folder: Path, offer: Offer) -> None:
    swap(made, folder)
    State(offer.requested_at, offer.server, offer.minute, offer.origin, stamp_of(folder)).write(folder)


async def _download_and_prepare(
    alyx: AsyncAlyxClient, offer: Offer, folder: Path, part: Path, display: Display | None
) -> Path:
    """Download and prepare the tables; if a resumed download is damaged, download it once more from the start."""

    async def receive() -> bool:
        async with shown(display, Task("downloading tables", "bytes")) as task:
            return await download(alyx.wire, offer.url, part, alyx._observer, task.set)

    async def prepare_received() -> Path:
        async with shown(display, Task("preparing tables")):
            return await _prepare(part, folder)

    try:
        resumed = await receive()
        try:
            return await prepare_received()
        except TablesDamaged:
            if not resumed:
                raise
            await run_sync(part.unlink)
            await receive()
            return await prepare_received()
    except (TablesError, OSError):
        with contextlib.suppress(OSError):  # the download is useless, or the disk is full
            await run_sync(partial(part.unlink, missing_ok=True))
        raise


async def _prepare(part: Path, folder: Path) -> Path:
    """Unpack into a new folder and open the tables there, which validates them and writes their memory-mapped form."""
    made = await run_sync(new_folder, folder)
    try:
        size = (await run_sync(part.stat)).st_size
        if size < SMALL or not await prepare_in_subprocess(part, made):
            await run_sync(_prepare_here, part, made)
        await run_sync(part.unlink)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await run_sync(partial(shutil.rmtree, made, ignore_errors=True))
        raise
    return made


def _prepare_here(part: Path, made: Path) -> None:
    shutil.rmtree(made)  # a failed subprocess may have left files; its error is raised here
    made.mkdir()
    prepare(part, made)


async def _filter_by_tag(alyx: AsyncAlyxClient, made: Path, tag: str) -> None:
    """Filter tables by the datasets that the server lists for a tag."""
    tags = await run_sync(lambda: Catalogue.open(made).meta.database_tags)
    if tag in tags:
        return
    try:
        rows = await alyx.rest("datasets", "list", tag=tag, no_cache=True)
    except InputError as error:
        raise TablesError(
            f"the server's tables are not those of tag {tag!r}, and it cannot list the tag's datasets"
        ) from error
    await run_sync(_filter_tables, made, tag, rows)


def _filter_tables(made: Path, tag: str, rows: list[dict[str, object]]) -> None:
    dids = [str(record.did) for record in parse_known(DatasetRecord, "datasets", rows)]
    filter_tables(made, tag, dids)
    Catalogue.open(made)
