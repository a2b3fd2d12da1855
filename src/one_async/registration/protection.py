"""Find protected files in the list of datasets, without a request that writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from one_async._concurrency import run_all
from one_async.errors import RegistrationError
from one_async.registration.local import LocalFile, SessionFolder
from one_async.registration.sessions import datasets_of, find_session

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient

__all__ = ["check"]


async def check(
    alyx: AsyncAlyxClient, sessions: Iterable[tuple[SessionFolder, Sequence[LocalFile]]]
) -> list[dict[str, Any]]:
    """Return an answer in Alyx's form for the files of each session: status 403 with details if any is protected, or 200."""
    revisions = await alyx.get("/revisions", no_cache=True)
    created = {row["name"]: str(row["created_datetime"]) for row in revisions}
    answers: dict[SessionFolder, dict[str, Any]] = {}

    async def check_one(folder: SessionFolder, files: Sequence[LocalFile]) -> None:
        eid = await find_session(alyx, folder)
        if eid is None:
            raise RegistrationError.of({str(folder.path): "the database has no such session"})
        rows = await datasets_of(alyx, eid)
        details = [{file.rel_path: _revisions_of(file, rows, created)} for file in files]
        is_protected = any(
            flag for one in details for found in one.values() for info in found for flag in info.values()
        )
        answer: dict[str, Any] = (
            {"status_code": 403, "error": "One or more datasets is protected", "details": details}
            if is_protected
            else {"status_code": 200, "details": "None of the datasets are protected"}
        )
        answers[folder] = {**answer, "shared_path": folder.path, "files": [file.rel_path for file in files]}

    given = list(sessions)
    await run_all(check_one, given)
    return [answers[folder] for folder, _ in given]


def _revisions_of(
    file: LocalFile, rows: Iterable[Mapping[str, Any]], created: Mapping[str, str]
) -> list[dict[str, bool]]:
    """Return the revisions of a file, newest first, each with whether it is protected."""
    matching = [r for r in rows if ((r.get("collection") or ""), r["name"]) == (file.collection, file.name)]
    matching.sort(key=lambda row: created.get(row.get("revision") or "", ""), reverse=True)
    return [{row.get("revision") or "": bool(row.get("protected"))} for row in matching]
