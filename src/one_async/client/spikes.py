"""Spike sorting of many insertions: spikes and clusters with their channels and brain regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from one_async import ids
from one_async._boundary import public
from one_async._concurrency import ended_by_closing
from one_async._fork import check_polars
from one_async._threads import run_polars
from one_async.alf.match import collections_of
from one_async.alf.spec import QC
from one_async.client.call import Call
from one_async.client.jobs import each, load_each
from one_async.client.load import object_load
from one_async.client.outcomes import OnError, check_on_error, error_rows, outcome_frame, together
from one_async.client.search import places_of
from one_async.errors import ALFObjectNotFound, OneError
from one_async.files.join import joined, owned
from one_async.queries.base import SessionDatasets

if TYPE_CHECKING:
    import polars as pl

    from one_async.client.context import Context
    from one_async.types import InsertionLike, Mode, Several

#: Where sorters leave their results below ``alf/<probe>``, best first; empty is the probe's own folder.
SORTERS = ("iblsorter", "pykilosort", "kilosort2.5", "ks2_matlab", "")
SPIKES = ("times", "clusters", "amps", "depths")
CLUSTERS = ("channels", "depths", "metrics", "uuids", "amps", "peakToTrough", "waveformsChannels")


class SpikeSorting(NamedTuple):
    """What `load_spike_sorting` gives: frames of all insertions, each row with its pid and eid."""

    spikes: pl.DataFrame
    """A row for each spike: pid, eid, times (s), clusters, amps (V), depths (µm)."""
    clusters: pl.DataFrame
    """A row for each cluster: pid, eid, cluster_id, channels, depths (µm), metrics, atlas_id, acronym, x, y, z (m)."""
    errors: pl.DataFrame
    """With ``on_error="collect"``, what could not be loaded: pid, eid, did, …; `retry` takes it. Else without rows."""


@public
@ended_by_closing
class SpikeLoading:
    """The methods that load spike sorting, and the regions and trajectories of probes."""

    _context: Context

    async def load_spike_sorting(
        self,
        pids: InsertionLike | Several[InsertionLike],
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        spikes: bool = True,
        on_error: OnError = "raise",
        qc: int | str | QC = QC.FAIL,
        ignore_qc_not_set: bool = False,
        check_hash: bool = True,
    ) -> SpikeSorting:
        """Load the spikes and clusters of probe insertions, clusters with the brain region of their channel.

        Args:
            pids: one insertion's id, or many.
            revision: the revision, or the last before it; the default one without.
            query_type: as everywhere.
            spikes: False loads the clusters alone, which are far smaller.
            on_error: ``"collect"`` gathers errors of single insertions in `errors`.
            qc, ignore_qc_not_set: as in `list_datasets`.
            check_hash: as in `load_dataset`.

        Returns three frames: spikes, clusters, errors; the insertions in the order of `pids`. Where the database has no
        region for a channel, atlas_id, acronym and coordinates are null.
        """
        check_on_error(on_error)
        call = Call(self._context, query_type)
        known = [str(ids.as_uuid(value, "pids")) for value in ids.as_many(pids)]
        options: dict[str, Any] = {
            "revision": revision, "qc": qc, "ignore_qc_not_set": ignore_qc_not_set, "check_hash": check_hash,
        }  # fmt: skip
        await run_polars(object_load(self._context, "spikes", **options).check)  # before any request
        places = await places_of(call, known)
        acronyms = await _acronyms(call)

        async def load(index: int) -> tuple[pl.DataFrame, pl.DataFrame]:
            eid, name = places[index]
            if eid is None or name is None:
                raise ALFObjectNotFound(f"no insertion has the id {known[index]}", pid=known[index])
            loaded = await _sorting(call, str(eid), name, spikes, options)
            return await run_polars(_frames, known[index], str(eid), loaded, acronyms)

        async with self._context.files.showing():
            parts, errors = await each(len(known), load, on_error)
        spike_frame, cluster_frame, refused = await run_polars(_joined, parts)
        errors |= refused
        if on_error == "raise" and errors:
            raise errors[min(errors)]
        rows = [
            row
            for at, error in sorted(errors.items())
            for row in error_rows(_text(places[at][0]), f"spikes of {known[at]}", error, pid=known[at])
        ]
        return SpikeSorting(spike_frame, cluster_frame, await run_polars(outcome_frame, rows, "pid"))

    async def brain_regions(self) -> pl.DataFrame:
        """Return the brain regions of the database as a frame: id (Allen), acronym, name, parent, …"""
        return await _endpoint_frame(self._context, "brain-regions", {})

    async def trajectories(self, /, **filters: Any) -> pl.DataFrame:
        """Return the trajectories of probes as a frame; `filters` are those of the endpoint, such as `probe_insertion`."""
        return await _endpoint_frame(self._context, "trajectories", filters)


async def _sorting(
    call: Call, eid: str, name: str, with_spikes: bool, options: dict[str, Any]
) -> dict[str, Any]:
    """Load the objects of one insertion; what failed of all of them is in one error."""
    source = await call.source()

    def look(found: dict[str, SessionDatasets]) -> str:
        if eid not in found:
            raise ALFObjectNotFound(f"no session has the id {eid}", eid=eid)
        return _sorter_collection(found[eid], name)

    collection = await source.datasets([eid], look)
    wanted: dict[str, dict[str, Any]] = {"clusters": {"attribute": list(CLUSTERS)}, "channels": {}}
    if with_spikes:
        wanted["spikes"] = {"attribute": list(SPIKES)}
    objects = list(wanted)

    async def load_one(index: int) -> Any:
        obj = objects[index]
        load = object_load(call.context, obj, collection, **options, **wanted[obj])
        return (await load_each(call, [eid], load, options["check_hash"]))[0][0]

    found, failed = await each(len(objects), load_one, "collect")
    loaded = {objects[index]: data for index, data in found.items()}
    if errors := [error for index, error in failed.items()
                  if objects[index] != "channels" or not isinstance(error, ALFObjectNotFound)]:  # fmt: skip
        raise together(errors)
    if lacking := {"times", "clusters"} - set(loaded.get("spikes", SPIKES)):
        what = " and ".join(f"spikes.{attribute}" for attribute in sorted(lacking))
        raise ALFObjectNotFound(
            f"{name} of the session {eid} has no {what} of usable quality in {collection}", eid=eid
        )
    return loaded


async def _acronyms(call: Call) -> dict[int, str]:
    """Return the acronyms of brain regions by their Allen id, as far as the database can be asked."""
    if call.context.offline or call.mode == "local":
        return {}
    return {int(row["id"]): row["acronym"] for row in await call.context.alyx.rest("brain-regions", "list")}


async def _endpoint_frame(context: Context, endpoint: str, filters: Mapping[str, Any]) -> pl.DataFrame:
    context.needs_database(endpoint.replace("-", "_"))
    check_polars()
    rows = await context.alyx.rest(endpoint, "list", **filters)

    def make() -> pl.DataFrame:
        import polars as pl

        return pl.DataFrame(rows, infer_schema_length=None, strict=False)

    return await run_polars(make)


def _sorter_collection(session: SessionDatasets, name: str) -> str:
    """Choose the collection that has the probe's spikes: that of the best sorter."""
    paths = session.datasets["rel_path"]
    have = set(collections_of(paths.filter(paths.str.contains(r"(?:^|/)_?\w*_?spikes\.times"))))
    for sorter in SORTERS:
        collection = f"alf/{name}/{sorter}".rstrip("/")
        if collection in have:
            return collection
    raise ALFObjectNotFound(
        f"the session {session.session['eid']} has no spikes of {name}", eid=session.session["eid"]
    )


def _text(eid: Any) -> str | None:
    return None if eid is None else str(eid)


def _joined(
    parts: dict[int, tuple[pl.DataFrame, pl.DataFrame]],
) -> tuple[pl.DataFrame, pl.DataFrame, dict[int, OneError]]:
    """Put the frames of all insertions together; those that do not go with the rest are in neither frame."""
    places = list(parts)
    spikes, clash = joined([spike for spike, _ in parts.values() if spike.width], ("pid", "eid"))
    clusters, other = joined([cluster for _, cluster in parts.values()], ("pid", "eid"))
    refused: dict[int, OneError] = {places[at]: error for at, error in {**clash, **other}.items()}
    if refused:
        pids = [parts[place][1]["pid"][0] for place in refused if parts[place][1].height]
        spikes, clusters = (frame.filter(~frame["pid"].is_in(pids)) for frame in (spikes, clusters))
    return spikes, clusters, refused


def _frames(
    pid: str, eid: str, loaded: dict[str, Any], acronyms: dict[int, str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    import polars as pl

    spikes = owned(loaded["spikes"], "spikes", pid=pid, eid=eid) if "spikes" in loaded else pl.DataFrame()
    clusters = owned(loaded["clusters"], "clusters", pid=pid, eid=eid)
    if "cluster_id" not in clusters.columns:
        clusters = clusters.with_row_index("cluster_id")
    clusters = clusters.with_columns(pl.col("cluster_id").cast(pl.Int64))
    clusters = clusters.select("pid", "eid", "cluster_id", pl.exclude("pid", "eid", "cluster_id"))
    regions = _regions(loaded.get("channels"), acronyms)
    if "channels" not in clusters.columns:
        return spikes, clusters
    key = pl.col("channels").cast(pl.Int64)
    return spikes, clusters.with_columns(key).join(regions, on="channels", how="left", maintain_order="left")


def _regions(channels: Any, acronyms: dict[int, str]) -> pl.DataFrame:
    """Return a row for each channel: channels (its index), atlas_id, acronym, x, y, z in metres from bregma."""
    import numpy as np
    import polars as pl

    schema = {"channels": pl.Int64, "atlas_id": pl.Int64, "acronym": pl.String,
              "x": pl.Float64, "y": pl.Float64, "z": pl.Float64}  # fmt: skip
    if channels is None:
        return pl.DataFrame(schema=schema)
    ids_of = channels.get("brainLocationIds_ccf_2017")
    place = channels.get("mlapdv")
    count = len(ids_of) if ids_of is not None else len(place) if place is not None else 0
    atlas = [None] * count if ids_of is None else [int(one) for one in ids_of]
    metres = np.full((count, 3), np.nan) if place is None else np.asarray(place, float) / 1e6
    columns = {"channels": range(count), "atlas_id": atlas,
               "acronym": [None if one is None else acronyms.get(abs(one)) for one in atlas],
               **{axis: metres[:, number] for number, axis in enumerate("xyz")}}  # fmt: skip
    return pl.DataFrame(columns, schema=schema).fill_nan(None)
