"""The cache tables: opening, refreshing, saving and querying them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from one_async._arguments import path_of
from one_async._threads import run_polars, run_sync
from one_async._warnings import warn
from one_async.client.call import Call, public_methods
from one_async.errors import ConfigurationError, OneError, TablesError, TablesNotFound, TablesWarning
from one_async.tables.pandas_frames import as_pandas

if TYPE_CHECKING:
    import polars as pl

    from one_async.client.context import Context
    from one_async.refresh import TablesInfo
    from one_async.types import Mode


@public_methods(ended_by_closing=True)
class TableMethods:
    """The methods that concern the cache tables as a whole."""

    _context: Context

    @property
    def tables_info(self) -> TablesInfo:
        """The loaded tables' origin, times of making and loading, numbers of rows, and whether they are expired.

        Examples:
            >>> loaded = await one.load_cache()
            >>> one.tables_info.rows["sessions"] > 0
            True
        """
        return self._context.tables.info

    @property
    def _cache(self) -> CacheTwin:
        return CacheTwin(self._context)

    async def load_cache(
        self, tables_dir: str | Path | None = None, clobber: bool = False, tag: str | None = None
    ) -> datetime | None:
        """Load the cache tables, downloaded first where the server's are newer (or in any case with `clobber`).

        Args:
            tables_dir: a folder to load from instead.
            clobber: ask the server even if it was asked a short time ago.
            tag: only the datasets that have this tag of the database, and their sessions.

        In local mode the server is asked only with `clobber`. Returns the time of loading; raises TablesNotFound if there
        are no tables.

        Examples:
            >>> loaded = await one.load_cache()
            >>> loaded == one.tables_info.loaded
            True
        """
        if tables_dir is not None or tag is not None:
            return await self._context.tables.load(
                tables_dir=path_of(tables_dir, "tables_dir") if tables_dir else None,
                tag=tag,
                clobber=clobber,
                online=clobber or self._context.mode != "local",
            )
        return await self.refresh_cache(
            "refresh" if clobber else "local" if self._context.mode == "local" else "auto"
        )

    async def refresh_cache(self, mode: Mode = "auto") -> datetime | None:
        """Refresh the cache tables as the mode demands, and return the time at which they were loaded.

        `local` and `remote` load the tables on disk if none are loaded yet; `auto` asks the server if the last check was
        longer ago than `cache_expiry`; `refresh` asks now. Tables are downloaded only if the server's are newer.

        Examples:
            >>> loaded = await one.refresh_cache("refresh")  # a time
            >>> loaded == one.tables_info.loaded
            True
        """
        mode = self._context.check_mode(mode, "mode") if mode != "remote" else mode
        return await self._context.tables.refresh(mode)

    async def save_cache(self, save_dir: str | Path | None = None, clobber: bool = False) -> Path:
        """Save the tables with the rows that queries have added; return the folder.

        Rows that another process saved meanwhile are kept, unless `clobber` replaces the files. Raises
        ConfigurationError if the folder is not writable, TablesError if another process writes for very long.
        Without added rows nothing is written; warns TablesWarning if `save_dir` then has no tables.

        Examples:
            >>> (await one.save_cache("tables")).name
            'tables'
        """
        folder = path_of(save_dir, "save_dir") if save_dir else None
        with _writing(folder or self._context.settings.tables_dir):
            saved = await self._context.tables.save(folder, clobber=clobber)
        if folder is not None and not clobber and not await run_sync(_has_tables, folder):
            warn(
                f"nothing was written to {folder}, since queries have added no rows; clobber=True writes all tables",
                TablesWarning,
            )
        return saved

    async def save_loaded_ids(
        self, sessions_only: bool = False, clear_list: bool = True
    ) -> tuple[list[str], Path | None]:
        """Save the ids of all datasets loaded while `record_loaded` was True, or those of their sessions.

        Returns the ids and the file, a CSV file of one column in `tables_dir`; if nothing was recorded, warns and returns no
        ids. `clear_list` then clears the recorded ids.

        Examples:
            >>> one.record_loaded = True
            >>> trials = await one.load_object(eid, "trials")
            >>> dids, file = await one.save_loaded_ids()
            >>> one.record_loaded = False
            >>> len(dids), file.suffix
            (6, '.csv')
        """
        with _writing(self._context.settings.tables_dir):
            return await self._context.tables.save_loaded_ids(
                sessions_only=sessions_only, clear_list=clear_list
            )

    async def sessions(self) -> pl.LazyFrame:
        """Return the sessions table: eid, lab, subject, date, number, task_protocol, projects (joined by commas).

        Examples:
            >>> sessions = await one.sessions()
            >>> sessions.filter(subject="SU_101").collect().height
            25
        """
        return await run_polars((await Call(self._context).catalogue()).sessions)

    async def datasets(self) -> pl.LazyFrame:
        """Return the datasets table: did, eid, rel_path, file_size (bytes), hash, exists, qc, default_revision.

        Examples:
            >>> datasets = await one.datasets()
            >>> datasets.filter(rel_path="alf/_ibl_trials.table.pqt").collect().height
            295
        """
        return await run_polars((await Call(self._context).catalogue()).datasets)

    async def insertions(self) -> pl.LazyFrame:
        """Return the insertions table: pid, eid, name and other columns. Raises TablesNotFound without one.

        Examples:
            >>> insertions = await one.insertions()
            >>> insertions.filter(name="probe00").collect().height > 0
            True
        """
        catalogue = await Call(self._context).catalogue()
        if "insertions" not in catalogue.others:
            raise TablesNotFound(
                "the cache tables have no insertions", path=str(self._context.settings.tables_dir)
            )
        return await run_polars(catalogue.insertions)

    async def sql(self, query: str) -> pl.DataFrame:
        """Run SQL in the dialect of Polars on the tables `sessions`, `datasets` and others that were found.

        Raises InputError for SQL that Polars cannot run.

        Examples:
            >>> counts = await one.sql("SELECT count(*) FROM sessions WHERE subject = 'SU_101'")
            >>> counts.item()
            25
        """
        catalogue = await Call(self._context).catalogue()
        return await run_polars(catalogue.sql, query)


def _has_tables(folder: Path) -> bool:
    return any(folder.glob("*.pqt"))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Raise errors that name the folder and the remedy if writing fails."""
    try:
        yield
    except OneError:
        raise
    except TimeoutError:
        raise TablesError(f"another process is writing the tables of {folder}", path=str(folder)) from None
    except OSError as error:
        raise ConfigurationError(
            f"nothing can be written to {folder} ({error.strerror or error}); give another folder: save_dir= here, "
            "tables_dir= of the constructor, or ONE_TABLES_DIR",
            path=str(folder),
        ) from error


class CacheTwin(Mapping[str, Any]):
    """ONE-api's `_cache`: tables by name, as frames, and `_meta`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __getitem__(self, name: str) -> Any:
        """Return a table as a frame, or `_meta`."""
        catalogue = self._context.tables.loaded
        if name == "_meta":
            return self._meta
        frame = catalogue.session_frame if name == "sessions" else catalogue.others.get(name)
        if name == "datasets":
            frame = catalogue.datasets().collect()
        elif frame is None:
            raise KeyError(name)
        return as_pandas(frame) if self._context.table_kind == "pandas" else frame

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the tables, and `_meta`."""
        yield from ("sessions", "datasets", *self._context.tables.loaded.others, "_meta")

    def _ipython_key_completions_(self) -> list[str]:
        """Return the names that IPython completes after a bracket."""
        return list(self)

    def __len__(self) -> int:
        """Count the tables, and `_meta`."""
        return 3 + len(self._context.tables.loaded.others)

    @property
    def _meta(self) -> dict[str, Any]:
        """ONE-api 2's description of the tables: expired, created_time, loaded_time, modified_time, saved_time, raw."""
        return self._context.tables.meta
