"""Iterate over async iterators from blocking code, one item at a time."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Generic, TypeAlias, TypeVar

from one_async._loop import Call, LoopThread
from one_async.errors import OneError

__all__ = ["IteratorBridge"]

R = TypeVar("R")
_Reply: TypeAlias = "asyncio.Future[list[R]] | None"


class IteratorBridge(Generic[R]):
    """A task that advances an async iterator by one item per request.

    One task runs the whole iteration because a generator may hold a task group open between two items.
    """

    def __init__(
        self, thread: LoopThread, start: Callable[[], Coroutine[Any, Any, AsyncIterator[R]]]
    ) -> None:
        self._thread = thread
        self._start = start
        self._requests: asyncio.Queue[_Reply[R]] = asyncio.Queue()
        self._busy = False
        self._iteration: Call[None] | None = None

    async def next(self) -> list[R]:
        """Return the next item in a list, or an empty list at the end."""
        if self._iteration is None:
            self._iteration = Call(self._iterate, contextvars.copy_context())
            self._iteration.start(self._thread)
        reply: asyncio.Future[list[R]] = asyncio.get_running_loop().create_future()
        self._busy = True
        self._requests.put_nowait(reply)
        return await reply

    async def _iterate(self) -> None:
        reply = await self._requests.get()
        try:
            items = await self._start()
            try:
                async for item in items:
                    reply = await self._next_request(reply, [item])
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

    async def _next_request(self, reply: _Reply[R], items: list[R]) -> _Reply[R]:
        """Answer a request and wait for the next one."""
        assert reply is not None
        self._answer(reply, items)
        self._busy = False
        return await self._requests.get()

    @staticmethod
    def _answer(reply: asyncio.Future[list[R]], items: list[R]) -> None:
        # The caller may have been interrupted meanwhile.
        if not reply.done():
            reply.set_result(items)

    async def close(self) -> None:
        """Stop the iteration and wait until the iterator has cleaned up."""
        iteration = self._iteration
        if iteration is None or iteration.task is None or iteration.task.done():
            return
        self.abandon()
        await asyncio.wait({iteration.task})
        if iteration.error is not None and not isinstance(iteration.error, OneError):
            raise iteration.error

    def abandon(self) -> None:
        """Stop the iteration without waiting for it."""
        if self._busy and self._iteration is not None:
            self._iteration.cancel()
        else:
            self._requests.put_nowait(None)


async def _close(items: AsyncIterator[Any]) -> None:
    try:
        if (aclose := getattr(items, "aclose", None)) is not None:
            await aclose()
    except BaseExceptionGroup as group:
        # A task group around a yield wraps the GeneratorExit that closes the generator.
        if group.split(GeneratorExit)[1] is not None:
            raise
