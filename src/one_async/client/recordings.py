"""Raw recordings of probes and cameras, opened to be read by the slice."""

from __future__ import annotations

import re
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

import anyio

from one_async import ids
from one_async._threads import run_sync
from one_async._warnings import warnings_name
from one_async.alf.session_paths import describe, is_id, session_folder
from one_async.client.call import Call, public_methods
from one_async.client.datafiles import DataFiles
from one_async.client.identify import known_eids
from one_async.client.jobs import SESSION_PATH
from one_async.client.search import places_of
from one_async.errors import ALFMultipleObjectsFound, ALFObjectNotFound, FileDamaged, InputError, shown
from one_async.queries.selection import SelectionOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from one_async.client.context import Context
    from one_async.queries.base import SessionDatasets
    from one_async.queries.selection import Row
    from one_async.recordings.chunks import Layout
    from one_async.recordings.ephys import AsyncRawEphys
    from one_async.recordings.header import Header
    from one_async.recordings.meta import Meta
    from one_async.recordings.video import AsyncVideo
    from one_async.transfer.ranges import RangeReader
    from one_async.types import InsertionLike, Mode, SessionLike

BANDS = ("ap", "lf")
KINDS = ("cbin", "bin", "ch", "meta")
PIXELS = ("rgb24", "gray")
HOW = SelectionOptions(policy="last_before")

#: Rows of datasets by what they are needed for.
Rows: TypeAlias = "dict[str, dict[str, Any]]"


@public_methods(ended_by_closing=True)
class Recordings:
    """The methods that open raw recordings."""

    _context: Context

    async def raw_ephys(
        self,
        pid: InsertionLike,
        band: Literal["ap", "lf"] = "ap",
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        check_hash: bool = True,
    ) -> AsyncRawEphys:
        """Open the raw recording of a probe to read slices without fetching the file.

        Args:
            pid: the insertion's id.
            band: ``"ap"`` for action potentials, ``"lf"`` for local field potentials.
            revision: the revision, or the last before it; the default one without.
            query_type: as everywhere.
            check_hash: judge the small files beside the recording by their hashes.

        Returns an object with shape, sample_rate, channels, sync, sample2volts and slices in seconds or samples:
        ``raw[10.0:10.5]``, and ``raw.snippets(times, before, after)``. A recording that is on disk is read from there.
        Raises ALFObjectNotFound if the recording, its header or its .meta file is not among the datasets.

        Examples:
            >>> raw = await one.raw_ephys(pid, band="lf")
            >>> raw.shape, raw.sample_rate
            ((8000, 385), 2500.0)
            >>> (await raw[1.0:1.5]).shape
            (1250, 385)
        """
        if band not in BANDS:
            raise InputError.of("band", band, BANDS)
        HOW.filter(revision=revision)  # refuses an invalid revision before any request
        call = Call(self._context, query_type)
        known = ids.insertion_id(pid)
        ((eid, probe),) = await places_of(call, [known])
        if eid is None or probe is None:
            raise ALFObjectNotFound(f"no insertion has the id {known}", pid=str(known))

        def choose(session: SessionDatasets) -> Rows:
            rows = HOW.filter(collection=f"raw_ephys_data/{probe}", revision=revision).choose(
                session.datasets
            )
            return _of_band(rows, session_folder(session.session), probe, band)

        rows = await _chosen(call, str(eid), choose)
        return await self._opened(call, rows, known, eid, probe, band, check_hash)

    async def video(
        self,
        eid: SessionLike,
        camera: str,
        pixels: Literal["rgb24", "gray"] = "rgb24",
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        check_hash: bool = True,
    ) -> AsyncVideo:
        """Open the raw video of a camera to read frames without fetching the file. Needs ``one-async[video]``.

        Args:
            eid: any name of a session.
            camera: the label of the camera, such as ``"left"`` for `_iblrig_leftCamera.raw.mp4`.
            pixels: ``"rgb24"`` for three values a pixel, ``"gray"`` for one.
            revision: the revision, or the last before it; the default one without.
            query_type: as everywhere.
            check_hash: judge the file of the frames' times by its hash.

        Returns an object with fps, size, times and frames by number, ``video[100:200]``, or by time, ``video.at(times)``. A
        video that is on disk is read from there. Raises ALFObjectNotFound if the session has no such camera.

        Examples:
            >>> video = await one.video(eid, "left")
            >>> video.fps, video.size
            (10.0, (144, 128))
            >>> (await video[10:15]).shape
            (5, 128, 144, 3)
        """
        if pixels not in PIXELS:
            raise InputError.of("pixels", pixels, PIXELS)
        if not isinstance(camera, str) or not camera:
            raise InputError.of("camera", camera, "the label of a camera, such as 'left'")
        of_videos = HOW.filter(collection="raw_video_data", revision=revision)
        of_times = HOW.filter(collection="alf", revision=revision)
        from one_async.recordings.video_decoding import load_av

        await run_sync(load_av)
        call = Call(self._context, query_type)
        known, _ = await known_eids(call, eid)
        if len(known) != 1:
            raise InputError.of("eid", eid, "one session")
        label = camera.removesuffix("Camera")

        def choose(session: SessionDatasets) -> Rows:
            folder = session_folder(session.session)
            videos, times = of_videos.choose(session.datasets), of_times.choose(session.datasets)
            found = _named_as(times, re.compile(r"_ibl_(\w+)Camera\.times\.npy"), folder)
            return {
                "video": _of_camera(videos, folder, label),
                **({"times": found[label]} if label in found else {}),
            }

        return await self._opened_video(
            call, await _chosen(call, known[0], choose), label, pixels, check_hash
        )

    async def _opened_video(
        self, call: Call, rows: Rows, label: str, pixels: str, check_hash: bool
    ) -> AsyncVideo:
        from one_async.recordings.chunks import ChunkReader, Layout
        from one_async.recordings.video import CACHE_SIZE, AsyncVideo
        from one_async.recordings.video_decoding import Decoder

        files, video = DataFiles(self._context), rows["video"]
        times = None
        if "times" in rows:
            (file,) = await files.of_rows(call, [rows["times"]], check_hash)
            times = None if file is None else await run_sync(files.read, file)
        origin = await self._origin(call, video)
        name = f"{video[SESSION_PATH]} {label} camera"
        reader = ChunkReader(Layout.of_bytes(name, await _size(name, origin)), origin, CACHE_SIZE)
        decoder = await run_sync(Decoder, reader, pixels, limiter=anyio.CapacityLimiter(1))
        eid = UUID(video["eid"]) if is_id(video["eid"]) else video["eid"]
        return AsyncVideo(
            reader, decoder, times, eid=eid, camera=label, pixels=pixels, calls=self._context.calls
        )

    async def _origin(self, call: Call, row: dict[str, Any]) -> Path | RangeReader:
        """Return where to read a dataset from. Raise ALFObjectNotFound if it is not on disk and cannot be fetched."""
        files = DataFiles(self._context)
        (local,), unknown = await run_sync(files.at_hand(call, False), [row])
        if local is None and not unknown:
            raise ALFObjectNotFound(f"{row['rel_path']} is not on disk", eid=str(row["eid"]))
        return local or await files.range_reader(row)

    async def _opened(
        self, call: Call, rows: Rows, pid: Any, eid: Any, probe: str, band: str,
        check_hash: bool,
    ) -> AsyncRawEphys:  # fmt: skip
        from one_async.recordings.chunks import ChunkReader
        from one_async.recordings.ephys import AsyncRawEphys

        files = DataFiles(self._context)
        data = rows.get("cbin") or rows["bin"]
        wanted = [
            rows[kind] for kind in ("meta", "ch") if kind in rows and (kind == "meta" or "cbin" in rows)
        ]
        small = await files.of_rows(call, wanted, check_hash)
        for row, file in zip(wanted, small, strict=True):
            if file is None:
                raise ALFObjectNotFound(f"{row['rel_path']} is not on disk", eid=str(eid))
        origin = await self._origin(call, data)
        name = f"{data[SESSION_PATH]} {probe} {band}"
        meta, header = await run_sync(_described, name, *small)
        layout = await _layout(name, meta, header, origin)
        reader = ChunkReader(layout, origin)
        return AsyncRawEphys(
            reader, meta, pid=pid, eid=eid, probe=probe, band=band, calls=self._context.calls
        )


def _of_band(rows: Sequence[Row], folder: str, probe: str, band: str) -> Rows:
    """Return the datasets of a band by the endings of their names."""
    found: Rows = {}
    for row in rows:
        kind = row["rel_path"].rpartition(".")[2]
        if kind not in KINDS or not row["rel_path"].endswith(f".{band}.{kind}"):
            continue
        if kind in found:
            raise ALFMultipleObjectsFound(
                f"{folder} has several recordings of {probe}: {found[kind]['rel_path']} and {row['rel_path']}"
            )
        found[kind] = {**row, SESSION_PATH: folder}
    lacking = [kind for kind in ("meta", "ch") if kind not in found and (kind == "meta" or "cbin" in found)]
    if not {"cbin", "bin"} & found.keys():
        lacking = ["cbin"]
    if lacking:
        raise ALFObjectNotFound(f"{folder} has no {band}.{lacking[0]} of {probe} of usable quality")
    return found


def _described(name: str, meta_file: Path, header_file: Path | None = None) -> tuple[Meta, Header | None]:
    from one_async.recordings.header import read_header
    from one_async.recordings.meta import read_meta

    meta, header = read_meta(meta_file), read_header(header_file) if header_file else None
    if header is not None and header.n_channels != meta.n_channels:
        raise FileDamaged(
            f"{name}: the header has {header.n_channels} channels, the .meta file {meta.n_channels}",
            path=str(header_file),
        )
    return meta, header


async def _layout(name: str, meta: Meta, header: Header | None, origin: Path | RangeReader) -> Layout:
    from one_async.recordings.chunks import Layout

    if header is not None:
        return Layout.of_header(name, header)
    size = await _size(name, origin)
    return Layout.of_samples(name, size - size % (2 * meta.n_channels), meta.n_channels)


async def _size(name: str, origin: Any) -> int:
    """Return the bytes of a file. Raise FileDamaged if it is empty, or if the server does not send the size."""
    if isinstance(origin, Path):
        size: int | None = (await run_sync(origin.stat)).st_size
    else:
        size = (await origin.read(0, 1)).size
        if size is None:
            raise FileDamaged(f"{name}: the server does not tell the size of the file")
    if not size:
        raise FileDamaged(f"{name}: the file is empty")
    return size


async def _chosen(call: Call, eid: str, choose: Callable[[SessionDatasets], Rows]) -> Rows:
    """Return the result of a function that chooses among the datasets of a session."""

    def of_session(found: dict[str, SessionDatasets]) -> Rows:
        if eid not in found:
            raise ALFObjectNotFound(f"no session has the id {eid}", eid=eid)
        with warnings_name(describe(found[eid].session)):
            return choose(found[eid])

    return await (await call.source()).datasets([eid], of_session)


def _named_as(rows: Sequence[Row], pattern: re.Pattern[str], folder: str) -> Rows:
    """Return the datasets whose file names match, by the label in their names; of equal labels the first name."""
    found: Rows = {}
    for row in sorted(rows, key=itemgetter("rel_path")):
        if named := pattern.fullmatch(row["rel_path"].rpartition("/")[2]):
            found.setdefault(named[1], {**row, SESSION_PATH: folder})
    return found


def _of_camera(rows: Sequence[Row], folder: str, label: str) -> dict[str, Any]:
    found = _named_as(rows, re.compile(r"_iblrig_(\w+)Camera\.raw\.(?:mp4|mov|avi|mkv)"), folder)
    if label not in found:
        there = f"it has {', '.join(found)}" if found else "it has no videos of usable quality"
        raise ALFObjectNotFound(f"{folder} has no video of the camera {shown(label)}; {there}", camera=label)
    return found[label]
