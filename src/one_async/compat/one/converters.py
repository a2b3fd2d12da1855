"""Convert names of sessions and datasets, and records to rows."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any
from uuid import UUID

from one_async.alf.path import ALFPath, PurePosixALFPath, ensure_alf_path
from one_async.alf.session_paths import session_folder
from one_async.api import ONE as ConversionMixin  # noqa: N811 - ONE-api's name
from one_async.compat.adapters import absent, renamed
from one_async.queries.records import SessionDetail, datasets_frame, parse
from one_async.queries.rows import dataset_rows, rows_frame
from one_async.tables.pandas_frames import as_pandas

__all__ = [
    "ALFPath", "ConversionMixin", "datasets2records", "one_path_from_dataset", "path_from_dataset",
    "path_from_filerecord", "ses2records", "session_record2path",
]  # fmt: skip

_ROOT = PurePosixALFPath("/")
__getattr__ = absent(
    __name__, {"recurse": "methods of ONE take lists", "parse_values": "methods of ONE have parse="}
)


def session_record2path(session: Mapping[str, Any], root_dir: str | PurePath | None = None) -> Any:
    """Return the path of a session's folder from its record, below a root."""
    folder = session_folder(session)
    return ensure_alf_path(root_dir) / folder if root_dir else PurePosixALFPath(folder)


def path_from_dataset(
    dset: Any, root_path: str | PurePath = _ROOT, repository: str | None = None, uuid: bool = False
) -> Any:
    """Return the path of a record of the endpoint datasets, or a list of paths for a list.

    The path is that of the file record of `repository`, by default of the first file record with an address. `uuid` adds the
    dataset's id to the name.
    """
    if not isinstance(dset, Mapping):
        return [path_from_dataset(one, root_path, repository, uuid) for one in dset]
    did = UUID(dset["url"][-36:]) if uuid else None
    for record in dset["file_records"]:
        if record["data_repository"] == repository if repository else record.get("data_url"):
            return path_from_filerecord(record, root_path, did)
    return None


def path_from_filerecord(fr: Any, root_path: str | PurePath = _ROOT, uuid: UUID | str | None = None) -> Any:
    """Return the path of a file record below a root: its repository's folder and its relative path; for a list, a list."""
    if not isinstance(fr, Mapping):
        return [path_from_filerecord(one, root_path, uuid) for one in fr]
    path = ensure_alf_path(root_path) / (fr["data_repository_path"] + fr["relative_path"]).strip("/")
    return path.with_uuid(UUID(str(uuid))) if uuid else path


one_path_from_dataset = renamed(path_from_dataset, "root_path", "one_cache")


def ses2records(ses: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the row of a session's record, and the rows of its datasets with ids in the index."""
    import pandas as pd

    detail = parse(SessionDetail, "sessions", ses)
    row = detail.row()
    return pd.Series(row).drop("eid").rename(UUID(row["eid"])), _indexed(datasets_frame(detail, {}))


def datasets2records(datasets: Any, additional: Sequence[str] | None = None) -> Any:
    """Return rows of the datasets table from records of the endpoint datasets, with ids in the index.

    Datasets without an existing file that has an address are omitted. `additional` are further fields of the records that
    become columns.
    """
    records = [datasets] if isinstance(datasets, Mapping) else list(datasets)
    frame = _indexed(rows_frame(dataset_rows(records, reachable=True), "session_path"))
    by_id = {UUID(record["url"][-36:]): record for record in records}
    for name in additional or ():
        frame[name] = [by_id[did].get(name) for _, did in frame.index]
    return frame


def _indexed(rows: Any) -> Any:
    """Return rows of datasets as a pandas frame, sorted by an index of ids, with NA for a missing session."""
    import pandas as pd

    ids = [[UUID(one) if one else pd.NA for one in rows[name]] for name in ("eid", "did")]
    frame = as_pandas(rows.drop("eid", "did", "data_url"), indexed=False)
    return frame.set_index(pd.MultiIndex.from_arrays(ids, names=["eid", "id"])).sort_index()
