"""Datasets by name for fsspec: ``one://eid/collection/name``.

pandas, Dask, xarray and DuckDB can read these addresses; they fetch only the byte ranges that they need, and files in the
cache folder are read from there. Needs the extra ``one-async[fsspec]``, whose entry point registers the protocol::

    pd.read_parquet("one://4ecb5d24-f5cc-402c-be28-9d0f7cb14b3a/alf/_ibl_trials.table.pqt")
    fsspec.filesystem("one", mode="remote").ls("4ecb5d24-f5cc-402c-be28-9d0f7cb14b3a/alf")

A path without a revision is the default revision, as in `ONE.load_dataset`; others are in folders such as ``#2024-05-06#``.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from one_async._loop import LoopThread
from one_async.client.opening import Files, files_of, origin_of, read_range, size_of
from one_async.errors import ALFObjectNotFound, ConfigurationError, InputError
from one_async.sync import ONE

try:
    from fsspec import AbstractFileSystem
    from fsspec.caching import BaseCache, register_cache
    from fsspec.spec import AbstractBufferedFile
except ImportError as error:
    raise ConfigurationError("one:// needs fsspec: pip install 'one-async[fsspec]'") from error

if TYPE_CHECKING:
    from one_async.client import AsyncONE
    from one_async.client.opening import Origin

__all__ = ["DatasetNotFound", "OneFileSystem"]

T = TypeVar("T")
#: Bytes fetched beyond the requested range, since readers often continue there.
BLOCK_SIZE = 64 * 1024
#: The most bytes that are fetched beyond the requested range, for readers that go on sequentially.
MAX_AHEAD = 8 * 1024 * 1024
#: How many ranges of an open file are kept, and how many bytes together.
KEPT_RANGES = 32
KEPT_BYTES = 32 * 1024 * 1024
#: Options of fsspec itself.
OPTIONS = frozenset(
    {"use_listings_cache", "listings_expiry_time", "max_paths", "asynchronous", "loop", "skip_instance_cache"}
)
_clients: WeakValueDictionary[tuple[object, ...], ONE] = WeakValueDictionary()
_lock = threading.Lock()


class DatasetNotFound(ALFObjectNotFound, FileNotFoundError):
    """There is no such dataset, session or folder."""


class OneFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The datasets of sessions as read-only files. It may be used from any thread.

    Args:
        base_url: address of the database.
        mode: as everywhere.
        cache_dir: folder of data files.
        username: user name. Passwords and tokens come from the environment or the settings.
        one_mode: the same as ``mode``, for `fsspec.open` and chained addresses, where fsspec takes ``mode`` for itself.
        options: fsspec's own.

    Examples:
        >>> import fsspec
        >>> import numpy as np
        >>> fs = fsspec.filesystem("one")
        >>> with fs.open(f"{eid}/alf/_ibl_wheel.position.npy") as file:
        ...     print(np.load(file).ndim)
        1
    """

    protocol = "one"

    def __init__(
        self,
        base_url: str | None = None,
        mode: str | None = None,
        cache_dir: str | None = None,
        username: str | None = None,
        one_mode: str | None = None,
        **options: Any,
    ) -> None:
        if unknown := sorted(options.keys() - OPTIONS):
            raise InputError.of("storage_options", unknown, "base_url, mode, one_mode, cache_dir, username")
        if mode is not None and one_mode is not None and mode != one_mode:
            raise InputError.of("one_mode", one_mode, f"the same as mode={mode!r}, or one of the two alone")
        super().__init__(**options)
        mode = one_mode if mode is None else mode
        self._one = _client(base_url=base_url, mode=mode, cache_dir=cache_dir, username=username)

    def run(self, work: Callable[[AsyncONE], Awaitable[T]]) -> T:
        """Run a coroutine function with the client, on the thread of its loop.

        Examples:
            >>> import fsspec
            >>> fsspec.filesystem("one").run(lambda one: one.eid2ref(eid, as_dict=False))
            '2024-06-24_1_SU_101'
        """
        thread = LoopThread.shared()

        async def call() -> T:
            client = await self._one._client(thread)
            with client._calls.call():
                return await work(client)

        return thread.run(call)

    def open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """Open a dataset. Raises InputError for a path that names no session.

        Examples:
            >>> import fsspec
            >>> with fsspec.filesystem("one").open(f"{eid}/alf/_ibl_wheel.position.npy") as file:
            ...     file.read(6)
            b'\\x93NUMPY'
        """
        self._split(path)
        return super().open(path, *args, **kwargs)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """Return the datasets and folders in a folder of a session, or the dataset itself.

        Examples:
            >>> import fsspec
            >>> fs = fsspec.filesystem("one")
            >>> f"{eid}/alf/probe00" in fs.ls(f"{eid}/alf", detail=False)
            True
        """
        folder, session, below = self._split(path)
        files = self._files(session)
        found = (
            [_described(folder, files[below])] if below in files else list(_children(session, below, files))
        )
        if not found:
            raise _missing(folder)
        return found if detail else [entry["name"] for entry in found]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Describe a dataset or folder: name, type and size, and of a dataset its did and hash.

        Examples:
            >>> import fsspec
            >>> fsspec.filesystem("one").info(f"{eid}/alf/_ibl_trials.table.pqt")["type"]
            'file'
        """
        path, session, below = self._split(path)
        files = self._files(session)
        if below not in files:
            if below and not any(name.startswith(f"{below}/") for name in files):
                raise _missing(path)
            return {"name": path, "type": "directory", "size": 0}
        row = files[below]
        found = _described(path, row)
        if found["size"] is None:
            found["size"] = self.run(lambda one: _size(one, row))
        return found

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Return whether a dataset or folder exists. Errors other than DatasetNotFound are raised.

        Examples:
            >>> import fsspec
            >>> fsspec.filesystem("one").exists(f"{eid}/alf/nothing.npy")
            False
        """
        return self._type(path) is not None

    def isfile(self, path: str) -> bool:
        """Return whether a path is that of a dataset.

        Examples:
            >>> import fsspec
            >>> fsspec.filesystem("one").isfile(f"{eid}/alf/_ibl_trials.table.pqt")
            True
        """
        return self._type(path) == "file"

    def isdir(self, path: str) -> bool:
        """Return whether a path is that of a folder.

        Examples:
            >>> import fsspec
            >>> fsspec.filesystem("one").isdir(f"{eid}/alf")
            True
        """
        return self._type(path) == "directory"

    def modified(self, path: str) -> datetime:
        """Return a time derived from the content, since the time of the last change is unknown.

        DuckDB compares it to decide whether its cached blocks are still valid.

        Examples:
            >>> import fsspec
            >>> fsspec.filesystem("one").modified(f"{eid}/alf/_ibl_trials.table.pqt").tzinfo
            datetime.timezone.utc
        """
        entry = self.info(path)
        if entry["type"] == "directory":
            raise InputError.of("path", path, "the path of a dataset, not of a folder")
        content = hashlib.sha256(f"{entry['did']} {entry['hash']} {entry['size']}".encode()).digest()
        return datetime.fromtimestamp(int.from_bytes(content[:4]), UTC)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return the bytes of a dataset or of a part of it, with one request.

        Examples:
            >>> import fsspec
            >>> fsspec.filesystem("one").cat_file(f"{eid}/alf/_ibl_wheel.position.npy", start=1, end=6)
            b'NUMPY'
        """
        with self._reader(path) as file:
            first, last, _ = slice(start, end).indices(file.size)
            data: bytes = file.read_range(first, last)
        return data

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> OneFile:
        if mode != "rb":
            raise InputError.of(
                "mode", mode, "'rb' or 'r': datasets are read only; the option one_mode is the client's mode"
            )
        kwargs.pop("size", None)  # present if the file was pickled
        return self._reader(path, block_size=block_size, cache_options=cache_options, **kwargs)

    def _reader(self, path: str, block_size: int | None = None, **options: Any) -> OneFile:
        path, session, below = self._split(path)
        files = self._files(session)
        if below not in files:
            raise _missing(path)
        options.setdefault("cache_type", RangeCache.name)
        return OneFile(self, path, files[below], block_size or BLOCK_SIZE, **options)

    def _type(self, path: str) -> str | None:
        try:
            return str(self.info(path)["type"])
        except DatasetNotFound:
            return None

    def _split(self, path: object) -> tuple[str, str, str]:
        """Split a path into the path without protocol, the session, and the path below the session."""
        folder = self._strip_protocol(path) if isinstance(path, str | PathLike) else ""
        session, _, below = folder.partition("/")
        if not session or "?" in session:  # a query would be ignored
            raise InputError.of("path", path, "one://eid, one://eid/collection or one://eid/collection/name")
        return folder, session, below

    def _files(self, session: str) -> Files:
        try:
            return self.run(lambda one: files_of(one._context, session))
        except ALFObjectNotFound as error:
            raise DatasetNotFound(str(error), path=session) from None


class RangeCache(BaseCache):  # type: ignore[misc]
    """The ranges of a file that were read last, each with bytes read ahead.

    A range that continues another is fetched with as many bytes ahead as were read in this sequence, at most MAX_AHEAD.
    So sequential reading takes few requests, and reading at random places fetches BLOCK_SIZE beyond each.
    """

    name = "one"

    def __init__(self, blocksize: int, fetcher: Callable[[int, int], bytes], size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        #: Tuples of the place, the content, and how many bytes were read in this sequence. The newest is last.
        self._kept: list[tuple[int, bytes, int]] = []

    def _fetch(self, start: int | None, end: int | None) -> bytes:
        start = start or 0
        end = self.size if end is None else min(end, self.size)
        if start >= end:
            return b""
        read, known, ahead = end - start, b"", self.blocksize
        for at in reversed(range(len(self._kept))):
            begin, data, before = self._kept[at]
            if begin <= start <= begin + len(data):
                read += before
                if end <= begin + len(data):
                    del self._kept[at]
                    self._kept.append((begin, data, read))
                    return data[start - begin : end - begin]
                known = data[start - begin :]
                ahead = min(max(read, ahead), MAX_AHEAD)
                break
        found: bytes = known + self.fetcher(start + len(known), min(end + ahead, self.size))
        self._keep(start, found, read)
        return found[: end - start]

    def _keep(self, start: int, data: bytes, read: int) -> None:
        if len(data) <= KEPT_BYTES:
            self._kept.append((start, data, read))
        while len(self._kept) > KEPT_RANGES or sum(len(data) for _, data, _ in self._kept) > KEPT_BYTES:
            del self._kept[0]


register_cache(RangeCache, clobber=True)


class OneFile(AbstractBufferedFile):  # type: ignore[misc]
    """A dataset that is read in byte ranges."""

    def __init__(
        self, fs: OneFileSystem, path: str, row: dict[str, Any], block_size: int, **options: Any
    ) -> None:
        self._row = row
        self._opened: tuple[AsyncONE, Origin] | None = None
        size = fs.run(lambda one: self._size(one))
        super().__init__(fs, path, "rb", block_size, size=size, **options)

    async def _origin(self, one: AsyncONE) -> Origin:
        if self._opened is None or self._opened[0] is not one:  # the client was opened again
            self._opened = (one, await origin_of(one._context, self._row))
        return self._opened[1]

    async def _size(self, one: AsyncONE) -> int:
        return await size_of(self._row, await self._origin(one))

    def read_range(self, start: int, stop: int) -> bytes:
        """Return bytes without using the block cache."""

        async def read(one: AsyncONE) -> bytes:
            return await read_range(self._row, await self._origin(one), self.size, start, stop)

        found: bytes = self.fs.run(read)
        return found

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.read_range(start, min(end, self.size))


def _client(**given: Any) -> ONE:
    """Return the client of these options; all file systems of a process share it."""
    key = tuple(str(value) for value in given.values())
    with _lock:
        one = _clients.get(key)
        if one is None:
            one = _clients[key] = ONE(**{name: value for name, value in given.items() if value is not None})
        return one


async def _size(one: AsyncONE, row: dict[str, Any]) -> int:
    return await size_of(row, await origin_of(one._context, row))


def _described(path: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": path,
        "type": "file",
        "size": row["file_size"],
        "did": str(row["did"]),
        "hash": row["hash"],
    }


def _children(session: str, folder: str, files: Files) -> Iterator[dict[str, Any]]:
    """Yield the members of a folder, sorted."""
    start = f"{folder}/" if folder else ""
    names = sorted({path[len(start) :].partition("/")[0] for path in files if path.startswith(start)})
    for name in names:
        below = start + name
        path = f"{session}/{below}"
        if below in files:
            yield _described(path, files[below])
        else:
            yield {"name": path, "type": "directory", "size": 0}


def _missing(path: str) -> DatasetNotFound:
    return DatasetNotFound(f"there is no dataset or folder one://{path} of usable quality", path=path)
