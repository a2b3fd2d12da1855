"""The requests that register the files of one session; a retry sends only what the server does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from one_async._boundary import reading
from one_async.errors import AnswerError, LoginError, OneError, ServerUnreachable, StatusError, Throttled
from one_async.registration.answers import record_of
from one_async.registration.local import LocalFile, SessionFolder
from one_async.registration.plan import Options
from one_async.registration.write_once import ATTEMPTS, is_ambiguous, may_repeat, pause

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient
    from one_async.transfer.fetch import Progress

__all__ = ["Sender", "body_of"]

#: The most files in one request.
_CHUNK = 100
#: How often a request may be refused because files became protected meanwhile.
_MOST_PROTECTION_ERRORS = 5


def body_of(
    folder: SessionFolder, files: Sequence[LocalFile], options: Options, user: str | None, check: bool
) -> dict[str, Any]:
    """Return the body of a request to ``/register-file``."""
    body = {
        "created_by": options.created_by or user,
        "path": folder.relative,
        "filenames": [file.rel_path for file in files],
        "hashes": [file.hash for file in files],
        "filesizes": [file.size for file in files],
        "name": options.repository,
        "exists": options.exists,
        "server_only": options.server_only,
        "default": options.default,
        "versions": [file.version for file in files],
        "check_protected": check,
    }
    if options.qc is not None:
        body["qc"] = options.qc
    if lab := options.labs or folder.lab:
        body["labs"] = lab
    return body


@dataclass
class Sender:
    """Registers the files of one session, in order: the last revision of a dataset becomes the default."""

    alyx: AsyncAlyxClient
    options: Options
    folder: SessionFolder
    session: Mapping[str, Any]
    progress: Progress | None = None
    repositories: set[str] = field(default_factory=set)
    _one_by_one: bool = False
    """Whether files are sent one by one, since the server refused a request with several."""
    _queried: set[LocalFile] = field(default_factory=set)
    """Files that were looked up on the server after an ambiguous failure."""
    _timeout: ServerUnreachable | None = None
    _failures: int = 0
    _protection_errors: int = 0

    def keep(self, file: LocalFile) -> None:
        """Record a file as registered, since the database has it already."""
        assert file.row is not None
        self._set_record(file, record_of(file.row, self.session))

    def _set_record(self, file: LocalFile, record: dict[str, Any]) -> None:
        file.record = record
        if self.progress:
            self.progress.advance(1, file.size or 0)

    async def send(self, files: Sequence[LocalFile]) -> list[LocalFile]:
        """Send files; return those that may or may not be registered, for which the server must be queried.

        A file that the server refuses is marked with the reason. Raises the error of a request that must not be repeated.
        """
        left = list(files)
        if left and self._timeout is not None:  # the server may still be processing them
            raise self._timeout
        while left:
            chunk = self._next_chunk(left)
            try:
                await self._post(chunk)
            except (ServerUnreachable, StatusError, AnswerError, LoginError) as error:
                if await self._is_final(chunk, error):
                    chunk[0].refuse("refused", _reason(error))
                    del left[0]
                    continue
                return left
            self._failures = 0
            del left[: len(chunk)]
        return []

    def _next_chunk(self, files: Sequence[LocalFile]) -> list[LocalFile]:
        """Return the leading files that go into one request."""
        most = 1 if self._one_by_one else _CHUNK
        chunk = [files[0]]
        for file in files[1:most]:
            if file.has_protected != chunk[0].has_protected:
                break
            chunk.append(file)
        return chunk

    async def _post(self, chunk: Sequence[LocalFile]) -> None:
        body = body_of(self.folder, chunk, self.options, self.alyx.user, not chunk[0].has_protected)
        records = await self.alyx.post("/register-file", body)
        with reading("/register-file"):
            if len(records) != len(chunk):
                raise AnswerError(
                    f"/register-file answered with {len(records)} records for {len(chunk)} files",
                    url="/register-file",
                )
            for file, record in zip(chunk, records, strict=True):
                if record["name"] != file.name or (record["revision"] or "") != file.revision:
                    raise AnswerError(
                        f"/register-file answered with {record['name']} for {file.rel_path}",
                        url="/register-file",
                    )
        for file, record in zip(chunk, records, strict=True):
            self._set_record(file, record)

    async def _is_final(self, chunk: Sequence[LocalFile], error: OneError) -> bool:
        """Return whether a failed request is final for its only file; otherwise the server must be queried.

        Raises errors that concern all files.
        """
        if isinstance(error, LoginError):
            self._protection_errors += 1
            if not _is_protection(error) or self._protection_errors > _MOST_PROTECTION_ERRORS:
                raise error
            return False
        if isinstance(error, Throttled):
            raise error
        if may_repeat(error):
            self._failures += 1
            if self._failures >= ATTEMPTS:
                raise error
            await pause(self._failures)
            return False
        if isinstance(error, ServerUnreachable):  # a timeout
            self._timeout = error
            return False
        if len(chunk) > 1 or not self._one_by_one:
            self._one_by_one = True
            return False
        if is_ambiguous(error) and chunk[0] not in self._queried:
            self._queried.add(chunk[0])
            return False
        return True


def _is_protection(error: LoginError) -> bool:
    return isinstance(detail := getattr(error, "detail", None), dict) and "details" in detail


def _reason(error: OneError) -> str:
    detail = getattr(error, "detail", None)
    return f"the server refused it: {detail}" if detail else str(error)
