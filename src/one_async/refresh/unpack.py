"""Unpack the tables of a server's archive without trusting its central directory."""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

from one_async.errors import TablesDamaged, UnsafePath

__all__ = ["LARGEST", "unpack"]

#: The largest size in bytes of an archive and of all its tables; IBL's tables, the largest known, have about 0.3 GB.
LARGEST = 1 << 33
#: The largest compression ratio of a member above _SMALL_MEMBER bytes; Parquet is already compressed and shrinks little.
_MAX_RATIO = 100
_SMALL_MEMBER = 64 << 20
_MAX_MEMBERS = 100
#: The methods that Alyx uses. LZMA uses as much memory as the archive demands, and bzip2 is slow.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK = 1 << 20
_WANTED = re.compile(r"[A-Za-z]\w{0,60}\.(pqt|json)", re.ASCII)
_NEEDED = ("sessions.pqt", "datasets.pqt")
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    struct.error,
    ValueError,
    RuntimeError,
    NotImplementedError,
)


def unpack(archive: Path, into: Path) -> list[Path]:
    """Write the tables (``*.pqt``) and the JSON files of an archive into a folder; skip other members; blocking.

    Besides ``cache_info.json``, an archive may contain JSON files such as ``QC.json``, which users read themselves.

    Raises UnsafePath if the name of any member is a path, TablesDamaged if the archive is truncated, damaged, inconsistent
    with its directory, too large, or lacks one of the two tables.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened, archive.stat().st_size)
            made = []
            for member in members:
                made.append(into / member.filename)
                with _open_member(opened, member) as source, made[-1].open("xb") as target:
                    _copy(source, target, member)
                    target.flush()
                    os.fsync(target.fileno())
    except _BROKEN as error:
        raise TablesDamaged(f"the server's archive of tables cannot be unpacked: {error}") from error
    return made


def _open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """Open a member. An offset before the start of the file means a damaged archive, not a disk error."""
    try:
        return archive.open(member)
    except OSError as error:
        raise zipfile.BadZipFile(f"{member.filename} is not at its offset in the directory") from error


def _members(archive: zipfile.ZipFile, size: int) -> list[zipfile.ZipInfo]:
    """Return the members to unpack, after validating the whole directory."""
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise TablesDamaged(f"the server's archive of tables has {len(members)} members")
    for member in members:
        if member.header_offset < 0:  # zipfile computes it from a wrong position of the directory
            raise TablesDamaged("the server's archive of tables has a member with a negative offset")
        _check_name(member.orig_filename)
        _check_name(member.filename)
    wanted = [m for m in members if _WANTED.fullmatch(m.filename)]
    names = [member.filename for member in wanted]
    if len({name.casefold() for name in names}) < len(names):
        raise TablesDamaged("the server's archive has two files with the same name")
    if missing := [name for name in _NEEDED if name not in names]:
        raise TablesDamaged(f"the server's archive of tables lacks {' and '.join(missing)}")
    if sum(member.file_size for member in wanted) > LARGEST:
        raise TablesDamaged(f"the server's tables would take more than {LARGEST >> 30} GiB")
    if sum(member.compress_size for member in wanted) > size:
        raise TablesDamaged("members of the server's archive overlap")
    for member in wanted:
        if member.compress_type not in _METHODS:
            method = member.compress_type
            raise TablesDamaged(
                f"{member.filename} in the server's archive is compressed with unsupported method {method}"
            )
        if member.file_size > max(_SMALL_MEMBER, _MAX_RATIO * member.compress_size):
            raise TablesDamaged(
                f"{member.filename} in the server's archive has an implausible compression ratio"
            )
    return wanted


def _check_name(name: str) -> None:
    if not name or "/" in name or "\\" in name or ":" in name or "\0" in name or name in (".", ".."):
        raise UnsafePath(
            f"the server's archive of tables has a member named {name!r}; nothing was unpacked", path=name
        )


def _copy(source: IO[bytes], target: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Copy a member's bytes; zipfile stops at the size in the directory and then verifies the checksum."""
    written = 0
    while block := source.read(_BLOCK):
        written += len(block)
        target.write(block)
    if written != member.file_size:
        raise TablesDamaged(
            f"{member.filename} in the server's archive has {written} of {member.file_size} bytes"
        )
