"""Scenarios of the bridge, each run in its own process: ``python scenarios.py NAME``."""

from __future__ import annotations

import asyncio
import atexit
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from types import FrameType

from face import COLOUR, WAITING, Clock, say

from one_async._bridge import LoopThread
from one_async.errors import OneError


def plain() -> None:
    clock = Clock("a")
    say(clock.add(1, other=2), clock.plain(1), repr(clock))
    assert clock.in_thread() == "one_async"
    clock.close()


def in_asyncio() -> None:
    async def main() -> None:
        clock = Clock()
        say(clock.add(1))
        say(*clock.count(2))
        await asyncio.sleep(0)

    asyncio.run(main())


def in_trio() -> None:
    import trio

    async def main() -> None:
        clock = Clock()
        say(clock.add(1))
        await trio.lowlevel.checkpoint()
        say(clock.in_thread())

    trio.run(main)


def in_anyio_on_trio() -> None:
    import anyio

    async def main() -> None:
        clock = Clock()
        say(clock.add(1), clock.in_thread())
        await anyio.lowlevel.checkpoint()

    anyio.run(main, backend="trio")


def _interrupted(call: object, times: int = 1) -> None:
    def press() -> None:
        WAITING.wait()
        WAITING.clear()
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)  # longer than a waiting caller needs to see the first

    threading.Thread(target=press, daemon=True).start()
    try:
        call()  # type: ignore[operator]
    except KeyboardInterrupt:
        say("interrupted")


def _when_waiting(number: int) -> None:
    def send() -> None:
        WAITING.wait()
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()


def ctrl_c() -> None:
    clock = Clock()
    for _ in range(2):
        _interrupted(clock.forever)
        say(clock.add(1))


def ctrl_c_uncaught() -> None:
    _when_waiting(signal.SIGINT)
    Clock().forever()


def ctrl_c_twice() -> None:
    clock = Clock()
    _interrupted(clock.stubborn, times=2)
    say(clock.add(1))


def ctrl_c_in_thread() -> None:
    """A call of a worker thread is completed before the process ends."""
    clock = Clock()
    _interrupted(lambda: clock.write(0.6))
    say(clock.add(1))


def ctrl_c_in_iterator() -> None:
    clock = Clock()

    def walk() -> None:
        for _ in clock.count(1):
            clock.forever()

    _interrupted(walk)
    say(clock.add(1))


def ctrl_c_any_time() -> None:
    """Interrupt short calls at many moments: no call may hang or be lost, and the next one must work."""
    clock = Clock()
    clock.add(0)
    stop = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        # Only inside the bridge: the scenario's own lines are not tested.
        while frame is not None:
            if frame.f_code.co_filename.endswith("_loop.py"):
                raise KeyboardInterrupt
            frame = frame.f_back

    def press() -> None:
        while not stop.wait(0.0007):
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, interrupt)
    presser = threading.Thread(target=press)
    presser.start()
    hits = 0
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        try:
            assert clock.add(1, other=1) == 2
        except KeyboardInterrupt:
            hits += 1
    stop.set()
    presser.join()
    say(clock.add(1), hits > 10, len(LoopThread.shared()._calls))


def fork() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    clock = Clock()
    clock.mode = "local"
    clock.part.expiry = 7
    mine = clock.process()
    child = os.fork()
    if not child:
        theirs = clock.process()
        say("child", theirs == os.getpid() != mine, clock.mode, clock.part.ask(), clock.in_thread())
        clock.close()
        sys.exit(7)
    say("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    say("parent", clock.process() == mine, clock.mode, clock.in_thread())


def fork_while_busy() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    clock = Clock()
    clock.add(1)
    threading.Thread(target=clock.forever, daemon=True).start()
    threading.Thread(target=clock.in_thread, args=(0.4,), daemon=True).start()
    WAITING.wait()
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            say("child", clock.add(1))
            gc.collect()
            sys.exit(0)
        children.append(child)
    say([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], clock.add(2))


def _work(clock: Clock) -> tuple[int, bool]:
    return clock.add(1, other=1), clock.process() == os.getpid()


def spawn() -> None:
    clock = Clock("spawned", token="secret-token")
    clock.add(1)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        say(pool.map(_work, [clock, clock]))
        pool.close()
        pool.join()


def fork_pool() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    clock = Clock("forked")
    clock.add(1)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        say(pool.map(_work, [clock, clock]))
        pool.close()
        pool.join()


def racing() -> None:
    start = threading.Barrier(16)
    clocks: list[Clock] = []
    seen: list[object] = []
    shared: list[Clock] = []

    def race() -> None:
        start.wait()
        clock = Clock()
        clocks.append(clock)
        shared.append(clock)
        start.wait()
        seen.append((id(LoopThread.shared()), shared[0].add(1)))

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loops = [thread for thread in threading.enumerate() if thread.name == "one_async"]
    say(len(seen), len(set(seen)), len(loops))


def exit_pending() -> None:
    clock = Clock()
    threading.Thread(target=clock.forever, daemon=True).start()
    WAITING.wait()
    say("main ends")


def exit_stubborn() -> None:
    clock = Clock()
    threading.Thread(target=clock.stubborn, daemon=True).start()
    WAITING.wait()
    say("main ends")


def exit_pending_lookup() -> None:
    async def lookup() -> None:
        WAITING.set()
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)

    threading.Thread(target=LoopThread.shared().run, args=(lookup,), daemon=True).start()
    WAITING.wait()
    say("main ends")


def exit_unclosed() -> None:
    clock = Clock()
    say(clock.add(1), clock.in_thread())
    global kept
    kept = clock


def exit_in_iterator() -> None:
    global kept
    kept = Clock().count(5)
    say(next(kept))


def exit_unused() -> None:
    say(Clock())


def exit_with_thread() -> None:
    """A call of a thread that is not a daemon ends before the process does."""
    clock = Clock()
    clock.in_thread()  # Python 3.12 starts no new threads once the main one has ended
    threading.Thread(target=lambda: say(clock.in_thread(0.3))).start()


def exit_late_call() -> None:
    def late() -> None:
        try:
            say(clock.add(1))
        except OneError as error:
            say("refused:", error)

    atexit.register(late)
    clock = Clock()
    clock.add(1)


def exit_by_signal() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    clock = Clock()
    _when_waiting(signal.SIGTERM)
    clock.forever()


def pickling() -> None:
    clock = Clock("pickled", password="secret-word", token="secret-token")
    clock.add(1)
    data = pickle.dumps(clock)
    assert b"secret" not in data
    other = pickle.loads(data)
    say(other, other.add(1), other._here.token, other._here.password, clock._here.token)
    part = pickle.loads(pickle.dumps(clock.part))
    say(part.ask())
    code = "import face, pickle, sys; clock = pickle.load(sys.stdin.buffer); face.say(clock.add(2)); clock.close()"
    where = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code], input=data, capture_output=True, cwd=where, timeout=20
    )
    say(done.stdout.decode().split(), done.stderr.decode())


def own_loop() -> None:
    clock = Clock()
    try:
        clock.call_back(clock)
    except OneError as error:
        say("refused:", error)
    say(clock.add(1))


def context() -> None:
    COLOUR.set("red")
    clock = Clock()
    say(clock.colour(), COLOUR.get())
    COLOUR.set("blue")
    say(clock.colour(), COLOUR.get())
    say(clock._here.colour_when_opened)
    say(list(clock.count(1)))


def iterator() -> None:
    clock = Clock()
    numbers = clock.count(5)
    say("nothing yet")
    for number in numbers:
        say("got", number)
        if number == 1:
            break
    numbers.close()
    say("after", list(clock.count(1)))


def iterator_forgotten() -> None:
    clock = Clock()
    next(clock.count(5))
    gc.collect()
    say("after", clock.add(1))


def closing() -> None:
    with Clock() as clock:
        say("inside")
        clock.mode = "local"
    say("outside", clock.mode)
    say(clock.add(1))
    clock.close()
    clock.close()
    try:
        clock.mode = "nonsense"
    except ValueError as error:
        say("refused", error)


def not_opening() -> None:
    clock = Clock("broken")
    for _ in range(2):
        try:
            clock.add(1)
        except ConnectionError as error:
            say(error)
    for bad in (lambda: Clock(""), lambda: Clock(nonsense=1)):
        try:
            bad()
        except (ValueError, TypeError) as error:
            say(type(error).__name__, error)


def crashing() -> None:
    clock = Clock("crashing")
    clock.add(1)
    time.sleep(0.2)
    try:
        clock.add(1)
    except BaseExceptionGroup as error:
        say(error.exceptions)
    say(clock.add(1))
    try:
        time.sleep(0.2)
        clock.close()
    except BaseExceptionGroup as error:
        say(error.exceptions)


def callback_exits() -> None:
    """An error that asyncio passes on does not end the loop under other callers."""
    clock = Clock()
    clock.add(1)
    loop = LoopThread.shared()._loop
    others = [threading.Thread(target=lambda: say(clock.in_thread(0.5))) for _ in range(2)]
    for other in others:
        other.start()
    for error in (SystemExit, KeyboardInterrupt):
        loop.call_soon_threadsafe(_raise, error)
    for other in others:
        other.join()
    say(clock.add(1), LoopThread.shared()._loop is loop)


def child_exits() -> None:
    """SystemExit in a task that a call started reaches its caller, and leaves the other calls alone."""
    clock = Clock()
    other = threading.Thread(target=lambda: say(clock.in_thread(0.5)))
    other.start()
    try:
        clock.fail_in_child(SystemExit(4))
    except BaseException as error:
        say(type(error).__name__)
    other.join()
    say(clock.add(1))


def loop_ends() -> None:
    """A loop that cannot go on fails the calls that wait for it, and the next call has another one."""
    clock = Clock()
    thread = LoopThread.shared()
    other = threading.Thread(target=_refused, args=(clock,))
    other.start()
    WAITING.wait()
    thread.post(_break, thread._loop)
    other.join()
    say(clock.add(1), LoopThread.shared() is thread)


def _refused(clock: Clock) -> None:
    try:
        clock.forever()
    except OneError as error:
        say(error)


def _raise(error: type[BaseException]) -> None:
    raise error


def _break(loop: asyncio.AbstractEventLoop) -> None:
    def select(timeout: float | None = None) -> None:
        raise OSError("no more files")

    loop._selector.select = select  # type: ignore[attr-defined]


def errors() -> None:
    clock = Clock()
    try:
        clock.fail(ValueError("bad"))
    except ValueError as error:
        lines = traceback.extract_tb(error.__traceback__)
        say([line.name for line in lines], len(traceback.format_exc().splitlines()) < 25)
    gc.disable()
    for error in (
        SystemExit(4),
        KeyboardInterrupt("no signal"),
        asyncio.CancelledError(),
        StopAsyncIteration(),
    ):
        try:
            clock.fail(error)
        except BaseException as caught:
            say(type(caught).__name__)
    say(clock.add(1))


def forgotten() -> None:
    """A face without references closes its client, without waiting."""
    clock = Clock()
    clock.add(1)
    del clock
    time.sleep(0.2)
    say("still running")


def parts() -> None:
    clock = Clock()
    clock.part.expiry = 3
    say(clock.part is clock.part, clock.part.ask(), clock._here.part.expiry)
    clock.close()
    say(clock.part.ask())
    other = Clock()
    say(other.part.ask())


if __name__ == "__main__":
    # SIGINT may be ignored if the tests run in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    globals()[sys.argv[1]]()
