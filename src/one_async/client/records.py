"""Records of datasets: from a path, an id, a type or a relation to a row, and from a row to a path or an address."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import repeat
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload
from uuid import UUID

import anyio.to_thread

from .. import ids
from ..alf.match import compile_pattern, is_match, plain_pattern, resolve
from ..alf.path import ALFPath
from ..choose import How, one_dataset
from ..errors import ALFMultipleObjectsFound, ALFObjectNotFound, ConfigurationError, InputError
from ..ids import session_folder
from ..sources.base import SessionKey, session_folders
from .core import one_answer
from .load import Loading

if TYPE_CHECKING:
    import polars as pl

    from ..alf.match import Filename, Pattern
    from ..types import JSON, Mode, PathOrUrl, SessionLike, Several

    RecordLike: TypeAlias = Mapping[str, Any] | Several[Mapping[str, Any]] | pl.DataFrame

#: What datasets of many sessions are made of; a database may have others.
RELATIONS = ("subjects", "projects", "tags")
#: The columns that addresses are made of.
IN_ADDRESSES = frozenset({"subject", "date", "number", "lab", "did", "rel_path", "session_path", "data_url"})


class Records(Loading):
    """The methods that deal with rows of the datasets table one by one."""

    async def load_dataset_from_id(
        self, dset_id: UUID | str | Several[UUID | str], download_only: bool = False, details: bool = False,
        check_hash: bool = True, query_type: Mode | None = None,
    ) -> Any:  # fmt: skip
        """Load a dataset by its id; with `details` also its row, as a dictionary. Of a list, a list.

        Raises ALFObjectNotFound for an id that is not known, or a file that is not on disk in local mode.
        """
        values, rebuild = ids.flatten(dset_id)
        dids = [str(ids.as_uuid(value, "dset_id")) for value in values]
        mode = self._check_mode(query_type)
        rows = await self._rows_of(dids, mode)
        if unknown := [did for did in dids if did not in rows]:
            raise ALFObjectNotFound(f"no dataset has the id {unknown[0]}", dataset=unknown[0])
        files = await self._files_of_rows(list(rows.values()), mode, check_hash)
        paths = dict(zip(rows, files, strict=True))
        if absent := [did for did in dids if paths[did] is None]:
            raise ALFObjectNotFound(f"{rows[absent[0]]['rel_path']} is not on disk", dataset=absent[0])
        results = []
        for did in dids:
            file = paths[did]
            data = file if download_only or file is None else await self._read(file)
            results.append((data, dict(rows[did])) if details else data)
        return rebuild(results)

    async def _rows_of(self, dids: list[str], mode: Mode) -> dict[str, dict[str, Any]]:
        """Give rows, with session_path, of datasets by id: from the tables, else from the server.

        A frozen set has no rows besides its own.
        """
        if self._frozen is not None:
            return await self._table_rows(dids)
        rows: dict[str, dict[str, Any]] = {}
        if mode != "remote":
            rows = await self._table_rows(dids)
        missing = [did for did in dict.fromkeys(dids) if did not in rows]
        if missing and mode != "local" and not self.offline:
            from ..sources.rows import dataset_rows

            found = dataset_rows(await self._remote().dataset_records(missing))
            rows |= {row["did"]: row for row in found}
        return rows

    async def _table_rows(self, dids: list[str]) -> dict[str, dict[str, Any]]:
        import anyio.to_thread
        import polars as pl

        catalogue = await self._catalogue()

        def look() -> dict[str, dict[str, Any]]:
            frame = catalogue.datasets().filter(pl.col("did").is_in(dids)).collect()
            sessions = {row["eid"]: session_folder(row) for row in catalogue.sessions()
                        .filter(pl.col("eid").is_in(frame["eid"].to_list())).collect().iter_rows(named=True)}  # fmt: skip
            return {
                row["did"]: {**row, "session_path": sessions.get(row["eid"], "")}
                for row in frame.iter_rows(named=True)
            }

        return await anyio.to_thread.run_sync(look)

    @overload
    async def path2record(self, path: PathOrUrl, query_type: Mode | None = None) -> JSON | None: ...
    @overload
    async def path2record(
        self, path: Several[PathOrUrl], query_type: Mode | None = None
    ) -> list[JSON | None]: ...
    @one_answer
    async def path2record(
        self, path: PathOrUrl | Several[PathOrUrl], query_type: Mode | None = None
    ) -> JSON | list[JSON | None] | None:
        """Give the row of the dataset that a path or URL stands for, or of the session, as a dictionary; None if unknown.

        A dataset's row has session_path as well. Of a list, a list.
        """
        values, rebuild = ids.flatten(path)
        return rebuild(await self._records_at(values, "path", query_type))

    async def _records_at(
        self, paths: list[Any], argument: str, query_type: Mode | None, only: frozenset[str] | None = None
    ) -> list[JSON | None]:
        """Give the rows of all paths, or `only` some columns: one look-up of their sessions, and one of their datasets."""
        if not all(issubclass(kind, str | PurePath) for kind in set(map(type, paths))):
            wrong = next(path for path in paths if not isinstance(path, str | PurePath))
            raise InputError.of(argument, wrong, "a path or URL, or a list of them")
        records: list[JSON | None] = [None] * len(paths)
        located = await self._located_at(paths, query_type)
        is_file = located["rel_path"] != ""
        _put(records, located.filter(~is_file).drop("rel_path", "did", "session_path"), only)
        if is_file.any():
            _put(records, await self._files_among(located.filter(is_file), query_type), only)
        return records

    async def _files_among(self, located: pl.DataFrame, query_type: Mode | None) -> pl.DataFrame:
        """Give the datasets' rows of what `_located_at` found of files, with session_path, and their places (`at`)."""
        source = await self._source(query_type)
        found = await source.find_datasets(located.select("eid", "rel_path", "did"))
        return found.drop("key").with_columns(located[found["key"]].select("at", "session_path"))

    async def _located_at(self, paths: list[Any], query_type: Mode | None) -> pl.DataFrame:
        """Give a row for each path in a known session: its place (`at`), rel_path, did, session_path, and the session's row."""
        import polars as pl

        from ..tables.schema import SESSIONS

        name = list(SessionKey._fields)
        parts = await anyio.to_thread.run_sync(ids.file_parts, paths)
        parts = parts.with_row_index("at").drop_nulls("subject")
        keys = [SessionKey(*row) for row in parts.select(name).unique(maintain_order=True).iter_rows()]
        found = await self._find(keys, query_type) if keys else pl.DataFrame(schema=dict(SESSIONS))
        folders = pl.Series("session_path", session_folders(found), dtype=pl.String)
        found = found.drop("key", "start_time", strict=False).with_columns(folders)
        parts = parts.with_columns(pl.col("number").cast(found.schema["number"]))
        return parts.join(found, on=name, how="inner").select("at", "rel_path", "did", *found.columns)

    @overload
    async def record2path(self, dataset: Mapping[str, Any], query_type: Mode | None = None) -> ALFPath: ...
    @overload
    async def record2path(
        self, dataset: Several[Mapping[str, Any]] | pl.DataFrame, query_type: Mode | None = None
    ) -> list[ALFPath]: ...
    async def record2path(
        self, dataset: RecordLike, query_type: Mode | None = None
    ) -> ALFPath | list[ALFPath]:
        """Give the local path of the file of a dataset's row, or of the folder of a session's, there or not.

        Takes a row as a dictionary, or several as a list or frame: then a list.
        """
        records, rebuild = _as_rows("dataset", dataset)
        root = ALFPath(self.cache_dir)
        paths = []
        for record, folder in zip(records, await self._folders(records, query_type), strict=True):
            path = root / "/".join(filter(None, (folder, record.get("rel_path"))))
            named = self.uuid_filenames and "rel_path" in record
            paths.append(path.with_uuid(UUID(record["did"])) if named else path)
        return rebuild(paths)

    @overload
    async def record2url(self, record: Mapping[str, Any], query_type: Mode | None = None) -> str: ...
    @overload
    async def record2url(
        self, record: Several[Mapping[str, Any]] | pl.DataFrame, query_type: Mode | None = None
    ) -> list[str]: ...
    @one_answer
    async def record2url(self, record: RecordLike, query_type: Mode | None = None) -> str | list[str]:
        """Give the address of a dataset's or session's row at the data server; of a list or frame, a list.

        A dataset's own address is used if the row has it or the database knows it; otherwise it is made from the setting
        `data_server`. Outside remote mode the database is asked only where `data_server` is not set.
        Raises ConfigurationError where neither is known.
        """
        records, rebuild = _as_rows("record", record)
        return rebuild(await self._urls(records, query_type))

    async def _urls(self, records: list[JSON], query_type: Mode | None) -> list[str]:
        mode = self._check_mode(query_type)
        urls = {row["did"]: row["data_url"] for row in records if row.get("data_url") and "did" in row}
        asks = mode == "remote" or (mode != "local" and not self.settings.data_server)
        if asks and not self.offline:
            unknown = [row["did"] for row in records if "rel_path" in row and row.get("did") not in urls]
            urls |= await self._known_urls(list(dict.fromkeys(unknown)))
        left = [row for row in records if row.get("did") not in urls] if urls else records
        folders = iter(await self._folders(left, query_type))
        server = self._data_server() if left else ""
        return [urls.get(row.get("did")) or _made_url(server, row, next(folders)) for row in records]

    async def _known_urls(self, dids: list[str]) -> dict[str, str]:
        """Ask the database for the addresses of datasets; those of which it has none are left out."""
        from ..sources.rows import dataset_rows

        found = dataset_rows(await self._remote().dataset_records(dids)) if dids else []
        return {row["did"]: row["data_url"] for row in found if row["data_url"]}

    @overload
    async def path2url(self, filepath: PathOrUrl, query_type: Mode | None = None) -> str | None: ...
    @overload
    async def path2url(
        self, filepath: Several[PathOrUrl], query_type: Mode | None = None
    ) -> list[str | None]: ...
    @one_answer
    async def path2url(
        self, filepath: PathOrUrl | Several[PathOrUrl], query_type: Mode | None = None
    ) -> str | list[str | None] | None:
        """Give the address of the file that a local path stands for, as `record2url` does. Of a list, a list.

        A file that the tables do not know gives None in local mode; in the others ALFObjectNotFound, if the database does not
        know it either.
        """
        values, rebuild = ids.flatten(filepath)
        records = await self._records_at(values, "filepath", query_type, IN_ADDRESSES)
        if None in records and self._check_mode(query_type) != "local" and not self.offline:
            unknown = str(values[records.index(None)])
            raise ALFObjectNotFound(f"the database knows no file {unknown!r}", path=unknown)
        urls = iter(await self._urls([row for row in records if row is not None], query_type))
        return rebuild([None if row is None else next(urls) for row in records])

    @overload
    async def type2datasets(
        self, eid: SessionLike, dataset_type: str | list[str], details: Literal[False] = False
    ) -> list[str]: ...
    @overload
    async def type2datasets(
        self, eid: SessionLike, dataset_type: str | list[str], details: Literal[True]
    ) -> pl.DataFrame: ...
    @overload
    async def type2datasets(
        self, eid: SessionLike, dataset_type: str | list[str], details: bool
    ) -> list[str] | pl.DataFrame: ...
    @overload
    async def type2datasets(
        self, eid: Several[SessionLike], dataset_type: str | list[str], details: Literal[False] = False
    ) -> list[list[str]]: ...
    @overload
    async def type2datasets(
        self, eid: Several[SessionLike], dataset_type: str | list[str], details: Literal[True]
    ) -> list[pl.DataFrame]: ...
    @overload
    async def type2datasets(
        self, eid: Several[SessionLike], dataset_type: str | list[str], details: bool
    ) -> list[list[str] | pl.DataFrame]: ...
    async def type2datasets(
        self, eid: SessionLike | Several[SessionLike], dataset_type: str | list[str], details: bool = False
    ) -> object:
        """List a session's datasets of one of some dataset types: paths, sorted, or with `details` a frame.

        Of a list of sessions, a list. Only files that can be reached are listed.
        Raises ALFObjectNotFound for a session that is not known.
        """
        self._needs_database("type2datasets")
        types = [dataset_type] if isinstance(dataset_type, str) else dataset_type
        if (
            not isinstance(types, list | tuple)
            or not all(isinstance(name, str) for name in types)
            or not types
        ):
            raise InputError.of("dataset_type", dataset_type, "a dataset type's name, or a list of names")
        from ..sources.rows import dataset_rows, rows_frame

        eids, rebuild = await self._known_eids(eid, None)
        filters = f"dataset_type__name__in,{list(types)}"
        of_session: dict[str | None, list[dict[str, Any]]] = {}
        for row in dataset_rows(await self._remote().datasets_of(eids, filters), reachable=True):
            of_session.setdefault(row["eid"], []).append(row)
        await self._check_known([one for one in eids if one not in of_session])
        frames = [rows_frame(of_session.get(one, [])) for one in eids]
        return rebuild([frame if details else frame["rel_path"].sort().to_list() for frame in frames])

    async def _check_known(self, eids: list[str]) -> None:
        """Raise ALFObjectNotFound where the database does not have all of some sessions."""
        known = (
            {str(row["id"]) for row in await self._remote().records(list(dict.fromkeys(eids)))}
            if eids
            else set()
        )
        if missing := [one for one in eids if one not in known]:
            raise ALFObjectNotFound(f"the database has no session {missing[0]}", eid=missing[0])

    async def list_aggregates(
        self,
        relation: str,
        identifier: str | None = None,
        dataset: Filename = None,
        revision: Pattern = None,
        assert_unique: bool = False,
    ) -> pl.DataFrame:
        """List datasets that were made of many sessions: of a subject (`relation` ``"subjects"``), project or tag.

        `identifier`, a regular expression, is found anywhere in the aggregate's own: a subject's nickname, ``lab/subject``, a
        tag. `dataset` and `revision` are patterns with wildcards.
        Returns a frame: the datasets table's columns, relation, identifier. Raises InputError for another relation
        of which the database has no datasets either.
        """
        from ..sources.rows import aggregate_rows, rows_frame

        self._needs_database("list_aggregates")
        if not isinstance(relation, str):
            raise InputError.of("relation", relation, RELATIONS)
        pattern = None if identifier is None else compile_pattern(identifier, "identifier")
        rows = await self.alyx.rest("datasets", "list", django="session__isnull,True")
        found = rows_frame(aggregate_rows(rows), "relation", "identifier")
        known = {*RELATIONS, *found["relation"]}
        if relation.casefold() not in known:
            raise InputError.of("relation", relation, sorted(known))
        found = found.filter(found["relation"] == relation.casefold())
        if identifier is not None and pattern is not None:
            plain = plain_pattern(identifier)
            found = found.filter(is_match(found["identifier"], pattern, plain, how="search"))
        revision = revision or None
        return resolve(found, dataset, revision=revision, policy="last_before", assert_unique=assert_unique)

    async def load_aggregate(
        self,
        relation: str,
        identifier: str,
        dataset: str | Mapping[str, Any] | None = None,
        revision: str | None = None,
        download_only: bool = False,
    ) -> Any:
        """Load one dataset that was made of many sessions; arguments as in `list_aggregates`, of which one must remain.

        Raises ALFObjectNotFound if there is none, ALFMultipleObjectsFound or its like if there are several.
        """
        found = await self.list_aggregates(relation, identifier)
        revision = revision or None
        rows = one_dataset(
            found, dataset if dataset is not None else "*", None, revision, How(True, "last_before")
        )
        if rows.height != 1:
            raise ALFMultipleObjectsFound(
                f"{relation}/{identifier} has {rows.height} datasets that match {dataset!r}"
            )
        records = [{**row, "session_path": ""} for row in rows.iter_rows(named=True)]
        (file,) = await self._files_of_rows(records, self._check_mode(None), True)
        if file is None:
            raise ALFObjectNotFound(f"{rows['rel_path'][0]} cannot be had", dataset=dataset)
        return file if download_only else await self._read(file)

    async def _folders(self, records: list[JSON], query_type: Mode | None) -> list[str]:
        """Give the session's path of each row of `_as_rows`: its own, or that of its session."""
        folders: list[str | None] = [
            row.get("session_path") if "rel_path" in row else session_folder(row) for row in records
        ]
        eids = [str(row["eid"]) for row, folder in zip(records, folders, strict=True) if folder is None]
        known: dict[str, str] = {}
        if eids:
            frame = await (await self._source(query_type)).sessions(list(dict.fromkeys(eids)))
            known = dict(zip(frame["eid"], session_folders(frame), strict=True))
        if missing := set(eids) - set(known):
            raise ALFObjectNotFound(f"no session has the id {min(missing)}", eid=min(missing))
        looked_up = map(known.__getitem__, eids)
        return [next(looked_up) if folder is None else folder for folder in folders]

    def _data_server(self) -> str:
        if not self.settings.data_server:
            raise ConfigurationError("data_server is not set: pass data_server= or set ONE_DATA_SERVER")
        return self.settings.data_server.rstrip("/")


def _put(records: list[JSON | None], rows: pl.DataFrame, only: frozenset[str] | None) -> None:
    """Put the rows of a frame into their places, which its column `at` gives."""
    columns = [name for name in rows.columns if name != "at" and (only is None or name in only)]
    values = zip(
        *(rows[name].to_list() for name in columns), strict=True
    )  # by columns takes less time than by rows
    for at, items in zip(rows["at"].to_list(), map(zip, repeat(columns), values), strict=True):
        records[at] = dict(items)


def _made_url(server: str, row: Mapping[str, Any], folder: str) -> str:
    """Make the address of a file, in whose name the dataset's id is, or of a session's folder."""
    if "rel_path" not in row:
        return f"{server}/{folder}"
    start, _, suffix = row["rel_path"].rpartition(".")
    return f"{server}/{folder}{'/' if folder else ''}{start}.{row['did']}.{suffix}"


def _as_rows(argument: str, given: RecordLike) -> tuple[list[JSON], ids.Rebuild]:
    """Give rows of datasets and sessions as dictionaries, and the function that puts results into the shape that was given."""
    rows, rebuild = (
        (list(given.iter_rows(named=True)), list) if hasattr(given, "iter_rows") else ids.flatten(given)
    )
    for row in rows:
        if not isinstance(row, Mapping):
            raise InputError.of(argument, row, "a row as a dictionary, a list of them, or a frame")
        if "rel_path" not in row and not {"subject", "date", "number"} <= set(row):
            raise InputError.of(argument, dict(row), "rows with rel_path, or with subject, date and number")
        if "rel_path" in row and not ("did" in row and (row.get("session_path") is not None or "eid" in row)):
            raise InputError.of(
                argument,
                dict(row),
                "rows with did, rel_path and eid (list_datasets gives it with keep_eid_index=True)",
            )
    return rows, rebuild
