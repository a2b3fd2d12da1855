"""Bodies in pieces, and where the token does not go."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from one_async.emulator import Emulator
from one_async.errors import AnswerError, InputError, LoginError, ServerUnreachable

from .servers import serving

pytestmark = pytest.mark.anyio


async def body(stream: Any) -> bytes:
    return b"".join([chunk async for chunk in stream.chunks()])


def echo() -> Starlette:
    async def headers(request: Request) -> JSONResponse:
        return JSONResponse(dict(request.headers))

    return Starlette(routes=[Route("/{path:path}", headers)])


async def test_own_addresses_get_the_token_and_others_none(server: Emulator, make: Any) -> None:
    with serving(echo()) as other:
        async with make(server) as alyx:
            async with alyx.wire.open(f"{server.url}/cache.zip") as stream:
                assert (stream.status, (await body(stream))[:2]) == (200, b"PK")
            async with alyx.wire.open(f"{other}/x", headers={"Range": "bytes=0-"}) as stream:
                seen = await body(stream)
                assert b"authorization" not in seen
                assert b"bytes=0-" in seen
            async with alyx.wire.open(f"{other}/x", auth=("user", "secret")) as stream:
                assert b"Basic" in await body(stream)


async def test_a_redirect_to_another_host_carries_no_credentials(server: Emulator, make: Any) -> None:
    with serving(echo()) as other:

        async def away(request: Request) -> Response:
            return RedirectResponse(f"{other}/seen")

        async def round_and_round(request: Request) -> Response:
            return RedirectResponse("/loop")

        with serving(Starlette(routes=[Route("/away", away), Route("/loop", round_and_round)])) as url:
            async with make(url, token="f" * 40, username=None, password=None) as alyx:
                for auth in (None, ("user", "secret")):
                    async with alyx.wire.open(f"{url}/away", auth=auth) as stream:
                        assert stream.url == f"{other}/seen"
                        assert b"authorization" not in await body(stream)
                with pytest.raises(AnswerError):
                    async with alyx.wire.open(f"{url}/loop"):
                        pass


async def test_an_invalid_token_is_renewed(server: Emulator, make: Any) -> None:
    async with make(server, token="f" * 40) as alyx:
        async with alyx.wire.open(f"{server.url}/cache/info/") as stream:
            assert stream.status == 200
    async with make(server, token="f" * 40, username=None, password=None) as alyx:
        with pytest.raises(LoginError):
            async with alyx.wire.open(f"{server.url}/cache/info/"):
                pass


async def test_statuses_are_the_callers_to_judge_and_breaks_are_errors(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        async with alyx.wire.open(f"{server.url}/no-such-address") as stream:
            assert stream.status == 404
            assert stream.headers["Content-Type"].startswith("text/html")
        server.faults.add("/cache.zip", cut=True)
        with pytest.raises(ServerUnreachable):
            async with alyx.wire.open(f"{server.url}/cache.zip") as stream:
                await body(stream)
        with pytest.raises(ServerUnreachable):
            async with alyx.wire.open("http://127.0.0.1:9/x"):
                pass
        for url in ("ftp://x.test/y", "no address", "http://[::1"):
            with pytest.raises(InputError):
                async with alyx.wire.open(url):
                    pass
    assert server.requests.count("/no-such-address") == 1


@pytest.mark.parametrize("name", ["server", "data"])
async def test_cookies_of_file_servers_are_not_sent_anywhere(server: Emulator, make: Any, name: str) -> None:
    """Cookies know no ports: one that is kept would go to every server of the machine, and to the database itself."""
    seen: list[str] = []

    async def sets(request: Request) -> Response:
        seen.append(request.headers.get("cookie", ""))
        answer = JSONResponse({})
        answer.set_cookie("session", "secret", path="/")
        answer.set_cookie("csrftoken", "secret", path="/", samesite="none")
        return answer

    async def away(request: Request) -> Response:
        answer = RedirectResponse(str(request.query_params["to"]))
        answer.set_cookie("session", "secret", path="/")
        seen.append(request.headers.get("cookie", ""))
        return answer

    app = Starlette(routes=[Route("/away", away), Route("/{path:path}", sets)])
    with serving(app) as one, serving(app) as other:
        async with make(one if name == "server" else server, token="f" * 40) as alyx:
            addresses = [f"{one}/x", f"{one}/x", f"{one}/y", f"{other}/x", f"{one}/away?to={other}/z"]
            for address in [*addresses, *addresses]:
                async with alyx.wire.open(address) as stream:
                    await body(stream)
                    assert stream.status == 200
    assert seen == [""] * 12
