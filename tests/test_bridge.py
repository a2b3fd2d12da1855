"""The bridge between blocking callers and the async core: each scenario runs in a separate process.

Every process runs with warnings as errors. It must exit by itself well before the limit, with the given exit code and
output, and with nothing on its standard error.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).parent / "bridge" / "scenarios.py"
LIMIT = 30  # seconds: far above the duration of any scenario, far below that of a hang

OUTPUT = {
    "plain": ["opened", "3 2 Clock (a, remote)", "closed"],
    "in_asyncio": ["opened", "1", "made 0", "made 1", "iterator closed none", "0 1", "closed"],
    "in_trio": ["opened", "1", "one_async", "closed"],
    "in_anyio_on_trio": ["opened", "1 one_async", "closed"],
    "ctrl_c": ["opened", *["waiting", "cleaned up", "interrupted", "1"] * 2, "closed"],
    "ctrl_c_twice": ["opened", "waiting", "interrupted", "1", "closed"],
    "ctrl_c_in_thread": ["opened", "written whole", "interrupted", "1", "closed"],
    "ctrl_c_in_iterator": [
        "opened", "made 0", "waiting", "cleaned up", "iterator closed none", "interrupted", "1", "closed",
    ],
    "ctrl_c_any_time": ["opened", "1 True 0", "closed"],
    "exit_pending": ["opened", "waiting", "main ends", "cleaned up", "closed"],
    "exit_stubborn": ["opened", "waiting", "main ends", "closed"],
    "exit_pending_lookup": ["main ends"],
    "exit_unclosed": ["opened", "1 one_async", "closed"],
    "exit_in_iterator": ["opened", "made 0", "0", "iterator closed none", "closed"],
    "exit_unused": ["Clock (clock, remote)"],
    "exit_with_thread": ["opened", "one_async", "closed"],
    "exit_late_call": [
        "opened", "closed", "refused: Python is exiting: no more calls can be made",
    ],
    "racing": ["opened", "16 1 1", "closed"],
    "context": [
        "opened", "red red", "blue blue", "none", "made 0", "iterator closed blue", "[0]", "closed",
    ],
    "iterator": [
        "nothing yet", "opened", "made 0", "got 0", "made 1", "got 1", "iterator closed none",
        "made 0", "iterator closed none", "after [0]", "closed",
    ],
    "iterator_forgotten": ["opened", "made 0", "iterator closed none", "after 1", "closed"],
    "closing": [
        "opened", "inside", "closed", "outside local", "opened", "1", "closed", "refused nonsense",
    ],
    "not_opening": [
        "it does not open", "it does not open", "ValueError a clock needs a name",
        "TypeError got an unexpected keyword argument 'nonsense'",
    ],
    "crashing": [
        "opened", "closed", "(ConnectionError('the background task failed'),)",
        "opened", "1", "closed", "(ConnectionError('the background task failed'),)",
    ],
    "errors": [
        "opened", "['errors', 'fail', 'run', 'outcome', 'work', 'fail'] True",
        "SystemExit", "KeyboardInterrupt", "OneError", "StopAsyncIteration", "1", "closed",
    ],
    "callback_exits": ["opened", "one_async", "one_async", "1 True", "closed"],
    "child_exits": ["opened", "BaseExceptionGroup", "one_async", "1", "closed"],
    "loop_ends": [
        "opened", "waiting", "the event loop of the blocking interface was stopped", "opened", "1 False", "closed",
    ],
    "forgotten": ["opened", "closed", "still running"],
    "parts": ["opened", "True 3 3", "closed", "opened", "3", "opened", "24", "closed", "closed"],
}  # fmt: skip

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def run(name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(SCENARIOS), name],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        start_new_session=True,
    )


def lines(name: str) -> list[str]:
    done = run(name)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", OUTPUT)
def test_scenario_exits_with_its_code_and_output(name: str) -> None:
    assert lines(name) == OUTPUT[name]


def test_an_uncaught_ctrl_c_ends_the_process() -> None:
    done = run("ctrl_c_uncaught")
    assert done.returncode in (-2, 130)
    assert done.stdout.splitlines() == ["opened", "waiting", "cleaned up", "closed"]
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"


def test_the_exit_code_of_a_signal_handler_is_kept() -> None:
    done = run("exit_by_signal")
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines() == ["opened", "waiting", "cleaned up", "closed"]


@needs_fork
def test_a_forked_child_makes_its_own_client_and_the_parent_continues() -> None:
    assert lines("fork") == [
        "opened",
        "opened",
        "child True local 7 one_async",
        "closed",
        "status 7",
        "parent True local one_async",
        "closed",
    ]


@needs_fork
def test_a_fork_during_calls_of_other_threads_works() -> None:
    output = "\n".join(lines("fork_while_busy"))
    assert output.count("child 1") == 3
    assert output.count("opened") == output.count("closed") == 4
    assert "[0, 0, 0] 2" in output


@pytest.mark.parametrize("name", ["spawn", pytest.param("fork_pool", marks=needs_fork)])
def test_a_face_can_be_sent_to_workers(name: str) -> None:
    assert "[(2, True), (2, True)]" in lines(name)


def test_pickle_keeps_arguments_without_secrets() -> None:
    output = lines("pickling")
    assert "Clock (pickled, remote) 1 None None secret-token" in output
    assert "24" in output
    assert "['opened', '2', 'closed'] " in output


def test_a_blocking_call_on_the_loop_thread_is_refused() -> None:
    output = lines("own_loop")
    assert re.match("refused: .*from inside the event loop.*await", output[1])
    assert output[2:] == ["1", "closed"]


def test_blocking_methods_have_the_signature_and_docstring_of_the_async_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(SCENARIOS.parent))
    from face import AsyncClock, Clock

    assert inspect.signature(Clock.add) == inspect.signature(AsyncClock.add)
    assert list(inspect.signature(Clock.__new__(Clock).add).parameters) == ["number", "other"]
    assert Clock.add.__doc__ == "Add two numbers."
    assert Clock.count.__doc__ == AsyncClock.count.__doc__
    assert Clock.mode.__doc__ == "The source of answers."
    assert inspect.signature(Clock) == inspect.signature(AsyncClock)
    assert not inspect.iscoroutinefunction(Clock.add)


def test_the_import_loads_neither_anyio_nor_numpy() -> None:
    code = (
        "import sys, one_async._bridge; "
        "print([name for name in ('anyio', 'httpx', 'polars', 'numpy', 'hishel') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout == "[]\n"
