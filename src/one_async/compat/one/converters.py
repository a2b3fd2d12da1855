"""Names of sessions and datasets, and rows made of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from one_async.alf.path import ALFPath, PurePosixALFPath, ensure_alf_path
from one_async.alf.session import session_folder
from one_async.api import ONE as ConversionMixin  # noqa: N811 - ONE-api's name
from one_async.compat.absent import absent
from one_async.queries.records import DatasetRecord, SessionDetail, datasets_frame, parse, parse_list

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = [
    "ALFPath", "ConversionMixin", "datasets2records", "one_path_from_dataset", "parse_values", "path_from_dataset",
    "path_from_filerecord", "recurse", "ses2records", "session_record2path",
]  # fmt: skip

_ROOT = PurePosixALFPath("/")
recurse: Callable[..., Any] = absent("one.converters.recurse", "methods of ONE take lists")
parse_values: Callable[..., Any] = absent("one.converters.parse_values", "methods of ONE have parse=")


def session_record2path(session: Mapping[str, Any], root_dir: str | PurePath | None = None) -> Any:
    """Return the path of a session's folder from its record, below a root."""
    folder = session_folder(session)
    return PurePosixALFPath(folder) if root_dir is None else ensure_alf_path(_path(root_dir) / folder)


def path_from_dataset(
    dset: Any, root_path: str | PurePath = _ROOT, repository: str | None = None, uuid: bool = False
) -> Any:
    """Return the path of a dataset's record of the endpoint datasets, of the file record of a repository; of a list, a list.

    Without a repository, the file record is the first that has an address. `uuid` adds the dataset's id to the name.
    """
    if not isinstance(dset, Mapping):
        return [path_from_dataset(one, root_path, repository, uuid) for one in dset]
    did = UUID(dset["url"][-36:]) if uuid else None
    for record in dset["file_records"]:
        if record["data_repository"] == repository if repository else record.get("data_url"):
            return path_from_filerecord(record, root_path, did)
    return None


def path_from_filerecord(fr: Any, root_path: str | PurePath = _ROOT, uuid: UUID | str | None = None) -> Any:
    """Return the path of a file record below a root, of its repository's folder and its path there; of a list, a list."""
    if not isinstance(fr, Mapping):
        return [path_from_filerecord(one, root_path, uuid) for one in fr]
    below = (fr["data_repository_path"] + fr["relative_path"]).strip("/")
    path = ensure_alf_path(_path(root_path) / below)
    return path.with_uuid(UUID(str(uuid))) if uuid else path


def one_path_from_dataset(dset: Any, one_cache: str | PurePath) -> Any:
    """Return the path of a dataset's record below a cache folder."""
    return path_from_dataset(dset, root_path=one_cache, uuid=False)


def ses2records(ses: Mapping[str, Any]) -> tuple[pd.Series[Any], pd.DataFrame]:
    """Return the row of a session's record, and the rows of its datasets with ids in the index."""
    import pandas as pd

    detail = parse(SessionDetail, "sessions", ses)
    row = detail.row()
    frame = datasets_frame(detail, {})
    return pd.Series(row).drop("eid").rename(UUID(row["eid"])), _indexed(frame)


def datasets2records(datasets: Any, additional: Sequence[str] | None = None) -> pd.DataFrame:
    """Return rows of the datasets table from records of the endpoint datasets, with ids in the index.

    Datasets without a file that has an address, and those of no session, are left out. `additional` names more fields of the
    records that become columns.
    """
    import pandas as pd

    from one_async.alf.session import session_part, split_id, url_path
    from one_async.alf.spec import QC

    records = [datasets] if isinstance(datasets, Mapping) else list(datasets)
    rows = []
    for model, record in zip(parse_list(DatasetRecord, "datasets", records), records, strict=True):
        url = next(
            iter(filter(None, (one.get("data_url") for one in record.get("file_records") or ()))), None
        )
        if url is None or model.eid is None:
            continue
        place, did = url_path(url), UUID(model.url[-36:])
        folder = session_part(place)
        row = {
            "eid": model.eid,
            "id": did,
            "session_path": folder,
            "rel_path": split_id(place.rpartition(folder + "/")[2])[0],
            "file_size": model.file_size,
            "hash": model.hash,
            "exists": True,
            "qc": getattr(model, "qc", "NOT_SET"),
            "default_revision": record.get("default_dataset", True),
        }
        rows.append({**row, **{name: record.get(name) for name in additional or ()}})
    columns = [
        "eid",
        "id",
        "session_path",
        "rel_path",
        "file_size",
        "hash",
        "exists",
        "qc",
        "default_revision",
    ]
    frame = pd.DataFrame(rows, columns=[*columns, *(additional or ())])
    levels = [level.name for level in sorted(QC)]
    frame["qc"] = pd.Categorical(frame["qc"], categories=levels, ordered=True)
    return frame.set_index(["eid", "id"]).sort_index()


def _indexed(frame: pl.DataFrame) -> pd.DataFrame:
    made = frame.to_pandas()
    made["eid"], made["id"] = made["eid"].map(UUID), made.pop("did").map(UUID)
    return made.set_index(["eid", "id"]).sort_index()


def _path(root: str | PurePath) -> PurePath:
    return Path(root) if isinstance(root, str) else root
