"""Filters compared with answers of a real Alyx 3.6.1, whose database had the records of tests/data/alyx."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from one_async.emulator import World
from one_async.emulator.app import App

ANSWERS = json.loads((Path(__file__).parents[1] / "data" / "alyx_filters.json").read_text("utf-8"))
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.fixture(scope="module")
def app(world: World) -> Iterator[App]:
    app = App(world, data_url="https://data.test")
    yield app
    app.store.close()


async def get(app: App, target: str, authorization: str = "Token {}") -> httpx.Response:
    headers = {"authorization": authorization.format(app.token("admin"))}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        return await client.get(f"https://alyx.test{target}")


@pytest.mark.parametrize("number", range(len(ANSWERS)))
async def test_a_filter_answers_as_a_real_alyx(app: App, number: int) -> None:
    answer = ANSWERS[number]
    response = await get(
        app, f"{answer['path']}?{urlencode([('limit', 1000), *map(tuple, answer['query'])])}"
    )
    assert response.status_code == answer["status"]
    if "body" in answer:
        assert response.json() == answer["body"]
        return
    rows = response.json()["results"]
    keys = sorted(str(r.get("id") or r.get("url") or r.get("nickname") or r.get("name")) for r in rows)
    assert response.json()["count"] == answer["count"]
    assert hashlib.sha1("\n".join(keys).encode()).hexdigest() == answer["sha1"]


@pytest.mark.parametrize(
    ("target", "status", "location"),
    [
        ("/", 302, "/admin"),
        ("/admin", 301, "/admin/"),
        ("/admin/", 302, "/admin/login/?next=/admin/"),
        ("/docs", 301, "/docs/"),
        ("/cache/info", 301, "/cache/info/"),
        ("/cache/info/Brainwidemap", 301, "/cache/info/Brainwidemap/"),
    ],
)
async def test_redirects_are_those_of_alyx(app: App, target: str, status: int, location: str) -> None:
    response = await get(app, target)
    assert (response.status_code, response.headers["location"], response.content) == (status, location, b"")


@pytest.mark.parametrize("scheme", ["Token", "token", "TOKEN", "toKen"])
async def test_the_authorization_scheme_may_have_any_case(app: App, scheme: str) -> None:
    assert (await get(app, "/labs", f"{scheme} {{}}")).json()["count"] == 3


async def test_no_file_status_waits_for_a_transfer(app: App) -> None:
    response = await get(app, "/sync-file-status", "")
    assert (response.status_code, response.json()) == (200, [])


async def test_the_tables_of_a_tag_hold_its_datasets(app: App) -> None:
    tag = "2021_Q1_IBL_et_al_Behaviour"
    whole, tagged = [(await get(app, f"/cache/info/{name}")).json() for name in ("", f"{tag}/")]
    assert tagged["database_tags"] == [tag]
    assert tagged["date_created"] == whole["date_created"]
    rows = (await get(app, f"/datasets?tag={tag}&exists=True&limit=1000")).json()["results"]
    assert 0 < tagged["tables"]["datasets"]["nrecs"] <= len(rows)
    assert tagged["tables"]["sessions"]["nrecs"] == len({row["session"] for row in rows if row["session"]})


async def test_an_unknown_tag_has_no_tables(app: App) -> None:
    response = await get(app, "/cache/info/nope/")
    assert (response.status_code, response.text) == (404, "Tag matching query does not exist.")
