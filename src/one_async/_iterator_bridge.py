"""Async iterators that blocking callers walk, an item at a time."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Generic, TypeAlias, TypeVar

from one_async._loop import Call, LoopThread
from one_async.errors import OneError

__all__ = ["IteratorBridge"]

R = TypeVar("R")
_Asked: TypeAlias = "asyncio.Future[list[R]] | None"


class IteratorBridge(Generic[R]):
    """One task that walks an async iterator, an item for each time it is asked.

    One task for the whole walk, because a generator may hold a task group open between two items.
    """

    def __init__(
        self, thread: LoopThread, start: Callable[[], Coroutine[Any, Any, AsyncIterator[R]]]
    ) -> None:
        self._thread = thread
        self._start = start
        self._asked: asyncio.Queue[_Asked[R]] = asyncio.Queue()
        self._busy = False
        self._walking: Call[None] | None = None

    async def next(self) -> list[R]:
        """Return the next item in a list, or an empty list at the end."""
        if self._walking is None:
            self._walking = Call(self._walk, contextvars.copy_context())
            self._walking.start(self._thread)
        reply: asyncio.Future[list[R]] = asyncio.get_running_loop().create_future()
        self._busy = True
        self._asked.put_nowait(reply)
        return await reply

    async def _walk(self) -> None:
        reply = await self._asked.get()
        try:
            items = await self._start()
            try:
                async for item in items:
                    reply = await self._give(reply, [item])
                    if reply is None:
                        break
            finally:
                await _close(items)
            if reply is not None:
                self._answer(reply, [])
        except BaseException as error:
            if reply is None or reply.done():
                raise
            if isinstance(error, asyncio.CancelledError):
                reply.cancel()
                raise
            reply.set_exception(error)

    async def _give(self, reply: _Asked[R], items: list[R]) -> _Asked[R]:
        assert reply is not None
        self._answer(reply, items)
        self._busy = False
        return await self._asked.get()

    @staticmethod
    def _answer(reply: asyncio.Future[list[R]], items: list[R]) -> None:
        # Whoever asked may have been interrupted since.
        if not reply.done():
            reply.set_result(items)

    async def close(self) -> None:
        """Stop the walk, wherever it is, and wait until the iterator has cleaned up."""
        walking = self._walking
        if walking is None or walking.task is None or walking.task.done():
            return
        self.abandon()
        await asyncio.wait({walking.task})
        if walking.error is not None and not isinstance(walking.error, OneError):
            raise walking.error

    def abandon(self) -> None:
        """Stop the walk without waiting for it."""
        if self._busy and self._walking is not None:
            self._walking.cancel()
        else:
            self._asked.put_nowait(None)


async def _close(items: AsyncIterator[Any]) -> None:
    try:
        if (aclose := getattr(items, "aclose", None)) is not None:
            await aclose()
    except BaseExceptionGroup as group:
        # A task group around a yield wraps the very exception that closes a generator.
        if group.split(GeneratorExit)[1] is not None:
            raise
