"""A small async client with a background task, and its blocking face, for the scenarios."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from one_async._bridge import (
    Blocking,
    blocking,
    blocking_iterator,
    blocking_property,
    constructor_of,
    direct,
)

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


#: Set while a call runs that ends only when it is stopped.
WAITING = threading.Event()


def say(*words: object) -> None:
    # One write, since other threads and processes write to the same pipe.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class AsyncPart:
    """A client inside the client."""

    def __init__(self) -> None:
        self.expiry = 24

    async def __aenter__(self) -> AsyncPart:
        return self

    async def __aexit__(self, *details: object) -> None: ...

    async def ask(self) -> int:
        return self.expiry


class AsyncClock:
    """A client that owns a task group with a ticking task while it is open."""

    def __init__(self, name: str = "clock", *, password: str | None = None, token: str | None = None) -> None:
        if not name:
            raise ValueError("a clock needs a name")
        self.name, self.password, self.token = name, password, token
        self._mode = "remote"
        self.ticks = 0
        self.part = AsyncPart()
        self.made_in = threading.current_thread().name
        self.colour_when_opened = ""

    async def __aenter__(self) -> AsyncClock:
        if self.name == "broken":
            raise ConnectionError("it does not open")
        self.colour_when_opened = COLOUR.get()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._tick)
        say("opened")
        return self

    async def __aexit__(self, *details: Any) -> bool | None:
        self._group.cancel_scope.cancel()
        try:
            return await self._group.__aexit__(*details)
        finally:
            say("closed")

    async def _tick(self) -> None:
        while True:
            self.ticks += 1
            if self.name == "crashing" and self.ticks > 1:
                raise ConnectionError("the background task failed")
            await anyio.sleep(0.01)

    @property
    def mode(self) -> str:
        """The source of answers."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        if mode not in ("local", "remote"):
            raise ValueError(mode)
        self._mode = mode

    def __repr__(self) -> str:
        return f"Clock ({self.name}, {self._mode})"

    def plain(self, number: int) -> int:
        """Add one."""
        return number + 1

    async def add(self, number: int, *, other: int = 0) -> int:
        """Add two numbers."""
        await anyio.lowlevel.checkpoint()
        return number + other

    async def in_thread(self, seconds: float = 0) -> str:
        await anyio.to_thread.run_sync(time.sleep, seconds)
        return threading.current_thread().name

    async def fail_in_child(self, error: BaseException) -> None:
        async def child() -> None:
            raise error

        async with anyio.create_task_group() as group:
            group.start_soon(child)

    async def forever(self) -> None:
        say("waiting")
        WAITING.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
            say("cleaned up")

    async def stubborn(self) -> None:
        say("waiting")
        WAITING.set()
        await anyio.to_thread.run_sync(time.sleep, 60)

    async def write(self, seconds: float) -> None:
        def work() -> None:
            WAITING.set()
            time.sleep(seconds)
            say("written whole")

        await anyio.to_thread.run_sync(work)

    async def fail(self, error: BaseException) -> None:
        raise error

    async def colour(self) -> str:
        await anyio.lowlevel.checkpoint()
        seen = COLOUR.get()
        COLOUR.set("changed inside")
        return seen

    async def call_back(self, face: Clock) -> int:
        return face.add(1)

    async def count(self, stop: int) -> AsyncIterator[int]:
        """Count, with a task group open between the numbers."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                for number in range(stop):
                    say("made", number)
                    yield number
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
            say("iterator closed", COLOUR.get())

    async def process(self) -> int:
        return os.getpid()


class Part(Blocking[AsyncPart]):
    ask = blocking(AsyncPart.ask)
    expiry = blocking_property[int]()


class Clock(Blocking[AsyncClock]):
    """The blocking face."""

    @constructor_of(AsyncClock.__init__)
    def __init__(self) -> None: ...

    @property
    def part(self) -> Part:
        return self._part(Part, "part")

    mode = blocking_property[str]()
    ticks = blocking_property[int]()
    plain = direct(AsyncClock.plain)
    add = blocking(AsyncClock.add)
    in_thread = blocking(AsyncClock.in_thread)
    forever = blocking(AsyncClock.forever)
    stubborn = blocking(AsyncClock.stubborn)
    write = blocking(AsyncClock.write)
    fail = blocking(AsyncClock.fail)
    fail_in_child = blocking(AsyncClock.fail_in_child)
    colour = blocking(AsyncClock.colour)
    call_back = blocking(AsyncClock.call_back)
    count = blocking_iterator(AsyncClock.count)
    process = blocking(AsyncClock.process)
