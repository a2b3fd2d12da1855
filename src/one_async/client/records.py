"""Records of datasets: from a path, an id, a type or a relation to a row, and from a row to a path or an address."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import repeat
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload
from uuid import UUID

import anyio.to_thread

from .. import ids
from ..alf.match import compile_pattern, is_match, plain_pattern, resolve
from ..alf.path import ALFPath
from ..alf.session import has_id, id_expression, session_folder, session_folders
from ..choose import How, checked, one_dataset
from ..errors import ALFMultipleObjectsFound, ALFObjectNotFound, ConfigurationError, InputError
from ..ids import is_dataset_record
from .core import one_answer
from .load import Loading

if TYPE_CHECKING:
    import polars as pl

    from ..alf.match import Filename, Pattern
    from ..types import JSON, Mode, PathOrUrl, SessionLike, Several

    DatasetLike: TypeAlias = UUID | str | Mapping[str, Any]
    RecordLike: TypeAlias = Mapping[str, Any] | Several[Mapping[str, Any]] | pl.DataFrame

#: What datasets of many sessions are made of; a database may have others.
RELATIONS = ("subjects", "projects", "tags")
#: What paths and addresses are made of.
ROW = ("did", "eid", "rel_path", "session_path", "data_url")


class Records(Loading):
    """The methods that deal with rows of the datasets table one by one."""

    async def load_dataset_from_id(
        self, dset_id: DatasetLike | Several[DatasetLike], download_only: bool = False, details: bool = False,
        check_hash: bool = True, query_type: Mode | None = None,
    ) -> Any:  # fmt: skip
        """Load a dataset by its id, or a record that has it; with `details` also its row, as a dictionary. Of a list, a list.

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
            rows |= {row["did"]: row for row in await self._placed_rows(found)}
        return rows

    async def _placed_rows(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return rows of the server's records with the path of the session also where no address has it."""
        lost = sorted({row["eid"] for row in rows if row["eid"] and not row["session_path"]})
        if not lost:
            return rows
        found = await self._remote().sessions(lost)
        folders = dict(zip(found["eid"], session_folders(found), strict=True))
        return [{**row, "session_path": row["session_path"] or folders.get(row["eid"]) or ""} for row in rows]

    async def _table_rows(self, dids: list[str]) -> dict[str, dict[str, Any]]:
        import anyio.to_thread
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
        sessions, files = await self._rows_at(values, "path", query_type)
        records: list[JSON | None] = [None] * len(values)
        _put(records, sessions.drop("rel_path", "raw_path", "did", "session_path"))
        _put(records, files)
        return rebuild(records)

    async def _rows_at(
        self, paths: list[Any], argument: str, query_type: Mode | None, columns: Collection[str] | None = None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Give the rows of the sessions that are named, and of the datasets, each with its path's place (`at`) and session_path.

        One look-up of the sessions, and one of the datasets, of which `columns` names those that will be used.
        """
        if not all(issubclass(kind, str | PurePath) for kind in set(map(type, paths))):
            wrong = next(path for path in paths if not isinstance(path, str | PurePath))
            raise InputError.of(argument, wrong, "a path or URL, or a list of them")
        located = await self._located_at(paths, query_type)
        is_file = located["rel_path"] != ""
        sessions, files = located.filter(~is_file), located.filter(is_file)
        if len(files):
            source = await self._source(query_type)
            found = await source.find_datasets(files.select("eid", "rel_path", "did"), columns)
            rows = found.drop("key").with_columns(files[found["key"]].select("at", "session_path"))
            files = await self._with_ids_in_names(files, rows, query_type, columns)
        return sessions, files

    async def _with_ids_in_names(
        self,
        files: pl.DataFrame,
        found: pl.DataFrame,
        query_type: Mode | None,
        columns: Collection[str] | None,
    ) -> pl.DataFrame:
        """Add the rows of files in whose names tables of a folder have the ids, as `tables build` makes them."""
        import polars as pl

        left = files.filter(pl.col("did").is_not_null() & ~pl.col("at").is_in(found["at"].implode()))
        if left.is_empty() or (self._frozen is None and self._check_mode(query_type) == "remote"):
            return found
        none = pl.lit(None, pl.String)
        wanted = left.select("eid", pl.col("raw_path").alias("rel_path"), none.alias("did"))
        more = await (await self._local(query_type)).find_datasets(wanted, columns)
        more = more.drop("key").with_columns(left[more["key"]].select("at", "session_path"))
        return pl.concat([found, more], how="diagonal_relaxed") if len(more) else found

    async def _located_at(self, paths: list[Any], query_type: Mode | None) -> pl.DataFrame:
        """Return a row for each path in a known session: its place (`at`), what `file_parts` says, and the session's row."""
        import polars as pl

        from ..tables.schema import SESSIONS

        name = ["subject", "date", "number", "lab", "path"]
        root = ids.odd_root(self.cache_dir)
        parts = await anyio.to_thread.run_sync(ids.file_parts, paths, root)
        parts = parts.with_row_index("at").drop_nulls("subject")
        keys = parts.select(name).unique(maintain_order=True)
        if not len(keys):
            found = pl.DataFrame(schema={**SESSIONS, "key": pl.UInt32})
        else:
            found = await self._find(keys, query_type)
        found = found.with_columns(session_folders(found)).drop("start_time", strict=False)
        place = parts.join(keys.with_row_index("key"), on=name, how="inner", nulls_equal=True).drop(name)
        found = found.drop_nulls("session_path").join(place, on="key", how="inner").drop("key")
        return found.select(
            "at",
            "rel_path",
            "raw_path",
            "did",
            *(c for c in found.columns if c not in {"at", "rel_path", "raw_path", "did"}),
        )

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
        rows, rebuild = _as_rows("dataset", dataset)
        rows = await self._with_folders(rows, query_type)
        root = ALFPath(self.cache_dir)

        def paths() -> list[ALFPath]:
            made = []
            for folder, name, did in rows.select("session_path", "rel_path", "did").iter_rows():
                path = root / "/".join(filter(None, (folder, name)))
                made.append(
                    path.with_uuid(UUID(did)) if name and self.uuid_filenames and not has_id(name) else path
                )
            return made

        return rebuild(await anyio.to_thread.run_sync(paths))

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
        rows, rebuild = _as_rows("record", record)
        return rebuild(await self._urls(rows, query_type))

    async def _urls(self, rows: pl.DataFrame, query_type: Mode | None) -> list[str]:
        """Give the address of each row of `_as_rows`."""
        import polars as pl

        mode = self._check_mode(query_type)
        asks = mode == "remote" or (mode != "local" and not self.settings.data_server)
        if asks and not self.offline:
            unknown = rows.filter(pl.col("rel_path").is_not_null(), pl.col("data_url").is_null())["did"]
            known = await self._known_urls(unknown.unique(maintain_order=True).to_list())
            its = pl.col("did").replace_strict(known, default=None, return_dtype=pl.String)
            rows = rows.with_columns(pl.col("data_url").fill_null(its))
        left = rows.filter(pl.col("data_url").is_null())
        if left.is_empty():
            return rows["data_url"].to_list()
        left = await self._with_folders(left, query_type)
        made = iter(left.select(_address(self._data_server())).to_series().to_list())
        return [url or next(made) for url in rows["data_url"]]

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
        import polars as pl

        sessions, files = await self._rows_at(values, "filepath", query_type, ROW)
        rows = _frame({name: [] for name in ROW}).with_columns(at=pl.lit(0, pl.UInt32))
        files = files.select("at", *(name for name in ROW if name in files.columns))
        rows = pl.concat([rows, sessions.select("at", "eid", "session_path"), files], how="diagonal")
        urls: list[str | None] = [None] * len(values)
        for at, url in zip(rows["at"], await self._urls(rows, query_type), strict=True):
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
        choice = checked(
            lambda rows: resolve(
                rows, dataset, revision=revision or None, policy="last_before", assert_unique=assert_unique
            )
        )
        rows = await self.alyx.rest("datasets", "list", django="session__isnull,True")
        found = rows_frame(aggregate_rows(rows), "relation", "identifier")
        known = {*RELATIONS, *found["relation"]}
        if relation.casefold() not in known:
            raise InputError.of("relation", relation, sorted(known))
        found = found.filter(found["relation"] == relation.casefold())
        if identifier is not None and pattern is not None:
            plain = plain_pattern(identifier)
            found = found.filter(is_match(found["identifier"], pattern, plain, how="search"))
        return choice(found)

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
        name, how = "*" if dataset is None else dataset, How(True, "last_before")
        choice = checked(lambda rows: one_dataset(rows, name, None, revision or None, how))
        rows = choice(await self.list_aggregates(relation, identifier))
        if rows.height != 1:
            raise ALFMultipleObjectsFound(
                f"{relation}/{identifier} has {rows.height} datasets that match {dataset!r}"
            )
        records = [{**row, "session_path": ""} for row in rows.iter_rows(named=True)]
        (file,) = await self._files_of_rows(records, self._check_mode(None), True)
        if file is None:
            raise ALFObjectNotFound(f"{rows['rel_path'][0]} cannot be had", dataset=dataset)
        return file if download_only else await self._read(file)

    async def _with_folders(self, rows: pl.DataFrame, query_type: Mode | None) -> pl.DataFrame:
        """Give the rows of `_as_rows` with the path of the session also where they did not have it."""
        import polars as pl

        eids = rows.filter(pl.col("session_path").is_null())["eid"].unique()
        if eids.is_empty():
            return rows
        found = await (await self._source(query_type)).sessions(eids.to_list())
        if missing := set(eids).difference(found["eid"]):
            raise ALFObjectNotFound(f"no session has the id {min(missing)}", eid=min(missing))
        its = pl.col("eid").replace_strict(found["eid"], session_folders(found), default=None)
        return rows.with_columns(pl.col("session_path").fill_null(its))

    def _data_server(self) -> str:
        if not self.settings.data_server:
            raise ConfigurationError("data_server is not set: pass data_server= or set ONE_DATA_SERVER")
        return self.settings.data_server.rstrip("/")


def _put(records: list[JSON | None], rows: pl.DataFrame) -> None:
    """Put the rows of a frame into their places, which its column `at` gives."""
    columns = [name for name in rows.columns if name != "at"]
    values = zip(
        *(rows[name].to_list() for name in columns), strict=True
    )  # by columns takes less time than by rows
    for at, items in zip(rows["at"].to_list(), map(zip, repeat(columns), values), strict=True):
        records[at] = dict(items)


def _address(server: str) -> pl.Expr:
    """Give the address of a file, in whose name the dataset's id is, or of a session's folder, at a data server."""
    import polars as pl

    folder, name = pl.col("session_path"), pl.col("rel_path")
    file = id_expression(name, pl.col("did"))
    slash = pl.when(folder != "").then(pl.lit("/")).otherwise(pl.lit(""))
    return pl.concat_str(
        pl.lit(f"{server}/"), folder, pl.when(name.is_not_null()).then(slash + file).otherwise(pl.lit(""))
    )


def _as_rows(argument: str, given: RecordLike) -> tuple[pl.DataFrame, ids.Rebuild]:
    """Give the columns `ROW` of rows of datasets and sessions, and the function that puts results into the shape that was given.

    A session's row has neither did nor rel_path then. A dataset's row without session_path has eid.
    """
    records, rebuild = (
        (list(given.iter_rows(named=True)), list) if hasattr(given, "iter_rows") else ids.flatten(given)
    )
    rows = [_row(argument, record) for record in records]
    return _frame(dict(zip(ROW, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}), rebuild


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
    from ..sources.rows import record_row

    return record_row(record)


def _frame(columns: Mapping[str, list[str | None]]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(columns, schema=dict.fromkeys(ROW, pl.String))
