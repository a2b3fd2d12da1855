"""The arguments of REST calls, and the requests that they make."""

from __future__ import annotations

import datetime
import io
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from httpx import ASGITransport
from hypothesis import given
from hypothesis import strategies as st

from one_async.alyx import responses
from one_async.alyx.schema import Schema, params_of
from one_async.alyx.writes import read_files
from one_async.emulator import Emulator
from one_async.errors import AnswerError, InputError, NotFound

from .servers import SCHEMA

pytestmark = pytest.mark.anyio
EID = uuid.UUID("00000000-0000-4000-8000-000000000000")


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema(json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"lab": "cortexlab"}, {"lab": "cortexlab"}),
        ({"lab": None, "number": 1}, {"number": "1"}),
        ({"datasets": ["a", "b"]}, {"datasets": "a,b"}),
        ({"date_range": [datetime.date(2020, 1, 1), "2020-02-02"]}, {"date_range": "2020-01-01,2020-02-02"}),
        (
            {"date_range": [datetime.datetime(2020, 1, 1), pd.Timestamp("2020-02-02")]},
            {"date_range": "2020-01-01,2020-02-02"},
        ),
        (
            {"date_range": pd.Series(pd.to_datetime(["2020-01-01", "2020-02-02"]))},
            {"date_range": "2020-01-01,2020-02-02"},
        ),
        ({"start_time": np.datetime64("2020-01-01T00:00:01")}, {"start_time": "2020-01-01T00:00:01"}),
        ({"histology": True}, {"histology": "True"}),
        ({"id": EID}, {"id": str(EID)}),
        ({"performance_gte": 0}, {"performance_gte": "0"}),
        ({"django": ["json__isnull", None]}, {"django": "json__isnull,None"}),
    ],
)
def test_filters_are_written_as_the_server_reads_them(given: dict[str, Any], sent: dict[str, str]) -> None:
    assert params_of(given) == sent


@pytest.mark.parametrize("value", ["", [], {"a": 1}, b"bytes"])
def test_filters_that_the_server_would_ignore_are_refused(value: Any) -> None:
    with pytest.raises(InputError):
        params_of({"lab": value})


async def test_unknown_endpoints_actions_and_filters_are_refused_before_a_request(
    server: Emulator, make: Any
) -> None:
    async with make(server) as alyx:
        await alyx.schema()
        server.requests.reset()
        for arguments, filters, text in (
            (("sesions", "list"), {}, "^url='sesions' is not there; did you mean sessions or"),
            (("sessions", "lst"), {}, "create, delete, list"),
            (("weighings", "update", "x"), {}, "of weighings"),
            (("sessions", "list"), {"labs": "x"}, "^labs=… is no filter of sessions; did you mean lab"),
            (("tags", "list"), {"qqqq": "x"}, "^qqqq=… is no filter of tags; there are "),
            (("qqqq", "list"), {}, "there are .*, channels, "),
            (("projects", "list"), {"django": "name,x"}, "filter of projects"),
            (("sessions", "read"), {}, "id="),
            (("sessions", "read", ".."), {}, "id="),
            (("sessions", "read", "x"), {"lab": "y"}, "for lists"),
            (("sessions", "create"), {}, "subject"),
        ):
            with pytest.raises(InputError, match=text):
                await alyx.rest(*arguments, **filters)
        for name in ("limit", "offset"):
            with pytest.raises(InputError, match=f"^{name}="):
                await alyx.page("sessions", **{"limit": 5, "offset": 0, name: "x"})
        assert len(server.requests) == 0


@pytest.mark.parametrize(
    ("endpoint", "singular", "value"),
    [
        ("insertions", "dataset_type", "mpci.times"),
        ("sessions", "dataset_type", "mpci.times"),
        ("sessions", "dataset", "spikes.times.npy"),
        ("sessions", "user", "bruno"),
    ],
)
async def test_a_filter_is_known_by_its_singular_too(
    server: Emulator, make: Any, endpoint: str, singular: str, value: str
) -> None:
    async with make(server) as alyx:
        every = await alyx.rest(endpoint, "list")
        rows = await alyx.rest(endpoint, "list", **{f"{singular}s": value})
        assert len(rows) < len(every)
        assert await alyx.rest(endpoint, "list", **{singular: value}) == rows
        assert server.requests.count(f"{singular}=") == 0
        with pytest.raises(InputError, match="once"):
            await alyx.rest(endpoint, "list", **{singular: value, f"{singular}s": value})


async def test_read_takes_ids_names_paths_and_addresses(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        (row,) = await alyx.rest("sessions", "list", subject="KS014", number=2)
        bodies = [
            await alyx.rest("sessions", "read", id=id)
            for id in (
                row["id"],
                uuid.UUID(row["id"]),
                f"/sessions/{row['id']}",
                row["url"],
                row["id"].upper(),
            )
        ]
        assert all(body == bodies[0] for body in bodies)
        assert server.requests.count("/sessions/") == 1
        assert (await alyx.rest("sessions", "list", id=row["id"], django="number,2"))[0]["id"] == row["id"]
        assert await alyx.rest("sessions", "list", id=uuid.UUID(row["id"]), django="number,3") == []
        with pytest.raises(NotFound):
            await alyx.rest("sessions", "read", id=EID)


async def test_names_with_spaces_and_slashes_stay_in_one_part_of_the_address(
    server: Emulator, make: Any
) -> None:
    async with make(server) as alyx:
        for row in await alyx.rest("locations", "list"):
            if "/" not in row["name"]:
                assert (await alyx.rest("locations", "read", id=row["name"]))["name"] == row["name"]
        with pytest.raises(NotFound):
            await alyx.rest("locations", "read", id="no such?x=y#z")


async def test_endpoints_are_described(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        assert "sessions" in await alyx.list_endpoints()
        described = await alyx.rest("sessions")
        assert described == await alyx.describe_endpoint("sessions")
        assert sorted(described.actions) == ["create", "delete", "list", "partial_update", "read", "update"]
        assert "date_range" in str(described)
        only = await alyx.describe_endpoint("sessions", "partial-update")
        assert list(only.actions) == ["partial_update"]
        assert "narrative" in {field.name for field in only.actions["partial_update"].fields}
        with pytest.raises(InputError):
            await alyx.describe_endpoint("sesions")
        assert server.requests.count("/api/schema") == 1
        document = await alyx.get("/api/schema", no_cache=True)
    for name, action in described.actions.items():
        operation = document["paths"][action.url][action.method.lower()]
        assert (action.endpoint, action.action) == ("sessions", name)
        queries = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "query"}
        assert [(field.name, field.required) for field in action.filters] == [
            (field, p.get("required", False)) for field, p in queries.items()
        ]


def test_the_schema_describes_rows_and_filters(schema: Schema) -> None:
    assert {"auth-token", "api", "docs"}.isdisjoint(schema.endpoints)
    assert "date_range" in schema.filters("sessions")
    assert schema.filters("labs/x") == ()
    assert set(schema.row("sessions")["properties"]) >= {"id", "subject", "start_time", "number", "lab"}
    assert "datasets" not in schema.row("sessions")["properties"]
    assert schema.row("sessions", "read")["properties"]
    params = dict.fromkeys(("limit", "offset", "django"), "1")
    assert schema.known_filters("sessions", params) == params


@pytest.mark.parametrize("raw", [None, [], {}, {"paths": []}])
def test_what_is_no_schema_is_an_answer_error(raw: Any) -> None:
    with pytest.raises(AnswerError):
        Schema(raw)


def test_files_to_send_are_read_beforehand(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"png")
    with path.open("rb") as opened:
        read = read_files({"a": opened, "b": path, "c": io.BytesIO(b"bytes"), "d": ("name", b"x")})
    assert read == {
        "a": ("picture.png", b"png"),
        "b": ("picture.png", b"png"),
        "c": ("c", b"bytes"),
        "d": ("name", b"x"),
    }


async def test_the_emulator_can_take_the_networks_place(server: Emulator, make: Any) -> None:
    inside = ASGITransport(app=server.app)
    async with make("http://alyx.test", transport=inside) as alyx:
        assert len(await alyx.rest("sessions", "list", lab="cortexlab")) > 0
        assert server.connections == 0


@given(
    st.recursive(
        st.text(st.sampled_from('[]{}"\\x'), max_size=5) | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("[}", max_size=2), inner, max_size=3)
        ),
    ),
    st.integers(0, 300),
    st.booleans(),
)
def test_json_of_too_many_levels_is_refused(inner: Any, levels: int, mappings: bool) -> None:
    def depth(value: Any) -> int:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inside is None else 1 + max(map(depth, inside), default=0)

    whole = inner
    for _ in range(levels):
        whole = {"a": whole, "b": "]"} if mappings else ["[", whole]
    content = json.dumps(whole).encode()
    if depth(whole) <= responses.MAX_DEPTH:
        assert responses.parse("x", content, "application/json") == whole
    else:
        with pytest.raises(AnswerError, match="nested levels"):
            responses.parse("x", content, "application/json")
