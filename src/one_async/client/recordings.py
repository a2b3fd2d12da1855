"""Raw recordings of probes, opened to be read by the slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from one_async import ids
from one_async._boundary import public
from one_async._concurrency import ended_by_closing
from one_async._threads import run_sync
from one_async.alf.session import session_folder
from one_async.client.call import Call
from one_async.client.jobs import SESSION_PATH
from one_async.client.search import places_of
from one_async.errors import ALFMultipleObjectsFound, ALFObjectNotFound, FileDamaged, InputError
from one_async.queries.selection import SelectionOptions

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from one_async.client.context import Context
    from one_async.queries.base import SessionDatasets
    from one_async.recordings.ephys import AsyncRawEphys
    from one_async.recordings.header import Header
    from one_async.recordings.meta import Meta
    from one_async.types import InsertionLike, Mode

BANDS = ("ap", "lf")
KINDS = ("cbin", "bin", "ch", "meta")


@public
@ended_by_closing
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
        """Open the raw recording of a probe, to read slices of it without fetching the file.

        Args:
            pid: the insertion's id.
            band: ``"ap"`` for action potentials, ``"lf"`` for local field potentials.
            revision: the revision, or the last before it; the default one without.
            query_type: as everywhere.
            check_hash: judge the small files beside the recording by their hashes.

        Returns an object with shape, sample_rate, channels, sync, sample2volts and slices in seconds or samples:
        ``raw[10.0:10.5]``, and ``raw.snippets(times, before, after)``. A recording that is on disk is read from there.
        Raises ALFObjectNotFound if the recording, its header or its .meta file is not among the datasets.
        """
        if band not in BANDS:
            raise InputError.of("band", band, BANDS)
        call = Call(self._context, query_type)
        known = ids.as_uuid(pid, "pid")
        ((eid, probe),) = await places_of(call, [known])
        if eid is None or probe is None:
            raise ALFObjectNotFound(f"no insertion has the id {known}", pid=str(known))
        how = SelectionOptions(policy="last_before")

        def choose(found: dict[str, SessionDatasets]) -> dict[str, dict[str, Any]]:
            if str(eid) not in found:
                raise ALFObjectNotFound(f"no session has the id {eid}", eid=str(eid))
            session = found[str(eid)]
            rows = how.resolve(session.datasets, collection=f"raw_ephys_data/{probe}", revision=revision)
            return _of_band(rows, session_folder(session.session), probe, band)

        rows = await (await call.source()).datasets([str(eid)], choose)
        return await self._opened(call, rows, known, eid, probe, band, check_hash)

    async def _opened(
        self, call: Call, rows: dict[str, dict[str, Any]], pid: Any, eid: Any, probe: str, band: str,
        check_hash: bool,
    ) -> AsyncRawEphys:  # fmt: skip
        from one_async.recordings.chunks import ChunkReader
        from one_async.recordings.ephys import AsyncRawEphys

        files = self._context.files
        data = rows.get("cbin") or rows["bin"]
        wanted = [
            rows[kind] for kind in ("meta", "ch") if kind in rows and (kind == "meta" or "cbin" in rows)
        ]
        small = await files.of_rows(call, wanted, check_hash)
        for row, file in zip(wanted, small, strict=True):
            if file is None:
                raise ALFObjectNotFound(f"{row['rel_path']} is not on disk", eid=str(eid))
        (local,), unknown = await run_sync(files.at_hand(call, False), [data])
        if local is None and not unknown:
            raise ALFObjectNotFound(f"{data['rel_path']} is not on disk", eid=str(eid))
        name = f"{data[SESSION_PATH]} {probe} {band}"
        meta, header = await run_sync(_described, name, *small)
        origin = local or await files.range_reader(data)
        layout = await _layout(name, meta, header, origin)
        return AsyncRawEphys(ChunkReader(layout, origin), meta, pid=pid, eid=eid, probe=probe, band=band)


def _of_band(rows: pl.DataFrame, folder: str, probe: str, band: str) -> dict[str, dict[str, Any]]:
    """Return the datasets of a band by the endings of their names."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
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


async def _layout(name: str, meta: Meta, header: Header | None, origin: Any) -> Any:
    from pathlib import Path

    from one_async.recordings.chunks import Layout

    if header is not None:
        return Layout.of_header(name, header)
    if isinstance(origin, Path):
        size = (await run_sync(origin.stat)).st_size
    else:
        size = (await origin.read(0, 1)).size
        if size is None:
            raise FileDamaged(f"{name}: the server does not tell the size of the file")
    return Layout.of_samples(name, size - size % (2 * meta.n_channels), meta.n_channels)
