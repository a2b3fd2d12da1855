"""The destination of a harvest: a folder or an object store. All methods block; files are written atomically."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from one_async._addresses import without_login
from one_async.errors import ConfigurationError, FileDamaged, InputError, TransferError
from one_async.files.atomic import write_whole
from one_async.files.claim import try_claim
from one_async.harvest.lease import BucketLease, Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

TO = "a folder that can be written to, an address such as s3://bucket/prefix, or None for memory"
#: Values of AWS_ALLOW_HTTP that allow unencrypted connections.
YES = ("true", "1")
#: The size in bytes of the pieces in which files are read.
_PIECE = 1 << 20


class Storage(Protocol):
    """Files by relative name, with slashes. Errors of the storage are raised as TransferError."""

    options: dict[str, str] | None
    """The options that Polars needs, besides an address, to read files of this storage."""

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of the files in a folder; empty if there is no such folder."""

    def get(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is no such file."""

    def put(self, name: str, content: bytes, *, sure: bool = True) -> None:
        """Write or replace a file; with `sure`, sync it to disk so that it survives a power failure."""

    def put_file(self, name: str, source: Path) -> None:
        """Upload a local file, replacing an older one, without reading all of it into memory."""

    def md5(self, name: str) -> str | None:
        """Return the MD5 hash of a file; None if there is no such file."""

    def move(self, name: str, to: str) -> None:
        """Rename a file, replacing an older one."""

    def delete(self, name: str) -> None:
        """Delete a file if it exists."""

    def address(self, name: str) -> str:
        """Return the address of a file or folder for Polars."""

    def try_claim(self, name: str) -> Lease | None:
        """Acquire the lease on a name; return None while another process holds it."""


class FolderStorage:
    """A folder on this machine or on a shared file system, created if it does not exist."""

    options: dict[str, str] | None = None

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError.of("to", str(root), f"{TO} ({error.strerror or error})") from error

    def names(self, folder: str) -> list[str]:
        where = self._root / folder
        with self._translate_errors(folder):
            if not where.is_dir():
                return []
            return sorted(
                f"{folder}/{file.name}"
                for file in where.iterdir()
                if file.is_file() and file.suffix != ".tmp"
            )

    def get(self, name: str) -> bytes | None:
        with self._translate_errors(name):
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def put(self, name: str, content: bytes, *, sure: bool = True) -> None:
        self._write(name, io.BytesIO(content), sure)

    def put_file(self, name: str, source: Path) -> None:
        with self._translate_errors(name), source.open("rb") as stream:
            self._write(name, stream, True)

    def _write(self, name: str, content: BinaryIO, sure: bool) -> None:
        target = self._root / name
        with self._translate_errors(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, lambda file: shutil.copyfileobj(content, file, _PIECE), durable=sure)

    def md5(self, name: str) -> str | None:
        with self._translate_errors(name):
            try:
                with (self._root / name).open("rb") as stream:
                    return hashlib.file_digest(stream, "md5").hexdigest()
            except FileNotFoundError:
                return None

    def move(self, name: str, to: str) -> None:
        target = self._root / to
        with self._translate_errors(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            (self._root / name).replace(target)
        self._remove_empty_folders(self._root / name)

    def delete(self, name: str) -> None:
        path = self._root / name
        with self._translate_errors(name):
            path.unlink(missing_ok=True)
        self._remove_empty_folders(path)

    def _remove_empty_folders(self, path: Path) -> None:
        """Remove the parent folders that have become empty."""
        for folder in path.parents:
            if folder == self._root:
                break
            try:
                folder.rmdir()
            except OSError:
                break

    def address(self, name: str) -> str:
        return str(self._root / name)

    def try_claim(self, name: str) -> Lease | None:
        with self._translate_errors(name):
            return try_claim(self._root / name)

    def sweep(self, folder: str) -> None:
        """Remove temporary files left by a killed process."""
        where = self._root / folder
        for file in where.glob("*.tmp") if where.is_dir() else ():
            file.unlink(missing_ok=True)

    @contextmanager
    def _translate_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"{self.address(name)}: {error.strerror or error}"
            raise TransferError(text, path=self.address(name)) from error


class ObjectStorage:
    """An object store, by address: ``s3://bucket/prefix`` and others that obstore and Polars support."""

    def __init__(self, url: str, options: Mapping[str, str] | None) -> None:
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as error:
            raise ConfigurationError("object stores need obstore: pip install 'one-async[s3]'") from error
        self._url = url.rstrip("/")
        self.options = {**_from_environment(), **(options or {})} or None
        self._obstore: Any = obstore
        plain = {"allow_http": True} if (self.options or {}).get("aws_allow_http", "").lower() in YES else {}
        address = (self.options or {}).get("aws_endpoint_url", "")
        if address.startswith("http://") and not plain:
            raise ConfigurationError(
                f"connections to {without_login(address)} are not encrypted; set AWS_ALLOW_HTTP=true or the storage option "
                "aws_allow_http to allow that"
            )
        config = {k: v for k, v in (self.options or {}).items() if k != "aws_allow_http"}
        make: Any = from_url  # its overloads require literal option names
        try:
            self._store: Any = make(self._url, config=config, client_options=plain or None)
        except obstore.exceptions.UnknownConfigurationKeyError as error:
            accepted = f"options of the object store ({_first_line(error)})"
            raise InputError.of("storage_options", sorted(options or {}), accepted) from error
        except (obstore.exceptions.BaseError, ValueError, TypeError) as error:
            raise InputError.of("to", without_login(url), f"{TO} ({_first_line(error)})") from None
        self._leases: dict[str, BucketLease] = {}

    def names(self, folder: str) -> list[str]:
        with self._translate_errors(folder):
            listed = self._obstore.list_with_delimiter(self._store, folder)
        return sorted(str(entry["path"]) for entry in listed["objects"])

    def get(self, name: str) -> bytes | None:
        found = self.get_with_tag(name)
        return None if found is None else found[0]

    def get_with_tag(self, name: str) -> tuple[bytes, str] | None:
        """Return an object and its ETag; None if there is no such object."""
        with self._translate_errors(name):
            try:
                found = self._obstore.get(self._store, name)
                return bytes(found.bytes()), str(found.meta["e_tag"])
            except (FileNotFoundError, self._obstore.exceptions.NotFoundError):
                return None

    def put(self, name: str, content: bytes, *, sure: bool = True) -> None:
        with self._translate_errors(name):
            self._obstore.put(self._store, name, content)

    def put_file(self, name: str, source: Path) -> None:
        with self._translate_errors(name), source.open("rb") as stream:
            self._obstore.put(self._store, name, stream)

    def md5(self, name: str) -> str | None:
        with self._translate_errors(name):
            try:
                found = self._obstore.get(self._store, name)
                digest = hashlib.md5(usedforsecurity=False)
                for piece in found.stream(min_chunk_size=_PIECE):
                    digest.update(piece)
                return digest.hexdigest()
            except (FileNotFoundError, self._obstore.exceptions.NotFoundError):
                return None

    def put_if(self, name: str, content: bytes, tag: str | None) -> bool:
        """Write an object if its ETag is `tag` (None: if it does not exist); return whether it was written."""
        errors = self._obstore.exceptions
        with self._translate_errors(name):
            try:
                mode = "create" if tag is None else {"e_tag": tag}
                self._obstore.put(self._store, name, content, mode=mode)
            except (errors.AlreadyExistsError, errors.PreconditionError, errors.NotFoundError):
                return False
            return True

    def move(self, name: str, to: str) -> None:
        with self._translate_errors(name):
            self._obstore.copy(self._store, name, to)
            self._obstore.delete(self._store, name)

    def delete(self, name: str) -> None:
        if self.get(name) is not None:
            with self._translate_errors(name):
                self._obstore.delete(self._store, name)

    def address(self, name: str) -> str:
        return f"{self._url}/{name}"

    def try_claim(self, name: str) -> Lease | None:
        lease = self._leases.setdefault(name, BucketLease(self, name))
        if not lease.try_acquire():
            return None
        return self._leases.pop(name)

    @contextmanager
    def _translate_errors(self, name: str) -> Iterator[None]:
        """Raise errors of the object store as TransferError."""
        shown = shown_address(self, name)
        try:
            yield
        except FileNotFoundError:
            raise TransferError(f"{shown}: the bucket does not exist", url=shown) from None
        except (self._obstore.exceptions.BaseError, OSError) as error:
            raise TransferError(f"{shown}: {_first_line(error)}", url=shown) from error


def _first_line(error: Exception) -> str:
    # Errors of obstore contain the address.
    return re.sub(r"://[^\s/?#]*@", "://…@", str(error).partition("\n")[0])


def _from_environment() -> dict[str, str]:
    """Return the options from AWS environment variables; obstore and Polars find credentials themselves."""
    names = {
        "AWS_ENDPOINT_URL": "aws_endpoint_url",
        "AWS_ALLOW_HTTP": "aws_allow_http",
        "AWS_REGION": "aws_region",
    }
    return {option: os.environ[name] for name, option in names.items() if os.environ.get(name)}


def s3_options(
    to: str | os.PathLike[str] | None, options: Mapping[str, str] | None, endpoint: str | None
) -> dict[str, str] | None:
    """Return the options of a storage, with the configured S3 endpoint unless the options contain one."""
    if not isinstance(options or {}, Mapping):
        raise InputError.of("storage_options", "…", "a dictionary of texts")
    given = dict(options or {})
    named = any("endpoint" in name.lower() for name in given)
    if endpoint is None or named or not (isinstance(to, str) and to.startswith("s3://")):
        return given or None
    plain = {"aws_allow_http": "true"} if endpoint.startswith("http://") else {}
    return {"aws_endpoint_url": endpoint, **plain, **given}


def storage_of(to: str | os.PathLike[str], options: Mapping[str, str] | None) -> Storage:
    """Return the storage for ``to``: a folder, or an address with ``://``. Raise InputError for anything else."""
    folder = folder_of(to)
    return ObjectStorage(os.fspath(to), options) if folder is None else FolderStorage(folder)


def folder_of(to: str | os.PathLike[str]) -> Path | None:
    """Return the folder that ``to`` means; None for an address. Raise InputError for anything else."""
    text = os.fspath(to) if isinstance(to, str | os.PathLike) else ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError.of("to", to, TO)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    return None if "://" in text else Path(text).expanduser().absolute()


def shown_address(storage: Storage, name: str) -> str:
    """Return the address of a file or folder for messages, without user name and password."""
    return str(without_login(storage.address(name)))


def read(storage: Storage, name: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the rows of a part. Raise FileDamaged if it is missing or not Parquet with these columns."""
    import polars as pl

    content = storage.get(name)
    try:
        if content is None:
            raise FileNotFoundError("no such file")
        return pl.read_parquet(io.BytesIO(content), columns=None if columns is None else list(columns))
    except (pl.exceptions.PolarsError, OSError) as error:
        shown = shown_address(storage, name)
        raise FileDamaged(f"{shown}: {_first_line(error)}", path=shown) from error
