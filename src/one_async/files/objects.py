"""Read the files of one ALF object into an ALFObject of arrays."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from one_async._warnings import warn
from one_async.alf.path import ALFPath, filename_parts
from one_async.alf.spec import is_uuid_string, is_valid
from one_async.errors import (
    ALFError,
    ALFInvalid,
    ALFMultipleObjectsFound,
    ALFObjectNotFound,
    InputError,
)
from one_async.files.find import AnyPath, Filter, find_files
from one_async.files.frames import check_dimensions, columns_of, split_table, to_pandas, to_polars
from one_async.files.read import Tables, read_file
from one_async.files.summary import as_html, as_text
from one_async.files.timestamps import ts2vec

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["ALFObject", "load_object", "make_object"]

_TABLE_KEY = re.compile(r"table(?=[_.]|$)")


class ALFObject(dict[str, Any]):
    """The data of an object by attribute: ``spikes["times"]`` or ``spikes.times``.

    An attribute with the name of a method of this class or of dict is only accessible by key.

    Examples:
        >>> wheel = one.load_object(eid, "wheel")
        >>> wheel.position is wheel["position"], sorted(wheel)
        (True, ['position', 'timestamps'])
    """

    def __getattr__(self, name: str) -> Any:
        """Return the data of a key."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no attribute {name!r}; there are: {', '.join(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the data of a key."""
        self[name] = value

    def __delattr__(self, name: str) -> None:
        """Delete a key."""
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __dir__(self) -> list[str]:
        """Return methods and keys, for completion in editors and notebooks."""
        return sorted({*super().__dir__(), *(key for key in self if key.isidentifier())})

    def __repr__(self) -> str:
        """Describe the data in at most 20 lines: type, shape, range, share of missing values. ``dict(obj)`` shows the data."""
        return as_text(type(self).__name__, self)

    def _repr_html_(self) -> str:
        return as_html(type(self).__name__, self)

    @property
    def check_dimensions(self) -> int:
        """0 if all data have the same number of rows (or one), by ALF's rule; 1 if not.

        Examples:
            >>> import numpy as np
            >>> from one_async import ALFObject
            >>> ALFObject(times=np.zeros(3), clusters=np.zeros(2)).check_dimensions
            1
        """
        return check_dimensions(self)

    def copy(self, deep: bool = False) -> ALFObject:
        """Return a copy; with ``deep``, the arrays are copied, too.

        Examples:
            >>> from one_async import ALFObject
            >>> spikes = ALFObject(times=[0.1, 0.2], clusters=[7, 3])
            >>> spikes.copy(deep=True) == spikes
            True
        """
        return copy.deepcopy(self) if deep else ALFObject(self)

    def append(self, b: Mapping[str, Any], inplace: bool = False) -> ALFObject:
        """Append the rows of another object with the same keys, to a new object or ``inplace``.

        Raises InputError if the keys differ, unless one object is empty; warns if the numbers of rows then differ.

        Examples:
            >>> import numpy as np
            >>> from one_async import ALFObject
            >>> spikes = ALFObject(times=np.array([0.1, 0.2]))
            >>> spikes.append(ALFObject(times=np.array([0.3]))).times
            array([0.1, 0.2, 0.3])
        """
        if self and b and self.keys() != b.keys():
            raise InputError.of("b", sorted(b), f"data with keys {sorted(self)}")
        joined = {key: _joined(key, self[key], b[key]) if b else self[key] for key in self} or b
        target = self if inplace else ALFObject()
        target.update(joined if inplace else copy.deepcopy(dict(joined)))
        _warn_of_rows(target, "the joined object")
        return target

    def to_frame(self) -> pl.DataFrame:
        """Return a Polars frame: vectors as columns, arrays of up to 10 columns as ``key_0``, ``key_1``…

        Wider arrays, and those with more dimensions, become one column of fixed-size arrays. Metadata are omitted. Raises
        InputError if the numbers of rows differ.

        Examples:
            >>> import numpy as np
            >>> from one_async import ALFObject
            >>> ALFObject(times=np.zeros(3), intervals=np.ones((3, 2))).to_frame().columns
            ['times', 'intervals_0', 'intervals_1']
        """
        return to_polars(self)

    def to_df(self) -> pd.DataFrame:
        """Return a pandas frame as ONE-api does: the first 10 columns of arrays, no arrays of over 2 dimensions.

        Raises InputError if the numbers of rows differ.

        Examples:
            >>> import numpy as np
            >>> from one_async import ALFObject
            >>> ALFObject(times=np.zeros(3), clusters=np.arange(3)).to_df().shape
            (3, 2)
        """
        return to_pandas(self)

    @staticmethod
    def from_frame(frame: pl.DataFrame | pd.DataFrame) -> ALFObject:
        """Create an object from a frame's columns; ``key_0`` and ``key_1`` become one array of shape (n, 2).

        Examples:
            >>> import polars as pl
            >>> from one_async import ALFObject
            >>> frame = pl.DataFrame({"intervals_0": [0.0, 2.0], "intervals_1": [2.0, 4.0]})
            >>> ALFObject.from_frame(frame).intervals.shape
            (2, 2)
        """
        return ALFObject(split_table(columns_of(frame)))

    @staticmethod
    def from_df(df: Any) -> ALFObject:
        """Create an object from a frame's columns; ONE-api's name of `from_frame`.

        Examples:
            >>> import pandas as pd
            >>> from one_async import ALFObject
            >>> ALFObject.from_df(pd.DataFrame({"choice": [1, -1]})).choice
            array([ 1, -1])
        """
        return ALFObject.from_frame(df)


def _joined(key: str, first: Any, second: Any) -> Any:
    import numpy as np
    import polars as pl

    if isinstance(first, np.ndarray):
        return np.concatenate((first, second), axis=0)
    if isinstance(first, list):
        return [*first, *second]
    if isinstance(first, pl.DataFrame | pl.Series):
        return pl.concat([first, second])
    warn(f"{key!r} is a {type(first).__name__} and cannot be appended to")
    return first


def load_object(
    alfpath: AnyPath | Iterable[AnyPath],
    object: Filter = None,
    short_keys: bool = False,
    *,
    wildcards: bool = True,
    tables: Tables = "polars",
    allow_pickle: bool = False,
    **filters: Filter,
) -> ALFObject:
    """Read all files of one object from disk.

    ``alfpath`` is a folder (then ``object`` is required), any file of the object, or a list of files, which may be of
    different revisions. ``filters`` are those of :func:`one_async.files.find.filter_by`; see :func:`make_object` for the
    other arguments and errors. Raises ALFObjectNotFound if there is no such file.
    """
    if not isinstance(alfpath, str | os.PathLike):
        return make_object(list(alfpath), short_keys=short_keys, tables=tables, allow_pickle=allow_pickle)
    if object is None and ALFPath(alfpath).is_dir():
        raise InputError.of("object", None, "the name of an object, since alfpath is a folder")
    files = find_files(alfpath, object, wildcards, **filters)
    return make_object(files, short_keys=short_keys, tables=tables, allow_pickle=allow_pickle)


def make_object(
    files: Sequence[AnyPath],
    *,
    short_keys: bool = False,
    tables: Tables = "polars",
    allow_pickle: bool = False,
    warn_of_rows: bool = True,
) -> ALFObject:
    """Read files of one object into one ALFObject.

    Keys are attribute, timescale and extra parts (``times_bpod.raw``; without extra parts with ``short_keys``; never a UUID).
    A ``.metadata.json`` next to a file names its columns, which become separate keys, or is stored under ``<key>metadata``.
    The columns of a ``table`` become keys, ``x_0`` and ``x_1`` one array. Synchronization points in ``timestamps`` become one
    time per row. Warns if the numbers of rows differ, unless ``warn_of_rows`` is False.

    Raises ALFObjectNotFound for no files, ALFInvalid for a name that is not ALF, ALFMultipleObjectsFound if
    the files are of several objects or two have one key, and what :func:`one_async.files.read.read_file`
    raises.
    """
    paths = _keyed([file if isinstance(file, ALFPath) else ALFPath(file) for file in files], short_keys)
    sidecars = _Sidecars()
    out = ALFObject()
    for key, file in paths.items():
        is_table = _TABLE_KEY.match(key) is not None
        out[key] = read_file(file, tables=tables, allow_pickle=allow_pickle, index=not is_table)
        if sidecar := sidecars.of(file):
            _describe(out, key, read_file(sidecar))
    _merge_table(out)
    if out.check_dimensions == 0:
        _expand_timestamps(out)
    elif warn_of_rows:
        _warn_of_rows(out, f"object {next(iter(paths.values())).object!r}" if paths else "the object")
    return out


def _keyed(files: list[ALFPath], short_keys: bool) -> dict[str, ALFPath]:
    if not files:
        raise ALFObjectNotFound("There are no files of the object")
    objects = {}
    keyed: dict[str, ALFPath] = {}
    for file in files:
        parts = filename_parts(file.name, assert_valid=False)
        _, obj, attribute, timescale, extra, extension = parts
        if not obj:
            raise ALFInvalid(f"{file} is not an ALF dataset", path=str(file))
        objects[obj] = file
        if _is_sidecar(extension, extra):
            continue
        key = f"{attribute}_{timescale}" if timescale else f"{attribute}"
        if extra and not short_keys:
            key = ".".join([key, *(part for part in extra.split(".") if not is_uuid_string(part))])
        if key in keyed:
            raise ALFMultipleObjectsFound(
                f"{keyed[key]} and {file} are both {key!r}; say which by namespace, extra or extension"
            )
        keyed[key] = file
    if len(objects) > 1:
        raise ALFMultipleObjectsFound(f"The files are of several objects: {', '.join(sorted(objects))}")
    return keyed


def _is_sidecar(extension: str | None, extra: str | None) -> bool:
    parts = (extra or "").split(".")
    return extension == "json" and any(part.startswith("metadata") for part in parts)


class _Sidecars:
    """The metadata files of data files; each folder is listed once."""

    def __init__(self) -> None:
        self._listed: dict[str, list[ALFPath]] = {}

    def of(self, file: ALFPath) -> ALFPath | None:
        """Return the metadata file of a data file: with the same attribute and most of its extra parts."""
        folder = str(file)[: -len(file.name)] or os.curdir
        if folder not in self._listed:
            names = sorted(name for name in os.listdir(folder) if ".metadata" in name and is_valid(name))  # noqa: PTH208 - faster
            paths = map(file.with_name, names)
            self._listed[folder] = [path for path in paths if _is_sidecar(path.extension, path.extra)]
        if not self._listed[folder]:
            return None
        stem, extras = file.name.split(".")[:2], set(file.extra.split("."))
        same = [path for path in self._listed[folder] if path.name.split(".")[:2] == stem]
        return max(same, key=lambda path: len(extras & set(path.extra.split("."))), default=None)


def _describe(out: ALFObject, key: str, metadata: Any) -> None:
    if not isinstance(metadata, dict):
        raise ALFError(f"The metadata of {key!r} are a {type(metadata).__name__}, not keys and values")
    columns, data = metadata.get("columns"), out[key]
    if columns is not None and getattr(data, "ndim", 0) > 1 and not hasattr(data, "columns"):
        if data.shape[-1] < len(columns):
            raise ALFError(
                f"The metadata of {key!r} name {len(columns)} columns, the file has {data.shape[-1]}"
            )
        del out[key]
        out.update({name: data[..., number] for number, name in enumerate(columns)})
        metadata = {name: value for name, value in metadata.items() if name != "columns"}
    if metadata:
        out[f"{key}metadata"] = metadata


def _merge_table(out: ALFObject) -> None:
    """Replace a table by its columns; its timescale and extra parts are appended to their names."""
    key = next((key for key in out if _TABLE_KEY.match(key)), None)
    if key is None or isinstance(out[key], PurePath):
        return
    suffix = key.removeprefix("table")
    columns = columns_of(out.pop(key))
    renamed = {
        re.sub(r"^(.+?)(_[01])?$", rf"\g<1>{suffix}\g<2>", name): data for name, data in columns.items()
    }
    out.update(split_table(renamed))


def _expand_timestamps(out: ALFObject) -> None:
    shaped = {key: data for key, data in out.items() if hasattr(data, "shape") and data.shape}
    rows = next(
        (len(data) for key, data in shaped.items() if "timestamps" not in key and "meta" not in key), None
    )
    for key, data in shaped.items():
        if rows is not None and "timestamps" in key:
            out[key] = ts2vec(data, rows)


def _warn_of_rows(out: ALFObject, what: str) -> None:
    """Warn if the numbers of rows differ."""
    if out.check_dimensions == 0:
        return
    shapes = ", ".join(f"{key} {data.shape}" for key, data in out.items() if hasattr(data, "shape"))
    warn(f"The data of {what} differ in their number of rows: {shapes}")
