"""Pydantic models of the records in Alyx's answers, and the table rows made from them.

The models declare only fields that are used and accept others, so newer servers work. An answer without a required
field, or with a value of another type, raises an `AnswerError` that names the endpoint, the field and the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from one_async._warnings import warn
from one_async.alf.spec import QC
from one_async.errors import AnswerError, shown

if TYPE_CHECKING:
    import polars as pl

M = TypeVar("M", bound="Record")


def _qc(value: object) -> object:
    return value if isinstance(value, str) and value in QC.__members__ else "NOT_SET"


def _size(value: object) -> object:
    return None if isinstance(value, int) and not 0 <= value < 2**64 else value


def _address(value: str) -> str:
    UUID(value[-36:])
    return value


FileName = Annotated[str, Field(min_length=1)]
#: The name of a QC level; NOT_SET for anything else.
Quality = Annotated[str, BeforeValidator(_qc)]
#: A number of bytes; None outside the column's range.
Size = Annotated[int | None, BeforeValidator(_size)]
#: The URL of a record, which ends with its id.
Address = Annotated[str, AfterValidator(_address)]


class Record(BaseModel):
    """A JSON object that Alyx sent; undeclared fields are kept unchanged."""

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
    """A dataset in the detail body of a session, which lists those with an existing file on a shared repository."""

    id: UUID
    name: FileName
    data_url: str | None = None
    file_size: Size = None
    hash: str | None = None
    collection: str | None = None
    revision: str | None = None  # the revision's id, not its name
    default_revision: bool | None = True
    qc: Quality = "NOT_SET"


class SessionDetail(SessionRecord):
    """The detail body of a session."""

    data_dataset_session_related: list[SessionDataset] = []

    @field_validator("data_dataset_session_related", mode="before")
    @classmethod
    def _readable(cls, value: object) -> object:
        return parse_known(SessionDataset, "sessions", value) if isinstance(value, list) else value


class FileRecord(Record):
    """The location of one copy of a dataset."""

    data_repository: str | None = None
    relative_path: str | None = None
    data_repository_path: str | None = None
    data_url: str | None = None
    exists: bool | None = False


class DatasetRecord(Record):
    """A row of `/datasets`, which has no id field: its url ends with the id."""

    url: Address
    name: FileName
    session: Address | None = None
    file_size: Size = None
    hash: str | None = None
    collection: str | None = None
    revision: str | None = None  # here the revision's name
    default_dataset: bool | None = True
    qc: Quality = "NOT_SET"
    file_records: list[FileRecord] = []

    @property
    def did(self) -> UUID:
        """The dataset's id."""
        return UUID(self.url[-36:])

    @property
    def eid(self) -> UUID | None:
        """The session's id, or None for a dataset of a subject, tag or project."""
        return UUID(self.session[-36:]) if self.session else None

    @field_validator("session", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return value or None

    @field_validator("file_records", mode="before")
    @classmethod
    def _no_files(cls, value: object) -> object:
        return value or []


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
    """The answer of `/cache/info/`: the date and location of the server's cache tables."""

    date_created: datetime
    origin: str | None = None
    min_api_version: str | None = None
    location: str | None = None
    database_tags: str | list[str] | None = None
    tables: dict[str, Any] = {}


@cache
def _adapter(model: type[Record]) -> TypeAdapter[list[Any]]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]


def parse(model: type[M], endpoint: str, body: object) -> M:
    """Return the model of a record. Raise AnswerError, which names the first invalid field."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _unexpected(endpoint, error) from None


def parse_list(model: type[M], endpoint: str, rows: Iterable[object]) -> list[M]:
    """Return the models of many records. Raise AnswerError, which names the first invalid field."""
    try:
        return _adapter(model).validate_python(list(rows))
    except ValidationError as error:
        raise _unexpected(endpoint, error) from None


def parse_known(model: type[M], endpoint: str, rows: Iterable[object]) -> list[M]:
    """Return the models of the valid records of datasets; an ALFWarning names the ids of the others.

    Raises AnswerError for a record without an id.
    """
    rows = list(rows)
    try:
        return _adapter(model).validate_python(rows)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = {int(one["loc"][0]): one for one in reversed(found)}
        names = {at: _id_of(rows[at]) for at in problems}
        if None in names.values():
            raise _unexpected(endpoint, error) from None
    for at, problem in problems.items():
        field = ".".join(map(str, problem["loc"][1:]))
        warn_left_out(str(names[at]), f"its {field} is {shown(problem['input'])}")
    return _adapter(model).validate_python([row for at, row in enumerate(rows) if at not in problems])


def warn_left_out(did: str, reason: str) -> None:
    """Warn that a dataset is not listed."""
    warn(f"the dataset {did} of the database is left out, since {reason}")


def _id_of(record: object) -> str | None:
    if not isinstance(record, Mapping):
        return None
    try:
        return str(UUID(str(record.get("id") or record.get("url"))[-36:]))
    except ValueError:
        return None


def _unexpected(endpoint: str, error: ValidationError) -> AnswerError:
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"])) or "the answer"
    return AnswerError(
        f"{endpoint}: {field} is not as expected ({first['msg'].lower()}); the server sent {shown(first['input'])}",
        endpoint=endpoint,
        field=field,
    )


def relative_path(dataset: SessionDataset | DatasetRecord, revision: str | None) -> str:
    """Return a dataset's path below its session: ``collection/#revision#/name``."""
    parts = [dataset.collection, f"#{revision}#" if revision else None, dataset.name]
    return "/".join(part.strip("/") for part in parts if part)


def revision_of(data_url: str | None) -> str | None:
    """Return the revision's name in a data URL, whose ``#`` are not escaped; None if it has none."""
    if not data_url:
        return None
    path = data_url.partition("://")[2]
    folder = path.rpartition("/")[0].rpartition("/")[2]
    return folder[1:-1] if len(folder) > 2 and folder[0] == folder[-1] == "#" else None


def sessions_frame(rows: Iterable[Mapping[str, Any]], endpoint: str = "sessions") -> pl.DataFrame:
    """Convert rows of `/sessions` to rows of the sessions table with start_time."""
    import polars as pl

    from one_async.tables.schema import SESSIONS

    records = parse_list(SessionRecord, endpoint, rows)
    data = [{**record.row(), "start_time": record.start_time} for record in records]
    return pl.DataFrame(data, schema={**SESSIONS, "start_time": pl.Datetime("us")})


def datasets_frame(session: SessionDetail, revisions: Mapping[str, str]) -> pl.DataFrame:
    """Convert a session's detail body to rows of the datasets table with data_url.

    The body has the ids of revisions; `revisions` maps these to names for datasets without a URL, which has the name.
    """
    import polars as pl

    from one_async.tables.schema import DATASETS

    rows = []
    for dataset in session.data_dataset_session_related:
        revision = revision_of(dataset.data_url)
        if revision is None and dataset.revision:
            revision = revisions.get(dataset.revision)
            if revision is None:
                warn_left_out(str(dataset.id), f"the database has no revision {shown(dataset.revision)}")
                continue
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
