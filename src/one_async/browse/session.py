"""One session of the page: its datasets, insertions and QC, and the plots available for its data.

Runs in worker threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from one_async import _display
from one_async.alf.session_paths import session_folder
from one_async.errors import ALFInvalid, ALFObjectNotFound
from one_async.tables.query import find_sessions
from one_async.tables.schema import QC_LEVELS

if TYPE_CHECKING:
    from one_async.browse.search import FacetedSearch

__all__ = ["PlotData", "describe", "describe_record", "on_disk", "plots_of"]

#: The most datasets, insertions and checks that are listed.
MOST_DATASETS = 2000
MOST_CHECKS = 100
_COLUMNS = ["rel_path", "file_size", "exists", "qc", "default_revision"]
_DATA = re.compile(r"(?:_[A-Za-z0-9]+_)?(trials|spikes|wheel)\.([A-Za-z]+)[._]")


class PlotData(NamedTuple):
    """The data of a plot."""

    kind: str
    """psychometric, raster or wheel."""
    object: str
    collection: str
    attributes: tuple[str, ...]
    """The attributes to load; empty for all."""
    files: tuple[str, ...]
    size: int

    def arguments(self) -> dict[str, Any]:
        """Return the keywords of `load_object`."""
        attributes = {"attribute": list(self.attributes)} if self.attributes else {}
        return {"collection": self.collection, **attributes}


def describe(search: FacetedSearch, eid: str) -> dict[str, Any]:
    """Return a session's data from the tables. Raises ALFObjectNotFound if it is not in the tables."""
    session = find_sessions(search.catalogue, [eid])
    if session.is_empty():
        raise ALFObjectNotFound(f"the tables have no session {eid}", eid=eid)
    datasets = _datasets(search, eid)
    counts = datasets["qc"].cast(pl.String).value_counts()
    known = dict(zip(counts["qc"], counts["count"], strict=True))
    row = session.row(0, named=True)
    return {
        "eid": eid,
        "fields": {
            name: _display.plain_text(row[name])
            for name in ("lab", "subject", "date", "number", "task_protocol", "projects")
            if row[name] not in (None, "")
        },
        "datasets": [
            _dataset(search, eid, one) for one in datasets.head(MOST_DATASETS).iter_rows(named=True)
        ],
        "total": datasets.height,
        "bytes": int(datasets["file_size"].sum()),
        "qc": [(level, known.get(level, 0)) for level in QC_LEVELS.categories],
        "insertions": _insertions(search, eid),
        "code": search.code("list_datasets", eid, details=True, **_critical("CRITICAL" in known)),
    }


def _datasets(search: FacetedSearch, eid: str) -> pl.DataFrame:
    table = search.catalogue.dataset_table
    columns = [name for name in _COLUMNS if name in table.schema]
    return table.frame(table.rows_of(eid), columns).sort("rel_path")


def _dataset(search: FacetedSearch, eid: str, row: Mapping[str, Any]) -> dict[str, Any]:
    folders, _, name = row["rel_path"].rpartition("/")
    return {
        "folder": folders,
        "name": name,
        "size": _display.size(row["file_size"]),
        "qc": row["qc"],
        "exists": bool(row["exists"]),
        "default": row.get("default_revision") is not False,
        "code": search.code("load_dataset", eid, row["rel_path"], **_critical(row["qc"] == "CRITICAL")),
    }


def _critical(there: bool) -> dict[str, str]:
    """Return the keyword needed to include critical datasets, if there are any."""
    return {"qc": "CRITICAL"} if there else {}


def _insertions(search: FacetedSearch, eid: str) -> list[dict[str, Any]] | None:
    """Return the insertions of a session; None if the tables have no insertions at all."""
    if "insertions" not in search.catalogue.others:
        return None
    rows = search.catalogue.insertions().filter(pl.col("eid") == eid).collect().sort("name")
    return [
        _insertion(search, row["pid"], row["name"], row.get("model")) for row in rows.iter_rows(named=True)
    ]


def _insertion(search: FacetedSearch, pid: object, name: object, model: object) -> dict[str, Any]:
    text = _display.plain_text(pid)
    return {
        "pid": text,
        "name": _display.plain_text(name or ""),
        "model": _display.plain_text(model or ""),
        "code": search.code("load_spike_sorting", text),
    }


def describe_record(search: FacetedSearch, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a session's record that are not in the tables; the record's values may have any type."""
    checks = record.get("extended_qc")
    rows = list(checks.items())[:MOST_CHECKS] if isinstance(checks, Mapping) else []
    probes = record.get("probe_insertion")
    return {
        "qc": _display.plain_text(record.get("qc") or ""),
        "fields": {
            name: _display.plain_text(value)
            for name in ("n_trials", "n_correct_trials", "location", "narrative")
            if (value := record.get(name)) not in (None, "", [])
        },
        "checks": [(_display.plain_text(name), _check(value)) for name, value in rows],
        "insertions": [
            _insertion(search, one.get("id"), one.get("name"), one.get("model"))
            for one in (probes if isinstance(probes, list) else [])
            if isinstance(one, Mapping)
        ],
    }


def _check(value: object) -> float | str:
    """Return the share of trials that pass a check, or the text of any other value."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    return _display.plain_text(value, 60)


def plots_of(search: FacetedSearch, eid: str) -> list[PlotData]:
    """Return the plots available for a session's datasets, each with the files that it needs."""
    found: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    for row in _datasets(search, eid).iter_rows(named=True):
        folders, _, name = row["rel_path"].rpartition("/")
        match = _DATA.match(name)
        if match and row["exists"] and row["qc"] != "CRITICAL" and row.get("default_revision") is not False:
            collection = re.sub(r"/?#[^/]*#", "", folders)
            found.setdefault((match[1], collection), []).append(
                (match[2], row["rel_path"], row["file_size"] or 0)
            )
    return [
        _plot(kind, name, collection, wanted, files)
        for kind, name, needed in _KINDS
        for (known, collection), files in found.items()
        if known == name and (wanted := _attributes({one[0] for one in files}, needed)) is not None
    ]


#: Kinds of plots: the object and which of its attributes are needed, in one of several combinations; empty for all.
_KINDS: Sequence[tuple[str, str, Sequence[tuple[str, ...]]]] = (
    ("psychometric", "trials", ((),)),
    ("raster", "spikes", (("times", "depths"), ("times", "clusters"))),
    ("wheel", "wheel", (("position", "timestamps"),)),
)


def _attributes(there: set[str], needed: Iterable[tuple[str, ...]]) -> tuple[str, ...] | None:
    return next((some for some in needed if there.issuperset(some)), None)


def _plot(
    kind: str, name: str, collection: str, wanted: tuple[str, ...], files: list[tuple[str, str, int]]
) -> PlotData:
    used = [one for one in files if not wanted or one[0] in wanted]
    return PlotData(
        kind, name, collection, wanted, tuple(path for _, path, _ in used), sum(size for *_, size in used)
    )


def on_disk(search: FacetedSearch, root: Path, eid: str, plots: Iterable[PlotData]) -> list[bool]:
    """Return for each plot whether all of its files are in a cache folder."""
    session = find_sessions(search.catalogue, [eid]).row(0, named=True)
    try:
        folder = root / session_folder(session)
    except ALFInvalid:  # it has none
        return [False for _ in plots]
    return [all((folder / file).is_file() for file in plot.files) for plot in plots]
