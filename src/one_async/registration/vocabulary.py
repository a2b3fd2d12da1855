"""The names that a database has: dataset types, data formats, subjects, labs, users and others."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from one_async._boundary import reading
from one_async._concurrency import SingleFlight, run_all
from one_async._threads import run_many
from one_async.alf.parts import filename_parts
from one_async.errors import ALFInvalid, InputError
from one_async.registration.local import LocalFile

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient

__all__ = ["KEYS", "Vocabulary", "get_dataset_type"]

Row = dict[str, Any]
#: The field of each endpoint that identifies a record by name.
KEYS: Mapping[str, str] = {
    "subjects": "nickname",
    "users": "username",
    **dict.fromkeys(
        ("labs", "projects", "procedures", "locations", "data-repository", "water-type", "tags"), "name"
    ),
}


@lru_cache(maxsize=1000)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text.casefold()))


def _object_attribute(name: str) -> str | None:
    try:
        parts = filename_parts(name, as_dict=True)
    except ALFInvalid:
        return None
    return f"{parts['object']}.{parts['attribute']}"


def _types_of(name: str, types: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the dataset types that match a file name: by pattern, ignoring case, or by name if they have no pattern."""
    folded, own = name.casefold(), _object_attribute(name)
    found = []
    for one in types:
        pattern = (one.get("filename_pattern") or "").strip()
        if _pattern(pattern).match(folded) if pattern else one["name"] == own:
            found.append(one)
    return found


def get_dataset_type(filename: str | PurePath, dtypes: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the only one of some dataset types that matches a file name.

    ``dtypes`` are rows of ``/dataset-types``. A type matches file names by its ``filename_pattern``, ignoring case; a type
    without a pattern matches if the file's object and attribute are its name. Raises InputError, a ValueError, if no type
    or several types match.

    Examples:
        >>> from one_async.registration import get_dataset_type
        >>> types = one.alyx.rest("dataset-types", "list")
        >>> get_dataset_type("_ibl_wheel.position.npy", types)["name"]
        'wheel.position'
    """
    types = list(dtypes)
    found = _types_of(PurePath(filename).name, types)
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError.of(
            "filename", str(filename), "names that match a dataset type; this one matches none"
        )
    names = ", ".join(sorted(str(one["name"]) for one in found))
    raise InputError.of(
        "filename", str(filename), f"names that match one dataset type; this one matches {names}"
    )


class Vocabulary:
    """The lists of names of one database, each requested at most twice: from the cache, and afresh if a name is missing."""

    def __init__(self, alyx: AsyncAlyxClient) -> None:
        self._alyx = alyx
        self._lists: dict[tuple[str, bool], list[Row]] = {}
        self._flight: SingleFlight[list[Row]] = SingleFlight()

    async def rows(self, address: str, fresh: bool = False) -> list[Row]:
        """Return all rows of a list, bypassing the cache if ``fresh``."""
        key = (address, fresh)
        if key not in self._lists:

            async def fetch() -> list[Row]:
                answer = await self._alyx.get(f"/{address}", clobber=fresh)
                with reading(f"/{address}"):
                    self._lists[key] = self._lists[address, False] = [dict(row) for row in answer]
                return self._lists[key]

            return await self._flight.share(key, fetch)
        return self._lists[key]

    async def _read(self, address: str, fresh: bool) -> None:
        await self.rows(address, fresh)

    async def find(self, endpoint: str, names: Iterable[str]) -> dict[str, Row]:
        """Return the records of an endpoint with these names, by name."""
        wanted, key = set(names), KEYS[endpoint]
        found: dict[str, Row] = {}
        for fresh in (False, True):
            addresses = (
                [f"subjects?{urlencode({key: name})}" for name in sorted(wanted - found.keys())]
                if endpoint == "subjects"
                else [endpoint]
            )

            async def collect(address: str, fresh: bool = fresh) -> None:
                for row in await self.rows(address, fresh):
                    if row.get(key) in wanted:
                        found[row[key]] = row

            await run_all(collect, [(address,) for address in addresses])
            if not wanted - found.keys():
                break
        return found

    async def set_types(self, files: Sequence[LocalFile]) -> None:
        """Set the dataset types of files, and refuse files with no type, several types or an unknown extension.

        Alyx would register a list of files one by one until such a file ends the request with an error.
        """
        pending = [file for file in files if not file.is_refused]
        for fresh in (False, True):
            await run_all(self._read, [(endpoint, fresh) for endpoint in ("dataset-types", "data-formats")])
            types, formats = self._lists["dataset-types", fresh], self._lists["data-formats", fresh]
            with reading("/dataset-types"):
                problems = await run_many(len(pending), _set_types, pending, types, formats)
            if not problems:
                return
            pending = [file for file, _, _ in problems]
        for file, status, reason in problems:
            file.refuse(status, reason)


def _set_types(
    files: Sequence[LocalFile], types: Sequence[Row], formats: Sequence[Row]
) -> list[tuple[Any, Any, str]]:
    extensions: defaultdict[str, list[str]] = defaultdict(list)
    for one in formats:
        extensions[one.get("file_extension") or ""].append(str(one["name"]))
    problems = []
    for file in files:
        found = sorted(str(one["name"]) for one in _types_of(file.name, types))
        suffix = PurePath(file.name).suffix
        kinds = extensions[suffix]
        if not found:
            problems.append((file, "no type", "no dataset type matches the name"))
        elif len(found) > 1:
            problems.append(
                (file, "ambiguous type", f"the name matches the dataset types {', '.join(found)}")
            )
        elif len(kinds) != 1:
            status = "ambiguous type" if kinds else "no type"
            owners = f"several data formats: {', '.join(sorted(kinds))}" if kinds else "no data format"
            problems.append((file, status, f"{suffix} is the extension of {owners}"))
        if found:
            file.dataset_type = found[0] if len(found) == 1 else None
    return problems
