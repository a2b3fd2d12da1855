"""Run the async core for blocking callers: one event loop on one daemon thread for the process.

The loop is asyncio's. Only this module creates tasks outside a task group: each blocking call is a separate task,
since callers are on any thread and the error of one must not end the others.

The thread starts on first use and is dropped in a forked child, where it does not exist. At exit, calls and then open
clients are stopped, each within a bounded time.
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

#: Seconds that the exit of the process waits for all calls and clients to clean up.
EXIT_TIMEOUT = 3.0
# Seconds after which a waiting caller checks for signals. Windows handles none during a wait, and elsewhere one that
# arrives just before the wait would be handled only after it.
_WAKE = 0.2
# Times that the loop is continued after an error that left it; a loop that is broken would fail each time.
_RESTARTS = 1000


class Call(Generic[R]):
    """A coroutine to run on the loop thread: started and cancelled there, awaited by a blocking caller."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, R]], context: contextvars.Context) -> None:
        self.make = make
        self.context = context
        self.over = False
        # A bare lock, held until the call is over: Ctrl-C can interrupt the Python code of threading.Event half-way.
        self._latch = threading.Lock()
        self._latch.acquire()
        self.result: R | None = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self._scope: CancelScope | None = None
        self._cancelled = False

    def start(self, thread: LoopThread) -> None:
        """Start the coroutine unless it was cancelled before."""
        if self.over:
            return
        if thread.stopping:
            self.refuse()
            return
        self.task = thread.task(self._work(), self.context, self.cancel)
        # A callback, since a task that is cancelled before its first step never runs its code.
        self.task.add_done_callback(functools.partial(self._finish, thread))

    def cancel(self) -> None:
        """Cancel the coroutine, which may still take time to clean up.

        The cancellation goes through an anyio scope, which waits for worker threads.
        """
        self._cancelled = True
        if self.task is None:
            self.refuse()
        elif self._scope is not None:
            self._scope.cancel()

    def refuse(self) -> None:
        """End the call without starting it."""
        self.error = OneError("the event loop of the blocking interface was stopped")
        self._end()

    async def _work(self) -> None:
        from anyio import CancelScope

        # Every error is kept for the caller: SystemExit must end the caller's thread, not the loop's.
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
            # Drop this frame, so that the traceback reads as if the caller had called the coroutine.
            self.error = error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)

    def _finish(self, thread: LoopThread, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.error = _cancelled()
        # At exit only daemon threads can still be waiting, and would print errors if they were woken.
        if not thread.exiting:
            self._end()

    def _end(self) -> None:
        if not self.over:
            self.over = True
            self._latch.release()

    def wait(self, thread: LoopThread) -> None:
        """Wait until the call is over, or the loop's thread has ended; Ctrl-C interrupts the wait."""
        while not self.over:
            if not self._latch.acquire(timeout=_WAKE) and thread.has_failed and not self.over:
                self.refuse()

    def outcome(self) -> R:
        """Return the result or raise the error of a call that is over."""
        try:
            if self.error is not None:
                raise self.error
            return self.result  # type: ignore[return-value]
        finally:
            # Break the reference cycle between this frame and the error's traceback.
            del self


def _cancelled() -> OneError:
    return OneError("the call was cancelled before it had an answer")


class LoopThread:
    """An event loop on a daemon thread, for callers on other threads."""

    _shared: ClassVar[LoopThread | None] = None
    # Reentrant, since a signal handler may make a call while its thread makes the first one.
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
        """Return the process's loop thread, which is created on first use."""
        thread = cls._shared
        if thread is None or thread.stopping:
            with cls._lock:
                if cls._at_exit:
                    raise OneError("Python is exiting: no more calls can be made")
                thread = cls._shared
                if thread is None or thread.stopping:
                    atexit.register(_stop_at_exit)
                    thread = cls._shared = LoopThread()
        return thread

    @classmethod
    def alive(cls) -> LoopThread | None:
        """Return the process's loop thread if it exists and accepts calls."""
        thread = cls._shared
        return None if thread is None or thread.stopping else thread

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's thread."""
        return threading.get_ident() == self._thread.ident

    @property
    def has_failed(self) -> bool:
        """Whether the thread has ended before the process exits, so that no call will be answered."""
        return not self.exiting and not self._thread.is_alive()

    def run(self, make_coroutine: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Run a coroutine on the loop and wait for its result.

        The coroutine runs in a copy of the caller's context variables. The caller's thread may run a loop of its own
        (Jupyter), which is blocked meanwhile. Ctrl-C cancels the coroutine and waits for its clean-up; a second
        Ctrl-C stops waiting.

        Raises:
            OneError: called on the loop's own thread, which would deadlock; or the loop was stopped.
        """
        if self.is_current:
            raise OneError(
                "a blocking method was called from inside the event loop that serves blocking methods, where "
                "it would wait for itself; use the async interface (AsyncONE) and await there"
            )
        context = contextvars.copy_context()
        if sniffio := sys.modules.get("sniffio"):
            # The context of a caller inside trio names trio as its library.
            context.run(sniffio.current_async_library_cvar.set, "asyncio")
        call = Call(make_coroutine, context)
        try:
            try:
                if self.stopping or not self.post(call.start, self):
                    call.refuse()
                call.wait(self)
            except BaseException:
                if self.post(call.cancel):
                    call.wait(self)
                raise
            return call.outcome()
        finally:
            del call

    def post(self, callback: Callable[..., object], *args: object) -> bool:
        """Schedule a function on the loop without waiting; return False if the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            return False
        return True

    def task(
        self, work: Coroutine[Any, Any, None], context: contextvars.Context, cancel: Callable[[], None]
    ) -> asyncio.Task[None]:
        """Create the task of a call; on the loop only."""
        task = self._loop.create_task(work, context=context)
        self._calls[task] = cancel
        task.add_done_callback(self._calls.pop)
        return task

    def host(self, work: Coroutine[Any, Any, None], stop: Callable[[], None]) -> asyncio.Task[None]:
        """Create a task that runs until it is stopped, in an empty context; on the loop only.

        The tasks that it starts must not inherit the context variables of its first caller.
        """
        task = self._loop.create_task(work, context=contextvars.Context())
        self._hosts[task] = stop
        task.add_done_callback(self._hosts.pop)
        return task

    def stop(self, timeout: float = EXIT_TIMEOUT) -> None:
        """Cancel calls, close clients and end the thread; wait at most `timeout` seconds."""
        self._timeout = timeout
        self.stopping = True
        if self.post(self._stop.set):
            self._thread.join(timeout + 0.5)

    def _main(self) -> None:
        # One root task for the thread's whole life, since anyio ends worker threads with their root task.
        root = self._loop.create_task(self._serve())
        try:
            for _ in range(_RESTARTS):
                try:
                    return self._loop.run_until_complete(root)
                except BaseException:
                    # Of one task or callback: asyncio passes SystemExit and KeyboardInterrupt on, and errors of its own
                    # log messages. Other calls must not end because of it.
                    if root.done():
                        raise
        finally:
            self.stopping = True
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
    """An executor with daemon threads for asyncio's name look-ups: a hung name server must not delay the exit.

    Python joins the threads of its own executor at exit, however long that takes.
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


def _drop_thread() -> None:
    """Drop the parent's thread after a fork. Its loop is not closed, since its poll object is shared."""
    LoopThread._lock = threading.RLock()
    LoopThread._shared = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_thread)
