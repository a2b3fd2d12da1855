"""The REST cache, observed from outside: the requests that reach the server, and the files on disk."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import stat
import warnings
import zlib
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from one_async.alyx.caching import REVALIDATION_ATTEMPTS, max_age, no_cache
from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.errors import (
    AnswerError,
    CacheWarning,
    ConfigurationError,
    InputError,
    LoginError,
    ServerUnreachable,
    StaleAnswerWarning,
    StatusError,
)

from .servers import SCHEMA, serving

pytestmark = pytest.mark.anyio


def cache_file(folder: Path) -> Path:
    (found,) = (folder / "cache" / ".rest").glob("*.sqlite")
    return found


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_equal_queries_are_one_request_within_the_expiry(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        first = await alyx.rest("sessions", "list", subject="KS014", lab="cortexlab")
        assert await alyx.rest("sessions", "list", lab="cortexlab", subject="KS014") == first
        assert server.requests.count("/sessions") == 1
        alyx.default_expiry = timedelta(0)
        assert await alyx.rest("sessions", "list", lab="cortexlab", subject="KS014") == first
        assert server.requests.count("/sessions") == 2
        alyx.default_expiry = None
        await alyx.rest("sessions", "list", lab="cortexlab", subject="KS014")
        assert server.requests.count("/sessions") == 2


async def test_a_new_client_finds_what_another_stored_and_needs_no_login(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        first = await alyx.rest("subjects", "read", id="KS014")
    server.requests.reset()
    async with make(server) as alyx:
        assert await alyx.rest("subjects", "read", id="KS014") == first
    assert len(server.requests) == 0


async def test_expires_limits_the_age_of_an_answer(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        await alyx.rest("labs", "list")
        await alyx.rest("labs", "list", expires=0)
        await alyx.rest("labs", "list", expires=False)
        await alyx.rest("labs", "list", expires=timedelta(microseconds=1))
        assert server.requests.count("/labs") == 4
        await alyx.rest("labs", "list", expires=True)
        await alyx.rest("labs", "list", expires=3600)
        await alyx.rest("labs", "list", expires=datetime.now() - timedelta(hours=1))
        assert server.requests.count("/labs") == 4


async def test_replaced_answers_do_not_pile_up(server: Emulator, make: Any, tmp_path: Path) -> None:
    async with make(server) as alyx:
        for _ in range(5):
            await alyx.rest("labs", "list", expires=0)
    with sqlite3.connect(cache_file(tmp_path)) as file:
        assert file.execute("SELECT count(*) FROM answers WHERE endpoint = 'labs'").fetchone() == (1,)
    file.close()


async def test_no_cache_reaches_its_own_task_alone(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        await alyx.rest("labs", "list")
        inside, outside = anyio.Event(), anyio.Event()

        async def around() -> None:
            with no_cache(alyx) as given:
                assert given is alyx
                inside.set()
                await outside.wait()
                await alyx.rest("labs", "list")
                await alyx.rest("labs", "list")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(around)
            await inside.wait()
            await alyx.rest("labs", "list")
            assert server.requests.count("/labs") == 1
            outside.set()
        assert server.requests.count("/labs") == 3


async def test_no_cache_stores_nothing(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        await alyx.rest("labs", "list", no_cache=True)
        with no_cache():
            await alyx.rest("labs", "list")
        assert server.requests.count("/labs") == 2
        await alyx.rest("labs", "list")
        assert server.requests.count("/labs") == 3
        with no_cache(AsyncAlyxClient("http://another.test")):
            await alyx.rest("labs", "list")
        assert server.requests.count("/labs") == 3


async def test_no_cache_of_something_else_is_refused() -> None:
    with pytest.raises(InputError), no_cache(object()):
        pass


@pytest.mark.parametrize("mode", [None])
async def test_without_a_cache_each_query_is_sent(
    server: Emulator, make: Any, tmp_path: Path, mode: None
) -> None:
    async with make(server, cache_rest=mode) as alyx:
        await alyx.rest("labs", "list")
        await alyx.rest("labs", "list")
        assert server.requests.count("/labs") == 2
        alyx.cache_mode = "GET"
        await alyx.rest("labs", "list")
        await alyx.rest("labs", "list")
        assert server.requests.count("/labs") == 3
        with pytest.raises(InputError):
            alyx.cache_mode = "POST"


async def test_users_never_see_each_others_answers(server: Emulator, make: Any, tmp_path: Path) -> None:
    for user in ("alice", "bruno"):
        async with make(server, user) as alyx:
            await alyx.rest("labs", "list")
    async with make(server, username=None, password=None, token=server.token("chiara")) as alyx:
        await alyx.rest("labs", "list")
        await alyx.authenticate("alice", "alice")
        assert alyx.user == "alice"
        await alyx.rest("labs", "list")
    assert [r.user for r in server.requests if r.path == "/labs"] == ["alice", "bruno", "chiara"]
    assert len(list((tmp_path / "cache" / ".rest").glob("*.sqlite"))) == 3


async def test_the_token_is_in_no_file_and_files_are_the_owners(
    server: Emulator, make: Any, tmp_path: Path
) -> None:
    async with make(server) as alyx:
        await alyx.rest("sessions", "list", lab="cortexlab")
        files = files_in(tmp_path)
        assert files
        token = server.token("alice").encode()
        for path in files:
            assert token not in path.read_bytes()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with make(server, username=None, password=None, token=server.token("alice")) as alyx:
        await alyx.rest("labs", "list")
    names = " ".join(path.name for path in files_in(tmp_path))
    assert "alice" not in names
    assert token.decode() not in names


async def test_stored_answers_serve_while_the_server_is_away_with_one_warning(
    own_server: Emulator, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make(own_server) as alyx:
        first = await alyx.rest("sessions", "list", lab="cortexlab")
        own_server.stop()
        alyx.default_expiry = timedelta(0)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert await alyx.rest("sessions", "list", lab="cortexlab") == first
        assert [w.category for w in said] == [StaleAnswerWarning]
        with pytest.raises(ServerUnreachable):
            await alyx.rest("sessions", "list", lab="riverlab")
        with pytest.raises(ServerUnreachable):
            await alyx.rest("sessions", "list", lab="cortexlab", no_cache=True)


async def test_stored_answers_serve_when_only_a_proxy_answers(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        first = await alyx.rest("labs", "list")
        server.faults.add("/labs", status=502, times=None)
        with pytest.warns(StaleAnswerWarning):
            assert await alyx.rest("labs", "list", expires=0) == first
        assert server.requests.count("/labs") == 1 + REVALIDATION_ATTEMPTS
        server.faults.clear()
        server.faults.add("/labs", status=500, times=1)
        with pytest.raises(StatusError):
            await alyx.rest("labs", "list", expires=0)


async def test_twenty_tasks_make_one_request(server: Emulator, make: Any) -> None:
    answers: list[Any] = []
    async with make(server) as alyx:

        async def ask() -> None:
            answers.append(await alyx.rest("subjects", "read", id="KS014"))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)
    assert server.requests.count("/subjects") == 1
    assert server.requests.count("/auth-token") == 1
    assert server.requests.count("/api/schema") == 1
    assert len(answers) == 20
    answers[0]["nickname"] = "changed by its owner"
    assert all(answer["nickname"] == "KS014" for answer in answers[1:])


async def test_a_cancelled_leader_does_not_fail_those_who_wait(server: Emulator, make: Any) -> None:
    answers: list[Any] = []
    async with make(server) as alyx:
        await alyx.schema()
        server.faults.add("/subjects", hang=0.3, times=1)
        leader = anyio.CancelScope()

        async def lead() -> None:
            with leader:
                await alyx.rest("subjects", "read", id="KS014")
                answers.append("the leader was not cancelled")

        async def follow() -> None:
            answers.append(await alyx.rest("subjects", "read", id="KS014"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lead)
            await anyio.sleep(0.05)
            for _ in range(5):
                tasks.start_soon(follow)
            await anyio.sleep(0.05)
            leader.cancel()
    assert [answer["nickname"] for answer in answers] == ["KS014"] * 5
    assert server.requests.count("/subjects/KS014") <= 2


async def test_an_error_is_shared_too(server: Emulator, make: Any) -> None:
    errors: list[StatusError] = []
    async with make(server) as alyx:
        await alyx.schema()

        async def ask() -> None:
            with pytest.raises(StatusError) as caught:
                await alyx.rest("sessions", "list", number="x")
            errors.append(caught.value)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
    assert server.requests.count("/sessions") == 1
    assert {error.status for error in errors} == {400}


@pytest.mark.parametrize("fault", [{"html": True}, {"broken": True}, {"status": 404}, {"status": 400}])
async def test_what_is_no_good_answer_is_not_stored(
    server: Emulator, make: Any, fault: dict[str, Any]
) -> None:
    async with make(server) as alyx:
        await alyx.schema()
        server.faults.add("/labs", times=1, **fault)
        with pytest.raises((AnswerError, StatusError)):
            await alyx.rest("labs", "list")
        assert len(await alyx.rest("labs", "list")) == 3


async def test_a_damaged_file_is_set_aside(server: Emulator, make: Any, tmp_path: Path) -> None:
    async with make(server) as alyx:
        first = await alyx.rest("labs", "list")
    path = cache_file(tmp_path)
    path.write_bytes(b"this is no database" * 1000)
    async with make(server) as alyx:
        assert await alyx.rest("labs", "list") == first
        assert await alyx.rest("labs", "list") == first
    assert server.requests.count("/labs") == 2
    assert path.with_suffix(".damaged").read_bytes().startswith(b"this is no database")


async def test_a_flipped_bit_is_no_answer(server: Emulator, make: Any, tmp_path: Path) -> None:
    async with make(server) as alyx:
        first = await alyx.rest("labs", "list")
    with sqlite3.connect(cache_file(tmp_path)) as file:
        file.execute(
            "UPDATE answers SET body = replace(body, 'cortexlab', 'cortexlob') WHERE endpoint = 'labs'"
        )
    file.close()
    async with make(server) as alyx:
        assert await alyx.rest("labs", "list") == first


FORGED_HEADS = {
    "no JSON": b"{",
    "nothing": b"null",
    "another question": b'["http://127.0.0.1/labs","GET",{},200,{"one-stored-at":["1"]}]',
    "no list": b'{"url": 1}',
    "too short": b"[1, 2]",
    "deep": b"[" * 100_000,
}
FORGED_FIELDS: dict[str, Any] = {
    "status of text": {"status": "200"},
    "status of an error": {"status": 500},
    "headers of text": {"said": "x"},
    "header values of numbers": {"said": {"content-type": 1}},
    "header with a line break": {"said": {"x": ["a\r\nb"]}},
    "stored at no time": {"said": {"one-stored-at": ["yesterday"]}},
    "stored in a thousand years": {"said": {"one-stored-at": ["32503680000"]}},
    "stored at infinity": {"said": {"one-stored-at": ["inf"]}},
    "a write": {"method": "POST"},
}


def forge(folder: Path, head: bytes | None, fields: dict[str, Any], body: bytes | None = None) -> None:
    """Write rows whose checksum is valid, as any program of the same user can."""
    with contextlib.closing(sqlite3.connect(cache_file(folder), isolation_level=None)) as file:
        for id, old, its_body in file.execute("SELECT id, head, body FROM answers").fetchall():
            names = ("url", "method", "asked", "status", "said")
            known = dict(zip(names, json.loads(old), strict=True))
            said = fields.get("said")
            if isinstance(said, dict):
                fields = {**fields, "said": {**known["said"], **said}}
            new = head if head is not None else json.dumps(list({**known, **fields}.values())).encode()
            content = its_body if body is None else body
            crc = zlib.crc32(content, zlib.crc32(new))
            file.execute("UPDATE answers SET head=?, body=?, crc=? WHERE id=?", (new, content, crc, id))


@pytest.mark.parametrize("case", [*FORGED_HEADS, *FORGED_FIELDS, "body no JSON", "body empty gzip"])
async def test_a_forged_row_is_a_miss(server: Emulator, make: Any, tmp_path: Path, case: str) -> None:
    async with make(server) as alyx:
        first = await alyx.rest("labs", "list")
    body = {"body no JSON": b"<p>", "body empty gzip": b"\x1f\x8b"}.get(case)
    forge(tmp_path, FORGED_HEADS.get(case), FORGED_FIELDS.get(case, {}), body)
    server.requests.reset()
    async with make(server) as alyx:
        assert await alyx.rest("labs", "list") == first
        assert server.requests.count("/labs") == 1
        assert await alyx.rest("labs", "list") == first
        assert server.requests.count("/labs") == 1
    assert not cache_file(tmp_path).with_suffix(".damaged").exists()


@pytest.mark.parametrize("seed", range(0, 150, 3))
async def test_reads_that_are_cancelled_leave_writes_logout_and_clearing_whole(
    server: Emulator, make: Any, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    what = ("clear", "logout", "write")[seed // 3 % 3]
    async with make(server) as alyx:
        names = ["labs", "tags", "projects", "revisions"]
        for name in names:
            await alyx.rest(name, "list")
        scopes: list[anyio.CancelScope] = []

        async def read(name: str) -> None:
            # A reader that is not cancelled before the end of the logout has no credentials.
            late = contextlib.suppress(LoginError) if what == "logout" else contextlib.nullcontext()
            with anyio.CancelScope() as scope, late:
                scopes.append(scope)
                while True:
                    await alyx.rest(name, "list")

        async def forget() -> None:
            for _ in range(chance.randrange(6)):
                await anyio.lowlevel.checkpoint()
            if what == "clear":
                await alyx.clear_rest_cache()
            elif what == "logout":
                await alyx.logout()
            else:
                await alyx._expire("labs")

        async with anyio.create_task_group() as tasks:
            for name in names[1:]:
                tasks.start_soon(read, name)
            tasks.start_soon(forget)
            for _ in range(chance.randrange(40)):
                await anyio.lowlevel.checkpoint()
            for scope in scopes:
                scope.cancel()
    # A logout ends before its file is closed; a name that a reader queried again may be stored again.
    with contextlib.closing(sqlite3.connect(cache_file(tmp_path))) as file:
        assert file.execute("SELECT count(*) FROM answers WHERE endpoint = 'labs'").fetchone() == (0,)


async def test_a_first_question_that_is_cancelled_leaves_the_stored_token_to_be_found(
    server: Emulator, make: Any, tmp_path: Path
) -> None:
    async with make(server) as alyx:
        await alyx.authenticate()
    for turns in range(12):
        async with make(server, password=None) as alyx:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(alyx.rest, "labs", "list")
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            assert len(await alyx.rest("labs", "list", expires=0)) == 3


async def test_a_file_of_another_version_is_set_aside(server: Emulator, make: Any, tmp_path: Path) -> None:
    async with make(server) as alyx:
        await alyx.rest("labs", "list")
    with sqlite3.connect(cache_file(tmp_path)) as file:
        file.execute("PRAGMA user_version=77")
    file.close()
    async with make(server) as alyx:
        assert len(await alyx.rest("labs", "list")) == 3
        assert len(await alyx.rest("labs", "list")) == 3
    assert server.requests.count("/labs") == 2


async def test_without_a_folder_to_write_in_answers_are_kept_in_memory(
    server: Emulator, make: Any, tmp_path: Path
) -> None:
    client = make(server, cache_dir=tmp_path / "taken")
    (tmp_path / "taken").write_text("a file where the folder should be")
    async with client as alyx:
        assert await alyx.rest("labs", "list") == await alyx.rest("labs", "list")
    assert server.requests.count("/labs") == 1
    assert (tmp_path / "taken").read_text() == "a file where the folder should be"


async def test_a_link_in_the_files_place_is_not_followed(server: Emulator, make: Any, tmp_path: Path) -> None:
    async with make(server) as alyx:
        await alyx.rest("labs", "list")
    path = cache_file(tmp_path)
    target = tmp_path / "elsewhere"
    target.write_bytes(b"")
    path.unlink()
    path.symlink_to(target)
    async with make(server) as alyx:
        assert len(await alyx.rest("labs", "list")) == 3
    assert target.read_bytes() == b""


async def test_constructing_writes_nothing(server: Emulator, make: Any, tmp_path: Path) -> None:
    make(server)
    assert files_in(tmp_path) == []


def small_alyx(asked: list[str]) -> Starlette:
    """Yield a subject that can be written to; the first writes end with a 500 that Alyx would send after writing."""
    record = {"nickname": "KS014", "description": ""}

    async def token(request: Request) -> JSONResponse:
        return JSONResponse({"token": "t" * 40})

    async def described(request: Request) -> Response:
        return Response(SCHEMA.read_bytes(), media_type="application/vnd.oai.openapi+json")

    async def subject(request: Request) -> JSONResponse:
        asked.append(f"{request.method} {request.url.path}")
        if request.method == "PATCH":
            record.update(await request.json())
            if record["description"] == "fails":
                return JSONResponse({"detail": "broken, yet written"}, 500)
        return JSONResponse(record, headers={"vary": "Accept, Cookie"})

    async def labs(request: Request) -> JSONResponse:
        asked.append(f"{request.method} {request.url.path}")
        return JSONResponse({"count": 1, "next": None, "previous": None, "results": [{"name": "cortexlab"}]})

    return Starlette(
        routes=[
            Route("/auth-token", token, methods=["POST"]),
            Route("/api/schema", described),
            Route("/subjects/KS014", subject, methods=["GET", "PATCH"]),
            Route("/labs", labs),
        ]
    )


async def test_own_writes_are_seen(make: Any) -> None:
    asked: list[str] = []
    with serving(small_alyx(asked)) as url:
        async with make(url) as alyx:
            await alyx.rest("subjects", "read", id="KS014")
            await alyx.rest("labs", "list")
            await alyx.rest("subjects", "partial_update", id="KS014", data={"description": "written"})
            assert (await alyx.rest("subjects", "read", id="KS014"))["description"] == "written"
            with pytest.raises(StatusError, match="yet written"):
                await alyx.patch("/subjects/KS014", {"description": "fails"})
            assert (await alyx.rest("subjects", "read", id="KS014"))["description"] == "fails"
            await alyx.rest("labs", "list")
        async with make(url) as alyx:
            assert (await alyx.rest("subjects", "read", id="KS014"))["description"] == "fails"
    assert asked.count("GET /subjects/KS014") == 3
    assert asked.count("PATCH /subjects/KS014") == 2
    assert asked.count("GET /labs") == 1


async def test_a_servers_own_policy_is_obeyed(make: Any) -> None:
    asked: list[str] = []

    async def described(request: Request) -> Response:
        return Response(SCHEMA.read_bytes(), media_type="application/json")

    async def token(request: Request) -> JSONResponse:
        return JSONResponse({"token": "t" * 40})

    async def labs(request: Request) -> Response:
        asked.append(request.headers.get("if-none-match", ""))
        headers = {"cache-control": "max-age=0", "etag": '"one"'}
        if asked[-1] == '"one"':
            return Response(status_code=304, headers=headers)
        return JSONResponse([{"name": "cortexlab"}], headers=headers)

    async def tags(request: Request) -> Response:
        asked.append("tags")
        return JSONResponse([], headers={"cache-control": "no-store"})

    routes = [Route("/api/schema", described), Route("/auth-token", token, methods=["POST"])]
    with serving(Starlette(routes=[*routes, Route("/labs", labs), Route("/tags", tags)])) as url:
        async with make(url) as alyx:
            assert [await alyx.rest("labs", "list") for _ in range(3)] == [[{"name": "cortexlab"}]] * 3
            assert [await alyx.rest("tags", "list") for _ in range(2)] == [[], []]
    assert asked == ["", '"one"', '"one"', "tags", "tags"]


async def test_clear_rest_cache(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        await alyx.rest("labs", "list")
        await alyx.clear_rest_cache()
        await alyx.rest("labs", "list")
    assert server.requests.count("/labs") == 2


async def test_many_answers_at_once(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        rows = await alyx.rest("datasets", "list")
        assert len(rows) == 875
        ids = [row["url"].rsplit("/", 1)[-1] for row in rows[:200]]
        found: dict[str, Any] = {}

        async def read(id: str) -> None:
            found[id] = (await alyx.rest("datasets", "read", id=id))["url"]

        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for id in ids:
                    tasks.start_soon(read, id)
    assert [found[id].rsplit("/", 1)[-1] for id in ids] == ids
    assert server.requests.count("/datasets/") == 200
    assert server.connections_peak <= 33


@pytest.mark.parametrize("given", ["soon", float("nan"), object()])
def test_invalid_expiries_are_refused(given: Any) -> None:
    with pytest.raises(InputError):
        max_age(given)
    with pytest.raises(InputError):
        AsyncAlyxClient("http://alyx.test", default_expiry=given)


async def test_a_redis_that_is_away_is_no_error_and_no_cache(
    server: Emulator, make: Any, anyio_backend: str
) -> None:
    async with make(server, cache_storage="redis://127.0.0.1:1/0") as alyx:
        if anyio_backend == "trio":
            with pytest.raises(ConfigurationError, match="asyncio"):
                await alyx.rest("labs", "list")
            return
        with pytest.warns(CacheWarning):
            assert len(await alyx.rest("labs", "list")) == 3
        assert len(await alyx.rest("labs", "list")) == 3
        await alyx.clear_rest_cache()
    assert server.requests.count("/labs") == 2


def test_a_cache_storage_that_is_unknown_is_refused() -> None:
    with pytest.raises(InputError):
        AsyncAlyxClient("http://alyx.test", cache_storage="memcached://x")


async def test_many_processes_share_one_file(server: Emulator, make: Any, tmp_path: Path) -> None:
    """Eight clients each have their own connection to the file, as eight processes do."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(make(server)) for _ in range(8)]

        async def ask(alyx: AsyncAlyxClient, name: str) -> None:
            assert (await alyx.rest("subjects", "read", id=name))["nickname"] == name

        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for alyx in clients:
                    for name in ("KS014", "KS023", "KS046"):
                        tasks.start_soon(ask, alyx, name)
    assert not list((tmp_path / "cache" / ".rest").glob("*.damaged"))
    with sqlite3.connect(cache_file(tmp_path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert file.execute("SELECT count(*) FROM answers WHERE endpoint = 'subjects'").fetchone() == (3,)
    file.close()
