"""Take the tables out of a server's archive without believing what it says of itself."""

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

#: Bytes of an archive, and of all tables together; the tables of IBL, the largest known, have some 0.3 GB.
LARGEST = 1 << 33
#: Parquet is compressed already, so it shrinks little: what grows more than this is no honest table…
_RATIO = 100
#: …unless it is small.
_HARMLESS = 64 << 20
_MEMBERS = 100
#: Alyx uses these. LZMA takes as much memory as the archive says, and bzip2 more time than tables are worth.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK = 1 << 20
_TABLE = re.compile(r"[A-Za-z]\w{0,60}\.pqt", re.ASCII)
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
    """Write the tables (``*.pqt``) and ``cache_info.json`` of an archive into a folder; other members are left out.

    Blocks, so it is for threads. Raises UnsafePath if any member has a path for a name, TablesDamaged if the archive is
    cut short, damaged, not what its directory says, too large, or without the two tables.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened, archive.stat().st_size)
            made = []
            for member in members:
                made.append(into / member.filename)
                with opened.open(member) as source, made[-1].open("xb") as target:
                    _copy(source, target, member)
                    target.flush()
                    os.fsync(target.fileno())
    except _BROKEN as error:
        raise TablesDamaged(f"the server's archive of tables cannot be unpacked: {error}") from error
    return made


def _members(archive: zipfile.ZipFile, size: int) -> list[zipfile.ZipInfo]:
    """Choose what to take, after looking at all of it."""
    members = archive.infolist()
    if len(members) > _MEMBERS:
        raise TablesDamaged(f"the server's archive of tables has {len(members)} members")
    for member in members:
        _check_name(member.orig_filename)
        _check_name(member.filename)
    wanted = [m for m in members if m.filename == "cache_info.json" or _TABLE.fullmatch(m.filename)]
    names = [member.filename for member in wanted]
    if len({name.casefold() for name in names}) < len(names):
        raise TablesDamaged("the server's archive has two tables of one name")
    if missing := [name for name in _NEEDED if name not in names]:
        raise TablesDamaged(f"the server's archive of tables lacks {' and '.join(missing)}")
    if sum(member.file_size for member in wanted) > LARGEST:
        raise TablesDamaged(f"the server's tables would need more than {LARGEST >> 30} GiB")
    if sum(member.compress_size for member in wanted) > size:
        raise TablesDamaged("members of the server's archive overlap")
    for member in wanted:
        if member.compress_type not in _METHODS:
            method = member.compress_type
            raise TablesDamaged(f"{member.filename} in the server's archive is compressed by method {method}")
        if member.file_size > max(_HARMLESS, _RATIO * member.compress_size):
            raise TablesDamaged(f"{member.filename} in the server's archive would grow beyond reason")
    return wanted


def _check_name(name: str) -> None:
    if not name or "/" in name or "\\" in name or ":" in name or "\0" in name or name in (".", ".."):
        raise UnsafePath(
            f"the server's archive of tables wants to write to {name!r}; nothing was unpacked", path=name
        )


def _copy(source: IO[bytes], target: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Copy a member's bytes; zipfile ends at the size it was told and then compares the checksum."""
    written = 0
    while block := source.read(_BLOCK):
        written += len(block)
        target.write(block)
    if written != member.file_size:
        raise TablesDamaged(
            f"{member.filename} in the server's archive has {written} of {member.file_size} bytes"
        )
