"""Ids of sessions from their names: names that contain the id are parsed, all others are looked up together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from one_async import ids
from one_async._threads import run_many, run_polars
from one_async.alf.session_paths import SessionKey, key_frame
from one_async.errors import ALFMultipleObjectsFound, ALFObjectNotFound, InputError, TablesNotFound
from one_async.tables.ids import as_uuid

if TYPE_CHECKING:
    import polars as pl

    from one_async.client.call import Call

T = TypeVar("T")
#: Up to this many paths, parsing each in Python is faster than parsing all in Polars.
FEW_PATHS = 200
#: Up to this many sessions, a look-up takes less time than starting a thread.
FEW_SESSIONS = 8


async def path_ids(call: Call, values: Iterable[object]) -> set[object]:
    """Return the values that are ids of tables whose ids are paths, which earlier versions of `tables build` made."""
    texts = [value for value in values if type(value) is str and "/" in value]
    if not texts or not call.is_local:
        return set()
    try:
        tables = await call.catalogue()
    except TablesNotFound:
        return set()

    def look() -> set[object]:
        if not tables.has_paths_for_ids:
            return set()
        return {text for text in texts if tables.session_row(text) is not None}

    return await run_polars(look, few=len(texts) <= FEW_SESSIONS)


async def eids_of(call: Call, values: list[Any], argument: str) -> list[UUID | None]:
    own, root = await path_ids(call, values), ids.odd_root(call.context.cache_dir)

    def parse_paths() -> pl.DataFrame | None:
        frame = ids.path_keys(values, root)
        return None if frame["subject"].has_nulls() else frame.drop("rel_path")

    if (
        len(values) > FEW_PATHS
        and not own
        and all(issubclass(kind, str | PurePath) for kind in set(map(type, values)))
    ):
        frame = await run_polars(parse_paths)
        if frame is not None:  # all are paths
            return await look_up(call, lambda: frame)

    def parse() -> list[Any]:
        return [
            value
            if value is None or (type(value) is str and value in own)
            else ids.parse_session(value, argument, root)
            for value in values
        ]

    parsed = await run_many(len(values), parse)
    keys = [name for name in parsed if isinstance(name, SessionKey)]
    if not keys:  # nothing to look up, so neither tables nor a database are needed
        return parsed
    found = iter(await look_up(call, lambda: key_frame(keys)))
    return [next(found) if isinstance(name, SessionKey) else name for name in parsed]


async def look_up(call: Call, keys: Callable[[], pl.DataFrame]) -> list[UUID | None]:
    """Return the eid of each session, None for unknown ones."""

    def eids(keys: pl.DataFrame, found: pl.DataFrame) -> list[UUID | None]:
        return placed(len(keys), found["key"], map(as_uuid, found["eid"]))

    return await find(call, keys, eids)


async def find(
    call: Call, keys: Callable[[], pl.DataFrame], use: Callable[[pl.DataFrame, pl.DataFrame], T]
) -> T:
    """Call ``use`` with the sessions that have these keys. Raises ALFMultipleObjectsFound if a key fits two sessions."""

    def check(keys: pl.DataFrame, found: pl.DataFrame) -> T:
        if not found["key"].is_unique().all():
            twice = found["key"].value_counts(sort=True)["key"][0]
            said = [
                f"{row['eid']} of {row['lab'] or 'no lab'}"
                for row in found.filter(found["key"] == twice).head(5).iter_rows(named=True)
            ]
            raise ALFMultipleObjectsFound(
                f"{ids.dict2ref(keys.row(twice, named=True))} names several sessions, {' and '.join(said)}; "
                "use the eid, or a path with the lab"
            )
        return use(keys, found)

    return await (await call.source()).find_sessions(keys, check)


@contextmanager
def naming_eid_first(eid: Any) -> Iterator[None]:
    """Raise the InputError of an eid in place of that of a later argument, as if they are given in the wrong order."""
    try:
        yield
    except InputError:
        for value in ids.flatten(eid)[0]:
            if value is not None and "/" not in str(value):  # a path may be the id of a session of the tables
                ids.parse_session(value, "eid")
        raise


async def known_eids(call: Call, eid: Any) -> tuple[list[str], ids.Rebuild]:
    """Return eids as texts, and a function that puts results into the shape of the input."""
    values, rebuild = ids.flatten(eid)
    eids = []
    for value, known in zip(values, await eid_texts(call, values), strict=True):
        if known is None:
            raise ALFObjectNotFound(f"there is no session with the name {value!r}", eid=value)
        eids.append(known)
    return eids, rebuild


async def eid_texts(call: Call, values: list[Any], argument: str = "eid") -> list[str | None]:
    """Return the eid of each name of a session as text, None for unknown sessions. Ids are not looked up."""
    eids = await run_many(len(values), ids.eid_texts, values)
    if None in eids:
        others = [value for value, eid in zip(values, eids, strict=True) if eid is None]
        found = iter(await eids_of(call, others, argument))
        eids = [eid or (str(other) if (other := next(found)) else None) for eid in eids]
    return eids


def placed(size: int, places: Iterable[int], values: Iterable[T]) -> list[T | None]:
    """Put values into their places in a list."""
    items: list[T | None] = [None] * size
    for at, value in zip(places, values, strict=True):
        items[at] = value
    return items
