"""Streamed bodies, and hosts to which the token is not sent."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import nullcontext
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from one_async.alyx.responses import inflate
from one_async.emulator import Emulator
from one_async.errors import AnswerError, ConfigurationError, InputError, LoginError, ServerUnreachable

from .servers import SCHEMA, serving

pytestmark = pytest.mark.anyio


async def body(stream: Any) -> bytes:
    return b"".join([chunk async for chunk in stream.chunks()])


def echo() -> Starlette:
    async def headers(request: Request) -> JSONResponse:
        return JSONResponse(dict(request.headers))

    return Starlette(routes=[Route("/{path:path}", headers)])


@given(
    members=st.lists(st.binary(max_size=400), min_size=1, max_size=5),
    junk=st.sampled_from([b"", b"\0", b"\0\0\0", b"end", b"\x1f"]),
    size=st.integers(1, 50),
)
async def test_gzip_of_several_members_is_decoded_to_its_end(
    members: list[bytes], junk: bytes, size: int
) -> None:
    data = b"".join(gzip.compress(member) for member in members) + junk

    async def raw() -> AsyncIterator[bytes]:
        for at in range(0, len(data), size):
            yield data[at : at + size]

    assert b"".join([piece async for piece in inflate(raw())]) == b"".join(members)


async def test_a_damaged_or_truncated_later_member_is_an_error() -> None:
    data = gzip.compress(b"first" * 50) + gzip.compress(b"second" * 50)
    for damaged in (data[:-9], data[:-8] + bytes(8), data[:-20] + bytes(20)):

        async def raw(damaged: bytes = damaged) -> AsyncIterator[bytes]:
            yield damaged

        with pytest.raises(zlib.error):
            [_ async for _ in inflate(raw())]


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


async def test_a_redirect_to_another_host_drops_credentials(server: Emulator, make: Any) -> None:
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


# ---- unbounded bodies

MiB = 1024**2


def sent(pieces: Iterable[bytes], **headers: str) -> Starlette:
    """Answer every request except those for login and schema with these pieces; count the pieces sent."""

    async def login(request: Request) -> Response:
        return JSONResponse({"token": "t" * 40})

    async def schema(request: Request) -> Response:
        return FileResponse(SCHEMA, media_type="application/json")

    async def answer(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for piece in pieces:
                app.state.sent += len(piece)
                yield piece
                await anyio.lowlevel.checkpoint()

        fields = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return StreamingResponse(body(), status_code=int(fields.pop("status", 200)), headers=fields)

    routes = [Route("/auth-token", login, methods=["POST"]), Route("/api/schema", schema)]
    app = Starlette(routes=[*routes, Route("/{path:path}", answer)])
    app.state.sent = 0
    return app


def bomb(size: int, kind: str = "gzip") -> bytes:
    """Compress whitespace, which JSON allows anywhere, around a small list."""
    bits = {"gzip": 31, "deflate": 15}[kind]
    pack = zlib.compressobj(9, wbits=bits)
    return b"".join(
        [
            pack.compress(b"["),
            *(pack.compress(b" " * MiB) for _ in range(size // MiB)),
            pack.compress(b"]"),
            pack.flush(),
        ]
    )


@pytest.mark.parametrize("kind", ["gzip", "deflate", "plain", "endless"])
async def test_an_answer_that_is_too_large_is_refused_while_it_comes(
    make: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("ONE_MAX_RESPONSE_SIZE", "5 MiB")
    pieces: Iterable[bytes] = itertools.repeat(b" " * 65536, 100_000)
    encoding = {}
    if kind in ("gzip", "deflate"):
        packed = bomb(100 * MiB, kind)
        assert len(packed) < MiB
        pieces, encoding = [packed], {"content-encoding": kind}
    elif kind == "plain":
        pieces = [b"[" + b" " * 6 * MiB + b"]"]
    app = sent(pieces, **encoding)
    with serving(app) as url:
        async with make(url) as alyx:
            with pytest.raises(AnswerError, match="ONE_MAX_RESPONSE_SIZE"):
                await alyx.get("/labs")
            with pytest.raises(AnswerError, match=r"5,242,880"):
                await alyx.get("/labs", no_cache=True)
    assert app.state.sent < 100 * MiB


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
async def test_an_answer_that_is_compressed_unasked_and_fits_is_read(make: Any, kind: str) -> None:
    packed = bomb(20 * MiB, kind)
    pieces = [packed[i : i + 1000] for i in range(0, len(packed), 1000)]
    with serving(sent(pieces, content_encoding=kind)) as url:
        async with make(url) as alyx:
            assert await alyx.get("/labs") == []
            assert await alyx.get("/labs") == []  # from the cache


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"[]", "gzip"), (bomb(MiB)[:-9], "gzip"), (b"[]", "br"), (b"[]", "gzip, gzip"), (b"[]", "x" * 3000)],
)
async def test_a_body_that_does_not_match_its_encoding_is_an_error(
    make: Any, content: bytes, kind: str
) -> None:
    with serving(sent([content], content_encoding=kind)) as url:
        async with make(url) as alyx:
            with pytest.raises(AnswerError) as caught:
                await alyx.get("/labs")
            assert len(str(caught.value)) < 500
            with pytest.raises(AnswerError):
                async with alyx.wire.open(f"{url}/file.npy") as stream:
                    await body(stream)


async def test_a_compressed_file_comes_in_pieces_of_a_bounded_size(make: Any) -> None:
    with serving(sent([bomb(50 * MiB)], content_encoding="gzip")) as url:
        async with make(url) as alyx, alyx.wire.open(f"{url}/file.npy") as stream:
            sizes = [len(chunk) async for chunk in stream.chunks()]
    assert sum(sizes) == 50 * MiB + 2
    assert max(sizes) <= MiB


@pytest.mark.parametrize("status", ["302", "307", "403"])
async def test_of_redirects_and_refusals_no_endless_body_is_read(make: Any, status: str) -> None:
    app = sent(itertools.repeat(b"x" * 65536, 100_000), status=status, location="/elsewhere")
    with serving(app) as url:
        async with make(url) as alyx:
            with anyio.fail_after(20), pytest.raises(AnswerError) if status != "403" else nullcontext():
                async with alyx.wire.open(f"{url}/file.npy") as stream:
                    assert stream.status == 403
    assert app.state.sent < 300 * MiB


@pytest.mark.parametrize("given", ["0", "-1", "much", "1e400"])
def test_an_invalid_bound_is_refused(make: Any, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ONE_MAX_RESPONSE_SIZE", given)
    with pytest.raises(ConfigurationError, match="ONE_MAX_RESPONSE_SIZE"):
        make("http://127.0.0.1:1")


@pytest.mark.parametrize("name", ["server", "data"])
async def test_cookies_of_file_servers_are_not_sent_anywhere(server: Emulator, make: Any, name: str) -> None:
    """Cookies are independent of ports: a stored one would be sent to every server of the machine, the database included."""
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
