"""Every recorded read exchange, answered by the emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from recorded_exchanges import DATA, build, differences, exchanges

from one_async.emulator import World
from one_async.emulator.app import App

pytestmark = pytest.mark.anyio

THROTTLE = json.loads((DATA / "throttle.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def app(world: World) -> Iterator[App]:
    app = App(world, data_url="https://data.test", now=lambda: world.now)
    yield app
    app.store.close()


async def ask(app: App, request: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.request(**build(app, request))


READS = [name for name, exchange in exchanges().items() if "precondition" not in exchange]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", READS)
async def test_answers_as_recorded(app: App, name: str) -> None:
    exchange = exchanges()[name]
    found = differences(exchange, await ask(app, exchange["request"]))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_answers_are_the_same_under_trio(app: App) -> None:
    differ = {
        name for name in READS if differences(exchanges()[name], await ask(app, exchanges()[name]["request"]))
    }
    assert differ == set()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def exhausted(world: World, requests: int) -> tuple[App, Clock]:
    """Yield an emulator that served as many requests of alice in the last minute as it allows, the first of them 9.5 s ago."""
    clock = Clock()
    app = App(world, throttle=550, data_url="https://data.test", clock=clock)
    headers = {"authorization": f"Token {app.token('alice')}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        for _ in range(requests):
            assert (await client.get("https://alyx.test/water-type/x")).status_code == 200
    clock.now += 9.5
    return app, clock


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("number", range(len(THROTTLE["exchanges"])))
async def test_throttles_as_recorded(world: World, number: int) -> None:
    exchange = THROTTLE["exchanges"][number]
    app, clock = await exhausted(world, exchange["precondition"]["requests_in_the_last_minute"])
    if "then_waited" in exchange["precondition"]:
        clock.now += 52
    response = await ask(app, exchange["request"])
    app.store.close()
    assert not differences(exchange, response)
    if response.status_code == 429:
        assert response.headers["retry-after"] == "51"


async def test_a_refusal_is_as_recorded(world: World) -> None:
    exchange = exchanges()["errors/429_throttled"]
    app, _ = await exhausted(world, 550)
    response = await ask(app, exchange["request"])
    app.store.close()
    assert not differences(exchange, response)


REPEATED = {
    "nothing before": None,
    "two 404 JSON": ("GET", "/subjects/nobody", {}),
    "two 404 HTML": ("GET", "/no-such-endpoint", {}),
    "two HEAD": ("HEAD", "/labs", {}),
    "two OPTIONS": ("OPTIONS", "/labs", {}),
    "two 405": ("DELETE", "/sessions", {}),
    "two 400": ("GET", "/sessions?number=abc", {}),
    "two 500": ("GET", "/sessions?qc=GOOD", {}),
    "two auth-token": ("POST", "/auth-token", {"authorization": ""}),
    "two cache info": ("GET", "/cache/info/", {}),
    "two cache zip": ("GET", "/cache.zip", {}),
    "two schema": ("GET", "/api/schema", {}),
    "two 406": ("GET", "/tags", {"accept": "application/xml"}),
    "two of another user": ("GET", "/tags", {"authorization": "Token <bruno>"}),
}


@pytest.mark.parametrize("before", REPEATED)
async def test_the_throttle_counts_the_same_requests_as_alyx(world: World, before: str) -> None:
    app = App(world, throttle=6)
    headers = {"authorization": f"Token {app.token('alice')}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        if REPEATED[before]:
            method, path, more = REPEATED[before]
            more = {k: v.replace("<bruno>", app.token("bruno")) for k, v in more.items()}
            for _ in range(2):
                await client.request(method, f"https://alyx.test{path}", headers=more)
        passed = [(await client.get("https://alyx.test/tags")).status_code for _ in range(8)].count(200)
    app.store.close()
    assert passed == THROTTLE["counted"]["result"][before]


async def test_the_throttle_does_not_count_forbidden_requests(world: World) -> None:
    app = App(world, throttle=6)
    headers = {"authorization": f"Token {app.token('intbrainlab')}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        refused = [(await client.head("https://alyx.test/labs")).status_code for _ in range(2)]
        passed = [(await client.get("https://alyx.test/labs")).status_code for _ in range(8)].count(200)
    app.store.close()
    assert refused == [403, 403]
    assert passed == THROTTLE["counted"]["result"]["two 403 of the read-only user"]


async def test_the_throttle_window_slides(world: World) -> None:
    clock = Clock()
    app = App(world, throttle=6, clock=clock)
    request = {"method": "GET", "path": "/tags", "query": [], "body": None}
    request["headers"] = {"authorization": "Token <alice>"}
    for _ in range(6):
        assert (await ask(app, request)).status_code == 200
        clock.now += 2
    refused = await ask(app, request)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "48")
    for _ in range(20):
        assert (await ask(app, request)).status_code == 429
    clock.now += 46.5
    assert (await ask(app, request)).status_code == 429
    clock.now += 1.5
    assert [(await ask(app, request)).status_code for _ in range(2)] == [200, 429]
    app.store.close()
