"""Lists of the datasets, collections and revisions of sessions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

from one_async._threads import run_polars
from one_async._warnings import warnings_name
from one_async.alf.match import DatasetFilter, Filename, Pattern, collections_of, revisions_of
from one_async.alf.spec import QC
from one_async.client.call import Call, public_methods
from one_async.client.identify import known_eids
from one_async.errors import ALFObjectNotFound, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from one_async.client.context import Context
    from one_async.tables.catalogue import Catalogue
    from one_async.types import Mode, RevisionPolicy, SessionLike, Several

#: The columns by which datasets are selected.
CHOOSING = ("rel_path", "qc", "default_revision")


@public_methods
class Listing:
    """The methods that list datasets and the folders they are in."""

    _context: Context

    # fmt: off
    @overload
    async def list_datasets(
        self, eid: SessionLike | None = None, filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, qc: int | str | QC = QC.FAIL, ignore_qc_not_set: bool = False,
        details: Literal[False] = False,
        query_type: Mode | None = None, default_revisions_only: bool = False, keep_eid_index: bool = False,
        *, revision_policy: RevisionPolicy = "exact",
    ) -> list[str]: ...
    @overload
    async def list_datasets(
        self, eid: SessionLike | None = None, filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, qc: int | str | QC = QC.FAIL, ignore_qc_not_set: bool = False,
        details: Literal[True] = ...,
        query_type: Mode | None = None, default_revisions_only: bool = False, keep_eid_index: bool = False,
        *, revision_policy: RevisionPolicy = "exact",
    ) -> pl.DataFrame: ...
    @overload
    async def list_datasets(
        self, eid: SessionLike | None = None, filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, qc: int | str | QC = QC.FAIL, ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None, default_revisions_only: bool = False, keep_eid_index: bool = False,
        *, revision_policy: RevisionPolicy = "exact",
    ) -> list[str] | pl.DataFrame: ...
    @overload
    async def list_datasets(
        self, eid: Several[SessionLike], filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, qc: int | str | QC = QC.FAIL, ignore_qc_not_set: bool = False,
        details: Literal[False] = False,
        query_type: Mode | None = None, default_revisions_only: bool = False, keep_eid_index: bool = False,
        *, revision_policy: RevisionPolicy = "exact",
    ) -> list[list[str]]: ...
    @overload
    async def list_datasets(
        self, eid: Several[SessionLike], filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, qc: int | str | QC = QC.FAIL, ignore_qc_not_set: bool = False,
        details: Literal[True] = ...,
        query_type: Mode | None = None, default_revisions_only: bool = False, keep_eid_index: bool = False,
        *, revision_policy: RevisionPolicy = "exact",
    ) -> list[pl.DataFrame]: ...
    @overload
    async def list_datasets(
        self, eid: Several[SessionLike], filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, qc: int | str | QC = QC.FAIL, ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None, default_revisions_only: bool = False, keep_eid_index: bool = False,
        *, revision_policy: RevisionPolicy = "exact",
    ) -> list[list[str] | pl.DataFrame]: ...
    # fmt: on
    async def list_datasets(
        self,
        eid: SessionLike | Several[SessionLike] | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = QC.FAIL,
        ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> object:
        """List the datasets of a session, or without `eid` those of all sessions in the tables.

        Args:
            eid: any name of a session; a list gives a list of results.
            filename: a file name pattern, a list of patterns, or a mapping of ALF parts.
            collection, revision: patterns; an empty text means none.
            qc: the worst QC that a dataset may have, by name, number or member.
            ignore_qc_not_set: leave out datasets whose QC is not set.
            details: return a frame instead of paths.
            default_revisions_only: leave out older and newer revisions.
            keep_eid_index: with `details`, keep the eid column.
            revision_policy: `exact`, the revision is a pattern like the others; `last_before`, the revision or the last
                before it, as loads do; `default`, default revisions only.

        Returns the paths below the session, sorted; with `details` a frame: did, rel_path, file_size (bytes), hash, exists,
        qc, default_revision.

        Examples:
            >>> await one.list_datasets(eid, "_ibl_wheel.*")
            ['alf/_ibl_wheel.position.npy', 'alf/_ibl_wheel.timestamps.npy']
            >>> datasets = await one.list_datasets(eid, qc="PASS", ignore_qc_not_set=True, details=True)
            >>> datasets["qc"].unique().to_list()
            ['PASS']
        """
        call = Call(self._context, query_type)
        options: dict[str, Any] = {
            "qc": QC.validate(qc),
            "ignore_qc_not_set": ignore_qc_not_set,
            "default_revisions_only": default_revisions_only or revision_policy == "default",
            "wildcards": self._context.wildcards,
        }

        wanted = DatasetFilter(filename, collection, revision, policy=revision_policy, **options)

        def finish(datasets: pl.DataFrame) -> Any:
            chosen = wanted.choose_frame(datasets)
            if not details:
                return sorted(chosen["rel_path"])
            if not keep_eid_index:
                chosen = chosen.clone()
                chosen.drop_in_place("eid")  # without a Polars query, which would take most of the time
            return chosen

        def of_all(tables: Catalogue) -> Any:
            from one_async.tables import listing

            if revision_policy not in ("exact", "default"):
                raise InputError.of(
                    "revision_policy",
                    revision_policy,
                    "'exact' or 'default' for the datasets of all sessions",
                )
            given: dict[str, Any] = {**options, "details": details}
            return listing.list_datasets(tables, filename, collection, revision, **given)

        columns = None if details else CHOOSING
        return await _per_session(call, eid, finish, of_all, columns)

    # fmt: off
    @overload
    async def list_collections(
        self, eid: SessionLike | None = None, filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[str]: ...
    @overload
    async def list_collections(
        self, eid: SessionLike | None = None, filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> dict[str, pl.DataFrame]: ...
    @overload
    async def list_collections(
        self, eid: SessionLike | None = None, filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: bool = False,
        query_type: Mode | None = None,
    ) -> list[str] | dict[str, pl.DataFrame]: ...
    @overload
    async def list_collections(
        self, eid: Several[SessionLike], filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[list[str]]: ...
    @overload
    async def list_collections(
        self, eid: Several[SessionLike], filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> list[dict[str, pl.DataFrame]]: ...
    @overload
    async def list_collections(
        self, eid: Several[SessionLike], filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: bool = False,
        query_type: Mode | None = None,
    ) -> list[list[str] | dict[str, pl.DataFrame]]: ...
    # fmt: on
    async def list_collections(
        self,
        eid: SessionLike | Several[SessionLike] | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> object:
        """List the collections of a session, or without `eid` of all sessions in the tables; filters as in `list_datasets`.

        Datasets directly in the session's folder are in the collection ``""``. With `details`, returns a mapping of each
        collection to the frame of its datasets. A list of sessions gives a list of results.

        Examples:
            >>> await one.list_collections(eid, filename="spikes.times*")
            ['alf/probe00/pykilosort']
            >>> collections = await one.list_collections(eid, details=True)
            >>> collections["alf"]["rel_path"].to_list()[:2]
            ['alf/_ibl_trials.table.pqt', 'alf/_ibl_bodyCamera.times.npy']
        """
        call = Call(self._context, query_type)

        wanted = DatasetFilter(filename, collection, revision, wildcards=self._context.wildcards)

        def finish(datasets: pl.DataFrame) -> Any:
            found = wanted.choose_frame(datasets)
            return _grouped(found, collections_of(found["rel_path"]), details)

        def of_all(tables: Catalogue) -> Any:
            from one_async.tables import listing

            options: dict[str, Any] = {"details": details, "wildcards": self._context.wildcards}
            return listing.list_collections(tables, filename, collection, revision, **options)

        return await _per_session(call, eid, finish, of_all, None if details else CHOOSING)

    # fmt: off
    @overload
    async def list_revisions(
        self, eid: SessionLike | None = None, filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[str]: ...
    @overload
    async def list_revisions(
        self, eid: SessionLike | None = None, filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> dict[str, pl.DataFrame]: ...
    @overload
    async def list_revisions(
        self, eid: SessionLike | None = None, filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: bool = False,
        query_type: Mode | None = None,
    ) -> list[str] | dict[str, pl.DataFrame]: ...
    @overload
    async def list_revisions(
        self, eid: Several[SessionLike], filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[list[str]]: ...
    @overload
    async def list_revisions(
        self, eid: Several[SessionLike], filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> list[dict[str, pl.DataFrame]]: ...
    @overload
    async def list_revisions(
        self, eid: Several[SessionLike], filename: Filename = None, collection: Pattern = None,
        revision: Pattern = None, details: bool = False,
        query_type: Mode | None = None,
    ) -> list[list[str] | dict[str, pl.DataFrame]]: ...
    # fmt: on
    async def list_revisions(
        self,
        eid: SessionLike | Several[SessionLike] | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> object:
        """List the revisions of a session's datasets, or without `eid` of all; filters as in `list_datasets`.

        Datasets without revision are under ``""``. With `details`, returns a mapping of each revision to the frame of its
        datasets. A list of sessions gives a list of results.

        Examples:
            >>> await one.list_revisions(eid, collection="alf/probe00/*")
            ['']
        """
        call = Call(self._context, query_type)

        wanted = DatasetFilter(filename, collection, revision, wildcards=self._context.wildcards)

        def finish(datasets: pl.DataFrame) -> Any:
            found = wanted.choose_frame(datasets)
            return _grouped(found, revisions_of(found["rel_path"]), details)

        def of_all(tables: Catalogue) -> Any:
            from one_async.tables import listing

            options: dict[str, Any] = {"details": details, "wildcards": self._context.wildcards}
            return listing.list_revisions(tables, filename, collection, revision, **options)

        return await _per_session(call, eid, finish, of_all, None if details else CHOOSING)


async def _per_session(
    call: Call,
    eid: Any,
    finish: Callable[[pl.DataFrame], Any],
    of_all: Callable[[Catalogue], Any],
    columns: Sequence[str] | None,
) -> Any:
    """Return the result of `finish` for the datasets of one session or of each of several, or of `of_all` for the tables."""
    if eid is None or (isinstance(eid, str) and not eid):
        return await _of_all(call, of_all)
    eids, rebuild = await known_eids(call, eid)
    source = await call.source()

    def finish_all(found: dict[str, pl.DataFrame]) -> list[Any]:
        missing = [one for one in eids if one not in found]
        if missing and call.mode != "local":
            raise ALFObjectNotFound(f"no session has the id {missing[0]}", eid=missing[0])
        return [finish_one(one, found) for one in eids]

    def finish_one(one: str, found: dict[str, pl.DataFrame]) -> Any:
        with warnings_name(one):
            return finish(found[one] if one in found else no_datasets())

    return rebuild(await source.listed(list(dict.fromkeys(eids)), finish_all, columns))


@cache
def no_datasets() -> pl.DataFrame:
    import polars as pl

    from one_async.tables.schema import DATASETS

    return pl.DataFrame(schema=dict(DATASETS))


async def _of_all(call: Call, of_all: Callable[[Catalogue], Any]) -> Any:
    if call.mode == "remote":
        raise InputError.of(
            "eid",
            None,
            "a session, or sessions; for the datasets of the whole database use query_type='auto'",
        )
    return await run_polars(of_all, await call.catalogue())


def _grouped(datasets: pl.DataFrame, names: pl.Series, details: bool) -> list[str] | dict[str, pl.DataFrame]:
    if not details:
        return names.unique(maintain_order=True).to_list()
    grouped = datasets.with_columns(names.alias("_group")).partition_by(
        "_group", as_dict=True, include_key=False
    )
    return {str(key[0]): grouped[key] for key in sorted(grouped)}
