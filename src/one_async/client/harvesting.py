"""Harvests: whole endpoints to files or frames."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from one_async.client.call import public_methods

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from one_async.client.context import Context
    from one_async.harvest.arguments import Endpoints, Format
    from one_async.harvest.report import HarvestReport
    from one_async.harvest.sweep import HarvestProgress
    from one_async.types import DateLike


@public_methods(ended_by_closing=True)
class Harvesting:
    """The method that reads whole endpoints."""

    _context: Context

    async def harvest(
        self,
        endpoints: Endpoints,
        to: str | PathLike[str] | None = None,
        *,
        since: DateLike | None = None,
        resume: bool = True,
        format: Format | None = None,
        filters: Mapping[str, Mapping[str, Any]] | None = None,
        tidy: bool = False,
        executor: Executor | None = None,
        progress: HarvestProgress | None = None,
        part_rows: int = 10_000,
        storage_options: Mapping[str, str] | None = None,
    ) -> HarvestReport:
        """Read all rows of endpoints, each once, and report for each endpoint which rows are missing, if any.

        The rows of one list are spread over pages whose order Alyx does not fix, so that plain paging loses some. A harvest
        compares with the server's counts, splits lists by ranges of ids where that helps, and reads ranges that differ again,
        also if the database changes meanwhile. It adapts the number of concurrent requests to the server and stays below its
        throttle; the REST cache is neither read nor filled. Rows are in memory only until their part is written.

        ``compared`` in an endpoint's report is the check for rows that were added or deleted meanwhile. ``ids``: the list was
        compared with the server id by id at the end. This is done for up to 14,400 rows, and for up to 90,000 if the harvest
        took longer than a second, was resumed, or is merged by ``since``. ``counts``: for longer lists, the rows in ranges of
        ids were counted, in 64 ranges or more, of 900 rows each if the harvest was resumed or merged by ``since``; a deleted
        and an added row in the same range then cancel out. ``one moment``: the list was read within a second and was not
        compared. In no case is a row missing that was there all the time.

        One harvest at a time writes an endpoint to a place; another waits for it up to 70 s. At the end, while Parquet files
        are exchanged, readers see rows of old and new files for a moment; Delta tables change at once.

        Args:
            endpoints: names, or names with filters: ``{"datasets": {"lab": "cortexlab"}}``; ``"all"`` for every endpoint
                that lists records, by the server's schema.
            to: a folder, or an address such as ``s3://bucket/prefix``; None for frames in memory (``report.frames``).
                Each endpoint is a folder of Parquet files or a Delta table; the report is ``report.json`` beside them.
            since: a date or time: only rows made or changed since then are read, and merged by id into the harvest that
                is there, which must have the same filters. Endpoints without time stamps are read whole. ``"last"`` is a
                day before ``as_of`` in the report of each endpoint; those that are not there yet are read whole.
            resume: continue an interrupted harvest of the same rows to the same place, if it began within the last seven
                days; False starts anew. A harvest that ended, or one with other filters, format or ``since``, is
                never resumed: the new one replaces it, or is merged by ``since``.
            format: ``parquet``, ``delta`` (extra ``[delta]``) or ``frame``; the one that is there, if one is.
            filters: filters for each endpoint, as `alyx.rest` takes them, in another form.
            tidy: make tables that join: UUIDs as ``id``, and as ``eid``, ``pid`` and ``did`` where tables refer to sessions,
                insertions and datasets; booleans, times in UTC, and structs. ``schema.md`` beside the data says what each
                column is and refers to; ``views.sql`` makes views of the tables in DuckDB, and ``metadata.duckdb`` has them
                (extra ``[duckdb]``). Without it, rows are as the server sends them.
            executor: where the endpoints are read, one job each, instead of here: a process pool, or a Dask client's
                ``get_executor()``. The workers find credentials in their own environment or settings.
            progress: called with an endpoint's name, the rows received and the rows that the server counts, instead of
                the line that terminals and notebooks show; not with an executor.
            part_rows: rows of a file, which is one row group, and between two checkpoints.
            storage_options: options of the object store, as Polars and obstore name them (``aws_region``, …). Without them the
                address of S3 is ``ONE_S3_ENDPOINT``, else ``AWS_ENDPOINT_URL``; an ``http://`` address in the latter, or in
                ``aws_endpoint_url``, needs ``AWS_ALLOW_HTTP=true``.

        Raises InputError before any request, HarvestUnderWay if another harvest does not end, LoginError; the report of an
        endpoint has its other errors.

        Examples:
            >>> report = await one.harvest(["subjects", "labs"], to="metadata", tidy=True)
            >>> report.complete, report["labs"].distinct
            (True, 4)
        """
        from one_async.harvest.storage import s3_options

        options: dict[str, Any] = {
            "since": since,
            "resume": resume,
            "format": format,
            "filters": filters,
            "tidy": tidy,
            "part_rows": part_rows,
            "storage_options": s3_options(to, storage_options, self._context.settings.s3_endpoint),
        }
        if executor is not None:
            from one_async.client.executors import harvest_in_workers

            return await harvest_in_workers(self._context, executor, endpoints, to, options)
        from one_async.harvest.run import harvest

        display = self._context.display
        return await harvest(self._context.alyx, endpoints, to, progress=progress, display=display, **options)
