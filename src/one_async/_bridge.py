"""Run the async core for blocking callers: one event loop on one daemon thread for the process.

The loop belongs to asyncio. This is the one place that makes tasks outside a task group: each call of a
blocking caller is a task of its own, since callers come and go from any thread and none may end with the
error of another.

Life of the thread: made on first use; forgotten in a forked child, where only the forking thread lives on;
stopped at exit, first the calls, then the clients that are still open, each within a bounded time.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import inspect
import os
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeVar, get_args, overload

from one_async.errors import OneError

__all__ = [
    "Blocking",
    "LoopThread",
    "blocking",
    "blocking_iterator",
    "blocking_property",
    "constructor_of",
    "direct",
]

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=AbstractAsyncContextManager[Any])
B = TypeVar("B", bound="Blocking[Any]")

#: Seconds that the end of the process waits for calls and clients to clean up, in all.
EXIT_TIMEOUT = 3.0
#: Arguments that no pickle may hold.
SECRETS = frozenset({"password", "token"})
# Python takes a signal while waiting for a lock on POSIX, but on Windows only after it.
_WAKE = None if os.name == "posix" else 0.1


class _Call(Generic[R]):
    """One coroutine on its way through the loop thread: start and cancel there, wait for it here."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, R]], context: contextvars.Context) -> None:
        self.make = make
        self.context = context
        self.over = threading.Event()
        self.result: R | None = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self, thread: LoopThread) -> None:
        """Begin, unless cancelled before it could."""
        if self.over.is_set():
            return
        if thread.stopping:
            self.refuse()
            return
        self.task = thread.task(self._work(thread), self.context)

    def cancel(self) -> None:
        """Cancel the task, which may still take time to clean up."""
        if self.task is None:
            self.refuse()
        else:
            self.task.cancel()

    def refuse(self) -> None:
        """End without having begun."""
        self.error = OneError("the event loop of the blocking interface was stopped")
        self.over.set()

    async def _work(self, thread: LoopThread) -> None:
        # Whatever comes is kept for the caller: SystemExit must end the caller's thread, not the loop's.
        try:
            self.result = await self.make()
        except asyncio.CancelledError:
            self.error = OneError("the call was cancelled before it had an answer")
        except BaseException as error:
            # Without this frame, a traceback reads as if the caller had called the coroutine.
            self.error = error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)
        finally:
            # At exit only daemon threads can still be waiting: woken, they would print errors over the end.
            if not thread.exiting:
                self.over.set()

    def wait(self) -> None:
        """Wait until it is over, and stay open for Ctrl-C."""
        while not self.over.wait(_WAKE):
            pass

    def outcome(self) -> R:
        """Return its result or raise its error, once over."""
        try:
            if self.error is not None:
                raise self.error
            return self.result  # type: ignore[return-value]
        finally:
            # The error's traceback holds this frame, and this frame would hold the error.
            del self


class LoopThread:
    """An event loop on a daemon thread, for callers of any other thread."""

    _shared: ClassVar[LoopThread | None] = None
    # Reentrant, for a signal handler that makes a call while its thread makes the first.
    _lock: ClassVar[threading.RLock] = threading.RLock()
    _at_exit: ClassVar[bool] = False

    def __init__(self) -> None:
        self.stopping = False
        self.exiting = False
        self._calls: set[asyncio.Task[Any]] = set()
        self._hosts: set[_Host[Any]] = set()
        self._timeout = EXIT_TIMEOUT
        self._stop = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_DaemonThreads())
        self._thread = threading.Thread(target=self._main, name="one_async", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._loop.close()
            raise

    @classmethod
    def shared(cls) -> LoopThread:
        """Return the process's loop thread, made on first use."""
        thread = cls._shared
        if thread is None or thread.stopping:
            with cls._lock:
                if cls._at_exit:
                    raise OneError("Python is about to end: no calls can be made any more")
                thread = cls._shared
                if thread is None or thread.stopping:
                    atexit.register(_stop_at_exit)
                    thread = cls._shared = LoopThread()
        return thread

    @classmethod
    def alive(cls) -> LoopThread | None:
        """Return the process's loop thread if there is one that still takes calls."""
        thread = cls._shared
        return None if thread is None or thread.stopping else thread

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's own thread."""
        return threading.get_ident() == self._thread.ident

    def run(self, make_coroutine: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Run a coroutine on the loop and wait for its result.

        The coroutine sees the caller's context variables; what it changes of them stays with it. Works where
        the caller's thread runs a loop of its own (Jupyter), which then stands still. Ctrl-C cancels the
        coroutine and waits for its clean-up; a second Ctrl-C stops waiting.

        Raises:
            OneError: called on the loop's own thread, which would wait for itself for ever; or the loop was
                stopped.
        """
        if self.is_current:
            raise OneError(
                "a blocking method was called from inside the event loop that serves blocking methods, where "
                "it would wait for itself; use the async interface (AsyncONE) and await there"
            )
        context = contextvars.copy_context()
        if sniffio := sys.modules.get("sniffio"):
            # A caller inside trio carries the note that its library is trio.
            context.run(sniffio.current_async_library_cvar.set, "asyncio")
        call = _Call(make_coroutine, context)
        try:
            try:
                if self.stopping or not self.post(call.start, self):
                    call.refuse()
                call.wait()
            except BaseException:
                if self.post(call.cancel):
                    call.wait()
                raise
            return call.outcome()
        finally:
            del call

    def post(self, callback: Callable[..., object], *args: object) -> bool:
        """Call a function on the loop, soon, without waiting; False if the loop is no more."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            return False
        return True

    def task(self, work: Coroutine[Any, Any, None], context: contextvars.Context) -> asyncio.Task[None]:
        """Make a task for a call; on the loop only."""
        task = self._loop.create_task(work, context=context)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    def stop(self, timeout: float = EXIT_TIMEOUT) -> None:
        """Cancel calls, close clients, end the thread; give up waiting after the time given (in seconds)."""
        self._timeout = timeout
        self.stopping = True
        if self.post(self._stop.set):
            self._thread.join(timeout + 0.5)

    def _main(self) -> None:
        try:
            # One root task for the whole life: anyio ends its worker threads with the root task that made
            # them.
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        await self._stop.wait()
        for call in self._calls:
            call.cancel()
        await _wait_for(self._calls, self._timeout / 3)
        for host in self._hosts:
            host.stop()
        hosts = {host.task for host in self._hosts}
        await _wait_for(hosts, self._timeout / 3)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await _wait_for(rest, self._timeout / 3)
        await asyncio.get_running_loop().shutdown_asyncgens()


async def _wait_for(tasks: set[asyncio.Task[Any]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(set(tasks), timeout=seconds)


class _DaemonThreads(ThreadPoolExecutor):
    """The loop's helper threads, in which asyncio looks names up: a hung name server must not delay the exit.

    The threads of the ordinary executor are joined when Python ends, however long that takes.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = fn(*args, **kwargs)
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)

        threading.Thread(target=work, name="one_async helper", daemon=True).start()
        return future


def _stop_at_exit() -> None:
    LoopThread._at_exit = True
    thread = LoopThread._shared
    if thread is not None:
        thread.exiting = True
        thread.stop()


def _forget() -> None:
    """Forget the parent's thread after a fork; its loop stays as it is, since its poll object is shared."""
    LoopThread._lock = threading.RLock()
    LoopThread._shared = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class _Host(Generic[C]):
    """A task that holds an async client open: enters it, waits for the word to stop, leaves it.

    One task does all three because a task group must be left by the task that entered it.
    """

    def __init__(self, thread: LoopThread, client: C) -> None:
        self.error: BaseException | None = None
        self._client: C | None = None
        self._ready = asyncio.Event()
        self._stopped = asyncio.Event()
        self._thread = thread
        thread._hosts.add(self)
        # An empty context: what the first caller happened to set must not follow background tasks.
        self.task = thread._loop.create_task(self._live(client), context=contextvars.Context())

    def stop(self) -> None:
        """Ask the task to leave the client; on the loop only."""
        self._stopped.set()

    def stop_soon(self) -> None:
        """Ask the task to leave the client, from any thread."""
        self._thread.post(self.stop)

    async def client(self) -> C:
        """Return the entered client; raise what entering it raised, or what ended it since."""
        await self._ready.wait()
        if self.error is not None:
            raise self.error
        return self._client  # type: ignore[return-value]

    async def close(self) -> None:
        """Leave the client and wait until it is done; raise what leaving it raised."""
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
            self._thread._hosts.discard(self)
            self._ready.set()


class Blocking(Generic[C]):
    """Base of the blocking faces: the arguments, and the async client that they make on the loop thread.

    The client is constructed with the face (so that wrong arguments are refused at once), entered by the first
    call, and left by ``close()``, by the end of a ``with`` block, when the face is no longer used, or at exit.
    In a forked child, and in a call after ``close()``, a new client is made from the same arguments, and what
    was set on the old one is set again.

    A pickle holds the arguments without ``password`` and ``token``: where it is loaded, credentials come from
    the environment or the settings found there.
    """

    _kind: ClassVar[Callable[..., Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            if getattr(base, "__origin__", None) is Blocking and isinstance(get_args(base)[0], type):
                cls._kind = get_args(base)[0]

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        bound = inspect.signature(self._kind).bind(*args, **kwargs)
        self._begin(_as_keywords(bound))
        thread = LoopThread.shared()
        thread.run(lambda: self._ensure(thread))

    def _begin(self, arguments: dict[str, Any], parent: tuple[Blocking[Any], str] | None = None) -> None:
        self._arguments = arguments
        self._parent = parent
        self._settings: dict[str, Any] = {}
        self._parts: weakref.WeakValueDictionary[str, Blocking[Any]] = weakref.WeakValueDictionary()
        self._part_settings: dict[str, dict[str, Any]] = {}
        self._home: LoopThread | None = None
        self._made: C | None = None
        self._host: _Host[C] | None = None

    def _make(self, thread: LoopThread) -> None:
        """Make the client anew; on the loop, since what it makes may depend on which async library runs."""
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

    async def _client(self, thread: LoopThread) -> C:
        """Return the open client that belongs to this loop thread; on the loop only."""
        if self._parent is not None:
            parent, name = self._parent
            client: C = getattr(await parent._client(thread), name)
            return client
        await self._ensure(thread)
        if self._host is None:
            assert self._made is not None
            self._host = _Host(thread, self._made)
        host = self._host
        try:
            return await host.client()
        except BaseException:
            # The next call tries afresh.
            if host.error is not None and self._host is host:
                self._home = self._host = None
            raise

    @property
    def _here(self) -> C:
        """The async client, for what needs no loop: reading and setting its properties, its plain methods."""
        if self._parent is not None:
            parent, name = self._parent
            client: C = getattr(parent._here, name)
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
        """Return the face of a client that is an attribute of this one's client and lives as long as it."""
        part = self._parts.get(name)
        if not isinstance(part, kind):
            part = kind.__new__(kind)
            part._begin({}, (self, name))
            part._settings = self._part_settings.setdefault(name, {})
            self._parts[name] = part
        return part

    def close(self) -> None:
        """Close the client: background tasks end, connections close. A later call opens a new one."""
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
        # May run on any thread, the loop's own too: ask, never wait. Nothing is there when __init__ failed.
        host = self.__dict__.get("_host")
        if host is not None and self._home is LoopThread._shared:
            host.stop_soon()

    def __repr__(self) -> str:
        return repr(self._here)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._parent is not None:
            return (_part_again, (type(self), *self._parent))
        kept = {name: value for name, value in self._arguments.items() if name not in SECRETS}
        return (_made_again, (type(self), kept))


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


def blocking(
    method: Callable[Concatenate[C, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Blocking[C], P], R]:
    """Make the blocking twin of a method of the async client, with its signature and docstring."""

    @functools.wraps(method)
    def call(self: Blocking[C], /, *args: P.args, **kwargs: P.kwargs) -> R:
        thread = LoopThread.shared()

        async def work() -> R:
            return await method(await self._client(thread), *args, **kwargs)

        return thread.run(work)

    return call


def direct(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[Blocking[C], P], R]:
    """Make the twin of a method that is not async, with its signature and docstring."""

    @functools.wraps(method)
    def call(self: Blocking[C], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self._here, *args, **kwargs)

    return call


class _Pump(Generic[R]):
    """One task that walks an async iterator, an item for each time it is asked.

    One task for the whole walk, because a generator may hold a task group open between two items.
    """

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self._asked: asyncio.Queue[asyncio.Future[list[R]]] | None = None
        self._task: asyncio.Task[None] | None = None

    async def next(self, start: Callable[[], Coroutine[Any, Any, AsyncIterator[R]]]) -> list[R]:
        """Return the next item in a list, or an empty list at the end."""
        if self._asked is None:
            self._asked = asyncio.Queue()
            self._task = self._thread.task(self._walk(start, self._asked), contextvars.copy_context())
        reply: asyncio.Future[list[R]] = asyncio.get_running_loop().create_future()
        self._asked.put_nowait(reply)
        return await reply

    async def _walk(
        self,
        start: Callable[[], Coroutine[Any, Any, AsyncIterator[R]]],
        asked: asyncio.Queue[asyncio.Future[list[R]]],
    ) -> None:
        reply = await asked.get()
        try:
            items = await start()
            try:
                async for item in items:
                    if not reply.done():
                        reply.set_result([item])
                    reply = await asked.get()
            finally:
                if (aclose := getattr(items, "aclose", None)) is not None:
                    await aclose()
            if not reply.done():
                reply.set_result([])
        except asyncio.CancelledError:
            reply.cancel()
            raise
        except BaseException as error:
            if reply.done():
                raise
            reply.set_exception(error)

    async def close(self) -> None:
        """Stop the walk, wherever it is, and wait until the iterator has cleaned up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                raise error

    def abandon(self) -> None:
        """Stop the walk without waiting."""
        if self._task is not None:
            self._task.cancel()


def blocking_iterator(
    method: Callable[Concatenate[C, P], AsyncIterator[R]],
) -> Callable[Concatenate[Blocking[C], P], Iterator[R]]:
    """Make the blocking twin of an async generator: a plain one, whose items are made as they are asked for.

    When the plain generator is closed before its end, the async one has been closed, too, and has cleaned up.
    """

    @functools.wraps(method)
    def call(self: Blocking[C], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        thread = LoopThread.shared()
        pump: _Pump[R] = _Pump(thread)

        async def start() -> AsyncIterator[R]:
            return method(await self._client(thread), *args, **kwargs)

        try:
            while items := thread.run(lambda: pump.next(start)):
                yield from items
        finally:
            # The collector may close a forgotten generator on any thread, at any time.
            if thread.is_current:
                pump.abandon()
            elif thread is LoopThread.alive():
                thread.run(pump.close)

    return call


class blocking_property(Generic[R]):  # noqa: N801 - reads as the built-in property does
    """The twin of a property: ``mode = blocking_property[Mode]()`` reads and sets ``mode`` of the client.

    What is set outlives the client: it is set again on one that is made after a fork or after ``close()``.
    """

    def __set_name__(self, owner: type[Blocking[Any]], name: str) -> None:
        self._name = name
        self.__doc__ = getattr(getattr(owner._kind, name, None), "__doc__", None)

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
        setattr(face._here, self._name, value)
        face._settings[self._name] = value


def constructor_of(
    init: Callable[Concatenate[C, P], None],
) -> Callable[[Callable[[B], None]], Callable[Concatenate[B, P], None]]:
    """Give a face its client's constructor: ``@constructor_of(AsyncONE.__init__)`` on an empty ``__init__``."""

    def decorate(_: Callable[[B], None]) -> Callable[Concatenate[B, P], None]:
        @functools.wraps(init)
        def __init__(self: B, /, *args: P.args, **kwargs: P.kwargs) -> None:  # noqa: N807 - it is one
            Blocking.__init__(self, *args, **kwargs)

        return __init__

    return decorate
