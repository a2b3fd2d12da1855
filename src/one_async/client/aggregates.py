"""Aggregate datasets, made from many sessions: those of a subject, a project or a tag."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from one_async._threads import run_polars, run_sync
from one_async.alf.match import DatasetFilter, compile_pattern, is_match, plain_pattern
from one_async.client.call import Call, public_methods
from one_async.client.datafiles import DataFiles
from one_async.errors import ALFMultipleObjectsFound, ALFObjectNotFound, InputError, naming
from one_async.queries.selection import SelectionOptions, one_dataset

if TYPE_CHECKING:
    import polars as pl

    from one_async.alf.match import Filename, Pattern
    from one_async.client.context import Context

T = TypeVar("T")
#: The usual relations of aggregate datasets; a database may have others.
RELATIONS = ("subjects", "projects", "tags")


@public_methods(ended_by_closing=True)
class Aggregates:
    """Methods that list and load aggregate datasets."""

    _context: Context

    async def list_aggregates(
        self,
        relation: str,
        identifier: str | None = None,
        dataset: Filename = None,
        revision: Pattern = None,
        assert_unique: bool = False,
    ) -> pl.DataFrame:
        """List aggregate datasets: those of a subject (`relation` ``"subjects"``), project or tag.

        `identifier` is a regular expression that matches anywhere in the identifier of an aggregate: a subject's nickname,
        ``lab/subject``, a tag. `dataset` and `revision` are patterns with wildcards.
        Returns a frame: the datasets table's columns, relation, identifier. Raises InputError for an
        unusual relation of which the database has no datasets.

        Examples:
            >>> aggregates = await one.list_aggregates("subjects", "cortexlab/CX_001")
            >>> [path.rpartition("/")[2] for path in aggregates["rel_path"]]
            ['_ibl_subjectTraining.table.pqt', '_ibl_subjectTrials.table.pqt']
        """
        self._context.needs_database("list_aggregates")
        with naming({"filename": "dataset"}):
            wanted = DatasetFilter(
                dataset, revision=revision or None, policy="last_before", assert_unique=assert_unique
            )
        return await _aggregates(self._context, relation, identifier, wanted.choose_frame)

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
        """Load one aggregate dataset. The arguments are those of `list_aggregates` and must match exactly one dataset.

        `download_only` and `check_hash` are those of `load_dataset`.

        Raises ALFObjectNotFound if none matches, ALFMultipleObjectsFound or a similar error if several do.

        Examples:
            >>> trials = await one.load_aggregate("subjects", "cortexlab/CX_001", "_ibl_subjectTrials.table.pqt")
            >>> "choice" in trials.columns
            True
        """
        name, how = "*" if dataset is None else dataset, SelectionOptions(True, "last_before")
        self._context.needs_database("load_aggregate")
        wanted = one_dataset(name, None, revision or None, how)

        def choose(found: pl.DataFrame) -> list[dict[str, Any]]:
            return [{**row, "session_path": ""} for row in wanted(found.rows(named=True))]

        records = await _aggregates(self._context, relation, identifier, choose)
        if len(records) != 1:
            raise ALFMultipleObjectsFound(
                f"{relation}/{identifier} has {len(records)} datasets that match {dataset!r}"
            )
        (file,) = await DataFiles(self._context).of_rows(Call(self._context), records, check_hash)
        if file is None:
            raise ALFObjectNotFound(f"{records[0]['rel_path']} is not available", dataset=dataset)
        return file if download_only else await run_sync(DataFiles(self._context).read, file)


async def _aggregates(
    context: Context,
    relation: str,
    identifier: str | None,
    use: Callable[[pl.DataFrame], T],
) -> T:
    """Call ``use`` with the aggregate datasets of a relation, and return its result."""
    from one_async.queries.rows import aggregate_rows, rows_frame

    if not isinstance(relation, str):
        raise InputError.of("relation", relation, RELATIONS)
    if not isinstance(identifier, str | None):
        raise InputError.of("identifier", identifier, "text")
    pattern = None if identifier is None else compile_pattern(identifier, "identifier")
    rows = await context.alyx.rest("datasets", "list", django="session__isnull,True")

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
