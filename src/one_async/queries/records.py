"""What the SDK relies on in Alyx's answers, as pydantic models, and the table rows made of them.

Only the fields that are used are named; new ones are let through, so that a newer server does no harm. An answer that
lacks one of them gives an `AnswerError` naming the endpoint, the field and what came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator

from one_async.alf.spec import QC
from one_async.errors import AnswerError

if TYPE_CHECKING:
    import polars as pl

M = TypeVar("M", bound="Record")


class Record(BaseModel):
    """A JSON object that Alyx sent; fields that are not named here are kept as they came."""

    model_config = ConfigDict(extra="allow", frozen=True)


class SessionRecord(Record):
    """A row of `/sessions`, the head of its detail body, or an insertion's `session_info`."""

    id: UUID
    subject: str | None = None
    start_time: datetime | None = None
    lab: str | None = None
    number: int | None = None
    task_protocol: str | None = None
    projects: list[str] = []
    url: str | None = None

    @field_validator("projects", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return [one for one in value if one is not None] if isinstance(value, list) else value or []

    def row(self) -> dict[str, Any]:
        """Return the row of the sessions table, with null for what is missing or outside the column's range."""
        number = self.number
        return {
            "eid": str(self.id),
            "lab": self.lab,
            "subject": self.subject,
            "date": self.start_time.date() if self.start_time else None,
            "number": number if number is not None and 0 <= number < 2**16 else None,
            "task_protocol": self.task_protocol or "",
            "projects": ",".join(self.projects),
        }


class SessionDataset(Record):
    """A dataset as the detail body of a session lists it: with an existing file on a shared repository."""

    id: UUID
    name: str
    data_url: str | None = None
    file_size: int | None = None
    hash: str | None = None
    collection: str | None = None
    revision: str | None = None  # the revision's id, not its name
    default_revision: bool | None = True
    qc: str = "NOT_SET"

    @field_validator("qc", mode="before")
    @classmethod
    def _unset(cls, value: object) -> object:
        return value if value in QC.__members__ else "NOT_SET"

    @field_validator("file_size", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        return None if isinstance(value, int) and not 0 <= value < 2**64 else value


class SessionDetail(SessionRecord):
    """The detail body of a session."""

    data_dataset_session_related: list[SessionDataset] = []


class FileRecord(Record):
    """Where one copy of a dataset lies."""

    data_repository: str | None = None
    relative_path: str | None = None
    data_repository_path: str | None = None
    data_url: str | None = None
    exists: bool | None = False


class DatasetRecord(Record):
    """A row of `/datasets`; it has no id field, the id ends its url."""

    url: str
    name: str
    session: str | None = None
    file_size: int | None = None
    hash: str | None = None
    collection: str | None = None
    revision: str | None = None  # here the revision's name
    default_dataset: bool | None = True
    qc: str = "NOT_SET"
    file_records: list[FileRecord] = []

    @property
    def did(self) -> UUID:
        """The dataset's id."""
        return UUID(self.url[-36:])

    @property
    def eid(self) -> UUID | None:
        """The session's id, or None for a dataset of a subject, tag or project."""
        return UUID(self.session[-36:]) if self.session else None

    @field_validator("qc", mode="before")
    @classmethod
    def _unset(cls, value: object) -> object:
        return value if value in QC.__members__ else "NOT_SET"

    @field_validator("file_size", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        return None if isinstance(value, int) and not 0 <= value < 2**64 else value


class InsertionRecord(Record):
    """A row of `/insertions`, or its detail body."""

    id: UUID
    session: UUID | None = None
    name: str | None = None
    session_info: SessionRecord | None = None
    model: str | None = None
    serial: str | None = None
    chronic_insertion: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the row of the insertions table."""
        return {
            "pid": str(self.id),
            "eid": None if self.session is None else str(self.session),
            "name": self.name,
            "model": self.model,
            "serial": self.serial,
            "chronic_insertion": self.chronic_insertion,
        }


class CacheInfo(Record):
    """The answer of `/cache/info/`: how new the server's cache tables are and where they lie."""

    date_created: datetime
    origin: str | None = None
    min_api_version: str | None = None
    location: str | None = None
    database_tags: str | list[str] | None = None
    tables: dict[str, Any] = {}


class Token(Record):
    """The answer of `/auth-token`."""

    token: str

    def __repr__(self) -> str:
        return "Token(token=…)"


@cache
def _adapter(model: type[Record]) -> TypeAdapter[list[Any]]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]


def parse(model: type[M], endpoint: str, body: object) -> M:
    """Make a model of one record, or say what of it is not as the endpoint promises."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _unexpected(endpoint, error) from None


def parse_list(model: type[M], endpoint: str, rows: Iterable[object]) -> list[M]:
    """Make models of many records in one go."""
    try:
        return _adapter(model).validate_python(list(rows))
    except ValidationError as error:
        raise _unexpected(endpoint, error) from None


def _unexpected(endpoint: str, error: ValidationError) -> AnswerError:
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"])) or "the answer"
    return AnswerError(
        f"{endpoint}: {field} is not as expected ({first['msg'].lower()}); the server sent {first['input']!r:.120}",
        endpoint=endpoint,
        field=field,
    )


def relative_path(dataset: SessionDataset | DatasetRecord, revision: str | None) -> str:
    """Return a dataset's path below its session: ``collection/#revision#/name``."""
    parts = [dataset.collection, f"#{revision}#" if revision else None, dataset.name]
    return "/".join(part.strip("/") for part in parts if part)


def revision_of(data_url: str | None) -> str | None:
    """Read the revision's name out of a data URL, whose ``#`` are not escaped; None if it has none."""
    if not data_url:
        return None
    path = unquote(data_url.partition("://")[2])
    folder = path.rpartition("/")[0].rpartition("/")[2]
    return folder[1:-1] if len(folder) > 2 and folder[0] == folder[-1] == "#" else None


def url_path(url: str) -> str:
    """Return the path of a URL; a ``#`` belongs to the path, since Alyx does not escape revisions."""
    return unquote(urlsplit(url, allow_fragments=False).path)


def sessions_frame(rows: Iterable[Mapping[str, Any]], endpoint: str = "sessions") -> pl.DataFrame:
    """Make rows of the sessions table, with start_time, of what `/sessions` listed."""
    import polars as pl

    from one_async.tables.schema import SESSIONS

    records = parse_list(SessionRecord, endpoint, rows)
    data = [{**record.row(), "start_time": record.start_time} for record in records]
    return pl.DataFrame(data, schema={**SESSIONS, "start_time": pl.Datetime("us")})


def datasets_frame(session: SessionDetail, revisions: Mapping[str, str]) -> pl.DataFrame:
    """Make rows of the datasets table, with data_url, of a session's detail body.

    The body gives a revision's id; `revisions` maps ids to names for datasets without a URL that would show it.
    """
    import polars as pl

    from one_async.tables.schema import DATASETS

    rows = []
    for dataset in session.data_dataset_session_related:
        revision = revision_of(dataset.data_url)
        if revision is None and dataset.revision:
            revision = revisions.get(dataset.revision)
        rows.append(
            {
                "did": str(dataset.id),
                "eid": str(session.id),
                "rel_path": relative_path(dataset, revision),
                "file_size": dataset.file_size,
                "hash": dataset.hash,
                "exists": True,
                "qc": dataset.qc,
                "default_revision": dataset.default_revision,
                "data_url": dataset.data_url,
            }
        )
    return pl.DataFrame(rows, schema={**DATASETS, "data_url": pl.String}).sort("did")
