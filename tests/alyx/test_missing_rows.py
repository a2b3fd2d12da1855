"""Lists with missing rows or with pages of different ages, from a minimal server."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from one_async.alyx.client import AsyncAlyxClient
from one_async.errors import IncompleteListWarning

from .servers import SCHEMA, serving

pytestmark = pytest.mark.anyio

Rows = list[dict[str, Any]]


class ListServer:
    """A server with one list, ``labs``, whose rows a test sets; ``absent`` rows are counted, but on no page."""

    largest_page = 1000

    def __init__(self, count: int, absent: frozenset[int] = frozenset()) -> None:
        self.count, self.absent, self.version = count, absent, 1
        self.asked: list[int] = []
        self.app = Starlette(
            routes=[
                Route("/auth-token", self.token, methods=["POST"]),
                Route("/api/schema", self.schema),
                Route("/labs", self.labs),
            ]
        )

    @property
    def rows(self) -> Rows:
        """Return the rows of the server's present version."""
        return [
            {"name": f"lab{n}", "id": f"lab{n}", "json": self.version}
            for n in range(self.count)
            if n not in self.absent
        ]

    async def token(self, request: Request) -> Response:
        return JSONResponse({"token": "t" * 40})

    async def schema(self, request: Request) -> Response:
        return Response(SCHEMA.read_bytes(), media_type="application/json")

    async def labs(self, request: Request) -> Response:
        limit, offset = (int(request.query_params.get(name, 0)) for name in ("limit", "offset"))
        limit = min(limit or 250, self.largest_page)
        self.asked.append(offset)
        places = range(offset, min(offset + limit, self.count))
        by_place = {int(row["name"][3:]): row for row in self.rows}
        return JSONResponse(
            {
                "count": self.count,
                "next": f"{request.base_url}labs" if offset + limit < self.count else None,
                "previous": None,
                "results": [by_place[n] for n in places if n in by_place],
            }
        )


async def listed(alyx: AsyncAlyxClient, **options: Any) -> Rows:
    rows: Rows = await alyx.rest("labs", "list", **options)
    return rows


async def addressed(alyx: AsyncAlyxClient, limit: int) -> Rows:
    rows: Rows = await alyx.get(f"/labs?limit={limit}")
    return rows


async def streamed(alyx: AsyncAlyxClient, **options: Any) -> Rows:
    return [row async for page in alyx.pages("labs", **options) for row in page]


async def framed(alyx: AsyncAlyxClient, **options: Any) -> Rows:
    frame = await alyx.frame("labs", **options)
    return [{"name": name} for name in frame["name"]]


WAYS = [listed, addressed, streamed, framed]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("absent", "count"),
    [({12}, 30), ({29}, 30), ({15, 25}, 30), ({14, 15}, 26), ({11}, 12)],
    ids=["middle", "last", "two-pages", "two-of-a-page", "a-page-of-one-row"],
)
async def test_a_missing_row_is_reported_with_both_numbers(
    make: Any, way: Callable[..., Any], absent: set[int], count: int
) -> None:
    """No row is repeated here, so that only the count shows the missing one."""
    server = ListServer(count, frozenset(absent))
    with serving(server.app) as url:
        async with make(url) as alyx:
            with pytest.warns(IncompleteListWarning) as caught:
                rows = await way(alyx, limit=10)
    assert [row["name"] for row in rows] == [row["name"] for row in server.rows]
    numbers = [[int(text) for text in re.findall(r"\d+", str(warning.message))] for warning in caught]
    assert numbers == [[count - len(absent), count]]


class RepeatingServer(ListServer):
    """A server whose pages after the first repeat a row of the page before."""

    async def labs(self, request: Request) -> Response:
        page = json.loads((await super().labs(request)).body)
        offset = int(request.query_params.get("offset", 0))
        if offset:
            page["results"].insert(0, self.rows[offset - 5])
        return JSONResponse(page)


class RecountingServer(ListServer):
    """A server whose count increases with each answer."""

    async def labs(self, request: Request) -> Response:
        page = json.loads((await super().labs(request)).body)
        return JSONResponse({**page, "count": self.count + len(self.asked)})


class ShrinkingServer(ListServer):
    """A server of small pages, after each of which the first row is deleted."""

    largest_page = 10

    @property
    def rows(self) -> Rows:
        return [{**row, "name": f"lab{n}"} for n, row in enumerate(super().rows[len(self.asked) - 1 :])]

    async def labs(self, request: Request) -> Response:
        page = json.loads((await super().labs(request)).body)
        return JSONResponse({**page, "count": self.count + 1 - len(self.asked)})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("server", "cause"),
    [
        (ListServer(30, frozenset({12})), "no page repeats a row"),
        (RepeatingServer(30, frozenset({12})), "pages repeat some rows"),
        (RecountingServer(30), "count changed"),
        (ShrinkingServer(90), "count changed"),
    ],
    ids=["absent", "repeated", "recounted", "shrinking"],
)
async def test_the_warning_tells_the_cause_at_the_line_of_the_caller(
    make: Any, way: Callable[..., Any], server: ListServer, cause: str
) -> None:
    with serving(server.app) as url:
        async with make(url) as alyx:
            with pytest.warns(IncompleteListWarning, match=cause) as caught:
                await way(alyx, limit=10)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("way", [listed, streamed])
@pytest.mark.parametrize("count", [0, 1, 10, 11, 30])
async def test_a_complete_list_does_not_warn(make: Any, way: Callable[..., Any], count: int) -> None:
    server = ListServer(count)
    with serving(server.app) as url, warnings.catch_warnings():
        warnings.simplefilter("error")
        async with make(url) as alyx:
            rows = await way(alyx, limit=10)
    assert [row["name"] for row in rows] == [row["name"] for row in server.rows]


@pytest.mark.parametrize("way", [listed, addressed, streamed])
async def test_stored_pages_older_than_the_first_are_not_mixed_with_it(
    make: Any, way: Callable[..., Any]
) -> None:
    """A list that changed while its later pages were in the cache is returned in one version."""
    server = ListServer(35)
    with serving(server.app) as url:
        async with make(url) as alyx:
            before = await way(alyx, limit=10)
            assert before == server.rows
            server.version = 2
            await alyx.page("labs", 10, 0, expires=0)  # only the first page is requested again
            server.asked.clear()
            after = await way(alyx, limit=10)
            assert after == server.rows
            assert sorted(server.asked) == [10, 20, 30]
            server.asked.clear()
            assert await way(alyx, limit=10) == after
            assert server.asked == []


@pytest.mark.parametrize("renewed", [10, 20, 30])
async def test_stored_pages_younger_than_the_first_are_taken(make: Any, renewed: int) -> None:
    """Pages after the first are requested again in any case, so a later answer is as good as a new one."""
    server = ListServer(35)
    with serving(server.app) as url:
        async with make(url) as alyx:
            await listed(alyx, limit=10)
            server.version = 2
            await alyx.page("labs", 10, renewed, expires=0)
            server.asked.clear()
            rows = await listed(alyx, limit=10)
    assert server.asked == []
    assert [row["json"] for row in rows] == [2 if renewed <= n < renewed + 10 else 1 for n in range(35)]


class LosingServer(ListServer):
    """While ``is_losing``, each page but the first repeats a row of the page before in place of a row of its own."""

    is_losing, largest_page = True, 10

    async def labs(self, request: Request) -> Response:
        page = json.loads((await super().labs(request)).body)
        offset = int(request.query_params.get("offset", 0))
        if offset and self.is_losing:
            page["results"][0] = self.rows[offset - 5]
        return JSONResponse(page)


@pytest.mark.parametrize("is_same_client", [True, False])
@pytest.mark.parametrize("way", WAYS)
async def test_after_an_incomplete_list_the_server_is_asked_again(
    make: Any, way: Callable[..., Any], is_same_client: bool
) -> None:
    options = {"limit": 10}
    server = LosingServer(30)
    with serving(server.app) as url:
        async with make(url) as alyx, make(url) as other:
            with pytest.warns(IncompleteListWarning, match="pages repeat some rows"):
                assert len(await way(alyx, **options)) < 30
            with pytest.warns(IncompleteListWarning, match="pages repeat some rows"):  # still so
                await way(alyx, **options)
            server.is_losing = False
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                rows = await way(alyx if is_same_client else other, **options)
                assert sorted(row["name"] for row in rows) == sorted(row["name"] for row in server.rows)
                server.asked.clear()
                assert len(await way(alyx, **options)) == 30
            assert server.asked == []  # the complete list is stored as usual


@pytest.mark.parametrize("way", [listed, streamed])
async def test_a_list_whose_pages_agree_is_not_read_again(make: Any, way: Callable[..., Any]) -> None:
    """The server counts a row that it does not send: it would be counted again."""
    server = ListServer(30, frozenset({12}))
    with serving(server.app) as url:
        async with make(url) as alyx:
            with pytest.warns(IncompleteListWarning, match="29 distinct rows of the 30"):
                await way(alyx, limit=10)
            server.asked.clear()
            with pytest.warns(IncompleteListWarning, match="29 distinct rows of the 30"):
                await way(alyx, limit=10)
    assert server.asked == []
