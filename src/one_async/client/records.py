"""Records of datasets: from a path, an id, a type or a relation to a row, and from a row to a path or an address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .. import ids
from ..alf.match import resolve
from ..alf.path import ALFPath
from ..choose import How, one_dataset
from ..errors import ALFMultipleObjectsFound, ALFObjectNotFound, ConfigurationError, InputError
from ..ids import session_folder
from .load import Loading

if TYPE_CHECKING:
    import polars as pl

    from ..types import Mode


class Records(Loading):
    """The methods that deal with rows of the datasets table one by one."""

    async def load_dataset_from_id(
        self, dset_id: Any, download_only: bool = False, details: bool = False, check_hash: bool = True,
        query_type: Mode | None = None,
    ) -> Any:  # fmt: skip
        """Load a dataset by its id; with `details` also its row, as a dictionary. Of a list, a list.

        Raises ALFObjectNotFound for an id that is not known, or a file that is not on disk in local mode.
        """
        values, rebuild = ids.flatten(dset_id)
        dids = [str(ids.as_uuid(value, "dset_id")) for value in values]
        mode = self._check_mode(query_type)
        rows = await self._rows_of(dids, mode)
        results = []
        for did in dids:
            if did not in rows:
                raise ALFObjectNotFound(f"no dataset has the id {did}", dataset=did)
            (file,) = await self._files_of_rows([rows[did]], mode, check_hash)
            if file is None:
                raise ALFObjectNotFound(f"{rows[did]['rel_path']} is not on disk", dataset=did)
            data = file if download_only else await self._read(file)
            results.append((data, rows[did]) if details else data)
        return rebuild(results)

    async def _rows_of(self, dids: list[str], mode: Mode) -> dict[str, dict[str, Any]]:
        """Give rows, with session_path, of datasets by id: from the tables, else from the server."""
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

    async def path2record(self, path: Any, query_type: Mode | None = None) -> Any:
        """Give the row of the dataset that a path or URL stands for, or of the session, as a dictionary; None if unknown.

        A dataset's row has session_path as well. Of a list, a list.
        """
        values, rebuild = ids.flatten(path)
        return rebuild([await self._record_of(value, query_type) for value in values])

    async def _record_of(self, path: Any, query_type: Mode | None) -> dict[str, Any] | None:
        if not isinstance(path, str | PurePath):
            raise InputError.of("path", path, "a path or URL")
        from ..sources.rows import url_path, without_uuid

        text = url_path(path) if isinstance(path, str) and "://" in path else str(path).replace("\\", "/")
        eid = await self.path2eid(text, query_type)
        if eid is None:
            return None
        source = await self._source(query_type)
        found = (await source.datasets([str(eid)])).get(str(eid))
        if found is None:
            return None
        folder = session_folder(found.session)
        inside = text.partition(folder.rpartition("/Subjects/")[2] or folder)[2].strip("/")
        if not inside:
            return dict(found.session)
        plain, did = without_uuid(inside)
        for row in found.datasets.iter_rows(named=True):
            if row["did"] == did or (did is None and row["rel_path"] == plain):
                return {**row, "session_path": folder}
        return None

    async def record2path(self, dataset: Any, query_type: Mode | None = None) -> Any:
        """Give the local path of the file of a dataset's row (a dictionary, or a frame: then a list), there or not."""
        records = _records(dataset)
        folders = await self._folders(records, query_type)
        paths = []
        for record, folder in zip(records, folders, strict=True):
            path = ALFPath(self.cache_dir) / folder / record["rel_path"]
            paths.append(path.with_uuid(UUID(record["did"])) if self.uuid_filenames else path)
        return paths if hasattr(dataset, "iter_rows") else paths[0]

    async def record2url(self, record: Any, query_type: Mode | None = None) -> Any:
        """Give the address of a dataset's or session's row at the data server; of a frame, a list.

        A dataset's own address is used if the row has it; otherwise it is made from the setting `data_server`.
        Raises ConfigurationError where neither is known.
        """
        rows = _records(record, need="subject" if "rel_path" not in _names(record) else "rel_path")
        if rows and "rel_path" not in rows[0]:
            urls = [f"{self._data_server()}/{session_folder(row)}" for row in rows]
        else:
            unknown = [row for row in rows if not row.get("data_url")]
            folders = iter(await self._folders(unknown, query_type))
            urls = [row.get("data_url") or self._made_url(row, next(folders)) for row in rows]
        return urls if hasattr(record, "iter_rows") else urls[0]

    async def path2url(self, filepath: Any, query_type: Mode | None = None) -> Any:
        """Give the address of the file that a local path stands for; None for a path in no session. Of a list, a list.

        Remotely the database says where it is; ALFObjectNotFound if it does not know it.
        """
        values, rebuild = ids.flatten(filepath)
        mode = self._check_mode(query_type)
        urls: list[str | None] = []
        for value in values:
            row = await self._record_of(value, query_type)
            if row is None:
                if mode == "remote":
                    raise ALFObjectNotFound(f"the database knows no file {str(value)!r}", path=str(value))
                urls.append(None)
            else:
                urls.append(await self.record2url(row, query_type))
        return rebuild(urls)

    async def type2datasets(self, eid: Any, dataset_type: str | list[str], details: bool = False) -> Any:
        """List a session's datasets of one of some dataset types: paths, sorted, or with `details` a frame.

        Of a list of sessions, a list. Only files that can be reached are listed.
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
        frames = [rows_frame(of_session.get(one, [])) for one in eids]
        return rebuild([frame if details else frame["rel_path"].sort().to_list() for frame in frames])

    async def list_aggregates(
        self,
        relation: str,
        identifier: str | None = None,
        dataset: Any = None,
        revision: Any = None,
        assert_unique: bool = False,
    ) -> pl.DataFrame:
        """List datasets that were made of many sessions: of a subject (`relation` ``"subjects"``), project or tag.

        `identifier` is found anywhere in the aggregate's own: a subject's nickname, ``lab/subject``, a tag. `dataset` and
        `revision` are patterns with wildcards. Returns a frame: the datasets table's columns, relation, identifier.
        """
        import polars as pl

        from ..sources.rows import aggregate_rows, rows_frame

        self._needs_database("list_aggregates")
        rows = await self.alyx.rest("datasets", "list", django="session__isnull,True")
        found = rows_frame(aggregate_rows(rows, relation), "relation", "identifier")
        if identifier is not None:
            found = found.filter(pl.col("identifier").str.contains(identifier))
        revision = revision or None
        return resolve(found, dataset, revision=revision, policy="last_before", assert_unique=assert_unique)

    async def load_aggregate(
        self,
        relation: str,
        identifier: str,
        dataset: Any = None,
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

    async def _folders(self, records: list[dict[str, Any]], query_type: Mode | None) -> list[str]:
        """Give the session's path of each row: its own, or that of its session."""
        unknown = sorted({str(row["eid"]) for row in records if "session_path" not in row})
        known: dict[str, str] = {}
        if unknown:
            frame = await (await self._source(query_type)).sessions(unknown)
            known = {row["eid"]: session_folder(row) for row in frame.iter_rows(named=True)}
            if missing := set(unknown) - set(known):
                raise ALFObjectNotFound(f"no session has the id {min(missing)}", eid=min(missing))
        return [row["session_path"] if "session_path" in row else known[str(row["eid"])] for row in records]

    def _made_url(self, row: Mapping[str, Any], folder: str) -> str:
        path = PurePath(row["rel_path"])
        name = f"{path.stem}.{row['did']}{path.suffix}"
        return "/".join(filter(None, [self._data_server(), folder, path.parent.as_posix().strip("."), name]))

    def _data_server(self) -> str:
        if not self.settings.data_server:
            raise ConfigurationError("data_server is not set: pass data_server= or set ONE_DATA_SERVER")
        return self.settings.data_server.rstrip("/")


def _names(record: Any) -> Any:
    return record.columns if hasattr(record, "columns") else record


def _records(dataset: Any, need: str = "rel_path") -> list[dict[str, Any]]:
    if hasattr(dataset, "iter_rows"):
        rows = list(dataset.iter_rows(named=True))
    elif isinstance(dataset, Mapping):
        rows = [dict(dataset)]
    else:
        raise InputError.of("record", dataset, "a row as a dictionary, or a frame")
    if any(need not in row for row in rows):
        raise InputError.of("record", dataset, f"rows with {need}")
    return rows
