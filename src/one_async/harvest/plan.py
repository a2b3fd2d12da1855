"""Which question gets which rows of an endpoint. Pure.

One page is one query, so it loses nothing; what loses rows is putting pages together whose order is not fixed. So
where a list can be cut by ranges of ids that fit on a page each, that is done: each range is exact by itself.
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

#: The most rows that Alyx gives at once, and the number that a range is meant to have, so that few ranges overflow.
PAGE, AIM = 1000, 900
#: Lists that come in an order of their own that tells (nearly) all rows apart: their pages fit together.
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
#: Of these, the ones that have thousands of rows wherever there is a database at all; so many pages are sure.
LONG, AHEAD = frozenset({"sessions", "insertions"}), 7
#: Endpoints whose address holds a name instead of an id.
NAMED = frozenset({"water-type", "data-repository-type", "water-restricted-subjects"})
#: When a row was made or last changed, the best first; what a list can be filtered by, not what its rows show.
STAMPS = ("auto_datetime", "datetime", "created_datetime", "date_time")
#: Of these, the ones that say when something happened, so rows entered late are not seen by them.
EVENTS = frozenset({"date_time"})
TOP = 1 << 128
#: Pages, and ranges of ids, that are thought of at once.
MOST, MOST_RANGES, MOST_PARTS = 10_000, 100_000, 1000

Kind = Literal["uuid", "int"]


class Job(NamedTuple):
    """One question: a page by offset, or the rows whose id lies from ``low`` up to before ``high``."""

    kind: Literal["page", "range"]
    low: int
    high: int


@dataclass(frozen=True)
class Plan:
    """How an endpoint is read."""

    endpoint: str
    columns: Columns
    filters: Mapping[str, str]
    ids: Kind | None  # what its ids are, where lists can be cut by them
    pages_first: bool
    stamp: str | None  # what ``since`` is compared with
    joins: bool = (
        False  # the filters repeat rows, and the count counts the repetitions, unless ``django`` is there
    )

    @property
    def ahead(self) -> list[Job]:
        """Pages that surely exist too, asked for beside the first one, before anybody has counted."""
        return pages(AHEAD * PAGE, PAGE)[1:] if self.endpoint in LONG and not self.filters else []

    @property
    def whole(self) -> Job:
        """The question for all rows whose count can be believed; ``django`` removes repetitions."""
        return Job("range", 0, TOP) if self.joins and self.ids else Job("page", 0, PAGE)

    def params(self, job: Job, limit: int = PAGE) -> dict[str, str]:
        """Write a question as Alyx reads it."""
        if job.kind == "page":
            return {**self.filters, "limit": str(limit), **({"offset": str(job.low)} if job.low else {})}
        return {**self.filters, "django": self.django(job), "limit": str(limit)}

    def django(self, job: Job) -> str:
        """Write a range of ids, after what the caller filters by."""
        given = self.filters.get("django", "")
        name = "id" if "pk__" in given else "pk"
        pairs = [given] if given else []
        pairs += [f"{name}__gte,{self.text(job.low)}"] if job.low > 0 else []
        pairs += [f"{name}__lt,{self.text(job.high)}"] if job.high < TOP else []
        return ",".join(pairs) or f"{name}__isnull,False"

    def text(self, number: int) -> str:
        """Write an id."""
        return str(UUID(int=number)) if self.ids == "uuid" else str(number)

    def signature(self, since: str | None, format: str) -> str:
        """Tell what is asked, so that a checkpoint of another question is not gone on with."""
        asked = [self.endpoint, sorted(self.filters.items()), since, sorted(self.columns.read), format]
        return json.dumps(asked)


def plan(schema: Schema, endpoint: str, columns: Columns, filters: Mapping[str, str]) -> Plan:
    """Decide how to read an endpoint."""
    import polars as pl

    known = schema.filters(endpoint)
    ids: Kind | None = None
    if "django" in known and columns.key in ("id", "url") and endpoint not in NAMED:
        ids = "int" if columns.read[columns.key] == pl.Int64 else "uuid"
    joins = may_join(endpoint, filters) and "django" not in filters
    stamp = next((name for name in STAMPS if "django" in known and name in {*known, *columns.read}), None)
    pages_first = ids is None or (endpoint in ORDERED and not joins)
    return Plan(endpoint, columns, dict(filters), ids, pages_first, stamp, joins)


def with_since(filters: Mapping[str, str], stamp: str, since: str) -> dict[str, str]:
    """Add a time to what is filtered by."""
    pairs = [part for part in (filters.get("django"), f"{stamp}__gte,{since}") if part]
    return {**filters, "django": ",".join(pairs)}


def pages(count: int, size: int, low: int = 0) -> list[Job]:
    """Cut a list into pages, each of which begins with the last row of the one before.

    Where the order is fixed and each pair of neighbours shares that row, no row that was there all the time is missing,
    whatever came and went meanwhile: it lies between two such rows, and the page between them had it. What is behind MOST
    pages is one job, to be cut when its turn comes: a server may count any number of rows.
    """
    step = max(1, size - 1)
    end = max(low + 1, count - 1)
    rest = low + MOST * step
    jobs = [Job("page", offset, offset + size) for offset in range(low, min(end, rest), step)]
    return [*jobs, Job("page", rest, count)] if rest < end else jobs


def smaller(job: Job, size: int) -> list[Job]:
    """Cut a page into smaller ones, which share a row with their neighbours, too."""
    return [part._replace(high=min(part.high, job.high)) for part in pages(job.high, size, job.low)]


def ranges(count: int, low: int = 0, high: int = TOP, aim: int = AIM) -> list[Job]:
    """Cut ids that are spread evenly, as random ones are, into ranges of about ``aim`` rows."""
    parts = min(max(1, -(-count // aim)), MOST_RANGES)
    cuts = [low + (high - low) * part // parts for part in range(parts + 1)]
    return [Job("range", a, b) for a, b in pairwise(cuts) if a < b]


def split(job: Job, count: int, sample: Sequence[int], aim: int = AIM) -> list[Job]:
    """Cut a range that holds more rows than a page: at even distances and between the ids that were seen of it.

    The one suits ids that are spread evenly, the other those that are not, whether the sample is a fair one or, as for
    lists in the order of their ids, the lowest.
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
    """Read jobs from a checkpoint; ids are texts there, since they are longer than JSON's numbers."""
    return {Job(kind, int(low), int(high)) for kind, low, high in stored}
