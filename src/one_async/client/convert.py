"""Identifiers: eid, path, reference, URL and pid, each into each, one or many at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload
from uuid import UUID

from .. import ids
from .._threads import run_many, run_polars
from ..alf.path import ALFPath
from ..alf.session import SessionKey, key_frame, session_folder, session_folders
from ..errors import ALFMultipleObjectsFound, ALFObjectNotFound, ALFWarning, InputError
from ..tables.ids import as_uuid
from .core import Core, one_answer

if TYPE_CHECKING:
    import polars as pl

    from ..types import Mode, PathOrUrl, Reference, ReferenceLike, ReferenceText, SessionLike, Several

T = TypeVar("T")
#: Fewer paths are read one by one in less time.
FEW = 200
#: A row of keys for a path that names no session.
NO_KEY: Any = (None,) * len(SessionKey._fields)


if TYPE_CHECKING:

    class Static(Generic[T]):
        """`staticmethod`, whose types lose a function's overloads."""

        def __init__(self, function: T) -> None: ...
        def __get__(self, instance: object, owner: type) -> T: ...
else:
    Static = staticmethod


class Converting(Core):
    """The methods that turn one name of a session, insertion or file into another."""

    is_exp_ref = Static(ids.is_exp_ref)
    ref2dict = Static(ids.ref2dict)
    dict2ref = Static(ids.dict2ref)
    path2ref = Static(ids.path2ref)

    @overload
    async def to_eid(
        self, id: SessionLike, cache_dir: object = None, query_type: Mode | None = None
    ) -> UUID | None: ...
    @overload
    async def to_eid(
        self, id: Several[SessionLike | None], cache_dir: object = None, query_type: Mode | None = None
    ) -> list[UUID | None]: ...
    @overload
    async def to_eid(
        self, id: None = None, cache_dir: object = None, query_type: Mode | None = None
    ) -> None: ...
    async def to_eid(
        self,
        id: SessionLike | Several[SessionLike | None] | None = None,
        cache_dir: object = None,
        query_type: Mode | None = None,
    ) -> UUID | list[UUID | None] | None:
        """Give the eid of whatever names a session; of a list or nested list, the same shape of eids.

        Accepts UUIDs, their texts, session paths and URLs, references, records (with subject, date and number).
        Names that hold the eid are read, the others looked up, all of them together. A session that is not known gives
        None. `cache_dir` is accepted for ONE-api's sake and not needed.

        Raises InputError for what is none of these, ALFMultipleObjectsFound where two sessions have one name.
        """
        values, rebuild = ids.flatten(id)
        return rebuild(await self._eids_of(values, query_type, "id"))

    async def _eids_of(self, values: list[Any], query_type: Mode | None, argument: str) -> list[UUID | None]:
        own, root = await self._path_ids(values, query_type), ids.odd_root(self.cache_dir)

        def parse_paths() -> pl.DataFrame | None:
            frame = ids.path_keys(values, root)
            return None if frame["subject"].has_nulls() else frame.drop("rel_path")

        if (
            len(values) > FEW
            and not own
            and all(issubclass(kind, str | PurePath) for kind in set(map(type, values)))
        ):
            frame = await run_polars(parse_paths)
            if frame is not None:  # all are paths
                return await self._look_up(lambda: frame, query_type)

        def parse() -> list[Any]:
            return [
                value
                if value is None or (type(value) is str and value in own)
                else ids.parse_session(value, argument, root)
                for value in values
            ]

        parsed = await run_many(len(values), parse)
        keys = [name for name in parsed if isinstance(name, SessionKey)]
        if not keys:  # nothing to ask, so neither tables nor a database are needed
            return parsed
        found = iter(await self._look_up(lambda: key_frame(keys), query_type))
        return [next(found) if isinstance(name, SessionKey) else name for name in parsed]

    async def _look_up(self, keys: Callable[[], pl.DataFrame], query_type: Mode | None) -> list[UUID | None]:
        """Give the eid of each session, None for one that is not known."""

        def eids(keys: pl.DataFrame, found: pl.DataFrame) -> list[UUID | None]:
            return _placed(len(keys), found["key"], map(as_uuid, found["eid"]))

        return await self._find(keys, eids, query_type)

    async def _find(
        self,
        keys: Callable[[], pl.DataFrame],
        use: Callable[[pl.DataFrame, pl.DataFrame], T],
        query_type: Mode | None,
    ) -> T:
        """Use the sessions that have these keys. Raise ALFMultipleObjectsFound where a key fits two sessions."""

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

        return await (await self._source(query_type)).find_sessions(keys, check)

    async def _known_eids(self, eid: Any, query_type: Mode | None) -> tuple[list[str], ids.Rebuild]:
        """Give eids as texts, and the function that puts results into the shape that was given."""
        values, rebuild = ids.flatten(eid)
        eids = []
        for value, known in zip(values, await self._eid_texts(values, query_type), strict=True):
            if known is None:
                raise ALFObjectNotFound(f"no session is known by the name {value!r}", eid=value)
            eids.append(known)
        return eids, rebuild

    async def _eid_texts(
        self, values: list[Any], query_type: Mode | None, argument: str = "eid"
    ) -> list[str | None]:
        """Give the eids of names of sessions as texts, None for those that are not known; ids themselves stay."""
        eids = await run_many(len(values), ids.eid_texts, values)
        if None in eids:
            others = [value for value, eid in zip(values, eids, strict=True) if eid is None]
            found = iter(await self._eids_of(others, query_type, argument))
            eids = [eid or (str(other) if (other := next(found)) else None) for eid in eids]
        return eids

    @overload
    async def eid2path(self, eid: SessionLike, query_type: Mode | None = None) -> ALFPath | None: ...
    @overload
    async def eid2path(
        self, eid: Several[SessionLike | None], query_type: Mode | None = None
    ) -> list[ALFPath | None]: ...
    @one_answer
    async def eid2path(
        self, eid: SessionLike | Several[SessionLike | None], query_type: Mode | None = None
    ) -> ALFPath | list[ALFPath | None] | None:
        """Return the local path of a session, ``CACHE_DIR/lab/Subjects/subject/yyyy-mm-dd/nnn``, whether or not it exists.

        Takes whatever names a session. Of a list, a list; None for a session that is not known, and, with a warning that names
        it, for one whose lab or subject cannot be the name of a folder.
        """
        values, rebuild = ids.flatten(eid)
        eids = await self._eid_texts(values, query_type)
        source = await self._source(query_type)
        paths = await source.paths(list(dict.fromkeys(filter(None, eids))), ALFPath(self.cache_dir))
        return rebuild([paths.get(one) if one else None for one in eids])

    @overload
    async def path2eid(self, path_obj: PathOrUrl, query_type: Mode | None = None) -> UUID | None: ...
    @overload
    async def path2eid(
        self, path_obj: Several[PathOrUrl], query_type: Mode | None = None
    ) -> list[UUID | None]: ...
    async def path2eid(
        self, path_obj: PathOrUrl | Several[PathOrUrl], query_type: Mode | None = None
    ) -> UUID | list[UUID | None] | None:
        """Return the eid of the session that a path or URL lies in; None if there is none. Of a list, a list.

        A lab in the path must be the session's own. Raises ALFMultipleObjectsFound, naming the sessions, for a path without a lab
        that names sessions of several labs.
        """
        values, rebuild = ids.flatten(path_obj)
        for value in values:
            if not isinstance(value, str | PurePath):
                raise InputError.of("path_obj", value, "a path")
        root = ids.odd_root(self.cache_dir)

        def parse() -> tuple[pl.DataFrame, list[bool]]:
            if len(values) <= FEW:
                keys = key_frame([key or NO_KEY for key in (ids.path_key(value, root) for value in values)])
            else:
                keys = ids.path_keys(values, root).drop("rel_path")
            named = keys["subject"].is_not_null()
            return keys.filter(named), named.to_list()

        keys, named = await run_polars(parse, few=len(values) <= FEW)
        found = iter(await self._look_up(lambda: keys, query_type) if any(named) else ())
        return rebuild([next(found) if one else None for one in named])

    @overload
    async def eid2ref(
        self,
        eid: SessionLike,
        as_dict: Literal[True] = True,
        parse: Literal[True] = True,
        query_type: Mode | None = None,
    ) -> Reference: ...
    @overload
    async def eid2ref(
        self,
        eid: SessionLike,
        as_dict: Literal[True] = True,
        *,
        parse: Literal[False],
        query_type: Mode | None = None,
    ) -> ReferenceText: ...
    @overload
    async def eid2ref(
        self, eid: SessionLike, as_dict: Literal[False], parse: bool = True, query_type: Mode | None = None
    ) -> str | None: ...
    @overload
    async def eid2ref(
        self,
        eid: Several[SessionLike],
        as_dict: Literal[True] = True,
        parse: Literal[True] = True,
        query_type: Mode | None = None,
    ) -> list[Reference]: ...
    @overload
    async def eid2ref(
        self,
        eid: Several[SessionLike],
        as_dict: Literal[True] = True,
        *,
        parse: Literal[False],
        query_type: Mode | None = None,
    ) -> list[ReferenceText]: ...
    @overload
    async def eid2ref(
        self,
        eid: Several[SessionLike],
        as_dict: Literal[False],
        parse: bool = True,
        query_type: Mode | None = None,
    ) -> list[str | None]: ...
    @one_answer
    async def eid2ref(
        self,
        eid: SessionLike | Several[SessionLike],
        as_dict: bool = True,
        parse: bool = True,
        query_type: Mode | None = None,
    ) -> object:
        """Give the reference of a session: ``{'subject', 'date', 'sequence'}``, or text with ``as_dict=False``.

        With ``parse=False`` date and sequence are texts, the sequence of three digits. Of a list, a list.
        What the session lacks is None. No text can name a session without subject, date or number: None, with a
        warning that names it. Raises ALFObjectNotFound for a session that is not known.
        """
        eids, rebuild = await self._known_eids(eid, query_type)
        source = await self._source(query_type)
        unique = list(dict.fromkeys(eids))
        rows = await source.sessions(
            unique, lambda frame: {row["eid"]: row for row in frame.iter_rows(named=True)}
        )
        if missing := [one for one in eids if one not in rows]:
            raise ALFObjectNotFound(f"no session has the id {missing[0]}", eid=missing[0])
        return rebuild([_reference(rows[one], as_dict, parse) for one in eids])

    @overload
    async def ref2eid(self, ref: ReferenceLike, query_type: Mode | None = None) -> UUID: ...
    @overload
    async def ref2eid(self, ref: Several[ReferenceLike], query_type: Mode | None = None) -> list[UUID]: ...
    async def ref2eid(
        self, ref: ReferenceLike | Several[ReferenceLike], query_type: Mode | None = None
    ) -> UUID | list[UUID]:
        """Give the eid of the session that a reference names; of a list, a list.

        Raises InputError for what is no reference, ALFObjectNotFound where no session has it.
        """
        values, rebuild = ids.flatten(ref)
        keys = await run_polars(ids.ref_keys, values)  # refuses what is no reference before any request
        found = await self._look_up(lambda: keys, query_type) if values else []
        return rebuild(_all_known(found, values))

    @overload
    async def ref2path(self, ref: ReferenceLike, query_type: Mode | None = None) -> ALFPath: ...
    @overload
    async def ref2path(
        self, ref: Several[ReferenceLike], query_type: Mode | None = None
    ) -> list[ALFPath]: ...
    async def ref2path(
        self, ref: ReferenceLike | Several[ReferenceLike], query_type: Mode | None = None
    ) -> ALFPath | list[ALFPath]:
        """Give the local path of the session that a reference names; of a list, a list.

        Raises InputError for what is no reference, ALFObjectNotFound where no session has it.
        """
        values, rebuild = ids.flatten(ref)
        keys = await run_polars(ids.ref_keys, values)  # refuses what is no reference before any request
        root = ALFPath(self.cache_dir)

        def paths(keys: pl.DataFrame, found: pl.DataFrame) -> list[ALFPath | None]:
            folders = session_folders(found)
            if folders.has_nulls():
                row = found.row(folders.is_null().arg_true()[0], named=True)
                session_folder(row)  # raises, naming the session
            return _placed(len(keys), found["key"], (root / folder for folder in folders))

        found = await self._find(lambda: keys, paths, query_type) if values else []
        return rebuild(_all_known(found, values))


def _placed(size: int, places: Iterable[int], values: Iterable[T]) -> list[T | None]:
    """Put values into their places in a list."""
    placed: list[T | None] = [None] * size
    for at, value in zip(places, values, strict=True):
        placed[at] = value
    return placed


def _all_known(found: list[T | None], refs: list[Any]) -> list[T]:
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        unknown = refs[found.index(None)]
        raise ALFObjectNotFound(f"no session has the reference {unknown!r}", ref=unknown)
    return known


def _reference(row: Mapping[str, Any], as_dict: bool, parse: bool) -> Any:
    ref: dict[str, Any] = {"subject": row["subject"], "date": row["date"], "sequence": row["number"]}
    if not as_dict and None in ref.values():
        text = f"the session {row['eid']} has no reference, since it lacks a subject, date or number: {ref!r:.300}"
        warnings.warn(text, ALFWarning, stacklevel=3)
        return None
    if not parse:
        day, number = row["date"], row["number"]
        ref |= {
            "date": None if day is None else str(day),
            "sequence": None if number is None else f"{number:03d}",
        }
    return ref if as_dict else f"{ref['date']}_{ref['sequence']}_{ref['subject']}"
