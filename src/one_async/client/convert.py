"""Conversions between identifiers: eid, path, reference, URL and pid, one or many at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload
from uuid import UUID

from one_async import ids
from one_async._threads import run_polars
from one_async._warnings import warn
from one_async.alf.path import ALFPath
from one_async.alf.session_paths import key_frame, session_folder, session_folders
from one_async.client.call import Call, public_methods
from one_async.client.identify import FEW_PATHS, eid_texts, eids_of, find, known_eids, look_up, placed
from one_async.errors import ALFObjectNotFound, InputError

if TYPE_CHECKING:
    import polars as pl

    from one_async.client.context import Context
    from one_async.types import (
        Mode,
        PathOrUrl,
        Reference,
        ReferenceLike,
        ReferenceText,
        SessionLike,
        Several,
    )

T = TypeVar("T")

if TYPE_CHECKING:

    class Static(Generic[T]):
        """`staticmethod`, whose types lose a function's overloads."""

        def __init__(self, function: T) -> None: ...
        def __get__(self, instance: object, owner: type) -> T: ...
else:
    Static = staticmethod


@public_methods
class Conversions:
    """The methods that convert between eids, paths and references of sessions."""

    _context: Context

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
        """Return the eid of a session, named in any way; for a list or nested list, eids in the same shape.

        Accepts UUIDs, their texts, session paths and URLs, references, records (with subject, date and number).
        Names that contain the eid are parsed; all others are looked up together. The result is None for an unknown
        session. `cache_dir` is accepted for compatibility with ONE-api and has no effect.

        Raises InputError for other values, ALFMultipleObjectsFound if a name fits two sessions.

        Examples:
            >>> await one.to_eid("2024-06-24_1_SU_101")
            UUID('ee777d8f-aff9-481f-9056-f61ba0fed84f')
            >>> await one.to_eid(["summitlab/Subjects/SU_101/2024-06-24/001", "2000-01-01_1_nobody"])
            [UUID('ee777d8f-aff9-481f-9056-f61ba0fed84f'), None]
        """
        call = Call(self._context, query_type)
        values, rebuild = ids.flatten(id)
        return rebuild(await eids_of(call, values, "id"))

    @overload
    async def eid2path(self, eid: SessionLike, query_type: Mode | None = None) -> ALFPath | None: ...
    @overload
    async def eid2path(
        self, eid: Several[SessionLike | None], query_type: Mode | None = None
    ) -> list[ALFPath | None]: ...
    async def eid2path(
        self, eid: SessionLike | Several[SessionLike | None], query_type: Mode | None = None
    ) -> ALFPath | list[ALFPath | None] | None:
        """Return the local path of a session, ``CACHE_DIR/lab/Subjects/subject/yyyy-mm-dd/nnn``, whether or not it exists.

        Accepts any name of a session; a list gives a list. The result is None for an unknown session, and for one whose lab
        or subject cannot be the name of a folder; a warning names the latter.

        Examples:
            >>> session_path = await one.eid2path(eid)
            >>> session_path.relative_to(one.cache_dir).as_posix()
            'summitlab/Subjects/SU_101/2024-06-24/001'
        """
        values, rebuild = ids.flatten(eid)
        call = Call(self._context, query_type)
        eids = await eid_texts(call, values)
        unique = list(dict.fromkeys(filter(None, eids)))
        paths = await (await call.source()).paths(unique, ALFPath(self._context.cache_dir))
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
        """Return the eid of the session that contains a path or URL, None if there is none. A list gives a list.

        A lab in the path must be that of the session. Raises ALFMultipleObjectsFound, which names the sessions, if a path
        without a lab fits sessions of several labs.

        Examples:
            >>> await one.path2eid("summitlab/Subjects/SU_101/2024-06-24/001/alf/_ibl_trials.table.pqt")
            UUID('ee777d8f-aff9-481f-9056-f61ba0fed84f')
        """
        call = Call(self._context, query_type)
        values, rebuild = ids.flatten(path_obj)
        for value in values:
            if not isinstance(value, str | PurePath):
                raise InputError.of("path_obj", value, "a path")
        root = ids.odd_root(self._context.cache_dir)

        def parse() -> tuple[pl.DataFrame, list[bool]]:
            keys = ids.path_keys(values, root).drop("rel_path")
            named = keys["subject"].is_not_null()
            return keys.filter(named), named.to_list()

        if len(values) > FEW_PATHS:
            frame, named = await run_polars(parse)
        else:
            parsed = [ids.path_key(value, root) for value in values]
            keys, named = [key for key in parsed if key], [key is not None for key in parsed]
        wanted = (lambda: frame) if len(values) > FEW_PATHS else (lambda: key_frame(keys))
        found = iter(await look_up(call, wanted) if any(named) else ())
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
    async def eid2ref(
        self,
        eid: SessionLike | Several[SessionLike],
        as_dict: bool = True,
        parse: bool = True,
        query_type: Mode | None = None,
    ) -> object:
        """Return the reference of a session: ``{'subject', 'date', 'sequence'}``, or text with ``as_dict=False``.

        With ``parse=False`` date and sequence are texts, the sequence with three digits. A list gives a list.
        Missing fields are None. A session without subject, date or number has no reference as text: the result is None, and
        a warning names the session. Raises ALFObjectNotFound for an unknown session.

        Examples:
            >>> await one.eid2ref(eid)
            {'subject': 'SU_101', 'date': datetime.date(2024, 6, 24), 'sequence': 1}
            >>> await one.eid2ref(eid, as_dict=False)
            '2024-06-24_1_SU_101'
        """
        call = Call(self._context, query_type)
        eids, rebuild = await known_eids(call, eid)
        source = await call.source()
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
        """Return the eid of the session that a reference names; a list gives a list.

        Raises InputError for what is no reference, ALFObjectNotFound where no session has it.

        Examples:
            >>> await one.ref2eid("2024-06-24_1_SU_101")
            UUID('ee777d8f-aff9-481f-9056-f61ba0fed84f')
        """
        call = Call(self._context, query_type)
        values, rebuild = ids.flatten(ref)
        keys = await run_polars(ids.ref_keys, values)  # refuses what is no reference before any request
        found = await look_up(call, lambda: keys) if values else []
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
        """Return the local path of the session that a reference names; a list gives a list.

        Raises InputError for what is no reference, ALFObjectNotFound where no session has it.

        Examples:
            >>> session_path = await one.ref2path("2024-06-24_1_SU_101")
            >>> session_path.session_path_short()
            'SU_101/2024-06-24/001'
        """
        call = Call(self._context, query_type)
        values, rebuild = ids.flatten(ref)
        keys = await run_polars(ids.ref_keys, values)  # refuses what is no reference before any request
        root = ALFPath(self._context.cache_dir)

        def paths(keys: pl.DataFrame, found: pl.DataFrame) -> list[ALFPath | None]:
            folders = session_folders(found)
            if folders.has_nulls():
                row = found.row(folders.is_null().arg_true()[0], named=True)
                session_folder(row)  # raises, naming the session
            return placed(len(keys), found["key"], (root / folder for folder in folders))

        found = await find(call, lambda: keys, paths) if values else []
        return rebuild(_all_known(found, values))


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
        warn(text)
        return None
    if not parse:
        day, number = row["date"], row["number"]
        ref |= {
            "date": None if day is None else str(day),
            "sequence": None if number is None else f"{number:03d}",
        }
    return ref if as_dict else f"{ref['date']}_{ref['sequence']}_{ref['subject']}"
