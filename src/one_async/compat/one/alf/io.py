"""Read and write ALF files; tables are pandas frames, as in ONE-api."""

from functools import partial
from os import PathLike
from pathlib import Path

from one_async.alf.parts import get_session_path
from one_async.alf.spec import FILE_SPEC
from one_async.compat.adapters import renamed
from one_async.errors import ALFObjectNotFound
from one_async.files import find, frames
from one_async.files.find import filter_by, find_variants, iter_datasets, iter_sessions, next_num_folder
from one_async.files.objects import ALFObject as AlfBunch
from one_async.files.objects import load_object as _load_object
from one_async.files.read import read_file
from one_async.files.timestamps import read_ts, ts2vec
from one_async.files.write import save_metadata, save_object_npy

__all__ = [
    "FILE_SPEC", "ALFObjectNotFound", "AlfBunch", "check_dimensions", "dataframe", "exists", "filter_by", "find_variants",
    "get_session_path", "iter_datasets", "iter_sessions", "load_file_content", "load_object", "next_num_folder", "read_ts",
    "remove_empty_folders", "save_metadata", "save_object_npy", "ts2vec",
]  # fmt: skip

check_dimensions = renamed(frames.check_dimensions, "data", "dico")
dataframe = renamed(frames.to_pandas, "data", "adict")
exists = renamed(find.exists, "alf_path", "alfpath")
load_file_content = renamed(partial(read_file, tables="pandas"), "path", "fil")
load_object = partial(_load_object, tables="pandas")


def remove_empty_folders(folder: str | PathLike[str]) -> None:
    """Delete the folders below a folder that hold no files, the deepest first."""
    for path in sorted(Path(folder).rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
