"""Rules that all endpoints share because of Django REST framework 3.16: logging in, bodies, OPTIONS, order of pages.

The recordings show a few examples of each rule; these tests apply the rule to the other endpoints.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from recorded_exchanges import DATA

from one_async.emulator import World
from one_async.emulator.app import App

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
SCHEMA = json.loads((DATA / "openapi.json").read_text("utf-8"))
ABSENT = "00000000-0000-4000-8000-000000000000"
REQUIRED, BLANK = "This field is required.", "This field may not be blank."
NULL, NO_TEXT = "This field may not be null.", "Not a valid string."


@pytest.fixture(scope="module")
def app(world: World) -> Iterator[App]:
    app = App(world, data_url="https://data.test", now=lambda: world.now)
    yield app
    app.store.close()


async def ask(app: App, method: str, target: str, user: str = "admin", **options: Any) -> httpx.Response:
    headers = {"authorization": f"Token {app.token(user)}", **options.pop("headers", {})} if user else {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        return await client.request(method, f"https://alyx.test{target}", **options)


# ---- logging in ----


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"username": REQUIRED, "password": REQUIRED}),
        ({"username": "", "password": ""}, {"username": BLANK, "password": BLANK}),
        ({"username": "  ", "password": "x"}, {"username": BLANK}),
        ({"username": None, "password": None}, {"username": NULL, "password": NULL}),
        ({"username": ["alice"], "password": True}, {"username": NO_TEXT, "password": NO_TEXT}),
        ({"username": 5}, {"password": REQUIRED}),
        ([], {"non_field_errors": "Invalid data. Expected a dictionary, but got list."}),
        ("alice", {"non_field_errors": "Invalid data. Expected a dictionary, but got str."}),
    ],
)
async def test_a_login_names_each_wrong_field(app: App, body: Any, wrong: dict[str, str]) -> None:
    response = await ask(app, "POST", "/auth-token", user="", json=body)
    assert response.status_code == 400
    assert response.json() == {**{name: [text] for name, text in wrong.items()}, "status_code": 400}


async def test_only_the_name_is_stripped_of_blanks(app: App) -> None:
    post = partial(ask, app, "POST", "/auth-token", user="")
    assert (await post(json={"username": " alice ", "password": "alice"})).json()["token"] == app.token(
        "alice"
    )
    assert (await post(json={"username": "alice", "password": " alice"})).status_code == 400
    form = {"username": (None, "bruno"), "password": (None, "bruno")}
    assert (await post(files=form)).json() == {"token": app.token("bruno")}


# ---- bodies ----

CHANGEABLE = sorted(p for p, methods in SCHEMA["paths"].items() if "patch" in methods and "{id}" in p)


@pytest.mark.parametrize("path", CHANGEABLE)
async def test_a_record_is_looked_up_before_the_body_is_read(app: App, path: str) -> None:
    target = path.format(id=99999 if path.startswith("/brain") else ABSENT)
    for method, body, kind in (("PATCH", b"{bad", "application/json"), ("PUT", b"x", "text/plain")):
        response = await ask(app, method, target, content=body, headers={"content-type": kind})
        assert response.status_code == 404, response.text


@pytest.mark.parametrize("kind", ["text/plain", "application/xml; charset=utf-8", "image/png"])
async def test_only_a_body_with_content_has_a_type(app: App, kind: str) -> None:
    headers = {"content-type": kind}
    full = await ask(app, "POST", "/projects", content=b"x", headers=headers)
    assert full.status_code == 415
    assert full.json()["detail"] == f'Unsupported media type "{kind}" in request.'
    empty = await ask(app, "POST", "/projects", content=b"", headers=headers)
    assert (empty.status_code, empty.json()) == (400, {"name": [REQUIRED], "status_code": 400})


# ---- OPTIONS ----

FAILING = {"sessions", "datasets", "trajectories", "tasks"}  # their choices are no dictionary
WRITABLE = sorted(
    p for p, m in SCHEMA["paths"].items() if "post" in m and "get" in m and p.count("/") == 1 and "{" not in p
)


@pytest.mark.parametrize("path", sorted({*WRITABLE} - {"/sync-file-status"}))
async def test_options_describe_each_field_that_can_be_sent(app: App, path: str) -> None:
    response = await ask(app, "OPTIONS", path)
    if path[1:] in FAILING:
        assert (response.status_code, response.json()["detail"]) == (
            500,
            "'list' object has no attribute 'items'",
        )
        return
    assert (response.status_code, response.headers["allow"]) == (200, "GET, POST, HEAD, OPTIONS")
    body = response.json()
    reference = SCHEMA["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    component = SCHEMA["components"]["schemas"][reference.rpartition("/")[2]]
    fields = body["actions"]["POST"]
    assert list(fields) == list(component["properties"])
    for name, part in component["properties"].items():
        assert fields[name]["read_only"] is part.get("readOnly", False)
        needed = name in component.get("required", ()) and not part.get("readOnly")
        assert fields[name]["required"] is needed


@pytest.mark.parametrize("path", ["/surgeries", "/downloads", "/water-restriction", "/locations"])
async def test_options_of_a_list_that_cannot_be_added_to_have_no_actions(app: App, path: str) -> None:
    response = await ask(app, "OPTIONS", path)
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert list(response.json()) == ["name", "description", "renders", "parses"]


# ---- order ----


@pytest.mark.parametrize(
    ("endpoint", "query"),
    [
        ("trajectories", "provenance__gte,30"),
        ("trajectories", "x__lt,0"),
        ("channels", "axial__gte,100"),
        ("files", "exists,False"),
        ("weighings", "weight__gte,18"),
        ("water-administrations", "subject__nickname,KS014"),
        ("chronic-insertions", "name__startswith,probe"),
        ("notes", "text__icontains,e"),
    ],
)
async def test_the_django_filter_orders_lists_without_order_by_id(
    app: App, endpoint: str, query: str
) -> None:
    rows = (await ask(app, "GET", f"/{endpoint}?django={query}&limit=1000")).json()["results"]
    ids = [row.get("id") or row["url"].rpartition("/")[2] for row in rows]
    assert len(ids) > 1
    assert ids == sorted(ids)
    pages = [
        (await ask(app, "GET", f"/{endpoint}?django={query}&limit=1&offset={at}")).json()["results"]
        for at in (0, 1)
    ]
    assert pages == [rows[:1], rows[1:2]]


async def test_a_page_of_one_session_has_its_projects_in_the_order_of_its_detail(
    app: App, world: World
) -> None:
    several = [row for row in world.records["sessions"]["list"] if len(row["projects"]) > 1]
    assert len(several) > 3
    for row in several:
        detail = (await ask(app, "GET", f"/sessions/{row['id']}")).json()["projects"]
        [alone] = (await ask(app, "GET", f"/sessions?id={row['id']}")).json()["results"]
        assert alone == {**row, "projects": detail}
        insertions = (await ask(app, "GET", f"/insertions?session={row['id']}")).json()["results"]
        assert all(item["session_info"]["projects"] == detail for item in insertions)
    listed = (await ask(app, "GET", "/sessions?limit=1000")).json()["results"]
    assert [row for row in listed if len(row["projects"]) > 1] == several


@pytest.mark.parametrize(
    "query", ["date=2020-02-18", "date=2021-03-11", "subject=KS014&limit=2", "experiment_number=1&limit=3"]
)
async def test_the_first_trajectories_of_sessions_come_insertion_by_insertion(
    app: App, world: World, query: str
) -> None:
    rows = (await ask(app, "GET", f"/trajectories?{query}")).json()["results"]
    assert len(rows) > 1
    places = [
        (row["session"]["subject"], row["session"]["start_time"], row["probe_name"], row["id"])
        for row in rows
    ]
    listed = [row["id"] for row in world.records["trajectories"]["list"]]
    assert places == sorted(places, key=lambda place: (*place[:3], listed.index(place[3])))


async def test_few_sessions_of_one_time_come_in_the_order_of_their_subjects(app: App) -> None:
    rows = (await ask(app, "GET", "/sessions?date_range=2020-01-09,2020-01-09")).json()["results"]
    assert [row["subject"] for row in rows] == ["KS023", "KS023", "RV_1085", "ibl_summit_07"]
    by_id = (await ask(app, "GET", "/sessions?django=start_time__date,2020-01-09")).json()["results"]
    tied = [row["id"] for row in by_id if row["start_time"] == "2020-01-09T00:00:00"]
    assert len(tied) == 3
    assert tied == sorted(tied)
