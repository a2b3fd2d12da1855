"""JSON fields: writes, refusals, and two clients that change one field concurrently."""

from __future__ import annotations

import inspect
import json
import random
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest

from one_async import AlyxClient, AsyncAlyxClient
from one_async.alyx import json_fields
from one_async.emulator import Emulator
from one_async.errors import ConflictError, InputError, LoginError, NotFound, OneError, StatusError
from shared_worlds import recorded_world

from .servers import RECORDS

pytestmark = pytest.mark.anyio

SESSION = "e5bd39ee-79e9-4ac3-9c80-486cd7272ac1"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
METHODS = ("json_field_write", "json_field_update", "json_field_remove_key", "json_field_delete")


def content(server: Emulator, endpoint: str = "sessions", key: str = SESSION, field: str = "json") -> Any:
    """Return a field from the server's store."""
    shown = server.store.detail(endpoint, key)
    assert shown is not None
    return json.loads(shown)[field]


def recorded_steps() -> list[tuple[Any, Any]]:
    """Return what ONE-api's own client wrote to a real Alyx, and its answers."""
    steps = json.loads(
        (RECORDS.parent / "exchanges" / "registration" / "one_json_fields.json").read_text(encoding="utf-8")
    )
    return [
        (step["request"]["body"], step["response"]["body"])
        for step in steps
        if step["request"]["method"] == "PATCH" and isinstance(step["request"]["body"], dict)
    ]


def test_recorded_bodies_are_sent(tmp_path: Path) -> None:
    """Our client's calls of the recording send the same bodies and return the same contents."""
    start = recorded_steps()[0][1]["json"]
    start.pop("new")
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("json_field_update", ("sessions", SESSION, "json", {"new": 1})),
        ("json_field_update", ("sessions", SESSION, "json", {"nested": {"x": 1}})),
        ("json_field_remove_key", ("sessions", SESSION, "json", "new")),
        ("json_field_write", ("sessions", SESSION, "json", {"only": None})),
        ("json_field_delete", ("sessions", SESSION, "json")),
        ("json_field_update", ("sessions", SESSION, "json", {"a": 1})),
        ("json_field_delete", ("sessions", SESSION, "json")),
        ("json_field_update", ("sessions", SESSION, "extended_qc", {"q": 0.5})),
        ("json_field_update", ("subjects", "KS046", "json", {"q": 1})),
    ]
    recorded = recorded_steps()
    assert len(calls) == len(recorded)
    with Emulator(recorded_world()) as server:
        assert content(server) == start
        with AlyxClient(server.url, "alice", "alice", tmp_path) as alyx:
            for (method, given), (body, answer) in zip(calls, recorded, strict=True):
                field = given[2]
                assert getattr(alyx, method)(*given) == answer[field] == body[field]
                assert content(server, given[0], given[1], field) == body[field]


async def test_names_paths_and_urls_name_records(make: Any) -> None:
    with Emulator(recorded_world()) as server:
        async with make(server) as alyx:
            for number, name in enumerate(
                (SESSION, UUID(SESSION), f"{server.url}/sessions/{SESSION}", f"/sessions/{SESSION}")
            ):
                written = await alyx.json_field_update("sessions", name, "json", {"n": number})
                assert written["n"] == content(server)["n"] == number


async def test_cached_answers_are_stale_at_once(make: Any) -> None:
    with Emulator(recorded_world()) as server:
        async with make(server) as alyx:
            read = await alyx.rest("sessions", "read", id=SESSION)
            assert "new" not in read["json"]
            for number, (method, given) in enumerate(
                [
                    ("json_field_update", {"data": {"new": 0}}),
                    ("json_field_update", {"data": {"new": 1}, "atomic": True}),
                    ("json_field_write", {"field_name": "json", "data": {"new": 2}}),
                ]
            ):
                await getattr(alyx, method)("sessions", SESSION, **given)
                assert (await alyx.rest("sessions", "read", id=SESSION))["json"]["new"] == number
            await alyx.json_field_remove_key("sessions", SESSION, key="new")
            assert "new" not in (await alyx.rest("sessions", "read", id=SESSION))["json"]
            await alyx.json_field_delete("sessions", SESSION, "json")
            assert (await alyx.rest("sessions", "read", id=SESSION))["json"] is None


async def test_what_others_wrote_is_read_and_not_taken_from_the_cache(make: Any, tmp_path: Path) -> None:
    with Emulator(recorded_world()) as server:
        async with make(server) as alyx, make(server, cache_dir=tmp_path / "other") as other:
            await alyx.rest("sessions", "read", id=SESSION)  # kept
            await other.json_field_update("sessions", SESSION, data={"other": 1})
            written = await alyx.json_field_update("sessions", SESSION, data={"own": 1})
            assert {"other", "own"} <= set(written)
            assert content(server) == written


@pytest.mark.parametrize("stored", [None, {}, {"a": 1}, {"a": None}, {"a": {"b": 1}}], ids=str)
async def test_keys_that_are_there_and_that_are_not(make: Any, stored: Any) -> None:
    with Emulator(recorded_world()) as server:
        async with make(server) as alyx:
            await alyx.json_field_write("sessions", SESSION, "json", stored)
            server.requests.reset()
            expected = None if stored is None else {k: v for k, v in stored.items() if k != "a"}
            assert await alyx.json_field_remove_key("sessions", SESSION, "json", "a") == expected
            assert content(server) == expected
            assert server.requests.count("/sessions", "PATCH") == ("a" in (stored or {}))


@pytest.mark.parametrize("stored", [[1, 2], "text", 3, True], ids=str)
async def test_content_without_keys_is_refused_and_kept(make: Any, stored: Any) -> None:
    """ONE-api returns such content as if the update had been made."""
    with Emulator(recorded_world()) as server:
        async with make(server) as alyx:
            await alyx.json_field_write("sessions", SESSION, "json", stored)
            with pytest.raises(ConflictError, match="no keys") as caught:
                await alyx.json_field_update("sessions", SESSION, data={"a": 1})
            assert (caught.value.found, caught.value.field) == (stored, "json")
            with pytest.raises(ConflictError):
                await alyx.json_field_remove_key("sessions", SESSION, key="a")
            assert content(server) == stored


@pytest.mark.parametrize(
    ("method", "given", "argument"),
    [
        ("json_field_update", ("session", SESSION, "json", {"a": 1}), "endpoint"),
        ("json_field_update", (None, SESSION, "json", {"a": 1}), "endpoint"),
        ("json_field_update", ("weighings", SESSION, "json", {"a": 1}), "action"),
        ("json_field_update", ("sessions", None, "json", {"a": 1}), "uuid"),
        ("json_field_update", ("sessions", SESSION, "jsn", {"a": 1}), "field_name"),
        ("json_field_update", ("sessions", SESSION, None, {"a": 1}), "field_name"),
        ("json_field_update", ("sessions", SESSION, "url", {"a": 1}), "field_name"),
        ("json_field_update", ("sessions", SESSION), "data"),
        ("json_field_update", ("sessions", SESSION, "json", [1]), "data"),
        ("json_field_update", ("sessions", SESSION, "json", {"a": object()}), "data"),
        ("json_field_remove_key", ("sessions", SESSION, "json"), "key"),
        ("json_field_remove_key", ("sessions", SESSION, "json", 3), "key"),
        ("json_field_write", (), "endpoint"),
        ("json_field_write", ("sessions", SESSION), "field_name"),
        ("json_field_delete", ("sessions", SESSION), "field_name"),
        ("json_field_delete", ("sessions", "", "json"), "uuid"),
    ],
)
async def test_bad_input_is_refused_before_a_request(
    server: Emulator, make: Any, method: str, given: tuple[Any, ...], argument: str
) -> None:
    async with make(server) as alyx:
        await alyx.schema()
        await alyx.authenticate()
        server.requests.reset()
        with pytest.raises(InputError) as caught:
            await getattr(alyx, method)(*given)
        assert caught.value.argument == argument
        assert server.requests == []


async def test_numbers_that_json_does_not_have_are_refused(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        with pytest.raises(InputError):
            await alyx.json_field_write("sessions", SESSION, "json", {"a": float("nan")})
    assert server.requests.count("/sessions", "PATCH") == 0


async def test_errors_of_the_server(server: Emulator, make: Any, tmp_path: Path) -> None:
    async with make(server) as alyx:
        with pytest.raises(NotFound):
            await alyx.json_field_update("sessions", UNKNOWN, data={"a": 1})
        with pytest.raises(StatusError, match="null"):
            await alyx.json_field_delete("sessions", SESSION, "narrative")
    async with make(server, "reader", cache_dir=tmp_path / "reader") as alyx:
        with pytest.raises((LoginError, StatusError), match="permission"):
            await alyx.json_field_update("sessions", SESSION, data={"a": 1})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("endpoint", "fields"), json_fields.REPEATED.items())
async def test_fields_that_a_patch_clears_are_kept(
    make: Any, endpoint: str, fields: tuple[str, ...], method: str
) -> None:
    """A PATCH of a trajectory without its insertion sets the insertion to null; one of a note without its object is an error."""
    with Emulator(recorded_world()) as server:
        [(key,)] = server.store.select(f'SELECT key FROM "{endpoint}.text" ORDER BY row LIMIT 1')
        before = [content(server, endpoint, key, field) for field in fields]
        assert any(before)
        more = {"json_field_remove_key": {"key": "a"}, "json_field_delete": {}}.get(
            method, {"data": {"b": 2}}
        )
        async with make(server, "admin") as alyx:
            await alyx.json_field_write(endpoint, key, "json", {"a": 1})
            await getattr(alyx, method)(endpoint, key, "json", **more)
        expected = {
            "json_field_write": {"b": 2},
            "json_field_update": {"a": 1, "b": 2},
            "json_field_remove_key": {},
        }
        assert content(server, endpoint, key) == expected.get(method)
        assert [content(server, endpoint, key, field) for field in fields] == before


@pytest.mark.parametrize("method", METHODS)
def test_arguments_are_those_of_one_api(method: str) -> None:
    third = {"json_field_update": "json", "json_field_remove_key": "json"}.get(method)
    last = {"json_field_remove_key": ["key"], "json_field_delete": []}.get(method, ["data"])
    for kind in (AsyncAlyxClient, AlyxClient):
        found = list(inspect.signature(getattr(kind, method)).parameters.values())[1:]
        names = [one.name for one in found if one.kind is one.POSITIONAL_OR_KEYWORD]
        assert names == ["endpoint", "uuid", "field_name", *last]
        assert found[2].default == third


# ---- two concurrent clients ----

#: The number of rounds of two clients, each with its own order and durations of requests, and of concurrent rounds.
SEEDS, AT_ONCE = 60, 12


async def two_clients(server: Emulator, pair: list[Any], eid: str, seed: int) -> tuple[bool, bool]:
    """Set a key with each of two concurrent clients, with random durations; return whether both keys are kept, and the errors."""
    chance = random.Random(seed)
    server.store.update("sessions", eid, json={"before": seed})
    for method, times in (("GET", 4), ("PATCH", 2)):
        for _ in range(times):
            delay, hang = (chance.choice((0, 0, 0.02, 0.04, 0.08)) for _ in "ab")
            server.faults.add(f"/sessions/{eid}", method=method, delay=delay, hang=hang)
    errors: dict[int, OneError] = {}

    async def change(which: int, start: float) -> None:
        await anyio.sleep(start)
        try:
            await pair[which].json_field_update("sessions", eid, data={f"k{which}": seed}, atomic=True)
        except ConflictError as error:
            errors[which] = error

    async with anyio.create_task_group() as group:
        for which in range(2):
            group.start_soon(change, which, chance.choice((0, 0, 0.03, 0.09)))
    found = content(server, key=eid)
    assert found["before"] == seed
    lost = [which for which in range(2) if found.get(f"k{which}") != seed]
    slow = any("more than" in str(error) for error in errors.values())
    assert all(which in errors for which in lost) or slow
    return not lost, bool(errors)


async def test_no_key_is_lost_without_an_error(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_fields, "SETTLE", 0.6)
    seen: set[tuple[bool, bool]] = set()
    with Emulator() as server:
        eids = [eid for (eid,) in server.store.select("SELECT id FROM sessions LIMIT ?", AT_ONCE)]
        assert len(eids) == AT_ONCE

        async def rounds(pair: list[Any], place: int) -> None:
            for seed in range(place, SEEDS, AT_ONCE):
                seen.add(await two_clients(server, pair, eids[place], seed))

        async with make(server, "demo") as one, make(server, "demo", cache_dir=tmp_path / "other") as other:
            for alyx in (one, other):
                await alyx.schema()
            async with anyio.create_task_group() as group:
                for place in range(AT_ONCE):
                    group.start_soon(rounds, [one, other], place)
    assert {(True, False), (False, True)} <= seen  # all keys are kept, or one is lost with an error


async def test_without_atomic_a_key_is_lost_silently(make: Any, tmp_path: Path) -> None:
    """The client without the option loses a key, as ONE-api does."""
    with Emulator(recorded_world()) as server:
        async with make(server) as one, make(server, cache_dir=tmp_path / "other") as other:
            await one.schema()
            await other.schema()
            server.faults.add("/sessions", method="PATCH", delay=0.5, times=1)

            async with anyio.create_task_group() as group:
                group.start_soon(lambda: one.json_field_update("sessions", SESSION, data={"a": 1}))
                await anyio.sleep(0.2)
                group.start_soon(lambda: other.json_field_update("sessions", SESSION, data={"b": 1}))
        assert "a" in content(server)
        assert "b" not in content(server)


@pytest.mark.parametrize(
    "fault",
    [{"method": "GET", "hang": 0.5}, {"method": "PATCH", "delay": 0.5}, {"method": "PATCH", "hang": 0.5}],
    ids=str,
)
async def test_a_change_that_took_too_long_is_reported(
    make: Any, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    monkeypatch.setattr(json_fields, "SETTLE", 0.3)
    with Emulator(recorded_world()) as server:
        async with make(server) as alyx:
            await alyx.rest("sessions", "read", id=SESSION)
            server.faults.add("/sessions", **fault)
            with pytest.raises(ConflictError, match="another client") as caught:
                await alyx.json_field_update("sessions", SESSION, data={"a": 1}, atomic=True)
            assert caught.value.found == content(server)
            assert content(server)["a"] == 1


async def test_a_value_that_another_client_replaced_is_named(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_fields, "SETTLE", 0.2)
    with Emulator(recorded_world()) as server:
        async with make(server) as alyx:
            for field, taken in (("json", {"a": 2}), ("json", None), ("json", [1]), ("extended_qc", {})):
                changed = {field: taken}
                server.faults.add(
                    "/sessions",
                    method="GET",
                    skip=1,
                    call=lambda changed=changed: server.store.update("sessions", SESSION, **changed),
                )
                with pytest.raises(ConflictError, match="lost: a") as caught:
                    await alyx.json_field_update("sessions", SESSION, field, {"a": 1}, atomic=True)
                assert caught.value.found == taken
                await alyx.json_field_write("sessions", SESSION, field, {})
