"""Readers by suffix: arrays as numpy arrays, tables as Polars frames, other files as paths.

The functions block. numpy, Polars, pandas, SciPy and PyYAML are imported by the reader that needs them.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from one_async._threads import check_polars
from one_async.alf.path import ALFPath
from one_async.errors import ALFError, ConfigurationError, FileDamaged, InputError, OneError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

__all__ = ["READERS", "Tables", "ensure_flat", "read_file"]

Tables: TypeAlias = Literal["polars", "pandas"]
Reader: TypeAlias = Callable[[Path, "Options"], Any]


#: Bytes of data for which memory is reserved before the size of the file is known.
_LARGE: Final = 1 << 20


class Options(NamedTuple):
    """The options of a reader."""

    tables: Tables = "polars"
    allow_pickle: bool = False
    keep_index: bool = True


def read_file(
    path: str | os.PathLike[str],
    *,
    tables: Tables = "polars",
    allow_pickle: bool = False,
    index: bool = True,
) -> Any:
    """Read a file according to its suffix; return the path itself (an ALFPath) if there is no reader for it.

    Arrays of shape (n, 1) are returned with shape (n,), and text tables with a single column as a series. ``tables`` selects
    the library of frames and series. With ``index``, an index stored by pandas becomes a column of a Polars frame.
    ``allow_pickle`` allows an ``.npy`` with objects to run the code that it contains. Raises FileDamaged with the file's name
    if the content does not match the suffix (an empty file does not), ALFError for arrays of objects that are not allowed,
    ConfigurationError if an extra is not installed, OneError if the memory is not sufficient, and OSError for errors of the
    disk.
    """
    if tables not in ("polars", "pandas"):
        raise InputError.of("tables", tables, ("polars", "pandas"))
    file = path if isinstance(path, Path) else Path(path)
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        file.stat()
        return ALFPath(file)
    try:
        return reader(file, Options(tables, allow_pickle, index))
    except (OneError, OSError):
        raise
    except ImportError as error:
        raise _missing(file, error) from error
    except MemoryError as error:
        raise OneError(f"{file} needs more memory than is available") from error
    except Exception as error:
        raise _damaged(file, error) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # raised by Polars' Rust code for some damaged files
            raise _damaged(file, error) from error
        raise


def ensure_flat(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Reshape an array of shape (n, 1), MATLAB's form of vectors, to (n,)."""
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array


def _damaged(file: Path, error: BaseException) -> FileDamaged:
    why = "it is empty" if file.stat().st_size == 0 else f"{type(error).__name__}: {error}"
    return FileDamaged(f"{file} is not a valid {file.suffix} file: {why}", path=str(file))


def _missing(file: Path, error: ImportError) -> ConfigurationError:
    extra = {".sparse_npz": "sparse", ".yaml": "yaml", ".yml": "yaml"}.get(file.suffix.lower(), "pandas")
    return ConfigurationError(
        f"{file} cannot be read without more packages: pip install 'one-async[{extra}]' ({error})"
    )


def _npy(file: Path, options: Options) -> Any:
    import numpy as np

    with file.open("rb") as stream:
        if options.allow_pickle:
            return ensure_flat(np.load(stream, allow_pickle=True))
        start = stream.read(8)
        if len(start) < 8 or not start.startswith(np.lib.format.MAGIC_PREFIX):
            stream.seek(0)
            np.lib.format.read_magic(stream)  # raises an error
        version = start[6], start[7]
        length = stream.read(2 if version == (1, 0) else 4)
        header = length + stream.read(int.from_bytes(length, "little"))
        shape, is_fortran, dtype = _parse_header(version, header)
        if dtype.hasobject:
            raise ALFError(
                f"{file} holds Python objects, which can run code when they are loaded; "
                "if you trust where it comes from, say allow_pickle=True",
                path=str(file),
            )
        size = math.prod(shape) * dtype.itemsize
        available = (
            os.fstat(stream.fileno()).st_size - stream.tell() if size > _LARGE or version > (2, 0) else size
        )
        _check_size(size, available)  # before memory is reserved for it
        if version > (2, 0):  # the names of fields are in UTF-8
            stream.seek(0)
            return ensure_flat(np.load(stream, allow_pickle=False))
        array: np.ndarray[Any, Any] = np.empty(shape, dtype, order="F" if is_fortran else "C")
        if size:
            _check_size(size, stream.readinto(array.ravel(order="K").view(np.uint8).data))
    return ensure_flat(array)


def _check_size(described: int, available: int) -> None:
    if described > available:
        raise ValueError(f"its header describes {described} bytes of data, the file has {available}")


@lru_cache(maxsize=1024)
def _parse_header(version: tuple[int, int], header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Parse a header after its magic string; cached, since many files have equal headers."""
    import numpy as np

    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(io.BytesIO(header))


def _npz(file: Path, options: Options) -> Any:
    import numpy as np

    # Opened here, since numpy leaves the file open if it is not an archive.
    with file.open("rb") as stream, np.load(stream, allow_pickle=options.allow_pickle) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays["arr_0"] if arrays.keys() == {"arr_0"} else arrays


def _sparse(file: Path, options: Options) -> Any:
    """Read an array written by pydata's ``sparse.save_npz`` (coordinates, or compressed 2-D arrays) or by SciPy's."""
    import numpy as np
    from scipy import sparse

    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        if "format" in archive:
            stream.seek(0)
            return sparse.load_npz(stream)
        shape, fill = tuple(archive["shape"].tolist()), archive.get("fill_value", 0)
        if fill != 0:
            raise ALFError(
                f"{file} is filled with {fill}, not 0, and SciPy has no such array", path=str(file)
            )
        if "coords" in archive:
            return sparse.coo_array((archive["data"], tuple(archive["coords"])), shape=shape)
        if len(shape) != 2:
            raise ALFError(
                f"{file} is compressed in {len(shape)} dimensions; SciPy knows two", path=str(file)
            )
        kind = sparse.csr_array if archive["compressed_axes"].tolist() == [0] else sparse.csc_array
        return kind((archive["data"], archive["indices"], archive["indptr"]), shape=shape)


def _json(file: Path, options: Options) -> Any:
    return json.loads(file.read_text("utf-8-sig"))


def _jsonable(file: Path, options: Options) -> list[Any]:
    # Not `splitlines`, which would also split at characters that JSON strings may contain.
    return [json.loads(line) for line in file.read_text("utf-8-sig").split("\n") if line.strip(" \t\r")]


def _yaml(file: Path, options: Options) -> Any:
    import yaml

    return yaml.safe_load(file.read_text("utf-8-sig"))


def _parquet(file: Path, options: Options) -> Any:
    if options.tables == "pandas":
        import pandas as pd

        return pd.read_parquet(file)
    frame, index = _frame_of_parquet(file)
    return frame if options.keep_index else frame.drop(index)


def _frame_of_parquet(file: Path) -> tuple[pl.DataFrame, list[str]]:
    """Read a Parquet file; return the frame and the names of the columns that are a pandas index.

    A pandas index that only numbers the rows from 0 is dropped; another index without a name becomes column ``index``.
    Columns of 16-byte values, in which UUIDs are stored, are converted to UUID strings.
    """
    import polars as pl

    check_polars()
    data = file.read_bytes()  # not by path, since Polars interprets some characters of paths
    frame = pl.read_parquet(io.BytesIO(data))
    pandas = json.loads(pl.read_parquet_metadata(io.BytesIO(data)).get("pandas", "{}"))
    index: list[str] = []
    for column in pandas.get("index_columns", []):
        if isinstance(column, dict):
            frame = _with_range_index(frame, column, index)
        elif column in frame.columns:
            frame = _with_stored_index(frame, column, index)
    uuids = [_uuid_text(frame[name]) for name, dtype in frame.schema.items() if dtype == pl.Binary]
    return frame.with_columns(*uuids), index


def _with_range_index(frame: pl.DataFrame, described: dict[str, Any], index: list[str]) -> pl.DataFrame:
    import polars as pl

    start, step, name = described.get("start", 0), described.get("step", 1), described.get("name") or "index"
    if (start, step) == (0, 1) or name in frame.columns:
        return frame
    index.append(name)
    return frame.select(pl.int_range(pl.len(), dtype=pl.Int64).mul(step).add(start).alias(name), pl.all())


def _with_stored_index(frame: pl.DataFrame, column: str, index: list[str]) -> pl.DataFrame:
    import polars as pl

    name = column
    if re.fullmatch(r"__index_level_\d+__", column):
        values = frame[column]
        counts = values.dtype.is_integer() and values.equals(
            pl.Series(range(len(values)), dtype=values.dtype)
        )
        if counts:
            return frame.drop(column)
        name = "index" if "index" not in frame.columns else column
    index.append(name)
    return frame.rename({column: name})


def _uuid_text(series: pl.Series) -> pl.Series:
    import polars as pl

    values = series.to_list()
    if any(value is not None and len(value) != 16 for value in values):
        return series
    text = [None if value is None else str(UUID(bytes=value)) for value in values]
    return pl.Series(series.name, text, dtype=pl.String)


def _delimited(separator: str) -> Reader:
    def read(file: Path, options: Options) -> Any:
        from one_async.files.delimited import decoded, read_delimited

        if options.tables == "pandas":
            import pandas as pd

            text = io.StringIO(decoded(file.read_bytes()), newline="")
            return pd.read_csv(text, sep=separator).squeeze("columns")
        frame, index = read_delimited(file, separator)
        if not options.keep_index:
            frame = frame.drop(index)
        return frame.to_series() if frame.width == 1 else frame

    return read


#: Suffix to reader. What is not here (videos, flat and compressed binary with their headers, …) comes as a
#: path.
READERS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        ".npy": _npy,
        ".npz": _npz,
        ".sparse_npz": _sparse,
        ".pqt": _parquet,
        ".parquet": _parquet,
        ".csv": _delimited(","),
        ".ssv": _delimited(" "),
        ".tsv": _delimited("\t"),
        ".htsv": _delimited("\t"),
        ".json": _json,
        ".jsonable": _jsonable,
        ".yaml": _yaml,
        ".yml": _yaml,
    }
)
