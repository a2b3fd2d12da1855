"""One interface to both faces, so that each test of the client runs under asyncio, under trio, and blocking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import Any

import anyio.from_thread
from anyio.from_thread import BlockingPortal

from one_async import AsyncONE

KINDS = ("asyncio", "trio", "blocking")


class Face(ABC):
    """The interface of tests: `ask` calls a method, `items` iterates, and `look` reads a property."""

    @abstractmethod
    def ask(self, method: str, /, *args: Any, **kwargs: Any) -> Any: ...

    @abstractmethod
    def items(self, method: str, /, *args: Any, at_most: int | None = None, **kwargs: Any) -> list[Any]:
        """Return the first items of an iterator, then leave it."""
        ...

    @abstractmethod
    def look(self, name: str) -> Any: ...

    @abstractmethod
    def put(self, name: str, value: Any) -> None:
        """Set a property, such as ``alyx.default_expiry``."""
        ...

    @abstractmethod
    def together(self, *calls: tuple[Any, ...]) -> list[Any]:
        """Make several calls concurrently, ``(method, *args)`` or ``(method, *args, {keywords})``; results are in order."""
        ...


def _parts(call: tuple[Any, ...]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    method, *args = call
    kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
    return method, tuple(args), kwargs


class Awaited(Face):
    """`AsyncONE` on its own event loop, in another thread."""

    def __init__(self, one: AsyncONE, portal: BlockingPortal) -> None:
        self._one, self._portal = one, portal

    def ask(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        async def call() -> Any:
            return await attrgetter(method)(self._one)(*args, **kwargs)

        return self._portal.call(call)

    def items(self, method: str, /, *args: Any, at_most: int | None = None, **kwargs: Any) -> list[Any]:
        async def walk() -> list[Any]:
            found: list[Any] = []
            walked = attrgetter(method)(self._one)(*args, **kwargs)
            try:
                async for item in walked:
                    found.append(item)
                    if len(found) == at_most:
                        break
            finally:
                await walked.aclose()
            return found

        return self._portal.call(walk)

    def look(self, name: str) -> Any:
        return self._portal.call(lambda: attrgetter(name)(self._one))

    def put(self, name: str, value: Any) -> None:
        *owner, last = name.split(".")
        self._portal.call(
            lambda: setattr(attrgetter(".".join(owner))(self._one) if owner else self._one, last, value)
        )

    def together(self, *calls: tuple[Any, ...]) -> list[Any]:
        results: dict[int, Any] = {}

        async def one(index: int) -> None:
            method, args, kwargs = _parts(calls[index])
            results[index] = await attrgetter(method)(self._one)(*args, **kwargs)

        async def all_of_them() -> None:
            async with anyio.create_task_group() as tasks:
                for index in range(len(calls)):
                    tasks.start_soon(one, index)

        self._portal.call(all_of_them)
        return [results[index] for index in range(len(calls))]


class Plain(Face):
    """`ONE`, in this thread."""

    def __init__(self, one: Any) -> None:
        self._one = one

    def ask(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        return attrgetter(method)(self._one)(*args, **kwargs)

    def items(self, method: str, /, *args: Any, at_most: int | None = None, **kwargs: Any) -> list[Any]:
        found: list[Any] = []
        walked = attrgetter(method)(self._one)(*args, **kwargs)
        for item in walked:
            found.append(item)
            if len(found) == at_most:
                walked.close()
                break
        return found

    def look(self, name: str) -> Any:
        return attrgetter(name)(self._one)

    def put(self, name: str, value: Any) -> None:
        *owner, last = name.split(".")
        setattr(attrgetter(".".join(owner))(self._one) if owner else self._one, last, value)

    def together(self, *calls: tuple[Any, ...]) -> list[Any]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(calls)) as threads:
            pending = [
                threads.submit(partial(self.ask, method, *args, **kwargs))
                for method, args, kwargs in map(_parts, calls)
            ]
            return [one.result() for one in pending]


@contextmanager
def opened(kind: str, make: Callable[..., Any] | None = None, **options: Any) -> Iterator[Face]:
    """Yield a client of one kind, and close it afterwards; `make` stands in for the class (``from_frozen``)."""
    if kind == "blocking":
        from one_async import ONE

        with (make(ONE) if make else ONE)(**options) as one:
            yield Plain(one)
        return
    with anyio.from_thread.start_blocking_portal(kind) as portal:
        made = portal.call(lambda: (make(AsyncONE) if make else AsyncONE)(**options))
        with portal.wrap_async_context_manager(made) as one:
            yield Awaited(one, portal)
