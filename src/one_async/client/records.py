"""Conversions between paths or addresses and rows of the tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import repeat
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, overload
from uuid import UUID

from one_async import ids
from one_async._threads import run_polars, run_sync
from one_async.alf.path import ALFPath
from one_async.alf.session_paths import (
    has_id,
    id_expression,
    record_url_path,
    session_folder,
    session_folders,
    session_part,
)
from one_async.client.call import Call, public_methods
from one_async.client.identify import FEW_SESSIONS, find
from one_async.client.rows import rows_of_ids
from one_async.errors import (
    ALFObjectNotFound,
    ConfigurationError,
    InputError,
)
from one_async.ids import is_dataset_record

if TYPE_CHECKING:
    import polars as pl

    from one_async.client.context import Context
    from one_async.types import JSON, Mode, PathOrUrl, Several

    RecordLike: TypeAlias = Mapping[str, Any] | Several[Mapping[str, Any]] | pl.DataFrame

T = TypeVar("T")
#: The columns from which paths and addresses are composed.
ROW = ("did", "eid", "rel_path", "session_path", "data_url")


@public_methods
class Records:
    """The methods that convert between paths, addresses, and rows of the datasets and sessions tables."""

    _context: Context

    @overload
    async def path2record(self, path: PathOrUrl, query_type: Mode | None = None) -> JSON | None: ...
    @overload
    async def path2record(
        self, path: Several[PathOrUrl], query_type: Mode | None = None
    ) -> list[JSON | None]: ...
    async def path2record(
        self, path: PathOrUrl | Several[PathOrUrl], query_type: Mode | None = None
    ) -> JSON | list[JSON | None] | None:
        """Return the row of the dataset or session at a path or URL as a dictionary, None if it is unknown.

        A dataset's row also has session_path. A list gives a list.

        Examples:
            >>> row = await one.path2record(path)
            >>> row["qc"], row["file_size"] > 0
            ('WARNING', True)
        """
        call = Call(self._context, query_type)
        values, rebuild = ids.flatten(path)

        def put(sessions: pl.DataFrame, files: pl.DataFrame) -> list[JSON | None]:
            records: list[JSON | None] = [None] * len(values)
            _put(records, sessions.drop("rel_path", "raw_path", "did", "session_path"))
            _put(records, files)
            return records

        return rebuild(await _rows_at(call, values, "path", put))

    @overload
    async def record2path(self, dataset: Mapping[str, Any], query_type: Mode | None = None) -> ALFPath: ...
    @overload
    async def record2path(
        self, dataset: Several[Mapping[str, Any]] | pl.DataFrame, query_type: Mode | None = None
    ) -> list[ALFPath]: ...
    async def record2path(
        self, dataset: RecordLike, query_type: Mode | None = None
    ) -> ALFPath | list[ALFPath]:
        """Return the local path of a dataset's file or a session's folder, whether or not it exists.

        Takes a row as a dictionary; a list or frame of rows gives a list.

        Examples:
            >>> row = await one.path2record(path)
            >>> (await one.record2path(row)).name
            'spikes.times.npy'
        """
        call = Call(self._context, query_type)
        rows, rebuild = await _as_rows(call, "dataset", dataset)
        root, uuid_filenames = ALFPath(self._context.cache_dir), self._context.uuid_filenames

        def paths(rows: pl.DataFrame) -> list[ALFPath]:
            made = []
            for folder, name, did in rows.select("session_path", "rel_path", "did").iter_rows():
                path = root / "/".join(filter(None, (folder, name)))
                made.append(
                    path.with_uuid(UUID(did)) if name and uuid_filenames and not has_id(name) else path
                )
            return made

        return rebuild(await _with_folders(call, rows, paths))

    @overload
    async def record2url(self, record: Mapping[str, Any], query_type: Mode | None = None) -> str: ...
    @overload
    async def record2url(
        self, record: Several[Mapping[str, Any]] | pl.DataFrame, query_type: Mode | None = None
    ) -> list[str]: ...
    async def record2url(self, record: RecordLike, query_type: Mode | None = None) -> str | list[str]:
        """Return the address of a dataset's or session's row at the data server; a list or frame gives a list.

        A dataset's own address is used if the row has it or the database knows it; otherwise it is made from the setting
        `data_server`. In modes other than remote, the database is asked only if `data_server` is not set.
        Raises ConfigurationError if neither is known.

        Examples:
            >>> datasets = await one.list_datasets(eid, "_ibl_wheel.*", details=True)
            >>> urls = await one.record2url(datasets)
            >>> len(urls), urls[0].startswith("http")
            (2, True)
        """
        call = Call(self._context, query_type)
        rows, rebuild = await _as_rows(call, "record", record)
        return rebuild(await _urls(call, rows))

    @overload
    async def path2url(self, filepath: PathOrUrl, query_type: Mode | None = None) -> str | None: ...
    @overload
    async def path2url(
        self, filepath: Several[PathOrUrl], query_type: Mode | None = None
    ) -> list[str | None]: ...
    async def path2url(
        self, filepath: PathOrUrl | Several[PathOrUrl], query_type: Mode | None = None
    ) -> str | list[str | None] | None:
        """Return the address of the file at a local path, as `record2url` does. A list gives a list.

        For a file that the tables do not have, the result is None in local mode; other modes raise ALFObjectNotFound if the
        database does not have it either.

        Examples:
            >>> url = await one.path2url(path)
            >>> url.startswith("http")
            True
        """
        call = Call(self._context, query_type)
        values, rebuild = ids.flatten(filepath)
        import polars as pl

        def put(sessions: pl.DataFrame, files: pl.DataFrame) -> tuple[list[int], pl.DataFrame]:
            rows = _frame({name: [] for name in ROW}).with_columns(at=pl.lit(0, pl.UInt32))
            files = files.select("at", *(name for name in ROW if name in files.columns))
            rows = pl.concat([rows, sessions.select("at", "eid", "session_path"), files], how="diagonal")
            return rows["at"].to_list(), rows

        places, rows = await _rows_at(call, values, "filepath", put, ROW)
        urls: list[str | None] = [None] * len(values)
        for at, url in zip(places, await _urls(call, lambda: rows), strict=True):
            urls[at] = url
        if None in urls and call.mode != "local" and not self._context.offline:
            unknown = str(values[urls.index(None)])
            raise ALFObjectNotFound(f"the database has no file {unknown!r}", path=unknown)
        return rebuild(urls)


async def _rows_at(
    call: Call,
    paths: list[Any],
    argument: str,
    use: Callable[[pl.DataFrame, pl.DataFrame], T],
    columns: Collection[str] | None = None,
) -> T:
    """Call ``use`` with the rows of the named sessions and datasets; ``at`` is the position of the path, session_path the folder.

    Sessions are looked up once, and datasets once; `columns` are the columns of datasets that will be used.
    """
    if not all(issubclass(kind, str | PurePath) for kind in set(map(type, paths))):
        wrong = next(path for path in paths if not isinstance(path, str | PurePath))
        raise InputError.of(argument, wrong, "a path or URL, or a list of them")
    import polars as pl

    name = ["subject", "date", "number", "lab", "path"]
    own = ["at", "rel_path", "raw_path", "did"]
    root = ids.odd_root(call.context.cache_dir)

    def parse() -> tuple[pl.DataFrame, pl.DataFrame, bool]:
        parts = ids.file_parts(paths, root).with_row_index("at").drop_nulls("subject")
        return parts, parts.select(name).unique(maintain_order=True), parts.is_empty()

    def locate(keys: pl.DataFrame, found: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
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
        done = call.is_remote or left.is_empty()
        # Tables of a folder may have the ids in the names of files, as `tables build` makes them.
        no_id = pl.lit(None, pl.String).alias("did")
        wanted = left.select("eid", pl.col("raw_path").alias("rel_path"), no_id)
        return (use(sessions, rows) if done else None), rows, left, wanted

    def fill_left(found: pl.DataFrame) -> T:
        more = found.drop("key").with_columns(left[found["key"]].select("at", "session_path"))
        return use(sessions, pl.concat([rows, more], how="diagonal_relaxed") if len(more) else rows)

    parts, keys, is_empty = await run_polars(parse, few=len(paths) <= FEW_SESSIONS)
    if is_empty:
        sessions, files, names = await run_polars(lambda: locate(keys, _no_sessions()))
    else:
        sessions, files, names = await find(call, lambda: keys, locate)
    if files.is_empty():
        return await run_polars(use, sessions, files)
    source = await call.source()
    result, rows, left, wanted = await source.find_datasets(names, fill, columns)
    if call.is_remote or left.is_empty():
        return cast("T", result)
    return await (await call.local()).find_datasets(wanted, fill_left, columns)


async def _urls(call: Call, make: Callable[[], pl.DataFrame]) -> list[str]:
    """Return the address of each row of `_as_rows`."""
    import polars as pl

    data_server = call.context.settings.data_server
    asks = not call.context.offline and (call.mode == "remote" or (call.mode != "local" and not data_server))

    def look() -> tuple[pl.DataFrame, list[str]]:
        rows = make()
        unknown = rows.filter(pl.col("rel_path").is_not_null(), pl.col("data_url").is_null())["did"]
        return rows, unknown.unique(maintain_order=True).to_list() if asks else []

    rows, unknown = await run_polars(look)
    known = await _known_urls(call, unknown)

    def fill() -> tuple[list[str | None], pl.DataFrame | None]:
        its = pl.col("did").replace_strict(known, default=None, return_dtype=pl.String)
        filled = rows.with_columns(pl.col("data_url").fill_null(its)) if known else rows
        left = filled.filter(pl.col("data_url").is_null())
        return filled["data_url"].to_list(), None if left.is_empty() else left

    def made(left: pl.DataFrame) -> list[str]:
        return left.select(_address(data_server)).to_series().to_list()

    urls, left = await run_polars(fill)
    addresses = iter(() if left is None else await _with_folders(call, lambda: left, made))
    return [url or next(addresses) for url in urls]


async def _known_urls(call: Call, dids: list[str]) -> dict[str, str]:
    """Return the database's addresses of datasets. Datasets without one are left out."""
    from one_async.queries.rows import dataset_rows

    if not dids:
        return {}
    found = await run_sync(dataset_rows, await call.context.remote().dataset_records(dids))
    return {row["did"]: row["data_url"] for row in found if row["data_url"]}


async def _with_folders(call: Call, make: Callable[[], pl.DataFrame], use: Callable[[pl.DataFrame], T]) -> T:
    """Call ``use`` with the rows of `_as_rows`, whose missing session paths are looked up."""
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

    return await (await call.source()).sessions(eids, fill)


def _put(records: list[JSON | None], rows: pl.DataFrame) -> None:
    """Store the rows of a frame at the positions in its column `at`."""
    columns = [name for name in rows.columns if name != "at"]
    values = zip(*(rows[name].to_list() for name in columns), strict=True)  # faster by columns than by rows
    for at, items in zip(rows["at"].to_list(), map(zip, repeat(columns), values), strict=True):
        records[at] = dict(items)


def _address(data_server: str | None) -> pl.Expr:
    """Return the address at a data server of a file, whose name contains the dataset's id, or of a session's folder."""
    if not data_server:
        raise ConfigurationError("data_server is not set: pass data_server= or set ONE_DATA_SERVER")
    server = data_server.rstrip("/")
    import polars as pl

    folder, name = pl.col("session_path"), pl.col("rel_path")
    file = id_expression(name, pl.col("did"))
    slash = pl.when(folder != "").then(pl.lit("/")).otherwise(pl.lit(""))
    return pl.concat_str(
        pl.lit(f"{server}/"), folder, pl.when(name.is_not_null()).then(slash + file).otherwise(pl.lit(""))
    )


async def _as_rows(
    call: Call, argument: str, given: RecordLike
) -> tuple[Callable[[], pl.DataFrame], ids.Rebuild]:
    """Return a function that makes the columns `ROW` of rows, and one that puts results into the shape of the input.

    Rows of sessions have neither did nor rel_path. A dataset's row without session_path has eid: rows with neither are
    looked up by their did.
    """
    rebuild: ids.Rebuild = list
    records: list[Any] = []
    frame: Any = given if hasattr(given, "iter_rows") else None
    is_told = frame is not None and not {"eid", "session_path"}.isdisjoint(frame.columns)
    if frame is None:
        records, rebuild = ids.flatten(given)
    elif not is_told:
        records = list(frame.iter_rows(named=True))
    lost = {at: str(ids.dataset_id(one, argument)) for at, one in enumerate(records) if _is_lost(one)}
    if lost:
        known = await rows_of_ids(call, list(lost.values()))
        if unknown := [did for did in lost.values() if did not in known]:
            raise ALFObjectNotFound(f"no dataset has the id {unknown[0]}", did=unknown[0])
        records = [known[lost[at]] if at in lost else one for at, one in enumerate(records)]

    def make() -> pl.DataFrame:
        all_records = frame.iter_rows(named=True) if is_told else records
        rows = [_row(argument, record) for record in all_records]
        return _frame(dict(zip(ROW, map(list, zip(*rows, strict=True)), strict=True)) if rows else {})

    return make, rebuild


def _is_lost(record: object) -> bool:
    """Return whether a row of the datasets table has an id but neither the session's id nor its path."""
    if not isinstance(record, Mapping) or record.get("rel_path") is None:
        return False
    has_did = (record.get("did") or record.get("id")) is not None
    return has_did and all(record.get(name) is None for name in ("eid", "session_path", "data_url"))


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
    did, eid, folder = record.get("did") or record.get("id"), record.get("eid"), record.get("session_path")
    if folder is None and eid is None and record.get("data_url"):
        path = record_url_path(record["data_url"])
        folder = session_part(path) or ("" if "aggregates/" in path else None)
    name, folder = (part.as_posix() if isinstance(part, PurePath) else part for part in (name, folder))
    if did is None or (folder is None and eid is None):
        raise InputError.of(
            argument,
            dict(record),
            "rows with did, rel_path and eid (in list_datasets, with keep_eid_index=True)",
        )
    return str(did), None if eid is None else str(eid), name, folder, record.get("data_url") or None


def _of_endpoint(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the row for a record of the ``datasets`` endpoint or of a session's detail."""
    from one_async.queries.rows import record_row

    return record_row(record)


def _frame(columns: Mapping[str, list[str | None]]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(columns, schema=dict.fromkeys(ROW, pl.String))


def _no_sessions() -> pl.DataFrame:
    import polars as pl

    from one_async.tables.schema import SESSIONS

    return pl.DataFrame(schema={**SESSIONS, "key": pl.UInt32})
