"""Dataset types and revisions, as the database describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload
from uuid import UUID

from one_async import ids
from one_async._threads import run_polars, run_sync
from one_async.client.call import Call, public_methods
from one_async.client.identify import known_eids
from one_async.errors import ALFObjectNotFound, InputError, NotFound

if TYPE_CHECKING:
    import polars as pl

    from one_async.client.context import Context
    from one_async.types import JSON, SessionLike, Several


@public_methods
class DatasetTypes:
    """Methods for dataset types and revisions."""

    _context: Context

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
        """List a session's datasets of one or several dataset types: sorted paths, or with `details` a frame.

        A list of sessions gives a list. Only files that can be reached are listed.
        Raises ALFObjectNotFound for an unknown session.

        Examples:
            >>> await one.type2datasets(eid, "wheel.position")
            ['alf/_ibl_wheel.position.npy']
        """
        self._context.needs_database("type2datasets")
        types = [dataset_type] if isinstance(dataset_type, str) else dataset_type
        if (
            not isinstance(types, list | tuple)
            or not all(isinstance(name, str) for name in types)
            or not types
        ):
            raise InputError.of("dataset_type", dataset_type, "a dataset type's name, or a list of names")
        from one_async.queries.rows import dataset_rows, rows_frame

        eids, rebuild = await known_eids(Call(self._context), eid)
        filters = f"dataset_type__name__in,{list(types)}"
        of_session: dict[str | None, list[dict[str, Any]]] = {}
        found = await self._context.remote().dataset_lists(eids, filters)
        for row in await run_sync(lambda: dataset_rows(found, reachable=True)):
            of_session.setdefault(row["eid"], []).append(row)
        await _check_known(self._context, [one for one in eids if one not in of_session])

        def frames() -> list[Any]:
            made = [rows_frame(of_session.get(one, [])) for one in eids]
            return made if details else [frame["rel_path"].sort().to_list() for frame in made]

        return rebuild(await run_polars(frames))

    @overload
    async def describe_dataset(self, dataset_type: None = None) -> list[JSON]: ...
    @overload
    async def describe_dataset(self, dataset_type: str | UUID) -> JSON: ...
    async def describe_dataset(self, dataset_type: str | UUID | None = None) -> JSON | list[JSON]:
        """Return the database's record of a dataset type, named by itself or by a file name or dataset id of that type.

        Its `description` describes the content of such files. Without an argument, returns the list of all dataset types.

        Examples:
            >>> record = await one.describe_dataset("spikes.times")
            >>> record["name"], record["filename_pattern"]
            ('spikes.times', '*spikes.times.*')
        """
        self._context.needs_database("describe_dataset")
        if dataset_type is None:
            types: list[JSON] = await self._context.alyx.rest("dataset-types", "list")
            return types
        name, did = _dataset_name(dataset_type, "dataset_type")
        record: JSON
        if did is None and "/" not in str(dataset_type):
            try:
                record = await self._context.alyx.rest("dataset-types", "read", id=name)
            except NotFound:
                pass
            else:
                return record
        record = await self._context.alyx.rest(
            "dataset-types", "read", id=await self.dataset2type(dataset_type)
        )
        return record

    @overload
    async def dataset2type(self, dset: str | UUID) -> str: ...
    @overload
    async def dataset2type(self, dset: Several[str | UUID]) -> list[str]: ...
    async def dataset2type(self, dset: str | UUID | Several[str | UUID]) -> str | list[str]:
        """Return the name of a dataset's type. The dataset is given by id or file name; a list gives a list.

        Raises ALFObjectNotFound for a dataset that the database does not know.

        Examples:
            >>> await one.dataset2type(["_ibl_wheel.position.npy", did])
            ['wheel.position', 'spikes.times']
        """
        self._context.needs_database("dataset2type")
        values, rebuild = ids.flatten(dset)
        names = [_dataset_name(value, "dset") for value in values]
        found: dict[str, str] = {}
        rows = await self._context.remote().dataset_records(
            list(dict.fromkeys(did for _, did in names if did))
        )
        found |= {row["url"][-36:]: row["dataset_type"] for row in rows}
        rows = await self._context.remote().datasets_named(
            dict.fromkeys(name for name, did in names if not did)
        )
        found |= {row["name"]: row["dataset_type"] for row in rows}
        for value, (name, did) in zip(values, names, strict=True):
            if (did or name) not in found:
                raise ALFObjectNotFound(f"the database has no dataset {value!r}", dataset=value)
        return rebuild([found[did or name] for name, did in names])

    @overload
    async def describe_revision(self, revision: str, full: Literal[False] = False) -> str: ...
    @overload
    async def describe_revision(self, revision: str, full: Literal[True]) -> JSON: ...
    @overload
    async def describe_revision(self, revision: str, full: bool) -> str | JSON: ...
    async def describe_revision(self, revision: str, full: bool = False) -> str | JSON:
        """Return the description of a revision, or with `full` its whole record. Raises ALFObjectNotFound if there is none.

        Examples:
            >>> revisions = await one.alyx.rest("revisions", "list")
            >>> await one.describe_revision(revisions[0]["name"])
            'trials extracted again'
        """
        self._context.needs_database("describe_revision")
        if not isinstance(revision, str) or not revision.strip("#"):
            raise InputError.of("revision", revision, "a revision's name, such as '2024-05-06'")
        try:
            record: JSON = await self._context.alyx.rest("revisions", "read", id=revision.strip("#"))
        except NotFound:
            raise ALFObjectNotFound(f"the database has no revision {revision!r}", revision=revision) from None
        return record if full else str(record["description"])


async def _check_known(context: Context, eids: list[str]) -> None:
    """Raise ALFObjectNotFound unless the database has all of these sessions."""
    known = (
        {str(row["id"]) for row in await context.remote().records(list(dict.fromkeys(eids)))}
        if eids
        else set()
    )
    if missing := [one for one in eids if one not in known]:
        raise ALFObjectNotFound(f"the database has no session {missing[0]}", eid=missing[0])


def _dataset_name(value: object, argument: str) -> tuple[str, str | None]:
    """Return a file's name, and the dataset's id if that is what names it."""
    if isinstance(value, UUID):
        return "", str(value)
    if not isinstance(value, str) or not value.rpartition("/")[2]:
        raise InputError.of(argument, value, "a dataset's id or file name, such as 'spikes.times.npy'")
    try:
        return "", str(ids.as_uuid(value))
    except InputError:
        return value.rpartition("/")[2], None
