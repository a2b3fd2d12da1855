"""One piece of work for all tasks that want the same at the same time."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import anyio

from one_async.errors import OneError

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("done", "error", "results")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.results: list[T] = []
        self.error: OneError | None = None


class SingleFlight(Generic[T]):
    """Single flight: the first task that wants something does the work, the others wait for what it finds.

    Its error is theirs too. If it is cancelled, or what it found does not suit one of them, that one does the work.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, _Flight[T]] = {}

    async def share(
        self, key: Hashable, work: Callable[[], Awaitable[T]], suits: Callable[[T], bool] | None = None
    ) -> T:
        """Give the result of ``work``, of this task or of one that began before; ``suits`` refuses another's."""
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
