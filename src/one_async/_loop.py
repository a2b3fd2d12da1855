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
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from one_async.errors import OneError

if TYPE_CHECKING:
    from anyio import CancelScope

__all__ = ["EXIT_TIMEOUT", "Call", "LoopThread"]

R = TypeVar("R")

#: Seconds that the end of the process waits for calls and clients to clean up, in all.
EXIT_TIMEOUT = 3.0
# Seconds after which a waiting caller looks for signals. Windows takes none during a wait, and elsewhere one that
# comes just before the wait begins would be seen only after it.
_WAKE = 0.2


class Call(Generic[R]):
    """One coroutine on its way through the loop thread: start and cancel there, wait for it here."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, R]], context: contextvars.Context) -> None:
        self.make = make
        self.context = context
        self.over = False
        # A bare lock, taken until it is over: what threading.Event does in Python, Ctrl-C can break half-way.
        self._latch = threading.Lock()
        self._latch.acquire()
        self.result: R | None = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self._scope: CancelScope | None = None
        self._cancelled = False

    def start(self, thread: LoopThread) -> None:
        """Begin, unless cancelled before it could."""
        if self.over:
            return
        if thread.stopping:
            self.refuse()
            return
        self.task = thread.task(self._work(), self.context, self.cancel)
        # Not at the end of the work: a task that is cancelled before its first step never begins it.
        self.task.add_done_callback(functools.partial(self._finish, thread))

    def cancel(self) -> None:
        """Cancel the work, which may still take time to clean up.

        By its scope, as anyio cancels: a worker thread in the middle of a file is waited for.
        """
        self._cancelled = True
        if self.task is None:
            self.refuse()
        elif self._scope is not None:
            self._scope.cancel()

    def refuse(self) -> None:
        """End without having begun."""
        self.error = OneError("the event loop of the blocking interface was stopped")
        self._end()

    async def _work(self) -> None:
        from anyio import CancelScope

        # Whatever comes is kept for the caller: SystemExit must end the caller's thread, not the loop's.
        try:
            with CancelScope() as self._scope:
                if self._cancelled:
                    self._scope.cancel()
                self.result = await self.make()
            if self._scope.cancelled_caught:
                self.error = _cancelled()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Without this frame, a traceback reads as if the caller had called the coroutine.
            self.error = error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)

    def _finish(self, thread: LoopThread, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.error = _cancelled()
        # At exit only daemon threads can still be waiting: woken, they would print errors over the end.
        if not thread.exiting:
            self._end()

    def _end(self) -> None:
        if not self.over:
            self.over = True
            self._latch.release()

    def wait(self) -> None:
        """Wait until it is over, and stay open for Ctrl-C."""
        while not self.over:
            self._latch.acquire(timeout=_WAKE)

    def outcome(self) -> R:
        """Return its result or raise its error, once over."""
        try:
            if self.error is not None:
                raise self.error
            return self.result  # type: ignore[return-value]
        finally:
            # The error's traceback holds this frame, and this frame would hold the error.
            del self


def _cancelled() -> OneError:
    return OneError("the call was cancelled before it had an answer")


class LoopThread:
    """An event loop on a daemon thread, for callers of any other thread."""

    _shared: ClassVar[LoopThread | None] = None
    # Reentrant, for a signal handler that makes a call while its thread makes the first.
    _lock: ClassVar[threading.RLock] = threading.RLock()
    _at_exit: ClassVar[bool] = False

    def __init__(self) -> None:
        self.stopping = False
        self.exiting = False
        self._calls: dict[asyncio.Task[None], Callable[[], None]] = {}
        self._hosts: dict[asyncio.Task[None], Callable[[], None]] = {}
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
        call = Call(make_coroutine, context)
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

    def task(
        self, work: Coroutine[Any, Any, None], context: contextvars.Context, cancel: Callable[[], None]
    ) -> asyncio.Task[None]:
        """Make a task for a call; on the loop only."""
        task = self._loop.create_task(work, context=context)
        self._calls[task] = cancel
        task.add_done_callback(self._calls.pop)
        return task

    def host(self, work: Coroutine[Any, Any, None], stop: Callable[[], None]) -> asyncio.Task[None]:
        """Make a task that lives until told to stop, in an empty context; on the loop only.

        What its first caller happened to set (context variables) must not follow the tasks that it starts.
        """
        task = self._loop.create_task(work, context=contextvars.Context())
        self._hosts[task] = stop
        task.add_done_callback(self._hosts.pop)
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
        for cancel in self._calls.values():
            cancel()
        await _wait_for(self._calls, self._timeout / 3)
        for stop in self._hosts.values():
            stop()
        await _wait_for(self._hosts, self._timeout / 3)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await _wait_for(rest, self._timeout / 3)
        await asyncio.get_running_loop().shutdown_asyncgens()


async def _wait_for(tasks: Iterable[asyncio.Task[Any]], seconds: float) -> None:
    if waited := set(tasks):
        await asyncio.wait(waited, timeout=seconds)


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
