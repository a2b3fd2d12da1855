"""Records of datasets: from a path, an id, a type or a relation to a row, and from a row to a path or an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from itertools import repeat
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast, overload
from uuid import UUID

from one_async import ids
from one_async._threads import run_polars, run_sync
from one_async.alf.match import compile_pattern, is_match, plain_pattern, resolve
from one_async.alf.path import ALFPath
from one_async.alf.session import has_id, id_expression, session_folder, session_folders
from one_async.client.core import FEW, one_answer
from one_async.client.load import Loading, each
from one_async.errors import (
    ALFInvalid,
    ALFMultipleObjectsFound,
    ALFObjectNotFound,
    ConfigurationError,
    InputError,
)
from one_async.ids import is_dataset_record
from one_async.queries.selection import SelectionOptions, checked, one_dataset

if TYPE_CHECKING:
    import polars as pl

    from one_async.alf.match import Filename, Pattern
    from one_async.types import JSON, Mode, PathOrUrl, SessionLike, Several

    DatasetLike: TypeAlias = UUID | str | Mapping[str, Any]
    RecordLike: TypeAlias = Mapping[str, Any] | Several[Mapping[str, Any]] | pl.DataFrame

T = TypeVar("T")
#: What datasets of many sessions are made of; a database may have others.
RELATIONS = ("subjects", "projects", "tags")
#: What stands for the path of a session of which nothing is known.
UNKNOWN: dict[str, Any] = {"session_path": None, "subject": None}
#: What paths and addresses are made of.
ROW = ("did", "eid", "rel_path", "session_path", "data_url")


class Records(Loading):
    """The methods that deal with rows of the datasets table one by one."""

    async def load_dataset_from_id(
        self, dset_id: DatasetLike | Several[DatasetLike], download_only: bool = False, details: bool = False,
        check_hash: bool = True, query_type: Mode | None = None,
    ) -> Any:  # fmt: skip
        """Load a dataset by its id, or a record that has it; with `details` also its row, as a dictionary. Of a list, a list.

        `check_hash` is that of `load_dataset`.
        Raises ALFObjectNotFound for an id that is not known, or a file that is not on disk in local mode, and
        ALFMultipleObjectsFound, naming the sessions, where datasets of several sessions have the id.
        """
        values, rebuild = ids.flatten(dset_id)
        dids = [str(ids.dataset_id(value)) for value in values]
        mode = self._check_mode(query_type)
        rows = await self._rows_of(dids, mode)
        if unknown := [did for did in dids if did not in rows]:
            raise ALFObjectNotFound(f"no dataset has the id {unknown[0]}", dataset=unknown[0])
        files = await self._files_of_rows(list(rows.values()), mode, check_hash)
        paths = dict(zip(rows, files, strict=True))
        if absent := [did for did in dids if paths[did] is None]:
            raise ALFObjectNotFound(f"{rows[absent[0]]['rel_path']} is not on disk", dataset=absent[0])

        async def load(index: int) -> Any:
            did = dids[index]
            file = paths[did]
            data = file if download_only or file is None else await run_sync(self._read, file)
            return (data, dict(rows[did])) if details else data

        results, _ = await each(len(dids), load)
        return rebuild([results[index] for index in range(len(dids))])

    async def _rows_of(self, dids: list[str], mode: Mode) -> dict[str, dict[str, Any]]:
        """Return rows, with session_path, of datasets by id: from the tables, else from the server.

        A frozen set has no rows besides its own.
        """
        if self._frozen is not None:
            return await self._table_rows(dids)
        rows: dict[str, dict[str, Any]] = {}
        if mode != "remote":
            rows = await self._table_rows(dids)
        missing = [did for did in dict.fromkeys(dids) if did not in rows]
        if missing and mode != "local" and not self.offline:
            from one_async.queries.rows import dataset_rows

            found = await run_sync(dataset_rows, await self._remote().dataset_records(missing))
            rows |= {row["did"]: row for row in await self._placed_rows(found)}
        return rows

    async def _placed_rows(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return rows of the server's records with the path of the session also where no address has it."""
        lost = sorted({row["eid"] for row in rows if row["eid"] and not row["session_path"]})
        if not lost:
            return rows

        def folders_of(found: pl.DataFrame) -> dict[str, dict[str, Any]]:
            return {row["eid"]: folder_of(row) for row in found.iter_rows(named=True)}

        folders = await self._remote().sessions(lost, folders_of)
        return [
            row if row["session_path"] or not row["eid"] else {**row, **folders.get(row["eid"], UNKNOWN)}
            for row in rows
        ]

    async def _table_rows(self, dids: list[str]) -> dict[str, dict[str, Any]]:
        import polars as pl

        catalogue = await self._catalogue()

        def look() -> dict[str, dict[str, Any]]:
            frame = catalogue.datasets().filter(pl.col("did").is_in(dids)).collect()
            if frame["did"].is_duplicated().any():
                twice = frame.filter(frame["did"].is_duplicated())["did"][0]
                eids = ", ".join(frame.filter(frame["did"] == twice)["eid"].head(5))
                raise ALFMultipleObjectsFound(
                    f"datasets of several sessions have the id {twice}: {eids}; load by session and path"
                )
            sessions = {row["eid"]: folder_of(row) for row in catalogue.sessions()
                        .filter(pl.col("eid").is_in(frame["eid"].to_list())).collect().iter_rows(named=True)}  # fmt: skip
            return {
                row["did"]: {**row, **sessions.get(row["eid"], {"session_path": ""})}
                for row in frame.iter_rows(named=True)
            }

        return await run_polars(look)

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
        """Return the row of the dataset that a path or URL stands for, or of the session, as a dictionary; None if unknown.

        A dataset's row has session_path as well. Of a list, a list.
        """
        values, rebuild = ids.flatten(path)

        def put(sessions: pl.DataFrame, files: pl.DataFrame) -> list[JSON | None]:
            records: list[JSON | None] = [None] * len(values)
            _put(records, sessions.drop("rel_path", "raw_path", "did", "session_path"))
            _put(records, files)
            return records

        return rebuild(await self._rows_at(values, "path", query_type, put))

    async def _rows_at(
        self,
        paths: list[Any],
        argument: str,
        query_type: Mode | None,
        use: Callable[[pl.DataFrame, pl.DataFrame], T],
        columns: Collection[str] | None = None,
    ) -> T:
        """Use the rows of the sessions that are named, and of the datasets, each with its path's place (`at`) and session_path.

        One look-up of the sessions, and one of the datasets, of which `columns` names those that will be used.
        """
        if not all(issubclass(kind, str | PurePath) for kind in set(map(type, paths))):
            wrong = next(path for path in paths if not isinstance(path, str | PurePath))
            raise InputError.of(argument, wrong, "a path or URL, or a list of them")
        import polars as pl

        name = ["subject", "date", "number", "lab", "path"]
        own = ["at", "rel_path", "raw_path", "did"]
        root = ids.odd_root(self.cache_dir)

        def parse() -> tuple[pl.DataFrame, pl.DataFrame, bool]:
            parts = ids.file_parts(paths, root).with_row_index("at").drop_nulls("subject")
            return parts, parts.select(name).unique(maintain_order=True), parts.is_empty()

        def locate(
            keys: pl.DataFrame, found: pl.DataFrame
        ) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
            found = found.with_columns(session_folders(found)).drop("start_time", strict=False)
            place = parts.join(keys.with_row_index("key"), on=name, how="inner", nulls_equal=True).drop(name)
            located = found.drop_nulls("session_path").join(place, on="key", how="inner").drop("key")
            located = located.select(*own, *(column for column in located.columns if column not in own))
            is_file = located["rel_path"] != ""
            files = located.filter(is_file)
            return located.filter(~is_file), files, files.select("eid", "rel_path", "did")

        def fill(found: pl.DataFrame) -> tuple[T | None, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
            rows = found.drop("key").with_columns(files[found["key"]].select("at", "session_path"))
            left = files.filter(pl.col("did").is_not_null() & ~pl.col("at").is_in(rows["at"].implode()))
            done = is_remote or left.is_empty()
            # Tables of a folder may have the ids in the names of files, as `tables build` makes them.
            no_id = pl.lit(None, pl.String).alias("did")
            wanted = left.select("eid", pl.col("raw_path").alias("rel_path"), no_id)
            return (use(sessions, rows) if done else None), rows, left, wanted

        def fill_left(found: pl.DataFrame) -> T:
            more = found.drop("key").with_columns(left[found["key"]].select("at", "session_path"))
            return use(sessions, pl.concat([rows, more], how="diagonal_relaxed") if len(more) else rows)

        parts, keys, is_empty = await run_polars(parse, few=len(paths) <= FEW)
        if is_empty:
            sessions, files, names = await run_polars(lambda: locate(keys, _no_sessions()))
        else:
            sessions, files, names = await self._find(lambda: keys, locate, query_type)
        if files.is_empty():
            return await run_polars(use, sessions, files)
        is_remote = self._frozen is None and self._check_mode(query_type) == "remote"
        source = await self._source(query_type)
        result, rows, left, wanted = await source.find_datasets(names, fill, columns)
        if is_remote or left.is_empty():
            return cast("T", result)
        return await (await self._local(query_type)).find_datasets(wanted, fill_left, columns)

    @overload
    async def record2path(self, dataset: Mapping[str, Any], query_type: Mode | None = None) -> ALFPath: ...
    @overload
    async def record2path(
        self, dataset: Several[Mapping[str, Any]] | pl.DataFrame, query_type: Mode | None = None
    ) -> list[ALFPath]: ...
    async def record2path(
        self, dataset: RecordLike, query_type: Mode | None = None
    ) -> ALFPath | list[ALFPath]:
        """Return the local path of the file of a dataset's row, or of the folder of a session's, there or not.

        Takes a row as a dictionary, or several as a list or frame: then a list.
        """
        rows, rebuild = _as_rows("dataset", dataset)
        root = ALFPath(self.cache_dir)

        def paths(rows: pl.DataFrame) -> list[ALFPath]:
            made = []
            for folder, name, did in rows.select("session_path", "rel_path", "did").iter_rows():
                path = root / "/".join(filter(None, (folder, name)))
                made.append(
                    path.with_uuid(UUID(did)) if name and self.uuid_filenames and not has_id(name) else path
                )
            return made

        return rebuild(await self._with_folders(rows, query_type, paths))

    @overload
    async def record2url(self, record: Mapping[str, Any], query_type: Mode | None = None) -> str: ...
    @overload
    async def record2url(
        self, record: Several[Mapping[str, Any]] | pl.DataFrame, query_type: Mode | None = None
    ) -> list[str]: ...
    @one_answer
    async def record2url(self, record: RecordLike, query_type: Mode | None = None) -> str | list[str]:
        """Return the address of a dataset's or session's row at the data server; of a list or frame, a list.

        A dataset's own address is used if the row has it or the database knows it; otherwise it is made from the setting
        `data_server`. Outside remote mode the database is asked only where `data_server` is not set.
        Raises ConfigurationError where neither is known.
        """
        rows, rebuild = _as_rows("record", record)
        return rebuild(await self._urls(rows, query_type))

    async def _urls(self, make: Callable[[], pl.DataFrame], query_type: Mode | None) -> list[str]:
        """Return the address of each row of `_as_rows`."""
        import polars as pl

        mode = self._check_mode(query_type)
        asks = not self.offline and (mode == "remote" or (mode != "local" and not self.settings.data_server))

        def look() -> tuple[pl.DataFrame, list[str]]:
            rows = make()
            unknown = rows.filter(pl.col("rel_path").is_not_null(), pl.col("data_url").is_null())["did"]
            return rows, unknown.unique(maintain_order=True).to_list() if asks else []

        rows, unknown = await run_polars(look)
        known = await self._known_urls(unknown)

        def fill() -> tuple[list[str | None], pl.DataFrame | None]:
            its = pl.col("did").replace_strict(known, default=None, return_dtype=pl.String)
            filled = rows.with_columns(pl.col("data_url").fill_null(its)) if known else rows
            left = filled.filter(pl.col("data_url").is_null())
            return filled["data_url"].to_list(), None if left.is_empty() else left

        def made(left: pl.DataFrame) -> list[str]:
            return left.select(_address(self._data_server())).to_series().to_list()

        urls, left = await run_polars(fill)
        addresses = iter(() if left is None else await self._with_folders(lambda: left, query_type, made))
        return [url or next(addresses) for url in urls]

    async def _known_urls(self, dids: list[str]) -> dict[str, str]:
        """Ask the database for the addresses of datasets; those of which it has none are left out."""
        from one_async.queries.rows import dataset_rows

        if not dids:
            return {}
        found = await run_sync(dataset_rows, await self._remote().dataset_records(dids))
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
        """Return the address of the file that a local path stands for, as `record2url` does. Of a list, a list.

        A file that the tables do not know gives None in local mode; in the others ALFObjectNotFound, if the database does not
        know it either.
        """
        values, rebuild = ids.flatten(filepath)
        import polars as pl

        def put(sessions: pl.DataFrame, files: pl.DataFrame) -> tuple[list[int], pl.DataFrame]:
            rows = _frame({name: [] for name in ROW}).with_columns(at=pl.lit(0, pl.UInt32))
            files = files.select("at", *(name for name in ROW if name in files.columns))
            rows = pl.concat([rows, sessions.select("at", "eid", "session_path"), files], how="diagonal")
            return rows["at"].to_list(), rows

        places, rows = await self._rows_at(values, "filepath", query_type, put, ROW)
        urls: list[str | None] = [None] * len(values)
        for at, url in zip(places, await self._urls(lambda: rows, query_type), strict=True):
            urls[at] = url
        if None in urls and self._check_mode(query_type) != "local" and not self.offline:
            unknown = str(values[urls.index(None)])
            raise ALFObjectNotFound(f"the database knows no file {unknown!r}", path=unknown)
        return rebuild(urls)

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
        from one_async.queries.rows import dataset_rows, rows_frame

        eids, rebuild = await self._known_eids(eid, None)
        filters = f"dataset_type__name__in,{list(types)}"
        of_session: dict[str | None, list[dict[str, Any]]] = {}
        found = await self._remote().dataset_lists(eids, filters)
        for row in await run_sync(lambda: dataset_rows(found, reachable=True)):
            of_session.setdefault(row["eid"], []).append(row)
        await self._check_known([one for one in eids if one not in of_session])

        def frames() -> list[Any]:
            made = [rows_frame(of_session.get(one, [])) for one in eids]
            return made if details else [frame["rel_path"].sort().to_list() for frame in made]

        return rebuild(await run_polars(frames))

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
        self._needs_database("list_aggregates")
        if not isinstance(relation, str):
            raise InputError.of("relation", relation, RELATIONS)
        pattern = None if identifier is None else compile_pattern(identifier, "identifier")

        def choice(rows: pl.DataFrame) -> pl.DataFrame:
            return resolve(
                rows, dataset, revision=revision or None, policy="last_before", assert_unique=assert_unique
            )

        await run_polars(checked, choice)
        return await self._aggregates(relation, identifier, pattern, choice)

    async def _aggregates(
        self,
        relation: str,
        identifier: str | None,
        pattern: re.Pattern[str] | None,
        use: Callable[[pl.DataFrame], T],
    ) -> T:
        """Use the datasets that were made of many sessions of a relation."""
        from one_async.queries.rows import aggregate_rows, rows_frame

        rows = await self.alyx.rest("datasets", "list", django="session__isnull,True")

        def look() -> T:
            found = rows_frame(aggregate_rows(rows), "relation", "identifier")
            known = {*RELATIONS, *found["relation"]}
            if relation.casefold() not in known:
                raise InputError.of("relation", relation, sorted(known))
            found = found.filter(found["relation"] == relation.casefold())
            if identifier is not None and pattern is not None:
                plain = plain_pattern(identifier)
                found = found.filter(is_match(found["identifier"], pattern, plain, how="search"))
            return use(found)

        return await run_polars(look)

    async def load_aggregate(
        self,
        relation: str,
        identifier: str,
        dataset: str | Mapping[str, Any] | None = None,
        revision: str | None = None,
        download_only: bool = False,
        *,
        check_hash: bool = True,
    ) -> Any:
        """Load one dataset that was made of many sessions; arguments as in `list_aggregates`, of which one must remain.

        `download_only` and `check_hash` are those of `load_dataset`.

        Raises ALFObjectNotFound if there is none, ALFMultipleObjectsFound or its like if there are several.
        """
        name, how = "*" if dataset is None else dataset, SelectionOptions(True, "last_before")

        def choice(rows: pl.DataFrame) -> pl.DataFrame:
            return one_dataset(rows, name, None, revision or None, how)

        def choose() -> list[dict[str, Any]]:
            return [{**row, "session_path": ""} for row in choice(found).iter_rows(named=True)]

        await run_polars(checked, choice)
        found = await self.list_aggregates(relation, identifier)
        records = await run_polars(choose)
        if len(records) != 1:
            raise ALFMultipleObjectsFound(
                f"{relation}/{identifier} has {len(records)} datasets that match {dataset!r}"
            )
        (file,) = await self._files_of_rows(records, self._check_mode(None), check_hash)
        if file is None:
            raise ALFObjectNotFound(f"{records[0]['rel_path']} cannot be had", dataset=dataset)
        return file if download_only else await run_sync(self._read, file)

    async def _with_folders(
        self, make: Callable[[], pl.DataFrame], query_type: Mode | None, use: Callable[[pl.DataFrame], T]
    ) -> T:
        """Use the rows of `_as_rows` with the path of the session also where they did not have it."""
        import polars as pl

        def look() -> tuple[pl.DataFrame, list[str], T | None]:
            rows = make()
            eids = rows.filter(pl.col("session_path").is_null())["eid"].unique().to_list()
            return rows, eids, None if eids else use(rows)

        rows, eids, result = await run_polars(look)
        if not eids:
            return cast("T", result)

        def fill(found: pl.DataFrame) -> T:
            if missing := set(eids).difference(found["eid"]):
                raise ALFObjectNotFound(f"no session has the id {min(missing)}", eid=min(missing))
            folders = session_folders(found)
            if folders.has_nulls():
                session_folder(found.row(folders.is_null().arg_true()[0], named=True))  # raises, naming it
            its = pl.col("eid").replace_strict(found["eid"], folders, default=None)
            return use(rows.with_columns(pl.col("session_path").fill_null(its)))

        return await (await self._source(query_type)).sessions(eids, fill)

    def _data_server(self) -> str:
        if not self.settings.data_server:
            raise ConfigurationError("data_server is not set: pass data_server= or set ONE_DATA_SERVER")
        return self.settings.data_server.rstrip("/")


def folder_of(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session's path as a field of a dataset's row, or the session's row where its folder is not known.

    Whoever needs the path of such a row then raises the error that names the session.
    """
    try:
        return {"session_path": session_folder(session)}
    except ALFInvalid:
        return {**session, "session_path": None}


def _put(records: list[JSON | None], rows: pl.DataFrame) -> None:
    """Put the rows of a frame into their places, which its column `at` gives."""
    columns = [name for name in rows.columns if name != "at"]
    values = zip(
        *(rows[name].to_list() for name in columns), strict=True
    )  # by columns takes less time than by rows
    for at, items in zip(rows["at"].to_list(), map(zip, repeat(columns), values), strict=True):
        records[at] = dict(items)


def _address(server: str) -> pl.Expr:
    """Return the address of a file, in whose name the dataset's id is, or of a session's folder, at a data server."""
    import polars as pl

    folder, name = pl.col("session_path"), pl.col("rel_path")
    file = id_expression(name, pl.col("did"))
    slash = pl.when(folder != "").then(pl.lit("/")).otherwise(pl.lit(""))
    return pl.concat_str(
        pl.lit(f"{server}/"), folder, pl.when(name.is_not_null()).then(slash + file).otherwise(pl.lit(""))
    )


def _as_rows(argument: str, given: RecordLike) -> tuple[Callable[[], pl.DataFrame], ids.Rebuild]:
    """Return what makes the columns `ROW` of rows of datasets and sessions, and what puts results into the shape given.

    A session's row has neither did nor rel_path then. A dataset's row without session_path has eid.
    """
    rebuild: ids.Rebuild = list
    records: list[object] = []
    if not hasattr(given, "iter_rows"):
        records, rebuild = ids.flatten(given)

    def make() -> pl.DataFrame:
        all_records = given.iter_rows(named=True) if hasattr(given, "iter_rows") else records
        rows = [_row(argument, record) for record in all_records]
        return _frame(dict(zip(ROW, map(list, zip(*rows, strict=True)), strict=True)) if rows else {})

    return make, rebuild


def _row(argument: str, record: object) -> tuple[str | None, ...]:
    if not isinstance(record, Mapping):
        raise InputError.of(argument, record, "a row as a dictionary, a list of them, or a frame")
    if "rel_path" not in record and is_dataset_record(record):
        record = _of_endpoint(record)
    name = record.get("rel_path")
    if name is None:
        if not {"subject", "date", "number"} <= set(record):
            raise InputError.of(
                argument, dict(record), "rows with rel_path, or with subject, date and number"
            )
        return None, None, None, session_folder(record), record.get("data_url") or None
    did, eid, folder = record.get("did"), record.get("eid"), record.get("session_path")
    name, folder = (part.as_posix() if isinstance(part, PurePath) else part for part in (name, folder))
    if did is None or (folder is None and eid is None):
        raise InputError.of(
            argument,
            dict(record),
            "rows with did, rel_path and eid (list_datasets gives it with keep_eid_index=True)",
        )
    return str(did), None if eid is None else str(eid), name, folder, record.get("data_url") or None


def _of_endpoint(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the row that a record of the ``datasets`` endpoint, or of a session's detail, stands for."""
    from one_async.queries.rows import record_row

    return record_row(record)


def _frame(columns: Mapping[str, list[str | None]]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(columns, schema=dict.fromkeys(ROW, pl.String))


def _no_sessions() -> pl.DataFrame:
    import polars as pl

    from one_async.tables.schema import SESSIONS

    return pl.DataFrame(schema={**SESSIONS, "key": pl.UInt32})
