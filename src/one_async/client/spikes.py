"""Spike sorting of many insertions: spikes and clusters with their channels and brain regions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from one_async import ids
from one_async._arguments import plain
from one_async._boundary import MISFITS
from one_async._threads import check_polars, run_polars
from one_async._warnings import warn
from one_async.alf.revisions import split_folder
from one_async.alf.spec import QC
from one_async.client.call import Call, public_methods
from one_async.client.jobs import each, load_each
from one_async.client.load import object_load
from one_async.client.outcomes import (
    OnError,
    check_on_error,
    error_rows,
    frames_html,
    frames_text,
    outcome_frame,
    together,
)
from one_async.client.regions import VOID, RegionMapping, acronyms_of, check_mapping
from one_async.client.search import places_of
from one_async.errors import ALFError, ALFObjectNotFound, InputError, OneError, shown
from one_async.files.join import joined, owned
from one_async.queries.base import SessionDatasets

if TYPE_CHECKING:
    import polars as pl

    from one_async.client.context import Context
    from one_async.types import InsertionLike, Mode, Several

#: The folders of sorters below ``alf/<probe>``, best first; the empty one is the probe's own folder.
SORTERS = ("iblsorter", "pykilosort", "kilosort2.5", "ks2_matlab", "")
SPIKES = ("times", "clusters", "amps", "depths")
CLUSTERS = ("channels", "depths", "metrics", "uuids", "amps", "peakToTrough", "waveformsChannels")


class SpikeSorting(NamedTuple):
    """Result of `load_spike_sorting`: frames of all insertions, each row with its pid and eid.

    Examples:
        >>> sorting = await one.load_spike_sorting(pid, spikes=False)
        >>> sorting.clusters.height, sorting.errors.height
        (29, 0)
    """

    spikes: pl.DataFrame
    """A row for each spike: pid, eid, times (s), clusters, amps (V), depths (µm)."""
    clusters: pl.DataFrame
    """A row for each cluster: pid, eid, cluster_id, channels, depths (µm), metrics, atlas_id, acronym, x, y, z (m)."""
    errors: pl.DataFrame
    """With ``on_error="collect"``, the datasets that could not be loaded: pid, eid, did, …, for `retry`; otherwise empty."""

    def __repr__(self) -> str:
        return frames_text(self._title, self._asdict())

    def _repr_html_(self) -> str:
        return frames_html(self._title, self._asdict(), self.errors)

    @property
    def _title(self) -> str:
        count = len(set(self.clusters["pid"])) if "pid" in getattr(self.clusters, "columns", ()) else 0
        return f"SpikeSorting: {count:,} insertion{'' if count == 1 else 's'}"


class _Wanted(NamedTuple):
    """The parts of each insertion that a call loads."""

    spikes: bool
    min_label: float | None
    sorter: str | None
    regions: RegionMapping | None
    options: dict[str, Any]
    """Those of `load_object`."""

    def check(self) -> None:
        """Raise InputError for invalid values."""
        label, sorter = plain(self.min_label), self.sorter
        if isinstance(label, bool) or not isinstance(label, int | float | None) or label != label:
            raise InputError.of("min_label", label, "a number such as 1.0, or None for all clusters")
        if not isinstance(sorter, str | None) or (sorter and ("/" in sorter or "\\" in sorter)):
            raise InputError.of("sorter", sorter, f"the name of a folder, such as {SORTERS[1]!r}")
        if self.regions is not None:
            check_mapping(self.regions)


@public_methods(ended_by_closing=True)
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
        min_label: float | None = None,
        regions: RegionMapping | None = None,
        sorter: str | None = None,
        on_error: OnError = "raise",
        qc: int | str | QC = QC.FAIL,
        ignore_qc_not_set: bool = False,
        check_hash: bool = True,
    ) -> SpikeSorting:
        """Load the spikes and clusters of probe insertions. Clusters have the brain region of their channel.

        Args:
            pids: one insertion's id, or many.
            revision: the revision, or the last before it; the default one without.
            query_type: as everywhere.
            spikes: False loads only the clusters, which are far smaller.
            min_label: only clusters with at least this label in their metrics, and their spikes; 1.0 is a cluster that
                passes all of IBL's quality metrics.
            regions: the names of brain regions: those of the Allen ontology, or of the coarser mappings Beryl and Cosmos,
                in which an Allen region has the name of the nearest region above it. Without it, the database's.
            sorter: the sorter's folder, such as "pykilosort", or "" for the probe's own folder; else the best there is.
            on_error: ``"collect"`` gathers errors of single insertions in `errors`.
            qc, ignore_qc_not_set: as in `list_datasets`.
            check_hash: as in `load_dataset`.

        Returns three frames: spikes, clusters, errors; the insertions in the order of `pids`. Where the database has no
        region for a channel, atlas_id, acronym and coordinates are null. A negative atlas_id is a region of the left
        hemisphere. With `regions`, ids that the ontology lacks are "void", as is 0, and a warning names them.

        Examples:
            >>> spikes, clusters, errors = await one.load_spike_sorting(pid, min_label=1.0, regions="Beryl")
            >>> {"times", "clusters"} <= set(spikes.columns), clusters["acronym"].n_unique()
            (True, 2)
        """
        check_on_error(on_error)
        call = Call(self._context, query_type)
        known = [str(ids.insertion_id(value, "pids")) for value in ids.as_many(pids)]
        options: dict[str, Any] = {
            "revision": revision, "qc": qc, "ignore_qc_not_set": ignore_qc_not_set, "check_hash": check_hash,
        }  # fmt: skip
        what = _Wanted(spikes, min_label, sorter, regions, options)
        what.check()
        object_load(self._context, "spikes", **options)  # refuses invalid options before any request
        places = await places_of(call, known)
        acronyms = await (_acronyms(call) if regions is None else run_polars(acronyms_of, regions))

        async def load(index: int) -> tuple[pl.DataFrame, pl.DataFrame]:
            eid, name = places[index]
            if eid is None or name is None:
                raise ALFObjectNotFound(f"no insertion has the id {known[index]}", pid=known[index])
            loaded = await _sorting(call, str(eid), name, what)
            return await run_polars(_checked_frames, known[index], str(eid), loaded, what, acronyms)

        async with self._context.showing():
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
        """Return the brain regions of the database as a frame: id (Allen), acronym, name, parent, …

        Examples:
            >>> regions = await one.brain_regions()
            >>> regions.filter(acronym="VISp").select("id", "name").row(0)
            (385, 'Primary visual area')
        """
        return await _endpoint_frame(self._context, "brain-regions", {})

    async def trajectories(self, /, **filters: Any) -> pl.DataFrame:
        """Return the trajectories of probes as a frame; `filters` are those of the endpoint, such as `probe_insertion`.

        Examples:
            >>> tracks = await one.trajectories(probe_insertion=pid)
            >>> tracks["provenance"].to_list()
            ['Planned', 'Micro-manipulator', 'Histology track', 'Ephys aligned histology track']
        """
        return await _endpoint_frame(self._context, "trajectories", filters)


async def _sorting(call: Call, eid: str, name: str, what: _Wanted) -> dict[str, Any]:
    """Load the objects of one insertion; the failures of all of them are in one error."""
    source = await call.source()

    def look(found: dict[str, SessionDatasets]) -> str:
        if eid not in found:
            raise ALFObjectNotFound(f"no session has the id {eid}", eid=eid)
        return _sorter_collection(found[eid], name, what.sorter)

    collection = await source.datasets([eid], look)
    wanted: dict[str, dict[str, Any]] = {"clusters": {"attribute": list(CLUSTERS)}, "channels": {}}
    if what.spikes:
        wanted["spikes"] = {"attribute": list(SPIKES)}
    objects = list(wanted)

    async def load_one(index: int) -> Any:
        obj = objects[index]
        load = object_load(call.context, obj, collection, **what.options, **wanted[obj])
        return (await load_each(call, [eid], load, what.options["check_hash"]))[0][0]

    found, failed = await each(len(objects), load_one, "collect")
    loaded = {objects[index]: data for index, data in found.items()}
    if errors := [error for index, error in failed.items()
                  if objects[index] != "channels" or not isinstance(error, ALFObjectNotFound)]:  # fmt: skip
        raise together(errors)
    if lacking := {"times", "clusters"} - set(loaded.get("spikes", SPIKES)):
        names = " and ".join(f"spikes.{attribute}" for attribute in sorted(lacking))
        raise ALFObjectNotFound(
            f"{name} of the session {eid} has no {names} of usable quality in {collection}", eid=eid
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


def _sorter_collection(session: SessionDatasets, name: str, sorter: str | None) -> str:
    """Return the collection of the probe's spikes: that of the given sorter, else of the best one."""
    paths = [row["rel_path"] for row in session.datasets]
    have = {split_folder(path)[0] for path in paths if re.search(r"(?:^|/)_?\w*_?spikes\.times", path)}
    for one in SORTERS if sorter is None else (sorter,):
        collection = f"alf/{name}/{one}".rstrip("/")
        if collection in have:
            return collection
    others = sorted(one for one in have if one == f"alf/{name}" or one.startswith(f"alf/{name}/"))
    by = "" if sorter is None else f" in alf/{name}/{sorter}".rstrip("/")
    hint = f"; there are some in {', '.join(others)}" if others else ""
    eid = session.session["eid"]
    raise ALFObjectNotFound(f"the session {eid} has no spikes of {name}{by}{hint}", eid=eid)


def _text(eid: Any) -> str | None:
    return None if eid is None else str(eid)


def _joined(
    parts: dict[int, tuple[pl.DataFrame, pl.DataFrame]],
) -> tuple[pl.DataFrame, pl.DataFrame, dict[int, OneError]]:
    """Concatenate the frames of all insertions; an insertion that does not fit the others is left out of both frames."""
    places = list(parts)
    spikes, clash = joined([spike for spike, _ in parts.values() if spike.width], ("pid", "eid"))
    clusters, other = joined([cluster for _, cluster in parts.values()], ("pid", "eid"))
    refused: dict[int, OneError] = {places[at]: error for at, error in {**clash, **other}.items()}
    if refused:
        pids = [parts[place][1]["pid"][0] for place in refused if parts[place][1].height]
        spikes, clusters = (frame.filter(~frame["pid"].is_in(pids)) for frame in (spikes, clusters))
    return spikes, clusters, refused


def _checked_frames(pid: str, eid: str, *rest: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the frames of one insertion. Raises ALFError for files of unexpected shapes or types."""
    import polars as pl

    try:
        return _frames(pid, eid, *rest)
    except (*MISFITS, pl.exceptions.PolarsError) as error:
        if isinstance(error, OneError):
            raise
        text = f"{type(error).__name__}: {shown(error)}"
        raise ALFError(f"the files of {pid} make no table of clusters ({text})", eid=eid, pid=pid) from error


def _frames(
    pid: str, eid: str, loaded: dict[str, Any], what: _Wanted, acronyms: dict[int, str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    import polars as pl

    spikes = owned(loaded["spikes"], "spikes", pid=pid, eid=eid) if "spikes" in loaded else pl.DataFrame()
    clusters = owned(loaded["clusters"], "clusters", pid=pid, eid=eid)
    if "cluster_id" not in clusters.columns:
        clusters = clusters.with_row_index("cluster_id")
    clusters = clusters.with_columns(pl.col("cluster_id").cast(pl.Int64))
    clusters = clusters.select("pid", "eid", "cluster_id", pl.exclude("pid", "eid", "cluster_id"))
    if "channels" in clusters.columns:
        channels = _regions(loaded.get("channels"), pid, acronyms, None if what.regions is None else VOID)
        key = pl.col("channels").cast(pl.Int64)
        clusters = clusters.with_columns(key).join(channels, on="channels", how="left", maintain_order="left")
    if what.min_label is not None:
        if "label" not in clusters.columns or not clusters["label"].dtype.is_numeric():
            raise ALFObjectNotFound(f"the metrics of {pid} have no label, which min_label compares", pid=pid)
        return _labelled(spikes, clusters, float(what.min_label))
    return spikes, clusters


def _labelled(
    spikes: pl.DataFrame, clusters: pl.DataFrame, min_label: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the clusters with at least a label, and their spikes."""
    import polars as pl

    clusters = clusters.filter(pl.col("label").fill_nan(None) >= min_label)
    if spikes.width:
        spikes = spikes.filter(pl.col("clusters").cast(pl.Int64).is_in(clusters["cluster_id"].implode()))
    return spikes, clusters


def _regions(channels: Any, pid: str, acronyms: dict[int, str], unknown: str | None) -> pl.DataFrame:
    """Return a row for each channel: channels (its index), atlas_id, acronym, x, y, z in metres from bregma.

    ``unknown`` is the acronym of ids that are not in ``acronyms``; they are warned of unless it is None.
    """
    import numpy as np
    import polars as pl

    schema = {"channels": pl.Int64, "atlas_id": pl.Int64, "acronym": pl.String,
              "x": pl.Float64, "y": pl.Float64, "z": pl.Float64}  # fmt: skip
    if channels is None:
        return pl.DataFrame(schema=schema)
    ids_of = channels.get("brainLocationIds_ccf_2017")
    place = channels.get("mlapdv")
    count = len(ids_of) if ids_of is not None else len(place) if place is not None else 0
    atlas = [None] * count if ids_of is None else [None if one != one else int(one) for one in ids_of]
    if unknown is not None and (
        odd := {one for one in atlas if one is not None and abs(one) not in acronyms}
    ):
        text = (
            f"channels of {pid} have ids that the Allen ontology lacks, called {unknown}: {sorted(odd)[:10]}"
        )
        warn(text)
    metres = np.full((count, 3), np.nan) if place is None else np.asarray(place, float) / 1e6
    columns = {"channels": range(count), "atlas_id": atlas,
               "acronym": [None if one is None else acronyms.get(abs(one), unknown) for one in atlas],
               **{axis: metres[:, number] for number, axis in enumerate("xyz")}}  # fmt: skip
    return pl.DataFrame(columns, schema=schema).fill_nan(None)
