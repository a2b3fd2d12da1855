"""Downloads of files by their addresses. Only this module of the package uses `transfer`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

from one_async._arguments import as_list
from one_async._boundary import public
from one_async._concurrency import RunningCalls, run_all
from one_async._observer import Observer
from one_async._threads import run_sync
from one_async.alyx.schema import whole_number
from one_async.errors import ConfigurationError, InputError, UnsafePath

if TYPE_CHECKING:
    from pydantic import SecretStr

    from one_async.alyx.transports import Session
    from one_async.settings import Settings
    from one_async.transfer.items import Item
    from one_async.types import Several, StreamOpener

#: Files of a folder that are fetched at once.
FILES_AT_ONCE = 16


@public(traced="alyx", ended_by_closing=True)
class FileDownloads:
    """The methods of a REST client that download files by their addresses."""

    _data_server: str | None
    _data_login: tuple[str, SecretStr] | None
    _calls: RunningCalls
    _observer: Observer

    if TYPE_CHECKING:  # defined by the client

        @property
        def base_url(self) -> str: ...
        @property
        def cache_dir(self) -> Path: ...
        @property
        def wire(self) -> StreamOpener: ...
        async def _opened(self) -> Session: ...

    @overload
    async def download_file(
        self,
        url: str,
        *,
        chunks: Sequence[int] | None = None,
        target_dir: Path | str | None = None,
        clobber: bool = False,
        return_md5: Literal[False] = False,
        headers: Mapping[str, str] | None = None,
        silent: bool = True,
    ) -> Path: ...
    @overload
    async def download_file(
        self,
        url: str,
        *,
        chunks: Sequence[int] | None = None,
        target_dir: Path | str | None = None,
        clobber: bool = False,
        return_md5: Literal[True],
        headers: Mapping[str, str] | None = None,
        silent: bool = True,
    ) -> tuple[Path, str]: ...
    @overload
    async def download_file(
        self,
        url: Several[str],
        *,
        chunks: Sequence[int] | None = None,
        target_dir: Path | str | Sequence[Path | str] | None = None,
        clobber: bool = False,
        return_md5: Literal[False] = False,
        headers: Mapping[str, str] | None = None,
        silent: bool = True,
    ) -> list[Path]: ...
    @overload
    async def download_file(
        self,
        url: Several[str],
        *,
        chunks: Sequence[int] | None = None,
        target_dir: Path | str | Sequence[Path | str] | None = None,
        clobber: bool = False,
        return_md5: Literal[True],
        headers: Mapping[str, str] | None = None,
        silent: bool = True,
    ) -> list[tuple[Path, ...] | tuple[str, ...]]: ...
    async def download_file(
        self,
        url: str | Several[str],
        *,
        chunks: Sequence[int] | None = None,
        target_dir: Path | str | Sequence[Path | str] | None = None,
        clobber: bool = False,
        return_md5: bool = False,
        headers: Mapping[str, str] | None = None,
        silent: bool = True,
    ) -> Any:
        """Download a file to a folder, under the last part of its address, and return its path.

        ``url`` is an http or https address, or a path below the data server. The token is sent to the Alyx server only, the
        data server's login to the data server only; other servers get neither.

        ``chunks``, a pair ``(first, n)``, downloads n bytes from the byte ``first`` (counted from 0), fewer if the file ends
        before. ``target_dir`` is the cache folder by default. An existing file of that name is returned as it is, unless
        ``clobber`` replaces it. ``return_md5`` returns ``(path, md5)``. ``headers`` are sent with the requests. ``silent`` is
        accepted for compatibility with ONE-api: nothing is shown.

        For several addresses, returns the list of paths, with ``return_md5`` a list of the tuple of paths and that of hashes;
        ``target_dir`` may be a list with a folder for each. A file appears whole or not at all; after a broken
        connection the download continues where it ended if the server confirms that its file is unchanged.

        Raises InputError for invalid arguments, UnsafePath for a name that cannot be a file's, ConfigurationError for a path
        without a data server, NotFound, LoginError, StatusError, ServerUnreachable, TransferError for disk errors.

        Examples:
            >>> url = await one.path2url(path)
            >>> file, md5 = await one.alyx.download_file(url, target_dir=folder, return_md5=True)
            >>> file.suffix, len(md5)
            ('.npy', 32)
        """
        await self._opened()
        await run_sync(import_module, "one_async.transfer.fetch")
        one = isinstance(url, str)
        urls = [self._file_url(value) for value in ([url] if one else as_list(url))]
        folders = self._folders(target_dir, len(urls), one)
        jobs = self._jobs(urls, folders, _window(chunks, headers), clobber)
        await run_all(self._fetch, [(root, items) for root, items in jobs.items()])
        paths = [folder / _name(address) for folder, address in zip(folders, urls, strict=True)]
        if not return_md5:
            return paths[0] if one else paths
        hashes = await run_sync(lambda: [_md5(path) for path in paths])
        return (paths[0], hashes[0]) if one else list(zip(*zip(paths, hashes, strict=True), strict=True))

    def _file_url(self, url: object) -> str:
        """Return the whole address of a file."""
        wanted = "http or https addresses of files, or paths below the data server"
        if not isinstance(url, str) or not url.strip("/"):
            raise InputError.of("url", url, wanted)
        if not url.startswith(("http://", "https://")):
            if "://" in url:
                raise InputError.of("url", url, wanted)
            if not self._data_server:
                raise ConfigurationError(f"the path {url!r} needs a data server: set ONE_DATA_SERVER")
            url = f"{self._data_server.rstrip('/')}/{url.strip('/')}"
        try:
            host, path = urlsplit(url, allow_fragments=False).hostname, _path(url)
        except ValueError:
            host, path = None, ""
        if not host or ".." in path.split("/"):
            raise InputError.of("url", url, wanted)
        return url

    def _folders(self, target_dir: Any, count: int, one: bool) -> list[Path]:
        """Return the folder of each file."""
        given = as_list(target_dir)
        if isinstance(target_dir, str | Path | None):
            given *= count
        wanted = "a folder" if one else f"a folder, or a list of {count}"
        if len(given) != count or not all(isinstance(folder, str | Path | None) for folder in given):
            raise InputError.of("target_dir", target_dir, wanted)
        return [Path(folder) if folder else self.cache_dir for folder in given]

    def _jobs(
        self, urls: list[str], folders: list[Path], window: Any, clobber: bool
    ) -> dict[Path, list[Item]]:
        """Return the files to fetch, by folder."""
        from one_async.transfer.items import Item
        from one_async.transfer.plan import web_source

        addresses: dict[Path, str] = {}
        jobs: dict[Path, list[Item]] = {}
        for url, folder in zip(urls, folders, strict=True):
            name = _name(url)
            if addresses.setdefault(folder / name, url) != url:
                raise InputError.of("url", url, f"addresses with different names: another one is {name}, too")
            source = web_source(url, self._data_server, self.base_url, window)
            jobs.setdefault(folder, []).append(Item(url, name, (source,), replace=clobber))
        return jobs

    async def _fetch(self, root: Path, items: list[Item]) -> None:
        from one_async.transfer.fetch import fetch
        from one_async.transfer.web import Credentials

        login = self._data_login
        credentials = Credentials((login[0], login[1].get_secret_value()) if login else None)
        await fetch(
            items,
            root=root,
            streams=self.wire,
            limit=FILES_AT_ONCE,
            credentials=credentials,
            observer=self._observer,
        )


def data_login_of(settings: Settings) -> tuple[str, SecretStr] | None:
    """Return the data server's login and password."""
    login, password = settings.data_server_login, settings.data_server_password
    return (login, password) if login and password else None


def _window(chunks: Any, headers: Any) -> Any:
    from one_async.transfer.items import Window

    if headers is not None and not (
        isinstance(headers, Mapping)
        and all(isinstance(text, str) for pair in headers.items() for text in pair)
    ):
        raise InputError("headers must be a mapping of names to texts", argument="headers")
    if chunks is None:
        return Window(headers=dict(headers or {}))
    pair = as_list(chunks)
    if len(pair) != 2 or isinstance(chunks, str):
        raise InputError.of("chunks", chunks, "a pair: the first byte, from 0, and the number of bytes")
    first, count = (whole_number("chunks", value) for value in pair)
    if not count:
        raise InputError.of("chunks", chunks, "at least one byte")
    return Window(first, count, dict(headers or {}))


def _path(url: str) -> str:
    return urlsplit(url, allow_fragments=False).path


def _name(url: str) -> str:
    """Return the name of an address's file. Raises UnsafePath if it could be another file's or folder's."""
    from one_async.transfer.on_disk import safe_relative

    name = _path(url).rpartition("/")[2]
    if not name or name.startswith("."):
        raise UnsafePath(f"{url} has no name that a file can have", path=name)
    return safe_relative(f"target_dir/{name}").rpartition("/")[2]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
