"""Network and server faults, and their results."""

from __future__ import annotations

import json
import pickle
import time
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import psutil
import pytest

from one_async.alyx.client import AsyncAlyxClient
from one_async.alyx.retrying import Timeouts
from one_async.emulator import Emulator
from one_async.errors import (
    AnswerError,
    ConfigurationError,
    InputError,
    LoginError,
    NotFound,
    OneError,
    ServerUnreachable,
    StatusError,
    Throttled,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503, "times": 2},
        {"status": 502},
        {"status": 504, "headers": {"Retry-After": "0"}},
        {"status": 429, "headers": {"Retry-After": "0"}, "times": 3},
        {"status": 429, "headers": {"Retry-After": "1"}},
        {"drop": True, "times": 2},
        {"cut": True, "times": 2},
        {"truncate": 1},
        {"hang": 30.0},
    ],
    ids=str,
)
async def test_what_passes_is_tried_again(server: Emulator, make: Any, fault: dict[str, Any]) -> None:
    async with make(server, timeout=0.5) as alyx:
        await alyx.schema()
        rule = server.faults.add("/labs", **fault)
        assert len(await alyx.rest("labs", "list", no_cache=True)) == 3
        assert rule.hits == fault.get("times", 1)


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ({"status": 503}, StatusError, "503"),
        ({"drop": True}, ServerUnreachable, "the connection broke"),
        ({"cut": True}, ServerUnreachable, "the connection broke"),
        ({"html": True}, AnswerError, "500 Internal Server Error"),
        ({"broken": True}, AnswerError, "cannot be read as JSON"),
        ({"status": 429, "headers": {"Retry-After": "3600"}}, Throttled, "429"),
        ({"status": 404}, NotFound, "404"),
        ({"status": 418, "body": '{"error": "teapot", "status_code": 418}'}, StatusError, "418 teapot"),
        ({"body": "[1, 2"}, AnswerError, "cannot be read as JSON"),
        ({"body": '"text"'}, AnswerError, "no list"),
        ({"status": 302, "headers": {"Location": "http://elsewhere.test/labs"}}, AnswerError, "elsewhere"),
        ({"status": 302, "headers": {"Location": "/labs"}}, AnswerError, "without end"),
    ],
    ids=str,
)
async def test_what_does_not_pass_is_one_clear_error(
    server: Emulator, make: Any, fault: dict[str, Any], kind: type[OneError], text: str
) -> None:
    async with make(server, timeout=1) as alyx:
        await alyx.schema()
        server.faults.add("/labs", times=None, **fault)
        with pytest.raises(kind, match=text) as caught:
            await alyx.rest("labs", "list")
    assert type(caught.value) is kind
    assert server.token("alice") not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is kind
    assert str(again) == str(caught.value)
    assert again.__dict__ == caught.value.__dict__
    assert again.url.startswith(server.url)


async def test_500_is_not_repeated(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        with pytest.raises(StatusError) as caught:
            await alyx.rest("sessions", "list", qc="NO_SUCH_QC")
    assert caught.value.status == 500
    assert server.requests.count("/sessions") == 1


async def test_a_write_that_may_have_arrived_is_not_repeated(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        await alyx.schema()
        rule = server.faults.add("/labs", method="POST", drop=True, times=None)
        with pytest.raises(ServerUnreachable):
            await alyx.post("/labs", {})  # not valid, so that nothing is written
    assert rule.hits == 1


async def test_a_hung_server_ends_in_a_timeout(server: Emulator, make: Any) -> None:
    async with make(server, timeout=Timeouts(record=0.2, list=0.2)) as alyx:
        await alyx.schema()
        rule = server.faults.add("/labs", hang=float("inf"), times=None)
        with pytest.raises(ServerUnreachable, match="time"):
            await alyx.rest("labs", "list")
    assert rule.hits == 2


async def test_a_dead_server_is_found_out_once_for_all_tasks(make: Any) -> None:
    async with make("http://127.0.0.1:9") as alyx:
        failed: list[OneError] = []

        async def ask(n: int) -> None:
            with pytest.raises(ServerUnreachable) as caught:
                await alyx.rest("subjects", "read", id=str(n))
            failed.append(caught.value)

        with anyio.fail_after(
            20
        ):  # five attempts a task, with the tasks one after the other, would take minutes
            async with anyio.create_task_group() as tasks:
                for n in range(300):
                    tasks.start_soon(ask, n)
    assert len(failed) == 300


async def test_a_refused_request_makes_all_wait(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        await alyx.schema()
        server.faults.add("/labs", status=429, headers={"Retry-After": "1"})
        ends: dict[str, float] = {}

        async def ask(endpoint: str) -> None:
            await alyx.rest(endpoint, "list")
            ends[endpoint] = time.time()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "labs")
            await anyio.sleep(0.3)
            tasks.start_soon(ask, "projects")
    refused, *after = [r.time for r in server.requests if r.path in ("/labs", "/projects")]
    assert all(moment - refused > 0.8 for moment in after)


async def test_the_emulators_throttle_causes_no_failure(own_server: Emulator, make: Any) -> None:
    async with make(own_server) as alyx:
        await alyx.schema()
        own_server.faults.add("/subjects/", status=429, headers={"Retry-After": "1"}, times=40, skip=20)
        names: list[str] = []

        async def read(name: str) -> None:
            names.append((await alyx.rest("subjects", "read", id=name, expires=0))["nickname"])

        async with anyio.create_task_group() as tasks:
            for name in ("KS014", "KS023", "KS046", "KS099") * 20:
                tasks.start_soon(read, name)
    assert len(names) == 80


async def test_the_number_of_connections_can_be_changed_while_open(own_server: Emulator, make: Any) -> None:
    async with make(own_server, max_connections=3) as alyx:
        await alyx.schema()
        await alyx.authenticate()
        before = alyx.request_counts[0]
        for number in (3, 8):
            alyx.max_connections = number
            own_server.app.latency = 0.02
            async with anyio.create_task_group() as tasks:
                for _ in range(30):
                    tasks.start_soon(partial(alyx.get, "/labs", no_cache=True))
            assert own_server.connections_peak == number
        assert alyx.request_counts == (before + 60, 0)
        with pytest.raises(InputError):
            alyx.max_connections = 0


# ---- login


async def test_without_credentials_the_error_names_the_settings_and_no_request_is_made(
    server: Emulator, make: Any
) -> None:
    async with make(server, username=None, password=None) as alyx:
        with pytest.raises(LoginError, match="ONE_USERNAME and ONE_PASSWORD, or ONE_TOKEN"):
            await alyx.rest("labs", "list")
        assert not alyx.is_logged_in
    assert len(server.requests) == 0


async def test_a_wrong_password_is_sent_once(server: Emulator, make: Any) -> None:
    refused: list[str] = []
    async with make(server, password="wrong") as alyx:

        async def ask() -> None:
            with pytest.raises(LoginError, match="'alice'") as caught:
                await alyx.get("/labs", no_cache=True)
            refused.append(str(caught.value))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
        assert len(refused) == 10
        assert server.requests.count("/auth-token") == 1
        await alyx.authenticate(password="alice")
        assert alyx.is_logged_in
        assert len(await alyx.rest("labs", "list")) == 3


async def test_an_invalid_token_is_renewed_once_by_all_tasks_together(server: Emulator, make: Any) -> None:
    async with make(server, token="f" * 40) as alyx:
        await_all: list[int] = []

        async def ask(endpoint: str) -> None:
            await_all.append(len(await alyx.get(f"/{endpoint}", no_cache=True)))

        async with anyio.create_task_group() as tasks:
            for endpoint in ("labs", "projects", "users", "tags"):
                tasks.start_soon(ask, endpoint)
        assert len(await_all) == 4
    assert server.requests.count("/auth-token") == 1


async def test_an_invalid_token_without_password_names_the_setting(server: Emulator, make: Any) -> None:
    async with make(server, username=None, password=None, token="f" * 40) as alyx:
        with pytest.raises(LoginError, match="does not accept the token") as caught:
            await alyx.rest("labs", "list")
    assert "f" * 40 not in repr(caught.value)
    assert server.requests.count("/auth-token") == 0


async def test_missing_rights_are_a_login_error_with_the_servers_text(server: Emulator, make: Any) -> None:
    async with make(server, "intbrainlab") as alyx:
        assert len(await alyx.rest("labs", "list")) == 3
        with pytest.raises(LoginError, match="permission"):
            await alyx.delete("/labs/cortexlab")


class Store:
    """A token store in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def load(self, base_url: str, username: str | None) -> tuple[str, str] | None:
        for (url, name), token in self.kept.items():
            if url == base_url and username in (None, name):
                return name, token
        return None

    def save(self, base_url: str, username: str, token: str) -> None:
        self.kept[base_url, username] = token

    def delete(self, base_url: str, username: str) -> None:
        self.kept.pop((base_url, username), None)


async def test_the_token_store_is_used_kept_and_emptied(server: Emulator, make: Any) -> None:
    store = Store()
    async with make(server, token_store=store) as alyx:
        await alyx.authenticate()
    assert store.kept == {(server.url, "alice"): server.token("alice")}
    async with make(server, username=None, password=None, token_store=store) as alyx:
        assert len(await alyx.rest("labs", "list")) == 3
        assert alyx.user == "alice"
        await alyx.logout()
        assert (alyx.user, alyx.is_logged_in, store.kept) == (None, False, {})
        with pytest.raises(LoginError):
            await alyx.rest("labs", "list")
    assert server.requests.count("/auth-token") == 1


async def test_a_refused_token_deletes_no_other_one(server: Emulator, make: Any) -> None:
    store = Store()
    async with make(server, token_store=store) as alyx:
        await alyx.authenticate()
    kept = dict(store.kept)
    async with make(server, password=None, token="f" * 40, token_store=store) as alyx:
        with pytest.raises(LoginError, match="does not accept the token"):
            await alyx.rest("labs", "list", no_cache=True)
    assert store.kept == kept
    store.kept = {(server.url, "alice"): "f" * 40}
    async with make(server, password=None, token_store=store) as alyx:
        with pytest.raises(LoginError, match="does not accept the token"):
            await alyx.rest("labs", "list", no_cache=True)
    assert store.kept == {}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_that_is_refused_midway_is_renewed_once(
    server: Emulator, make: Any, status: int
) -> None:
    async with make(server) as alyx:
        rows = await alyx.rest("datasets", "list", no_cache=True)
        refusal = json.dumps({"detail": "Invalid token."})
        server.faults.add("/datasets", status=status, body=refusal, times=1)
        assert await alyx.rest("datasets", "list", no_cache=True) == rows
    assert server.requests.count("/auth-token") == 2


# ---- opening and closing


async def test_closing_closes_every_socket_and_a_closed_client_opens_again(
    server: Emulator, make: Any
) -> None:
    def sockets() -> int:
        found = psutil.Process().net_connections("tcp")
        return sum(bool(c.raddr) and c.raddr.port == server.port for c in found)

    alyx = make(server)
    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            for endpoint in ("/labs", "/users", "/tags", "/projects"):
                tasks.start_soon(partial(alyx.get, endpoint, no_cache=True))
        assert sockets() > 0
        await alyx.aclose()
        await anyio.sleep(0.05)
        assert sockets() == 0


async def test_a_connection_that_the_server_closed_is_replaced(own_server: Emulator, make: Any) -> None:
    async with make(own_server) as alyx:
        await alyx.rest("labs", "list")
        own_server.stop()
        own_server.start()
        assert len(await alyx.rest("labs", "list", expires=0)) == 3


def test_one_client_belongs_to_one_event_loop(server: Emulator, make: Any) -> None:
    alyx = make(server)

    async def first() -> None:
        await alyx.rest("labs", "list")
        with pytest.raises(ConfigurationError, match="event loop"):
            await anyio.to_thread.run_sync(anyio.run, second)
        await alyx.aclose()

    async def second() -> None:
        await alyx.rest("labs", "list")

    anyio.run(first)
    anyio.run(second_and_close, alyx)


async def second_and_close(alyx: AsyncAlyxClient) -> None:
    assert len(await alyx.rest("labs", "list")) == 3
    await alyx.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://alyx.test",
        "http://u:p@alyx.test",
        "http://alyx.test/x",
        "http://",
        "http://alyx.test:port",
    ],
)
def test_bad_addresses_are_refused(url: Any) -> None:
    with pytest.raises(InputError):
        AsyncAlyxClient(url)


@pytest.mark.parametrize(
    "option", [{"timeout": 0}, {"timeout": "x"}, {"max_connections": 0}, {"cache_rest": "PUT"}]
)
def test_bad_options_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        AsyncAlyxClient("http://alyx.test", **option)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "é" * 40])
def test_what_is_no_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(InputError) as caught:
        AsyncAlyxClient("http://alyx.test", token=token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("url", ["/labs\x00", "/labs?" + "x" * 70000])
async def test_addresses_that_cannot_be_sent_are_input_errors(server: Emulator, make: Any, url: str) -> None:
    async with make(server) as alyx:
        with pytest.raises(InputError):
            await alyx.get(url)


async def test_a_request_that_is_too_long_is_the_servers_414(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        with pytest.raises(StatusError) as caught:
            await alyx.rest("sessions", "list", django="id__in,['" + "x" * 5000 + "']")
    assert caught.value.status == 414
    assert len(str(caught.value)) < 1000


async def test_the_token_goes_to_no_other_server(server: Emulator, make: Any) -> None:
    async with make(server) as alyx:
        for url in (
            "http://elsewhere.test/labs",
            f"{server.url}.evil.test/labs",
            f"{server.url}@evil.test/labs",
        ):
            with pytest.raises(InputError):
                await alyx.get(url)
