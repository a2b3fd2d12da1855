"""Rules of reading of Alyx 3.6.1 that its recordings show once or not at all, each applied to several endpoints.

The expected texts are those that Alyx 3.6.1 with Django REST framework 3.16 answers to the same requests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from app_requests import ask

from one_async.emulator import World
from one_async.emulator.app import App

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.fixture(scope="module")
def app(world: World) -> Iterator[App]:
    app = App(world, data_url="https://data.test", now=lambda: world.now)
    yield app
    app.store.close()


# ---- negotiation and addresses ----

PAGE, JSON = "text/html; charset=utf-8", "application/json"


@pytest.mark.parametrize(
    ("accept", "query", "status", "kind"),
    [
        ("text/html", "", 200, PAGE),
        ("TEXT/HTML", "", 200, PAGE),
        ("*/*, text/html", "", 200, PAGE),
        ("text/*, application/json", "", 200, JSON),
        ("application/json;q=0.1, text/html", "", 200, JSON),
        ("text/html, application/json", "", 200, JSON),
        ("text/html;level=1, application/json", "", 200, PAGE),
        ("", "", 406, JSON),
        ("image/png", "", 406, JSON),
        ("*/*", "format=api", 200, PAGE),
        ("application/json", "format=api", 406, JSON),
        ("*/*", "format=xml", 404, JSON),
        ("*/*", "format=html", 404, JSON),
    ],
)
async def test_the_most_precise_type_is_taken(
    app: App, accept: str, query: str, status: int, kind: str
) -> None:
    response = await ask(app, "GET", f"/labs?{query}", headers={"accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (status, kind)
    assert response.headers["allow"] == "GET, POST, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/sessions", "/datasets", "/subjects/KS014", "/files?limit=2"])
async def test_a_format_comes_back_in_the_addresses_of_records(app: App, path: str) -> None:
    plain = (await ask(app, "GET", path)).text
    shown = await ask(app, "GET", f"{path}{'&' if '?' in path else '?'}format=json")
    assert shown.text.count('?format=json"') == plain.count('"https://alyx.test/') - plain.count('"next":"')


@pytest.mark.parametrize("endpoint", ["sessions", "datasets", "files", "channels", "tasks", "fov-location"])
async def test_only_regions_have_numbers_as_addresses(app: App, endpoint: str) -> None:
    response = await ask(app, "GET", f"/{endpoint}/1")
    assert (response.status_code, response.headers["content-type"]) == (404, PAGE)
    region = await ask(app, "GET", "/brain-regions/1")
    assert (region.status_code, region.headers["content-type"]) == (404, JSON)
    assert (await ask(app, "GET", "/brain-regions/0382")).json()["acronym"] == "CA1"


@pytest.mark.parametrize("endpoint", ["sessions", "fov-location", "imaging-stack", "labs", "insertions"])
async def test_three_lists_fail_on_head(app: App, endpoint: str) -> None:
    status = 500 if endpoint in ("sessions", "fov-location", "imaging-stack") else 200
    assert (await ask(app, "HEAD", f"/{endpoint}")).status_code == status


async def test_a_water_type_by_name_is_the_page_of_all(app: App) -> None:
    named = (await ask(app, "GET", "/water-type/Water")).json()
    assert named == (await ask(app, "GET", "/water-type")).json()


# ---- filters ----


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("sessions?n_trials", "Enter a number."),
        ("channels?axial", "Enter a number."),
        ("trajectories?x", "Enter a number."),
        ("sessions?atlas_id", "Enter a number."),
        ("subjects?wean_date", "Enter a valid date."),
        ("weighings?date_time", "Enter a valid date/time."),
        ("datasets?created_date_gte", "Enter a valid date/time."),
    ],
)
async def test_a_blank_is_no_number_and_no_date(app: App, query: str, text: str) -> None:
    field = query.partition("?")[2]
    response = await ask(app, "GET", f"/{query}=%20")
    assert (response.status_code, response.json()) == (400, {field: [text], "status_code": 400})


@pytest.mark.parametrize("query", ["sessions?subject", "sessions?id", "datasets?hash", "labs?name"])
async def test_a_blank_text_is_ignored(app: App, query: str) -> None:
    endpoint = query.partition("?")[0]
    everything = (await ask(app, "GET", f"/{endpoint}")).json()["count"]
    assert (await ask(app, "GET", f"/{query}=%20")).json()["count"] == everything


@pytest.mark.parametrize(("value", "kind"), [("5", "integer"), ("-1", "integer"), ("1.5", "numeric")])
async def test_arrays_cannot_be_compared_with_a_number(app: App, value: str, kind: str) -> None:
    for axis, column in (("x", "double precision"), ("n_xyz", "integer")):
        response = await ask(app, "GET", f"/fov-location?{axis}={value}")
        assert response.status_code == 500
        assert response.json()["detail"] == f"cannot cast type {kind} to {column}[]"
