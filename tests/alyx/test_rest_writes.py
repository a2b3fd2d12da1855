"""Records created, changed and deleted by `rest`, with and without files, in both faces."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import numpy as np
import pytest

from one_async import AlyxClient, AsyncAlyxClient
from one_async.alyx.writes import form_of
from one_async.emulator import Emulator
from one_async.errors import InputError, ServerUnreachable, StatusError

SESSION = "e5bd39ee-79e9-4ac3-9c80-486cd7272ac1"
NOTE = {"user": "alice", "content_type": "session", "object_id": SESSION}
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)


class Awaited:
    """`AsyncAlyxClient` with one event loop per call, so that tests can call both faces in the same way."""

    def __init__(self, backend: str, *given: Any) -> None:
        self._backend, self._given = backend, given

    def rest(self, *given: Any, **more: Any) -> Any:
        async def call() -> Any:
            async with AsyncAlyxClient(*self._given) as alyx:
                return await alyx.rest(*given, **more)

        return anyio.run(call, backend=self._backend)


@pytest.fixture(params=["asyncio", "trio", "blocking"])
def face(request: pytest.FixtureRequest, own_server: Emulator, tmp_path: Path) -> Iterator[Any]:
    given = (own_server.url, "alice", "alice", tmp_path / "cache")
    if request.param != "blocking":
        yield Awaited(request.param, *given)
        return
    with AlyxClient(*given) as alyx:
        yield alyx


def detail(server: Emulator, endpoint: str, key: str) -> dict[str, Any]:
    """Return a record from the server's store."""
    found: dict[str, Any] = json.loads(server.store.detail(endpoint, key) or "{}")
    return found


def test_a_record_from_its_creation_to_its_end(own_server: Emulator, face: Any) -> None:
    made = face.rest(
        "sessions",
        "create",
        data={
            "subject": "KS046",
            "number": np.int64(3),
            "start_time": datetime(2025, 3, 1, 12, 30),
            "json": {"a": (1, 2)},
        },
    )
    stored = detail(own_server, "sessions", made["id"])
    assert (stored["subject"], stored["number"], stored["start_time"]) == ("KS046", 3, "2025-03-01T12:30:00")
    assert stored["json"] == {"a": [1, 2]}
    changed = face.rest(
        "sessions", "partial_update", id=UUID(made["id"]), data={"qc": "PASS", "end_time": date(2025, 3, 2)}
    )
    assert (changed["qc"], changed["number"]) == ("PASS", 3)
    face.rest("sessions", "update", id=made["url"], data={"subject": "KS046", "narrative": "whole"})
    stored = detail(own_server, "sessions", made["id"])
    assert (stored["narrative"], stored["qc"], stored["end_time"]) == ("whole", "PASS", "2025-03-02T00:00:00")
    assert face.rest("sessions", "delete", id=made["id"]) is None
    assert own_server.store.detail("sessions", made["id"]) is None


@pytest.mark.parametrize("kind", ["path", "open file", "bytes in memory", "pair"])
def test_a_file_is_sent_whatever_holds_it(own_server: Emulator, face: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "figure é.png"
    path.write_bytes(PICTURE)
    with path.open("rb") as opened:
        image = {
            "path": path,
            "open file": opened,
            "bytes in memory": io.BytesIO(PICTURE),
            "pair": ("x.png", PICTURE),
        }[kind]
        data = {
            **NOTE,
            "object_id": UUID(SESSION),
            "text": "see é",
            "date_time": datetime(2025, 1, 2),
            "json": {"n": [1, {"a": None}]},
        }
        made = face.rest("notes", "create", data=data, files={"image": image})
    stored = detail(own_server, "notes", made["id"])
    assert (stored["text"], stored["object_id"], stored["date_time"]) == (
        "see é",
        SESSION,
        "2025-01-02T00:00:00",
    )
    assert stored["json"] == {"n": [1, {"a": None}]}
    assert stored["image"].endswith(".image" if kind == "bytes in memory" else ".png")


@pytest.mark.parametrize("action", ["update", "partial_update"])
def test_a_file_of_a_record_is_replaced(own_server: Emulator, face: Any, action: str) -> None:
    made = face.rest("notes", "create", data=NOTE, files={"image": ("first.png", PICTURE)})
    changed = face.rest(
        "notes", action, id=made["id"], data={**NOTE, "text": "new"}, files={"image": ("second.png", PICTURE)}
    )
    assert "second" in changed["image"]
    assert detail(own_server, "notes", made["id"])["image"] == changed["image"].replace(
        own_server.url, "https://alyx.test"
    )


def test_lists_are_repeated_in_a_form(own_server: Emulator, face: Any) -> None:
    data = {"subject": "KS046", "users": ["alice", "admin"], "json": {"a": 1}, "number": 4, "n_trials": None}
    made = face.rest("sessions", "create", data=data, files={"attached": ("note.txt", b"x")})
    stored = detail(own_server, "sessions", made["id"])
    assert sorted(stored["users"]) == ["admin", "alice"]
    assert (stored["json"], stored["number"], stored["n_trials"]) == ({"a": 1}, 4, None)


@pytest.mark.parametrize(
    ("value", "sent"),
    [(None, None), (True, True), (1.5, 1.5), ([1, 2], [1, 2]), ([[1]], "[[1]]"), ({"a": [1]}, '{"a": [1]}'),
     ([{"a": 1}], '[{"a": 1}]'),
     (UUID(SESSION), SESSION), (date(2025, 1, 2), "2025-01-02"), ({1, }, [1])], ids=str,
)  # fmt: skip
def test_form_values_are_converted(value: Any, sent: Any) -> None:
    assert form_of({"field": value}) == {"field": sent}


UNSENDABLE = type("Unsendable", (), {"__repr__": lambda self: "object"})()


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"action": "create", "data": NOTE, "files": [("image", b"x")]}, "files"),
        ({"action": "create", "data": "text", "files": {"image": ("x.png", b"x")}}, "data"),
        ({"action": "create", "data": None, "files": {"image": ("x.png", b"x")}}, "data"),
        ({"action": "create", "data": {}}, "data"),
        ({"action": "create", "data": {**NOTE, "json": UNSENDABLE}}, "data"),
        (
            {"action": "create", "data": {**NOTE, "json": UNSENDABLE}, "files": {"image": ("x.png", b"x")}},
            "data",
        ),
        ({"action": "partial_update", "data": NOTE}, "id"),
        ({"action": "update", "id": "", "data": NOTE}, "id"),
        ({"action": "delete"}, "id"),
        ({"action": "delete", "id": ".."}, "id"),
        ({"action": "create", "data": NOTE, "text": "x"}, "text"),
        ({"action": "post", "data": NOTE}, "action"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_a_request(
    own_server: Emulator, face: Any, given: dict[str, Any], argument: str
) -> None:
    face.rest("notes", "list", limit=1)
    own_server.requests.reset()
    with pytest.raises(InputError) as caught:
        face.rest("notes", **given)
    assert caught.value.argument == argument
    assert {request.method for request in own_server.requests} <= {
        "GET"
    }  # a client with its own loop requests the schema
    assert own_server.requests.count("/notes") == 0


def test_an_action_that_an_endpoint_lacks_is_refused(own_server: Emulator, face: Any) -> None:
    for endpoint, action in (
        ("weighings", "partial_update"),
        ("subjects", "delete"),
        ("brain-regions", "create"),
    ):
        with pytest.raises((InputError, StatusError)):
            face.rest(endpoint, action, id="x", data={"a": 1})
    assert not [
        request
        for request in own_server.requests
        if request.status < 300 and request.method in ("PATCH", "DELETE")
    ]


@pytest.mark.parametrize("files", [None, {"image": ("x.png", PICTURE)}], ids=["json", "form"])
@pytest.mark.parametrize(
    "fault", [{"drop": True}, {"cut": True}, {"status": 503, "before": False}, {"hang": 2.0}], ids=str
)
def test_a_write_that_may_have_arrived_is_sent_once(
    own_server: Emulator, tmp_path: Path, fault: dict[str, Any], files: Any
) -> None:
    with AlyxClient(own_server.url, "alice", "alice", tmp_path, timeout=1.0) as alyx:
        before = len(alyx.rest("notes", "list"))
        own_server.faults.add("/notes", method="POST", **fault)
        with pytest.raises((ServerUnreachable, StatusError)):
            alyx.rest("notes", "create", data=NOTE, files=files)
        assert len(alyx.rest("notes", "list")) == before + 1  # from the server, not from the cache


@pytest.mark.parametrize("fault", [{"status": 429, "headers": {"Retry-After": "0"}, "times": 2}], ids=str)
def test_a_write_that_was_refused_unread_is_sent_again(
    own_server: Emulator, face: Any, fault: dict[str, Any]
) -> None:
    before = len(face.rest("notes", "list", no_cache=True))
    rule = own_server.faults.add("/notes", method="POST", **fault)
    face.rest("notes", "create", data=NOTE, files={"image": ("x.png", PICTURE)})
    assert rule.hits == 2
    assert len(face.rest("notes", "list", no_cache=True)) == before + 1
