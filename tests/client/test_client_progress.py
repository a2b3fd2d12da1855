"""The progress bar: on a terminal only, one for a whole call, and never in pipes."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from one_async import ONE
from one_async.emulator import Emulator
from one_async.errors import ConfigurationError, InputError
from one_async.transfer import bar
from one_async.transfer.bar import Bar

from .conftest import login
from .worlds import World

PLAIN = """
import sys
from one_async import ONE
url, cache, eid, options = sys.argv[1:]
with ONE(base_url=url, username="demo", password="demo", cache_dir=cache, **eval(options)) as one:
    print(len({call}))
"""
AWAITED = """
import sys, anyio
from one_async import AsyncONE
url, cache, eid, options = sys.argv[1:]
async def main():
    async with AsyncONE(base_url=url, username="demo", password="demo", cache_dir=cache, **eval(options)) as one:
        print(len(await {call}))
anyio.run(main, backend="trio")
"""
#: Each fetches two files or more, for a session each.
CALLS = {
    "download": 'one.download([eid], "_ibl_wheel.*", "alf")',
    "load_object": 'one.load_object(eid, "wheel")',
    "load_many": 'one.load_many([eid], "wheel")',
}


@pytest.fixture
def slow(seeded_server: Emulator) -> Emulator:
    """A server that takes longer for each file than a bar waits."""
    seeded_server.faults.add("/data/", hang=1.0, times=None)
    return seeded_server


@pytest.fixture(scope="module")
def eid(seeded: World) -> str:
    return str(seeded.session("CX_003", "2023-09-22")["id"])


def run(script: str, server: Emulator, cache: Path, eid: str, options: str, **kwargs: Any) -> Any:
    command = [sys.executable, "-W", "error", "-c", script, server.url, str(cache), eid, options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, **kwargs)


def on_terminal(script: str, server: Emulator, cache: Path, eid: str, options: str, **env: str) -> str:
    """Run with stderr on a terminal of its own; give what it showed."""
    pty = pytest.importorskip("pty")
    mine, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                shown.append(os.read(mine, 4096))
            except OSError:  # how Linux says that the other end is closed
                return
            if not shown[-1]:
                return

    reader = threading.Thread(target=read)
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", **env}
    process = run(script, server, cache, eid, options, stderr=theirs, env=environment)
    os.close(theirs)
    reader.start()
    out, _ = process.communicate()
    reader.join()
    os.close(mine)
    text = b"".join(shown).decode()
    assert process.returncode == 0, text
    assert int(out)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@pytest.mark.parametrize("script", [PLAIN, AWAITED], ids=["blocking", "trio"])
@pytest.mark.parametrize("call", CALLS)
def test_a_terminal_shows_the_files_and_bytes_of_a_call(
    slow: Emulator, seeded: World, eid: str, tmp_path: Path, script: str, call: str
) -> None:
    shown = on_terminal(script.format(call=CALLS[call]), slow, tmp_path, eid, "{}")
    files = [d for d in seeded.of(eid) if d["name"].startswith("_ibl_wheel.")]
    count, kilobytes = len(files), sum(d["file_size"] for d in files) / 1000
    assert f"0/{count} files" in shown
    assert f"{count}/{count} files" in shown
    whole = re.findall(r"([\d.]+)/([\d.]+) kB", shown)[-1]
    assert whole == (f"{kilobytes:.1f}",) * 2
    assert (
        shown.rstrip("\r\n").endswith("\r") or not shown.rpartition("\r")[2].strip()
    )  # and is gone at the end


@pytest.mark.parametrize(
    ("options", "env"), [("{'progress': False}", {}), ("{'silent': True}", {}), ("{}", {"TERM": "dumb"})]
)
def test_a_terminal_that_is_to_be_silent(
    slow: Emulator, eid: str, tmp_path: Path, options: str, env: dict[str, str]
) -> None:
    assert on_terminal(PLAIN.format(call=CALLS["load_many"]), slow, tmp_path, eid, options, **env) == ""


def test_what_comes_at_once_shows_nothing(seeded_server: Emulator, eid: str, tmp_path: Path) -> None:
    script = PLAIN.format(call=CALLS["load_many"])
    assert on_terminal(script, seeded_server, tmp_path, eid, "{}", ONE_TEST="") is not None
    seeded_server.faults.add("/data/", hang=1.0, times=None)
    assert on_terminal(script, seeded_server, tmp_path, eid, "{}") == ""  # all is there


def test_pipes_hear_nothing(slow: Emulator, eid: str, tmp_path: Path) -> None:
    environment = {**os.environ, "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}
    process = run(PLAIN.format(call=CALLS["load_many"]), slow, tmp_path, eid, "{}",
                  stderr=subprocess.PIPE, env=environment)  # fmt: skip
    out, err = process.communicate()
    assert int(out)
    assert err == b""


def test_rich_is_imported_only_when_a_bar_is_shown(slow: Emulator, eid: str, tmp_path: Path) -> None:
    # httpx imports rich for its own command line if click is there.
    script = "import sys; sys.modules['click'] = None\n" + PLAIN.format(call=CALLS["load_many"])
    script += "print('rich' in sys.modules)"
    process = run(script, slow, tmp_path, eid, "{}", stderr=subprocess.PIPE)
    assert process.communicate()[0].split()[-1] == b"False"


def test_what_progress_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="progress=5"):
        ONE(cache_dir=tmp_path, progress=5)
    monkeypatch.setattr(bar, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"one-async\[progress\]"):
        ONE(cache_dir=tmp_path, progress=True)


def test_a_bar_is_of_all_calls_under_way() -> None:
    one = Bar(delay=1000)
    one.enter()
    one.enter()
    for size in (10, 20):
        one.start(1, size)
        one.advance(1, size)
        one.stop()
    assert one.leave() is None
    assert (one.files, one.all_files, one.bytes, one.all_bytes) == (2, 2, 30, 30)
    wait = one.leave()
    assert wait is not None
    wait()
    one.enter()
    assert (one.files, one.all_files, one.bytes, one.all_bytes) == (0, 0, 0, 0)


@pytest.mark.skipif(importlib.util.find_spec("nbclient") is None, reason="needs nbclient")
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own
def test_a_notebook_shows_it_too(slow: Emulator, eid: str, tmp_path: Path) -> None:
    import nbclient
    import nbformat

    options = {**login(slow), "cache_dir": str(tmp_path)}
    code = f"from one_async import ONE\nONE(**{options!r}).load_object({eid!r}, 'wheel');"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    shown = "".join(output.get("data", {}).get("text/html", "") for output in notebook.cells[0].outputs)
    assert re.search(r"(\d+)/\1 files", re.sub(r"<[^>]*>", "", shown))
