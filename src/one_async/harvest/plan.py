"""Decide which requests read the rows of an endpoint. No I/O.

One page is one query, so it is complete. Rows are lost between pages of a list without a stable order. Lists are therefore
read wherever possible by ranges of ids that fit on one page, each of which is complete by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple
from uuid import UUID

from one_async.alyx.frame import Columns
from one_async.alyx.paging import may_join
from one_async.alyx.schema import Schema

#: Alyx's largest page, and the number of rows aimed at for a range, so that few ranges exceed a page.
PAGE, AIM = 1000, 900
#: Lists that the server sorts by values that differ between (nearly) all rows, so that consecutive pages fit together.
ORDERED = frozenset(
    {
        "sessions",
        "insertions",
        "subjects",
        "users",
        "brain-regions",
        "tasks",
        "surgeries",
        "fields-of-view",
        "data-notices",
    }
)
#: Those with thousands of rows in every database, and the number of pages that certainly exist.
LONG, AHEAD = frozenset({"sessions", "insertions"}), 7
#: Endpoints whose records are identified by name.
NAMED = frozenset({"water-type", "data-repository-type", "water-restricted-subjects"})
#: Filters on when a row was created or last changed, in order of preference.
STAMPS = ("auto_datetime", "datetime", "created_datetime", "date_time")
#: Those with the time of the event itself, which miss rows that were entered later.
EVENTS = frozenset({"date_time"})
TOP = 1 << 128
#: The most pages and ranges of ids that are planned at once, and the most parts of a range.
MOST, MOST_RANGES, MOST_PARTS = 10_000, 100_000, 1000

Kind = Literal["uuid", "int"]


class Job(NamedTuple):
    """One request for rows: a page by offset, or the ids in the half-open range from ``low`` to ``high``."""

    kind: Literal["page", "range"]
    low: int
    high: int


@dataclass(frozen=True)
class ReadPlan:
    """How to read an endpoint: by pages or by ranges of ids, with which filters."""

    endpoint: str
    columns: Columns
    filters: Mapping[str, str]
    ids: Kind | None  # the type of its ids, if the list can be divided by them
    pages_first: bool
    stamp: str | None  # the filter that ``since`` is compared with
    #: Whether the filters repeat rows, which the server's count includes, unless there is a ``django`` filter.
    joins: bool = False

    @property
    def ahead(self) -> list[Job]:
        """Pages that certainly exist, requested together with the first one, before the count is known."""
        return pages(AHEAD * PAGE, PAGE)[1:] if self.endpoint in LONG and not self.filters else []

    @property
    def whole(self) -> Job:
        """The job whose count is the number of distinct rows; a ``django`` filter removes repetitions."""
        return Job("range", 0, TOP) if self.joins and self.ids else Job("page", 0, PAGE)

    def params(self, job: Job, limit: int = PAGE) -> dict[str, str]:
        """Return the query parameters of a job."""
        if job.kind == "page":
            return {**self.filters, "limit": str(limit), **({"offset": str(job.low)} if job.low else {})}
        return {**self.filters, "django": self.django(job), "limit": str(limit)}

    def django(self, job: Job) -> str:
        """Return the ``django`` filter of a range of ids, added to the caller's."""
        given = self.filters.get("django", "")
        name = "id" if "pk__" in given else "pk"
        pairs = [given] if given else []
        pairs += [f"{name}__gte,{self.text(job.low)}"] if job.low > 0 else []
        pairs += [f"{name}__lt,{self.text(job.high)}"] if job.high < TOP else []
        return ",".join(pairs) or f"{name}__isnull,False"

    def text(self, number: int) -> str:
        """Return an id as a string."""
        return str(UUID(int=number)) if self.ids == "uuid" else str(number)

    def signature(self, since: str | None, format: str, tidy: bool = False) -> str:
        """Return a string that identifies the harvest's request; only a checkpoint of the same request is resumed."""
        request = [self.endpoint, sorted(self.filters.items()), since, sorted(self.columns.read), format]
        columns = {name: str(dtype) for name, dtype in self.columns.schema.items()}
        return json.dumps([*request, columns] if tidy else request)


def plan(schema: Schema, endpoint: str, columns: Columns, filters: Mapping[str, str]) -> ReadPlan:
    """Return the plan for reading an endpoint."""
    import polars as pl

    known = schema.filters(endpoint)
    ids: Kind | None = None
    if "django" in known and columns.key in ("id", "url") and endpoint not in NAMED:
        ids = "int" if columns.read[columns.key] == pl.Int64 else "uuid"
    joins = may_join(endpoint, filters) and "django" not in filters
    stamp = next((name for name in STAMPS if "django" in known and name in {*known, *columns.read}), None)
    pages_first = ids is None or (endpoint in ORDERED and not joins)
    return ReadPlan(endpoint, columns, dict(filters), ids, pages_first, stamp, joins)


def with_since(filters: Mapping[str, str], stamp: str, since: str) -> dict[str, str]:
    """Return filters with a lower bound on a time stamp added."""
    pairs = [part for part in (filters.get("django"), f"{stamp}__gte,{since}") if part]
    return {**filters, "django": ",".join(pairs)}


def pages(count: int, size: int, low: int = 0) -> list[Job]:
    """Divide a list into pages, each of which begins with the last row of the page before.

    If the order is stable and all neighbours share that row, no row that existed throughout is missing, whatever was added
    or deleted meanwhile: it lies between two shared rows, on the page between them. The rows behind MOST pages are one
    job, divided when it is processed, since a server may count any number of rows.
    """
    step = max(1, size - 1)
    end = max(low + 1, count - 1)
    rest = low + MOST * step
    jobs = [Job("page", offset, offset + size) for offset in range(low, min(end, rest), step)]
    return [*jobs, Job("page", rest, count)] if rest < end else jobs


def smaller(job: Job, size: int) -> list[Job]:
    """Divide a page into smaller ones, which also share a row with their neighbours."""
    return [part._replace(high=min(part.high, job.high)) for part in pages(job.high, size, job.low)]


def ranges(count: int, low: int = 0, high: int = TOP, aim: int = AIM) -> list[Job]:
    """Divide evenly distributed ids, such as random ones, into ranges of about ``aim`` rows."""
    parts = min(max(1, -(-count // aim)), MOST_RANGES)
    cuts = [low + (high - low) * part // parts for part in range(parts + 1)]
    return [Job("range", a, b) for a, b in pairwise(cuts) if a < b]


def split(job: Job, count: int, sample: Sequence[int], aim: int = AIM) -> list[Job]:
    """Divide a range with more rows than a page, at even distances and between the ids of a sample.

    Even cuts suit evenly distributed ids. Cuts within the sample suit all others, whether the sample is random or, as for
    lists sorted by id, consists of the lowest ids.
    """
    parts = min(max(2, -(-count // aim)), MOST_PARTS)
    seen = sorted(id for id in sample if job.low <= id < job.high)
    cuts = {job.low, job.high}
    if seen:
        step = max(1, len(seen) // min(parts, 8))
        cuts |= set(seen[step::step]) | {seen[-1] + 1}
    even = {job.low + (job.high - job.low) * part // parts for part in range(1, parts)}
    cuts |= even if parts <= 8 or not seen else set()
    ordered = sorted(cut for cut in cuts if job.low <= cut <= job.high)
    return [Job("range", a, b) for a, b in pairwise(ordered)]


def jobs_of(stored: Iterable[Sequence[Any]]) -> set[Job]:
    """Return the jobs of a checkpoint, in which ids are strings, since they exceed JSON's numbers."""
    return {Job(kind, int(low), int(high)) for kind, low, high in stored}
