"""Rows of the datasets table by their ids, each with the path of its session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from one_async._threads import run_polars, run_sync
from one_async.alf.session_paths import session_folder
from one_async.errors import ALFInvalid, ALFMultipleObjectsFound

if TYPE_CHECKING:
    import polars as pl

    from one_async.client.call import Call

#: The placeholder for the path of an unknown session.
UNKNOWN: dict[str, Any] = {"session_path": None, "subject": None}


async def rows_of_ids(call: Call, dids: list[str]) -> dict[str, dict[str, Any]]:
    """Return the rows of datasets by id, with session_path, from the tables or else from the server.

    A frozen set has no rows besides its own.
    """
    if call.context.frozen is not None:
        return await _table_rows(call, dids)
    rows: dict[str, dict[str, Any]] = {}
    if call.mode != "remote":
        rows = await _table_rows(call, dids)
    missing = [did for did in dict.fromkeys(dids) if did not in rows]
    if missing and call.mode != "local" and not call.context.offline:
        from one_async.queries.rows import dataset_rows

        found = await run_sync(dataset_rows, await call.context.remote().dataset_records(missing))
        rows |= {row["did"]: row for row in await with_paths(call, found)}
    return rows


async def with_paths(call: Call, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the server's records. Session paths that no address contains are looked up."""
    lost = sorted({row["eid"] for row in rows if row["eid"] and not row["session_path"]})
    if not lost:
        return rows

    def folders_of(found: pl.DataFrame) -> dict[str, dict[str, Any]]:
        return {row["eid"]: folder_of(row) for row in found.iter_rows(named=True)}

    folders = await call.context.remote().sessions(lost, folders_of)
    return [
        row if row["session_path"] or not row["eid"] else {**row, **folders.get(row["eid"], UNKNOWN)}
        for row in rows
    ]


async def _table_rows(call: Call, dids: list[str]) -> dict[str, dict[str, Any]]:
    import polars as pl

    catalogue = await call.catalogue()

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


def folder_of(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session's path as a field of a dataset's row, or the session's row where its folder is not known.

    Code that needs the path of such a row raises an error that names the session.
    """
    try:
        return {"session_path": session_folder(session)}
    except ALFInvalid:
        return {**session, "session_path": None}
