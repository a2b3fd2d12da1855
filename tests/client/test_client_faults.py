"""A failing server: the right answer after retries, or one clear error."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from one_async.emulator import Emulator
from one_async.errors import AnswerError, LoginError, OneError, ServerUnreachable, StatusError, Throttled

from .conftest import Make
from .faces import Face
from .worlds import World

PASSING: list[dict[str, Any]] = [
    {"status": 503},
    {"status": 502, "times": 2},
    {"status": 429, "headers": {"Retry-After": "1"}},
    {"drop": True, "times": 2},
    {"cut": True, "times": 2},
    {"truncate": 5},
]
LASTING: list[tuple[dict[str, Any], type[OneError], str]] = [
    ({"html": True}, AnswerError, "500 Internal Server Error"),
    ({"broken": True}, AnswerError, "JSON"),
    ({"body": "[1, 2"}, AnswerError, "JSON"),
    ({"status": 500}, StatusError, "500"),
    ({"status": 429, "headers": {"Retry-After": "4000"}}, Throttled, "429"),
    ({"status": 403}, LoginError, "Fault"),
]


def questions(one: Face, recorded: World) -> None:
    """Query a list and a record, and check the answers."""
    eid = recorded.session("KS014", "2020-02-18")["id"]
    assert one.ask("search", subject="KS014") == recorded.eids(lambda s: s["subject"] == "KS014")
    assert one.ask("list_datasets", eid, qc="CRITICAL") == recorded.paths(eid)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [*[("trio", fault) for fault in PASSING], ("asyncio", PASSING[4]), ("blocking", PASSING[0])],
    indirect=["kind"],
    ids=str,
)
def test_what_passes_is_tried_again(
    make: Make, recorded: World, recorded_server: Emulator, fault: dict[str, Any]
) -> None:
    one = make(recorded_server)
    one.ask("search_terms")
    rules = [recorded_server.faults.add(path, **fault) for path in ("/sessions/", "/sessions")]
    questions(one, recorded)
    assert [rule.hits for rule in rules] == [fault.get("times", 1)] * 2


@pytest.mark.parametrize(("fault", "kind_of_error", "text"), LASTING, ids=lambda value: str(value)[:50])
def test_what_lasts_is_one_clear_error(
    make: Make,
    recorded: World,
    recorded_server: Emulator,
    fault: dict[str, Any],
    kind_of_error: type[OneError],
    text: str,
) -> None:
    """The error is one of ours, not a group or an error of the HTTP library, and no answer is stored."""
    one = make(recorded_server)
    one.ask("search_terms")
    recorded_server.faults.add("/sessions", times=None, **fault)
    for method, args in (
        ("search", {"subject": "KS014"}),
        ("get_details", {"eid": recorded.eids()[:3], "full": True}),
    ):
        with pytest.raises(kind_of_error, match=text) as caught:
            one.ask(method, **args)
        assert type(caught.value) is kind_of_error
        assert "demo" not in str(caught.value)
    recorded_server.faults.clear()
    questions(one, recorded)


@pytest.mark.parametrize(
    "body",
    [
        '{"count": 1, "next": null, "previous": null, "results": [{"id": 5}]}',
        '{"count": 1, "next": null, "previous": null, "results": ["x"]}',
        '{"count": 1, "next": null, "previous": null, "results": [{}]}',
        '{"detail": "what?"}',
        "null",
        "5",
    ],
)
def test_lists_of_something_else_are_one_error(make: Make, recorded_server: Emulator, body: str) -> None:
    one = make(recorded_server)
    one.ask("search_terms")
    recorded_server.faults.add("/sessions", times=None, body=body)
    with pytest.raises(AnswerError, match="sessions"):
        one.ask("search", subject="KS014")


@pytest.mark.parametrize("kind", ["trio"], indirect=True)
@pytest.mark.parametrize("path", ["/auth-token", "/api/schema"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": True}, {"cut": True}], ids=str)
def test_login_and_schema_are_tried_again(
    make: Make, recorded: World, recorded_server: Emulator, path: str, fault: dict[str, Any]
) -> None:
    recorded_server.faults.add(path, **fault)
    questions(make(recorded_server), recorded)


@pytest.mark.parametrize("path", ["/auth-token", "/api/schema"])
@pytest.mark.parametrize("fault", [{"html": True}, {"broken": True}, {"body": "5"}, {"body": "{}"}], ids=str)
def test_broken_logins_and_schemas_are_one_error(
    make: Make, recorded: World, recorded_server: Emulator, path: str, fault: dict[str, Any]
) -> None:
    one = make(recorded_server)
    recorded_server.faults.add(path, times=None, **fault)
    with pytest.raises(OneError):
        one.ask("search", subject="KS014")
    recorded_server.faults.clear()
    questions(one, recorded)


@pytest.mark.parametrize("kind", ["asyncio", "blocking"], indirect=True)
def test_a_server_that_is_killed_and_restarts(make: Make, recorded: World, recorded_server: Emulator) -> None:
    one = make(recorded_server, cache_rest=None)
    questions(one, recorded)
    recorded_server.stop()
    recorded_server.start()
    questions(one, recorded)  # on new connections, since the open ones are gone
    recorded_server.stop()
    back = threading.Timer(0.7, recorded_server.start)
    back.start()
    questions(one, recorded)
    back.join()


@pytest.mark.parametrize("kind", ["trio"], indirect=True)
def test_a_server_that_stays_away_is_one_error(
    make: Make, recorded: World, recorded_server: Emulator
) -> None:
    one = make(recorded_server)
    one.ask("search", lab="riverlab")
    recorded_server.stop()
    with pytest.raises(ServerUnreachable, match=recorded_server.url):
        one.ask("search", subject="KS014")
    assert one.ask("search", lab="riverlab") == recorded.eids(lambda s: s["lab"] == "riverlab")
    recorded_server.start()
    questions(one, recorded)


def test_lists_that_break_half_way_have_no_wrong_row(
    make: Make, seeded: World, seeded_server: Emulator
) -> None:
    """Each of many concurrent requests may fail in any transient way."""
    one = make(seeded_server)
    one.ask("search_terms")
    eids = [str(eid) for eid in seeded.eids()[:60]]
    for number, fault in enumerate(({"cut": True}, {"drop": True}, {"truncate": 3}, {"status": 503})):
        seeded_server.faults.add("/sessions/", skip=5 * number, times=4, **fault)
    listed = one.ask("list_datasets", eids, qc="CRITICAL")
    assert listed == [seeded.paths(eid) for eid in eids]


@pytest.mark.parametrize("kind", ["trio"], indirect=True)
def test_throttling_causes_no_failure(make: Make, seeded: World, seeded_server: Emulator) -> None:
    one = make(seeded_server)
    one.ask("search_terms")
    eids = [str(eid) for eid in seeded.eids()[:60]]
    rule = seeded_server.faults.add("/sessions/", status=429, headers={"Retry-After": "1"}, skip=20, times=10)
    details = one.ask("get_details", eids, full=True)
    assert [row["id"] for row in details] == eids
    assert rule.hits == 10
