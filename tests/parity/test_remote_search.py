"""ONE-api, unchanged, works against the emulator, and both packages find the same sessions there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import calls
import compare
import pytest
from runner import Bench
from worlds import DATA, Facts, facts

from one_async.emulator import Emulator


@pytest.fixture(scope="module", params=["recorded", "seeded"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bench, Facts]]:
    """Yield an emulator of each world, as a bench in remote mode with the facts of the world."""
    with Emulator(records=DATA) if request.param == "recorded" else Emulator() as emulator:
        server = {
            "base_url": emulator.url,
            "username": "demo",
            "password": "demo",
            "data_server": f"{emulator.url}/data",
        }
        folder = tmp_path_factory.mktemp(f"search_{request.param}")
        yield Bench(folder, "remote", server), facts(emulator.world, request.param)


def searches(known: Facts, seeds: int) -> list[dict[str, Any]]:
    """Return different queries without duplicates."""
    rows = [row for row in calls.SEARCHES if row.method == "search" and "remote" in row.modes]
    made = [
        calls.fill(row.kwargs, calls.search_example(known, seed)) for seed in range(seeds) for row in rows
    ]
    return [query for index, query in enumerate(made) if query not in made[:index] and "details" not in query]


def any_of(query: dict[str, Any]) -> str | None:
    """Return the term of a query whose list selects any of its members, or None."""
    for term, value in query.items():
        if isinstance(value, list) and not term.startswith(("dataset", "date", "django")):
            return term
    return None


def test_one_api_logs_in_searches_lists_and_loads(world: tuple[Bench, Facts], tmp_path: Path) -> None:
    bench, known = world
    found = (
        (row, [path for path in known.paths(row["eid"]) if path.startswith("alf/_ibl_wheelMoves")])
        for row in known.pick(20)
    )
    session, small = next((row, paths) for row, paths in found if paths)
    eid = session["eid"]
    made: list[Any] = [
        ["search", [], {"lab": session["lab"]}], ["alyx.is_logged_in", [], {}], ["list_datasets", [eid], {}],
        ["load_dataset", [eid, small[0]], {}], ["load_object", [eid, "wheelMoves", "alf"], {}],
        ["load_object", [eid, "wheel", "alf"], {}],
    ]  # fmt: skip
    tables = "one.alyx.download_cache_tables(None, one._tables_dir)\none.load_cache(one._tables_dir)\nlen(one._cache.sessions)"
    answers = bench.oracle([*made, {"code": tables}])
    assert [answer.get("text") for answer in answers] == [None] * 7
    assert answers[1]["value"] is True
    assert answers[6]["value"] == len(known.sessions)
    ours = bench.blocking(made)
    assert [compare.same(made[index][0], "remote", answers[index], ours[index]) for index in range(6)] == [
        True
    ] * 6


def test_searches_give_the_same_sessions(world: tuple[Bench, Facts]) -> None:
    bench, known = world
    queries = searches(known, 4)
    plain = [
        query
        for query in queries
        if any_of(query) is None and "proj" not in query and "query_type" not in query
    ]
    made: list[Any] = [["search", [], query] for query in plain]
    theirs, blocking, awaited = bench.oracle(made), bench.blocking(made), bench.awaited(made)
    wrong = [
        f"{query}\n  ONE-api: {str(left)[:300]}\n  ours:    {str(right)[:300]}"
        for query, left, right in zip(plain, theirs, blocking, strict=True)
        if not compare.same("search", "remote", left, right)
    ]
    assert not wrong, "\n".join(wrong)
    assert blocking == awaited
    assert len(plain) >= 30
    assert len({str(answer) for answer in theirs}) >= 30  # the queries differ in their answers


def test_a_list_selects_the_union_of_its_members(world: tuple[Bench, Facts]) -> None:
    """Our answer for a list is compared with ONE-api's answers for one member at a time.

    ONE-api joins a list by commas. The server takes the result for one name: it finds nothing, or answers with an error.
    """
    bench, known = world
    queries = [query for query in searches(known, 4) if any_of(query)]
    singles = [
        {**query, term: value}
        for query in queries
        for term in [any_of(query)]
        if term
        for value in query[term]
    ]
    theirs = dict(zip(map(str, singles), bench.oracle([["search", [], one] for one in singles]), strict=True))
    ours = bench.blocking([["search", [], query] for query in queries])
    for query, answer in zip(queries, ours, strict=True):
        term = any_of(query)
        assert term is not None
        together = {
            eid["uuid"] for value in query[term] for eid in theirs[str({**query, term: value})]["value"]
        }
        assert {eid["uuid"] for eid in answer["value"]} == together, query
    assert len(queries) >= 5


def test_the_order_is_that_of_one_api_s_local_search(world: tuple[Bench, Facts], tmp_path: Path) -> None:
    """The server leaves ties in no order; ours is by date, subject and number, latest first, as in ONE-api's tables."""
    bench, known = world
    queries = [
        query
        for query in searches(known, 3)
        if set(query) <= {"lab", "subject", "number", "date_range", "datasets"}
    ]
    queries = [query for query in queries if any_of(query) is None and query.get("number") != "x"]
    local = Bench(tmp_path, "local")
    known.unpack_tables(tmp_path / "oracle")
    tables = {row["eid"] for row in known.sessions}
    made: list[Any] = [["search", [], query] for query in queries]
    compared = 0
    for query, left, right in zip(queries, local.oracle(made), bench.blocking(made), strict=True):
        if "error" in left:
            continue
        ours = [eid["uuid"] for eid in right["value"] if eid["uuid"] in tables]
        theirs = [eid["uuid"] for eid in left["value"] if eid["uuid"] in set(ours)]
        assert [eid for eid in ours if eid in set(theirs)] == theirs, query
        compared += len(theirs) > 1
    assert compared >= 10
