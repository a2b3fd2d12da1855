"""The REST cache in a real Redis server that stops, hangs, misbehaves and restarts."""

from __future__ import annotations

import logging
import shutil
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from one_async.alyx import redis_storage
from one_async.emulator import Emulator
from one_async.errors import CacheWarning

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # used by redis-py


class Redis:
    """A Redis server that can be restarted on the same port."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.command = [
            program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        while True:
            assert self.process.poll() is None
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    pytest.importorskip("redis")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server; .ci/run installs Debian's")
    server = Redis(program, tmp_path)
    yield server
    server.stop()


async def ask(alyx: Any, times: int) -> None:
    for _ in range(times):
        assert len(await alyx.rest("labs", "list")) == 3


def patience(monkeypatch: pytest.MonkeyPatch, pause: float) -> None:
    monkeypatch.setattr(redis_storage, "TIMEOUT", 0.3)
    monkeypatch.setattr(redis_storage, "PAUSE", pause)


async def test_a_redis_that_hangs_is_left_alone_with_one_warning(
    server: Emulator,
    make: Any,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    patience(monkeypatch, 1000.0)
    async with make(server, cache_storage=redis.url) as alyx:
        await alyx.rest("labs", "list")
        await alyx.rest("labs", "list")
        assert server.requests.count("/labs") == 1
        redis.process.send_signal(signal.SIGSTOP)
        with pytest.warns(CacheWarning, match="127.0.0.1") as said:
            await ask(alyx, 5)
        assert len(said) == 1
        asked: list[Any] = []
        monkeypatch.setattr(alyx._session._stack.storage.redis, "execute_command", asked.append)
        assert len(await alyx.rest("tags", "list")) > 0
        assert not asked  # no request waits for Redis any more
    assert not [record for record in caplog.records if record.name.startswith("hishel")]


async def test_a_redis_that_restarts(
    server: Emulator, make: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, 0.0)
    async with make(server, cache_storage=redis.url) as alyx:
        await alyx.rest("labs", "list")
        redis.stop()
        with pytest.warns(CacheWarning) as said:
            await ask(alyx, 2)
        assert len(said) == 1
        redis.start()
        asked = server.requests.count("/labs")
        for _ in range(3):
            await alyx.rest("labs", "list")
        assert server.requests.count("/labs") == asked + 1


async def test_what_was_to_be_forgotten_while_it_was_away_is(
    server: Emulator, make: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, 0.0)
    async with make(server, cache_storage=redis.url) as alyx:
        await alyx.rest("labs", "list")
        redis.process.send_signal(signal.SIGSTOP)
        with pytest.warns(CacheWarning):
            await alyx.clear_rest_cache()
        redis.process.send_signal(signal.SIGCONT)
        await alyx.rest("labs", "list")
    assert server.requests.count("/labs") == 2


async def test_entries_of_others_and_a_full_redis_are_misses(
    server: Emulator, make: Any, redis: Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    import redis as package

    other = package.Redis(port=redis.port)
    async with make(server, cache_storage=redis.url) as alyx:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await alyx.rest("labs", "list")
            for name in other.keys("*"):
                if other.type(name) == b"string":
                    other.set(name, b"garbage")
            assert len(await alyx.rest("labs", "list")) == 3
            other.flushall()
            other.config_set("maxmemory", "1mb")
            other.config_set("maxmemory-policy", "noeviction")
            assert len(await alyx.rest("datasets", "list")) == 875
    other.close()
    assert logging.getLogger("hishel").handlers
    assert "Traceback" not in capfd.readouterr().err


async def test_a_redis_that_refuses_the_login(server: Emulator, make: Any, redis: Redis) -> None:
    import redis as package

    with package.Redis(port=redis.port) as other:
        other.config_set("requirepass", "x")
    async with make(server, cache_storage=redis.url) as alyx:
        with pytest.warns(CacheWarning) as said:
            await ask(alyx, 3)
    assert len(said) == 1
