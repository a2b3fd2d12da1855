"""Read and write ALF files; tables are pandas frames, as in ONE-api."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from one_async.alf.parts import get_session_path
from one_async.alf.spec import FILE_SPEC
from one_async.errors import ALFObjectNotFound
from one_async.files.find import (
    exists,
    filter_by,
    find_variants,
    iter_datasets,
    iter_sessions,
    next_num_folder,
)
from one_async.files.frames import check_dimensions, to_pandas
from one_async.files.objects import ALFObject as AlfBunch
from one_async.files.objects import load_object as _load_object
from one_async.files.read import read_file
from one_async.files.timestamps import read_ts, ts2vec
from one_async.files.write import save_metadata, save_object_npy

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FILE_SPEC", "ALFObjectNotFound", "AlfBunch", "check_dimensions", "dataframe", "exists", "filter_by", "find_variants",
    "get_session_path", "iter_datasets", "iter_sessions", "load_file_content", "load_object", "next_num_folder", "read_ts",
    "remove_empty_folders", "save_metadata", "save_object_npy", "ts2vec",
]  # fmt: skip

load_file_content = partial(read_file, tables="pandas")


def dataframe(adict: Mapping[str, Any]) -> pd.DataFrame:
    """Return a pandas frame of an object's arrays."""
    return to_pandas(adict)


def load_object(
    alfpath: str | PathLike[str] | Iterable[str | PathLike[str]],
    object: Any = None,
    short_keys: bool = False,
    **kwargs: Any,
) -> AlfBunch:
    """Read all files of one object from disk; see `one_async.files.objects.load_object`."""
    return _load_object(alfpath, object, short_keys, tables="pandas", **kwargs)


def remove_empty_folders(folder: str | PathLike[str]) -> None:
    """Delete the folders below a folder that hold no files, the deepest first."""
    for path in sorted(Path(folder).rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
