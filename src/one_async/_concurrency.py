"""Concurrency helpers: task groups that raise plain errors, single-flight execution per key, running calls of a client."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from one_async.errors import OneError

T = TypeVar("T")
#: Seconds that closing a client waits for its calls to clean up.
CLOSE_TIMEOUT = 5.0


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """Open a task group that raises the first error of its tasks itself instead of an exception group.

    The error is raised outside the `except` block: an exception group in `__context__` would make tracebacks long, and
    IPython show them without its formatting.
    """
    error: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as raised:
        error = first_error(raised)
    if error is not None:
        raise error


async def run_all(
    function: Callable[..., Coroutine[Any, Any, None]], calls: Iterable[tuple[object, ...]]
) -> None:
    """Call a coroutine function with each tuple of arguments, concurrently. The first error cancels the others."""
    async with task_group() as group:
        for arguments in calls:
            group.start_soon(function, *arguments)


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group that is not a group itself.

    KeyboardInterrupt and SystemExit come before other errors, cancellation after them.
    """
    stop = group.split((KeyboardInterrupt, SystemExit))[0]
    error: BaseException = stop or group.split(Exception)[0] or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Flight(Generic[T]):
    __slots__ = ("done", "error", "results")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.results: list[T] = []
        self.error: OneError | None = None


class SingleFlight(Generic[T]):
    """Single-flight execution per key: the first task does the work, and other tasks with the same key wait for it.

    They share its result or its error. If it is cancelled, or its result does not suit one of them, that task does the
    work itself. A `SingleFlight` belongs to one event loop.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, _Flight[T]] = {}

    @property
    def busy(self) -> bool:
        """Whether work is under way."""
        return bool(self._under_way)

    async def share(
        self, key: Hashable, work: Callable[[], Awaitable[T]], suits: Callable[[T], bool] | None = None
    ) -> T:
        """Return the result of `work`, or of the same work that another task has begun, if `suits` accepts it."""
        while (flight := self._under_way.get(key)) is not None:
            await flight.done.wait()
            if flight.error is not None:
                raise copy.copy(flight.error)
            for result in flight.results:
                if suits is None or suits(result):
                    return result
        flight = self._under_way[key] = _Flight()
        try:
            result = await work()
            flight.results.append(result)
            return result
        except OneError as error:
            flight.error = error
            raise
        finally:
            del self._under_way[key]
            flight.done.set()


class RunningCalls:
    """The calls of a client that are running, each in a cancel scope of its own."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._ended: anyio.Event | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return (RunningCalls, ())

    @contextmanager
    def call(self) -> Iterator[None]:
        """Register a call. Raises OneError if `end` cancelled it."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
                if self._ended is not None and not self._scopes:
                    self._ended.set()
                    self._ended = None
        if scope.cancelled_caught:
            raise OneError("the client was closed during this call")

    async def end(self) -> None:
        """Cancel all calls and wait until they have cleaned up, for at most CLOSE_TIMEOUT."""
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True) as limit:
            while self._scopes:
                for scope in self._scopes:
                    scope.cancel()
                self._ended = self._ended or anyio.Event()
                await self._ended.wait()
        if limit.cancelled_caught:
            self._ended = None
