"""Base of the blocking classes: wrappers of async methods that run on the loop thread and wait."""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    get_args,
    overload,
)

from one_async._iterator_bridge import IteratorBridge
from one_async._loop import LoopThread
from one_async._tracebacks import shortened
from one_async._values import without_secrets
from one_async._warnings import GATHERING, Gathering
from one_async.errors import OneError

__all__ = [
    "Blocking",
    "LoopThread",
    "blocking",
    "blocking_iterator",
    "blocking_property",
    "constructor_of",
    "direct",
    "without_await",
    "wraps_async",
]

#: The errors whose traceback users see without our frames; TypeError is Python's own for missing arguments.
SHORTENED = (OneError, TypeError, KeyboardInterrupt)
P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=AbstractAsyncContextManager[Any])
#: Covariant, since a blocking class of a client also wraps the methods of the client's bases.
C_co = TypeVar("C_co", bound=AbstractAsyncContextManager[Any], covariant=True)
B = TypeVar("B", bound="Blocking[Any]")
F = TypeVar("F", bound=Callable[..., Any])
#: What the examples in docstrings of async methods have and those of blocking ones lack.
_ASYNC = re.compile(r"\bawait (?=[\w(])|\basync (?=for |with )|\bAsync(?=(?:ONE|AlyxClient)\b)")


class _Host(Generic[C]):
    """A task that enters an async client, waits until it is stopped, and leaves the client.

    One task does all three because a task group must be left by the task that entered it.
    """

    def __init__(self, thread: LoopThread, client: C) -> None:
        self.error: BaseException | None = None
        self._client: C | None = None
        self._ready = asyncio.Event()
        self._stopped = asyncio.Event()
        self._thread = thread
        self.task = thread.host(self._live(client), self.stop)

    def stop(self) -> None:
        """Ask the task to leave the client; on the loop only."""
        self._stopped.set()

    def stop_soon(self) -> None:
        """Ask the task to leave the client, from any thread."""
        self._thread.post(self.stop)

    async def client(self) -> C:
        """Return the entered client; raise the error that prevented its entry or ended it."""
        await self._ready.wait()
        if self.error is not None:
            raise self.error
        return self._client  # type: ignore[return-value]

    async def close(self) -> None:
        """Leave the client and wait until that is done; raise its error."""
        self._stopped.set()
        await asyncio.wait({self.task})
        if self.error is not None:
            raise self.error

    async def _live(self, client: C) -> None:
        try:
            async with client as entered:
                self._client = entered
                self._ready.set()
                await self._stopped.wait()
        except asyncio.CancelledError:
            self.error = OneError("the client was closed because its event loop was stopped")
        except BaseException as error:
            self.error = error
        finally:
            self._ready.set()


class Blocking(Generic[C_co]):
    """Base of the blocking classes, which hold arguments and the async client made from them on the loop thread.

    The client is constructed together with this object (so that invalid arguments are refused at once), entered by the
    first call, and left by ``close()``, by the end of a ``with`` block, when this object is garbage-collected, or at
    exit. In a forked child, and in a call after ``close()``, a new client is made from the same arguments, and
    properties that were set on the old one are set again.

    A pickle holds the arguments without passwords and token: where it is loaded, credentials come from the environment
    or the settings there.
    """

    _kind: ClassVar[Callable[..., Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            if getattr(base, "__origin__", None) is Blocking and isinstance(get_args(base)[0], type):
                cls._kind = get_args(base)[0]
        for name, value in cls.__dict__.items():
            if isinstance(value, blocking_property):
                value.__doc__ = without_await(getattr(getattr(cls._kind, name, None), "__doc__", None))

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        try:
            bound = inspect.signature(self._kind).bind(*args, **kwargs)
            self._begin(_as_keywords(bound))
            thread = LoopThread.shared()
            thread.run(lambda: self._ensure(thread))
        except SHORTENED as error:
            raise shortened(error) from None

    def _begin(self, arguments: dict[str, Any], parent: tuple[Blocking[Any], str] | None = None) -> None:
        self._arguments = arguments
        self._parent = parent
        self._settings: dict[str, Any] = {}
        self._parts: weakref.WeakValueDictionary[str, Blocking[Any]] = weakref.WeakValueDictionary()
        self._part_settings: dict[str, dict[str, Any]] = {}
        self._home: LoopThread | None = None
        self._made: C_co | None = None
        self._host: _Host[C_co] | None = None

    def _make(self, thread: LoopThread) -> None:
        """Make a new client; on the loop, since its constructor may depend on the running async library."""
        client = self._kind(**self._arguments)
        for name, value in self._settings.items():
            setattr(client, name, value)
        for part, settings in self._part_settings.items():
            for name, value in settings.items():
                setattr(getattr(client, part), name, value)
        self._made, self._home, self._host = client, thread, None

    async def _ensure(self, thread: LoopThread) -> None:
        if self._home is not thread:
            self._make(thread)

    async def _client(self, thread: LoopThread) -> C_co:
        """Return the open client that belongs to this loop thread; on the loop only."""
        if self._parent is not None:
            parent, name = self._parent
            client: C_co = getattr(await parent._client(thread), name)
            return client
        await self._ensure(thread)
        if self._host is None:
            assert self._made is not None
            self._host = _Host(thread, self._made)
        host = self._host
        try:
            return await host.client()
        except BaseException:
            # The next call makes a new client.
            if host.error is not None and self._host is host:
                self._home = self._host = None
            raise

    @property
    def _here(self) -> C_co:
        """The async client, for access to its properties and plain methods, which need no loop."""
        if self._parent is not None:
            parent, name = self._parent
            client: C_co = getattr(parent._here, name)
            return client
        thread = LoopThread.shared()
        if self._home is not thread:
            if thread.is_current:
                self._make(thread)
            else:
                thread.run(lambda: self._ensure(thread))
        assert self._made is not None
        return self._made

    def _part(self, kind: type[B], name: str) -> B:
        """Return the blocking object of a client that is an attribute of this one's client and lives as long."""
        part = self._parts.get(name)
        if not isinstance(part, kind):
            part = kind.__new__(kind)
            part._begin({}, (self, name))
            part._settings = self._part_settings.setdefault(name, {})
            self._parts[name] = part
        return part

    def close(self) -> None:
        """Close the client with its background tasks and connections. A later call opens a new one.

        Examples:
            >>> one.close()
        """
        thread = self._home
        if self._host is None or thread is None or thread is not LoopThread.alive():
            return
        thread.run(self._leave)

    async def _leave(self) -> None:
        host, self._host, self._home = self._host, None, None
        if host is not None:
            await host.close()

    def __enter__(self) -> Self:
        if self._parent is None:
            thread = LoopThread.shared()
            thread.run(lambda: self._client(thread))
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def __del__(self) -> None:
        # This may run on any thread, even the loop's, so it must not wait. Attributes are missing if __init__ failed.
        host = self.__dict__.get("_host")
        if host is not None and self._home is LoopThread.alive():
            host.stop_soon()

    def __repr__(self) -> str:
        client = self._here
        return repr(client).replace(type(client).__name__, type(self).__name__, 1)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._parent is not None:
            return (_part_again, (type(self), *self._parent))
        return (_made_again, (type(self), without_secrets(self._arguments)))


def _made_again(kind: type[B], arguments: dict[str, Any]) -> B:
    return kind(**arguments)


def _part_again(kind: type[B], parent: Blocking[Any], name: str) -> B:
    return parent._part(kind, name)


def _as_keywords(bound: inspect.BoundArguments) -> dict[str, Any]:
    keywords: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            keywords.update(value)
        else:
            keywords[name] = value
    return keywords


def wraps_async(method: Callable[..., Any]) -> Callable[[F], F]:
    """Return a decorator as `functools.wraps`; examples in the docstring are those of the blocking method."""

    def decorate(call: F) -> F:
        functools.update_wrapper(call, method)
        call.__doc__ = without_await(method.__doc__)
        return call

    return decorate


def without_await(text: str | None) -> str | None:
    """Return the docstring of an async method with the code of its examples as the blocking method needs it."""
    return text and _ASYNC.sub("", text)


def blocking(
    method: Callable[Concatenate[C, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Blocking[C], P], R]:
    """Return the blocking version of a method of the async client, with its signature and docstring."""

    @wraps_async(method)
    def call(self: Blocking[C], /, *args: P.args, **kwargs: P.kwargs) -> R:
        thread = LoopThread.shared()
        gathered = Gathering()

        async def work() -> R:
            client = await self._client(thread)
            GATHERING.set(gathered)
            return await method(client, *args, **kwargs)

        try:
            result = thread.run(work)
        except BaseException as error:
            gathered.issue(is_failing=True)
            if isinstance(error, SHORTENED):
                raise shortened(error) from None
            raise
        gathered.issue()  # in this thread, where the caller's line is known
        return result

    _named_like(call, method)
    return call


def _named_like(call: Callable[..., Any], method: Callable[..., Any]) -> None:
    """Name the frames of a wrapper, which tracebacks show, after the method."""
    call.__code__ = call.__code__.replace(co_name=method.__name__, co_qualname=method.__qualname__)


def direct(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[Blocking[C], P], R]:
    """Return the wrapper of a method that is not async, with its signature and docstring."""

    @functools.wraps(method)
    def call(self: Blocking[C], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self._here, *args, **kwargs)

    return call


def blocking_iterator(
    method: Callable[Concatenate[C, P], AsyncIterator[R]],
) -> Callable[Concatenate[Blocking[C], P], Iterator[R]]:
    """Return the blocking version of an async generator: a plain generator, whose items are produced on demand.

    Closing the plain generator before its end also closes the async one and waits for its clean-up.
    """

    @wraps_async(method)
    def call(self: Blocking[C], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        thread = LoopThread.shared()

        async def start() -> AsyncIterator[R]:
            return method(await self._client(thread), *args, **kwargs)

        pump = IteratorBridge(thread, start)

        try:
            while items := thread.run(pump.next):
                yield from items
        except SHORTENED as error:
            raise shortened(error) from None
        finally:
            # The garbage collector may close a generator on any thread, at any time.
            if thread.is_current:
                pump.abandon()
            elif thread is LoopThread.alive():
                thread.run(pump.close)

    _named_like(call, method)
    return call


class blocking_property(Generic[R]):  # noqa: N801 - reads as the built-in property does
    """Access to a property of the client: ``mode = blocking_property[Mode]()`` reads and sets its ``mode``.

    A value that was set is set again on a client that is made after a fork or after ``close()``.
    """

    def __set_name__(self, owner: type[Blocking[Any]], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, face: None, owner: type) -> Self: ...

    @overload
    def __get__(self, face: Blocking[Any], owner: type) -> R: ...

    def __get__(self, face: Blocking[Any] | None, owner: type) -> Self | R:
        if face is None:
            return self
        value: R = getattr(face._here, self._name)
        return value

    def __set__(self, face: Blocking[Any], value: R) -> None:
        # On the loop, since a setter may wake a task that waits there.
        async def put() -> None:
            setattr(face._here, self._name, value)

        thread = LoopThread.shared()
        if thread.is_current:
            setattr(face._here, self._name, value)
        else:
            thread.run(put)
        face._settings[self._name] = value


def constructor_of(
    init: Callable[Concatenate[C, P], None],
) -> Callable[[Callable[[B], None]], Callable[Concatenate[B, P], None]]:
    """Return a decorator of ``__init__`` with the client's signature: ``@constructor_of(AsyncONE.__init__)``."""

    def decorate(_: Callable[[B], None]) -> Callable[Concatenate[B, P], None]:
        @functools.wraps(init)
        def __init__(self: B, /, *args: P.args, **kwargs: P.kwargs) -> None:  # noqa: N807 - it is one
            Blocking.__init__(self, *args, **kwargs)

        return __init__

    return decorate
