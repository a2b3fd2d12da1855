"""Insertions from tables: all terms, the same answers in auto mode as remotely, and no request per session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from client.faces import KINDS, Face, opened
from client.worlds import World, day, recorded_world
from one_async.emulator import Emulator
from one_async.errors import InputError

from .conftest import login

#: Some of the searches find nothing on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::one_async.errors.EmptySearchWarning")


@pytest.fixture(scope="module", params=KINDS)
def one(
    request: pytest.FixtureRequest, recorded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Face]:
    """Yield a client whose tables have all insertions of the recorded world."""
    recorded_emulator.start()
    folder = tmp_path_factory.mktemp("insertions")
    with opened(request.param, cache_dir=folder, cache_rest=None, **login(recorded_emulator)) as face:
        face.ask("refresh_cache", "refresh")
        face.ask("search_insertions")
        face.ask("search_terms", "remote", "insertions")
        yield face


@pytest.fixture(scope="module")
def world() -> World:
    return recorded_world()


@pytest.fixture(scope="module")
def eid(world: World) -> str:
    return str(world.session("KS014", "2020-02-18")["id"])


TERMS: list[dict[str, Any]] = [
    {},
    {"name": "probe00"},
    {"name": ["probe00", "probe01"], "lab": "cortexlab"},
    {"serial": "20403311"},
    {"chronic_insertion": "a6fea48c-b5e3-4950-84ad-ad0c8864baef"},
    {"subject": "KS014", "number": 1},
    {"date": ["2020-01-01", None], "name": "probe01"},
]


@pytest.mark.parametrize("terms", TERMS, ids=str)
@pytest.mark.parametrize("mode", ["local", "auto"])
def test_tables_and_server_find_the_same_insertions(one: Face, mode: str, terms: dict[str, Any]) -> None:
    expected = one.ask("search_insertions", query_type="remote", **terms)
    assert one.ask("search_insertions", query_type=mode, **terms) == expected
    assert expected


def test_auto_mode_searches_insertions_in_the_tables(
    one: Face, recorded_emulator: Emulator, eid: str
) -> None:
    recorded_emulator.requests.reset()
    for terms in (*TERMS, {"session": eid}):
        one.ask("search_insertions", query_type="auto", **terms)
    assert recorded_emulator.requests.count("/insertions") == 0


@pytest.mark.parametrize("mode", ["local", "auto", "remote"])
def test_a_session_may_be_any_identifier(one: Face, world: World, eid: str, mode: str) -> None:
    rows = world.rows("insertions")
    mine = {UUID(row["id"]) for row in rows if row["session"] == eid}
    session = world.session("KS014", "2020-02-18")
    names = [eid, UUID(eid), f"{day(session)}_1_KS014", "KS014/2020-02-18/001", [eid], (UUID(eid), eid)]
    for name in names:
        assert set(one.ask("search_insertions", session=name, query_type=mode)) == mine
    assert one.ask("search_insertions", session="2001-01-01_1_KS014", query_type=mode) == []
    assert one.ask("search_insertions", session=UUID(int=7), query_type=mode) == []
    for wrong in ("KS014", 5, [], ""):
        with pytest.raises(InputError, match="session"):
            one.ask("search_insertions", session=wrong, query_type=mode)


@pytest.mark.parametrize("mode", ["local", "auto", "remote"])
def test_insertions_of_a_session_have_their_names(one: Face, world: World, eid: str, mode: str) -> None:
    (pid,) = (
        row["id"] for row in world.rows("insertions") if row["session"] == eid and row["name"] == "probe00"
    )
    assert one.ask("eid2pid", eid, name="probe00", query_type=mode) == ([UUID(pid)], ["probe00"])
    assert one.ask("eid2pid", UUID(int=5), query_type=mode) == (None, None)
    assert one.ask("eid2pid", UUID(int=5), query_type=mode, name="probe00") == (None, None)
    assert (
        one.ask("eid2pid", [UUID(int=5), "2001-01-01_1_KS014"], query_type=mode, details=True)
        == [(None, None, None)] * 2
    )


def test_tables_have_part_numbers_and_the_server_model_names(one: Face) -> None:
    assert len(one.ask("search_insertions", model="3A", query_type="local")) == 1
    for mode in ("auto", "remote"):
        assert one.ask("search_insertions", model="3A", query_type=mode) == []
        assert len(one.ask("search_insertions", model="Neuropixel 3A", query_type=mode)) == 1


def test_datasets_of_insertions_are_found(one: Face, world: World) -> None:
    names = {row["url"][-36:]: row["name"] for row in world.rows("datasets")}
    expected = {
        UUID(row["id"]) for row in world.rows("insertions")
        if any("spikes.times" in names[did].lower() for did in row["datasets"])
    }  # fmt: skip
    assert set(one.ask("search_insertions", dataset="Spikes.Times", query_type="auto")) == expected
    local = set(one.ask("search_insertions", dataset="Spikes.Times", query_type="local"))
    assert local
    assert local <= expected


def test_local_mode_accepts_the_terms_of_insertions(one: Face) -> None:
    terms = one.ask("search_terms", "local", "insertions")
    assert len(terms) == len(set(terms))
    for term in terms:
        value = "2020-02-18" if term == "date_range" else UUID(int=1) if term == "session" else "PASS"
        one.ask("search_insertions", query_type="local", **{term: 1 if term == "number" else value})
    with pytest.raises(InputError, match="name, number"):
        one.ask("search_insertions", query_type="local", n="x")


def test_unknown_ids_raise_no_server_error(one: Face) -> None:
    for term in ("chronic_insertion", "id", "session"):
        assert one.ask("search_insertions", query_type="remote", **{term: UUID(int=3)}) == []


def test_many_sessions_are_requested_in_batches(one: Face, recorded_emulator: Emulator, world: World) -> None:
    eids = [*world.eids(), *(UUID(int=number) for number in range(1, 965))]
    recorded_emulator.requests.reset()
    one.ask("search_insertions", session=eids, query_type="remote")
    one.ask("eid2pid", eids, name="probe00", query_type="remote")
    one.ask("search_insertions", session=eids, name=["probe00", "probe01"], query_type="remote")
    assert recorded_emulator.requests.count("/insertions") == 4 * -(-1000 // 75)
