"""Paging: the server's order, each row once, and a warning for missing rows."""

from __future__ import annotations

import itertools
import random
import tracemalloc
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from one_async.alyx import paging
from one_async.alyx.responses import Page, page_of
from one_async.emulator import Emulator
from one_async.errors import AnswerError, IncompleteListWarning, InputError, NotFound
from one_async.harvest import plan
from shared_worlds import recorded_world

pytestmark = pytest.mark.anyio


class Table:
    """A list whose order may depend on the page, as in Alyx."""

    def __init__(
        self, rows: list[dict[str, Any]], order: Callable[[int, int], Any] | None = None, cap: int = 1000
    ):
        self.rows, self.order, self.cap = rows, order, cap
        self.asked: list[tuple[int, int]] = []

    async def ask(self, limit: int, offset: int) -> Page:
        self.asked.append((limit, offset))
        rows = list(self.rows)
        if self.order is not None:
            random.Random(self.order(limit, offset)).shuffle(rows)
        limit = min(limit, self.cap)
        return Page(len(rows), rows[offset : offset + limit], offset + limit >= len(rows))


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


async def test_all_rows_in_the_servers_order() -> None:
    for count, cap in itertools.product((0, 1, 2, 11, 12, 13, 40), (1, 5, 12)):
        table = Table([{"id": n} for n in range(count)], cap=cap)
        assert ids(await paging.read_all(table.ask, "x")) == list(range(count))
        assert len(table.asked) == max(1, -(-count // cap))


async def test_a_list_from_an_offset_has_all_rows_after_it() -> None:
    for start, size in itertools.product((0, 1, 24, 25, 30), (1, 6, 12)):
        table = Table([{"id": n} for n in range(25)])
        pages = paging.in_order(table.ask, size, start)
        assert [row["id"] async for page in pages for row in page.rows] == list(range(25))[start:]


async def test_rows_that_unstable_pages_lost_are_found_by_reading_again() -> None:
    table = Table([{"id": n} for n in range(2700)], order=lambda limit, offset: limit + offset)
    rows = await paging.read_all(table.ask, "water-administrations")
    assert sorted(ids(rows)) == list(range(2700))


async def test_rows_that_are_never_sent_are_reported_with_both_numbers() -> None:
    def order(limit: int, offset: int) -> int:
        return 0

    table = Table([{"id": n} for n in range(30)], order, cap=10)

    async def ask(limit: int, offset: int) -> Page:
        page = await table.ask(limit, offset)
        return Page(page.count, [row if row["id"] != 7 else {"id": 8} for row in page.rows], page.last)

    with pytest.warns(IncompleteListWarning, match="29 distinct rows of the 30"):
        rows = await paging.read_all(ask, "x")
    assert sorted(ids(rows)) == [n for n in range(30) if n != 7]


async def test_repetitions_of_a_join_are_no_loss() -> None:
    for cap in (1000, 10):
        table = Table([{"id": n // 13} for n in range(39)], cap=cap)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert ids(await paging.read_all(table.ask, "sessions", joins=True)) == [0, 1, 2]


async def test_rows_without_id_or_url_are_distinguished_by_content_and_duplicates_kept() -> None:
    table = Table([{"name": "a", "users": []}, {"name": "b", "users": []}, {"name": "a", "users": []}])
    assert await paging.read_all(table.ask, "water-restriction") == table.rows
    table = Table([{"name": str(n)} for n in range(25)], cap=10)
    assert await paging.read_all(table.ask, "projects") == table.rows


async def test_rows_added_while_pages_are_read_are_read_too() -> None:
    table = Table([{"id": n} for n in range(20)], cap=10)

    async def ask(limit: int, offset: int) -> Page:
        page = await table.ask(limit, offset)
        if len(table.asked) == 1:
            table.rows += [{"id": n} for n in range(20, 25)]
        return page

    assert ids(await paging.read_all(ask, "x")) == list(range(25))


@pytest.mark.parametrize("joins", [False, True])
@given(
    changes=st.dictionaries(
        st.integers(1, 12), st.tuples(st.booleans(), st.integers(1, 9), st.integers(0, 50)), max_size=4
    )
)
async def test_rows_are_complete_or_reported_when_rows_come_and_go_while_pages_are_read(
    joins: bool, changes: dict[int, tuple[bool, int, int]]
) -> None:
    table = Table([{"id": n} for n in range(55)], cap=10)
    new = itertools.count(1000)

    async def ask(limit: int, offset: int) -> Page:
        if change := changes.get(len(table.asked)):
            adds, number, at = change
            if adds:
                table.rows[at:at] = [{"id": next(new)} for _ in range(number)]
            else:
                del table.rows[at : at + number]
        return await table.ask(limit, offset)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = await paging.read_all(ask, "x", joins=joins)
    assert caught or sorted(ids(rows)) == sorted(ids(table.rows))
    assert len(changes) > 1 or not caught


@pytest.mark.parametrize("at", [0, 9, 15])
async def test_a_row_deleted_while_pages_are_read_hides_no_other_row(at: int) -> None:
    """The row that moves up to a page that was read already must not be lost, although the numbers agree."""
    table = Table([{"id": n} for n in range(35)], cap=10)

    async def ask(limit: int, offset: int) -> Page:
        if len(table.asked) == 2:
            del table.rows[at]
        return await table.ask(limit, offset)

    assert ids(await paging.read_all(ask, "x")) == ids(table.rows)


async def test_an_error_of_one_page_is_raised_as_it_is() -> None:
    async def ask(limit: int, offset: int) -> Page:
        if offset == 20:
            raise NotFound("page 3 is missing")
        return Page(50, [{"id": offset + n} for n in range(10)], offset == 40)

    with pytest.raises(NotFound, match="page 3"):
        await paging.read_all(ask, "x")


@pytest.mark.parametrize("answer", [None, "text", 7, {"detail": "no page"}])
def test_what_is_no_page_is_an_answer_error(answer: object) -> None:
    with pytest.raises(AnswerError):
        page_of(answer, "http://alyx.test/labs")


# ---- against the emulator


async def test_lists_are_those_of_the_server(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        sessions = await alyx.rest("sessions", "list")
        assert len(sessions) == 36
        assert [s["start_time"] for s in sessions] == sorted(
            (s["start_time"] for s in sessions), reverse=True
        )
        assert await alyx.rest("sessions", "list", limit=5) == sessions  # the page size of ONE-api
        assert await alyx.rest("sessions", "list", limit=5, offset=10) == sessions[10:]
        assert (await alyx.page("sessions", 5, 10)).rows == sessions[10:15]
        assert await alyx.rest("sessions", "list", offset=30) == sessions[30:]
        assert await alyx.get("/sessions?limit=5") == sessions
        assert await alyx.get(f"{server.url}/sessions") == sessions
        assert await alyx.rest("sessions?limit=3") == sessions
        with pytest.raises(InputError):
            await alyx.rest("sessions", "list", limit=0)
        with pytest.raises(InputError):
            await alyx.rest("sessions", "list", offset=-1)


async def test_a_filter_that_joins_returns_each_session_once(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        page = await alyx.page("sessions", 1000, 0, dataset_qc_lte="FAIL", subject="RV_2240")
        rows = await alyx.rest("sessions", "list", dataset_qc_lte="FAIL", subject="RV_2240")
    assert page.count > len(rows)
    assert len({row["id"] for row in rows}) == len(rows)


async def test_unstable_pages_of_the_server_lose_nothing(make: Any) -> None:

    with Emulator(recorded_world(), unstable_paging=7) as server:
        async with make(server) as alyx:
            assert len(await alyx.rest("datasets", "list")) == 875
            assert len(await alyx.rest("files", "list")) == 1367


async def test_pages_stream_in_order(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        whole = await alyx.rest("datasets", "list")
        pages = [page async for page in alyx.pages("datasets", limit=100)]
        assert [len(page) for page in pages] == [100] * 8 + [75]
        assert {row["url"] for page in pages for row in page} == {row["url"] for row in whole}
        async with aclosing(alyx.pages("sessions", limit=10, no_cache=True)) as some:
            async for page in some:
                assert len(page) == 10
                break
        with pytest.raises(InputError):
            [page async for page in alyx.pages("datasets", nonsense=1)]


async def test_pages_after_an_offset(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        whole = await alyx.rest("datasets", "list")
        rows = [row async for page in alyx.pages("datasets", limit=200, offset=100) for row in page]
        assert rows == whole[100:]


@pytest.mark.parametrize(("name", "value"), [("limit", 0), ("limit", -5), ("offset", -1), ("offset", "x")])
async def test_pages_refuse_what_is_no_number_of_rows(
    server: Emulator, make: Any, name: str, value: Any
) -> None:
    server.requests.reset()
    async with make(server) as alyx:
        with pytest.raises(InputError) as caught:
            [page async for page in alyx.pages("datasets", **{name: value})]
    assert caught.value.argument == name  # type: ignore[attr-defined]
    assert not server.requests.count("/datasets")


@pytest.mark.parametrize("count", [30_000_000, 10**12, 10**30])
@pytest.mark.parametrize("lie", ["no more rows", "the same rows for ever"])
async def test_a_count_that_is_a_lie_costs_neither_memory_nor_endless_requests(count: int, lie: str) -> None:
    asked = 0

    async def ask(limit: int, offset: int) -> Page:
        nonlocal asked
        asked += 1
        first = lie != "no more rows" or offset < 2 * limit
        rows = [{"id": (offset if offset < 2 * limit else 0) + n} for n in range(limit)] if first else []
        return Page(count, rows, last=not rows)

    tracemalloc.start()
    with pytest.warns(IncompleteListWarning, match=str(count)):
        rows = await paging.read_all(ask, "x", limit=100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ids(rows)[:200] == list(range(200))
    assert asked < 300
    assert peak < 20_000_000


async def test_a_long_list_is_read_to_its_end() -> None:
    table = Table([{"id": n} for n in range(40_000)], cap=100)
    assert ids(await paging.read_all(table.ask, "x")) == list(range(40_000))
    assert len(table.asked) == 400


@given(st.integers(0, 5000), st.integers(2, 40), st.integers(0, 50))
def test_pages_of_a_harvest_share_a_row_and_leave_none_out_however_many_there_are(
    count: int, size: int, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "MOST", most + 1)
        queue, seen = deque(plan.pages(count, size)), set()
        while queue:
            assert len(queue) <= 2 * most + 4
            job = queue.popleft()
            if job.high - job.low > size:
                queue.extend(plan.smaller(job, size))
            else:
                seen.update(range(job.low, min(job.high, count)))
    assert seen == set(range(count))


@pytest.mark.parametrize("count", [30_000_000, 10**12, 10**30])
def test_a_harvest_plans_no_more_than_it_can_hold(count: int) -> None:
    assert len(plan.pages(count, 1000)) <= plan.MOST + 1
    assert len(plan.ranges(count)) <= plan.MOST_RANGES
    whole = plan.Job("range", 0, plan.TOP)
    for sample in ([], range(1000)):
        parts = plan.split(whole, count, sample)
        assert len(parts) <= 3 * plan.MOST_PARTS
        assert (parts[0].low, parts[-1].high) == (0, plan.TOP)
        assert all(a.high == b.low for a, b in itertools.pairwise(parts))
