"""Spike sorting of many insertions: spikes and clusters with their channels and brain regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import anyio.to_thread

from .. import ids
from ..alf.match import collections_of
from ..errors import ALFObjectNotFound, OneError
from ..sources.base import SessionDatasets
from .core import one_answer
from .load import SESSIONS_AT_ONCE
from .many import Many, OnError, _all_of, _check_on_error, _concatenated, _error_row, _outcome_frame

if TYPE_CHECKING:
    import polars as pl

    from ..types import InsertionLike, Mode, Several

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
    """With ``on_error="collect"``, what could not be loaded; else without rows."""


class SpikeLoading(Many):
    """The method that loads spike sorting."""

    @one_answer
    async def load_spike_sorting(
        self,
        pids: InsertionLike | Several[InsertionLike],
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        spikes: bool = True,
        on_error: OnError = "raise",
    ) -> SpikeSorting:
        """Load the spikes and clusters of probe insertions, clusters with the brain region of their channel.

        Args:
            pids: one insertion's id, or many.
            revision: the revision, or the last before it; the default one without.
            query_type: as everywhere.
            spikes: False loads the clusters alone, which are far smaller.
            on_error: ``"collect"`` gathers errors of single insertions in `errors`.

        Returns three frames: spikes, clusters, errors; the insertions in the order of `pids`. Where the database has no
        region for a channel, atlas_id, acronym and coordinates are null.
        """
        _check_on_error(on_error)
        known = [str(ids.as_uuid(value, "pids")) for value in ids.as_many(pids)]
        places = await self.pid2eid(known, query_type)
        acronyms = await self._acronyms(query_type)
        parts: dict[int, tuple[pl.DataFrame, pl.DataFrame]] = {}
        errors: list[dict[str, Any]] = []
        limiter = anyio.CapacityLimiter(SESSIONS_AT_ONCE)

        async def one(index: int) -> None:
            eid, name = places[index]
            async with limiter:
                try:
                    if eid is None or name is None:
                        raise ALFObjectNotFound(f"no insertion has the id {known[index]}", pid=known[index])
                    parts[index] = await self._sorting(
                        known[index], str(eid), name, revision, query_type, spikes, acronyms
                    )
                except OneError as error:
                    if on_error == "raise":
                        raise
                    errors.append(_error_row(str(eid or ""), f"spikes of {known[index]}", error))

        await _all_of(one, range(len(known)))
        found = [parts[index] for index in sorted(parts)]
        spike_frame = await anyio.to_thread.run_sync(_concatenated, [spike for spike, _ in found])
        cluster_frame = await anyio.to_thread.run_sync(_concatenated, [cluster for _, cluster in found])
        return SpikeSorting(spike_frame, cluster_frame, _outcome_frame(errors))

    async def _sorting(
        self,
        pid: str,
        eid: str,
        name: str,
        revision: str | None,
        query_type: Mode | None,
        with_spikes: bool,
        acronyms: dict[int, str],
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        source = await self._source(query_type)
        session = (await source.datasets([eid])).get(eid)
        if session is None:
            raise ALFObjectNotFound(f"no session has the id {eid}", eid=eid)
        collection = _sorter_collection(session, name)
        options: dict[str, Any] = {"collection": collection, "revision": revision, "query_type": query_type}
        loaded: dict[str, Any] = {}

        async def load(obj: str, attribute: tuple[str, ...] | None) -> None:
            parts: dict[str, Any] = {"attribute": list(attribute)} if attribute else {}
            try:
                loaded[obj] = await self.load_object(eid, obj, **options, **parts)
            except ALFObjectNotFound:
                if obj != "channels":
                    raise

        wanted: list[tuple[str, tuple[str, ...] | None]] = [("clusters", CLUSTERS), ("channels", None)]
        if with_spikes:
            wanted.append(("spikes", SPIKES))
        await _all_of(lambda item: load(*item), wanted)
        if lacking := {"times", "clusters"} - set(loaded.get("spikes", SPIKES)):
            what = " and ".join(f"spikes.{attribute}" for attribute in sorted(lacking))
            raise ALFObjectNotFound(
                f"{name} of the session {eid} has no {what} of usable quality in {collection}", eid=eid
            )
        return await anyio.to_thread.run_sync(_frames, pid, eid, loaded, acronyms)

    async def _acronyms(self, query_type: Mode | None) -> dict[int, str]:
        """Give the acronyms of brain regions by their Allen id, as far as the database can be asked."""
        if self.offline or self._check_mode(query_type) == "local":
            return {}
        return {int(row["id"]): row["acronym"] for row in await self.alyx.rest("brain-regions", "list")}

    async def brain_regions(self) -> pl.DataFrame:
        """Give the brain regions of the database as a frame: id (Allen), acronym, name, parent, …"""
        return await self._endpoint_frame("brain-regions")

    async def trajectories(self, /, **filters: Any) -> pl.DataFrame:
        """Give the trajectories of probes as a frame; `filters` are those of the endpoint, such as `probe_insertion`."""
        return await self._endpoint_frame("trajectories", **filters)

    async def _endpoint_frame(self, /, endpoint: str, **filters: Any) -> pl.DataFrame:
        import polars as pl

        self._needs_database(endpoint.replace("-", "_"))
        rows = await self.alyx.rest(endpoint, "list", **filters)
        return await anyio.to_thread.run_sync(
            lambda: pl.DataFrame(rows, infer_schema_length=None, strict=False)
        )


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


def _frames(
    pid: str, eid: str, loaded: dict[str, Any], acronyms: dict[int, str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    import polars as pl

    owner = [pl.lit(pid).alias("pid"), pl.lit(eid).alias("eid")]
    spikes = pl.DataFrame()
    if "spikes" in loaded:
        frame = loaded["spikes"].to_frame()
        spikes = frame.select(*owner, *frame.columns)
    clusters = loaded["clusters"].to_frame()
    if "cluster_id" not in clusters.columns:
        clusters = clusters.with_row_index("cluster_id")
    clusters = clusters.with_columns(pl.col("cluster_id").cast(pl.Int64))
    clusters = clusters.select(*owner, "cluster_id", pl.exclude("cluster_id"))
    regions = _regions(loaded.get("channels"), acronyms)
    if "channels" not in clusters.columns:
        return spikes, clusters
    key = pl.col("channels").cast(pl.Int64)
    return spikes, clusters.with_columns(key).join(regions, on="channels", how="left", maintain_order="left")


def _regions(channels: Any, acronyms: dict[int, str]) -> pl.DataFrame:
    """Give a row for each channel: channels (its index), atlas_id, acronym, x, y, z in metres from bregma."""
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
