"""Progress: one line on a terminal or in a notebook for long calls, and none in pipes or on standard output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from one_async import ONE, AsyncONE
from one_async._progress import (
    Display,
    Task,
    Transfers,
    display_for,
    growing,
    line_of,
    screen,
    shown,
    working,
)
from one_async.emulator import Emulator
from one_async.errors import InputError
from one_async.harvest.run import HarvestTask

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
#: Each downloads at least two files, for a session each.
CALLS = {
    "download": 'one.download([eid], "_ibl_wheel.*", "alf")',
    "load_object": 'one.load_object(eid, "wheel")',
    "load_many": 'one.load_many([eid], "wheel")',
}


@pytest.fixture
def slow(seeded_server: Emulator) -> Emulator:
    """Yield a server whose files take longer than the delay of the progress bar."""
    seeded_server.faults.add("/data/", hang=1.0, times=None)
    return seeded_server


@pytest.fixture(scope="module")
def eid(seeded: World) -> str:
    return str(seeded.session("CX_003", "2023-09-22")["id"])


def run(script: str, server: Emulator, cache: Path, eid: str, options: str, **kwargs: Any) -> Any:
    command = [sys.executable, "-W", "error", "-c", script, server.url, str(cache), eid, options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, **kwargs)


def on_terminal(script: str, server: Emulator, cache: Path, eid: str, options: str, **env: str) -> str:
    """Run with stderr on a new terminal; return what it showed."""
    return terminal(
        [sys.executable, "-W", "error", "-c", script, server.url, str(cache), eid, options], **env
    )


def terminal(command: list[str], **env: str) -> str:
    """Run a command that prints a number, with stderr on a terminal; return what it showed there."""
    pty = pytest.importorskip("pty")
    mine, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                shown.append(os.read(mine, 4096))
            except OSError:  # Linux raises this when the other end is closed
                return
            if not shown[-1]:
                return

    reader = threading.Thread(target=read)
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", **env}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
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
    )  # and is cleared at the end


@pytest.mark.parametrize(
    ("options", "env"),
    [
        ("{'progress': False}", {}),
        ("{'silent': True}", {}),
        ("{}", {"TERM": "dumb"}),
        ("{}", {"ONE_PROGRESS": "0"}),
    ],
)
def test_a_terminal_that_is_to_be_silent(
    slow: Emulator, eid: str, tmp_path: Path, options: str, env: dict[str, str]
) -> None:
    assert on_terminal(PLAIN.format(call=CALLS["load_many"]), slow, tmp_path, eid, options, **env) == ""


def test_immediate_results_show_no_progress(seeded_server: Emulator, eid: str, tmp_path: Path) -> None:
    script = PLAIN.format(call=CALLS["load_many"])
    assert on_terminal(script, seeded_server, tmp_path, eid, "{}", ONE_TEST="") is not None
    seeded_server.faults.add("/data/", hang=1.0, times=None)
    assert on_terminal(script, seeded_server, tmp_path, eid, "{}") == ""  # all files are on disk


def test_nothing_is_written_to_pipes(slow: Emulator, eid: str, tmp_path: Path) -> None:
    environment = {**os.environ, "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}
    process = run(PLAIN.format(call=CALLS["load_many"]), slow, tmp_path, eid, "{}",
                  stderr=subprocess.PIPE, env=environment)  # fmt: skip
    out, err = process.communicate()
    assert int(out)
    assert err == b""


def test_true_writes_one_line_into_a_file(slow: Emulator, eid: str, tmp_path: Path) -> None:
    script = PLAIN.format(call=CALLS["load_many"])
    process = run(script, slow, tmp_path, eid, "{'progress': True}", stderr=subprocess.PIPE)
    out, err = process.communicate()
    assert int(out)
    assert re.fullmatch(rb"\[#{10}\] 100% downloading (\d+)/\1 files, ([\d.]+)/\2 kB.*\n", err)


#: Other long calls of a blocking client, and the lines that are shown, in order.
WORK = """
    one.load_many(one.search(datasets="_ibl_wheel.position.npy")[:2], "wheel")
    one.harvest("sessions")
    one.harvest(["labs", "subjects", "sessions"])
    one.refresh_cache("refresh")
    print(1)
"""
LINES = (
    r"loading 0/2 sessions; downloading \d/\d+ files, [\d.]+/[\d.]+ kB",
    r"harvesting 0 rows so far",
    r"harvesting sessions: (\d+)/\1 rows",
    r"harvesting 3 endpoints: [\d,]+/[\d,]+\+? rows",
    r"downloading tables [\d.]+ k?B so far",
    r"/[\d.]+ [kM]B",
)


@pytest.mark.parametrize("script", [PLAIN, AWAITED], ids=["blocking", "trio"])
def test_a_terminal_shows_what_takes_long(
    seeded_server: Emulator, eid: str, tmp_path: Path, script: str
) -> None:
    faults = seeded_server.faults
    faults.add("/data/", hang=0.8, times=1)
    faults.add("/sessions", hang=0.8, times=None, skip=3)
    faults.add("/cache.zip", hang=0.8)
    work = WORK
    if script == AWAITED:
        calls = ("one.search(", "one.load_many(", "one.harvest(", "one.refresh_cache(")
        for call in calls:
            work = work.replace(call, f"await {call}")
        work = work.replace(
            'await one.search(datasets="_ibl_wheel.position.npy")[',
            '(await one.search(datasets="_ibl_wheel.position.npy"))[',
        )
        work = work.replace("\n    ", "\n        ")
    body = script.replace("    print(len(await {call}))", work).replace("    print(len({call}))", work)
    shown = on_terminal(body, seeded_server, tmp_path, eid, "{}")
    at = 0
    for line in LINES:
        found = re.search(line, shown[at:])
        assert found, f"{line}\n{shown}"
        at += found.end()


@pytest.mark.parametrize("harvested", [False, True], ids=["query", "harvest"])
def test_a_wait_for_the_throttle_is_one_line(
    seeded_server: Emulator, eid: str, tmp_path: Path, harvested: bool
) -> None:
    """Several requests are refused at the same time; all of them wait, and one line shows it."""
    endpoints = ["labs", "subjects", "projects", "users"]
    many = "[one.alyx.get('/labs/' + name, no_cache=True) for name in [row['name'] for row in one.alyx.rest('labs', 'list')] * 6]"
    call = f"(one.harvest({endpoints}).endpoints if {harvested} else one.list_subjects()) if len({many}) > 20 else 0"
    for endpoint in endpoints:
        seeded_server.faults.add(f"/{endpoint}", status=429, headers={"retry-after": "1"}, skip=0, times=0)
    wait = seeded_server.faults.add("/subjects", status=429, headers={"retry-after": "1"}, times=1)
    shown = on_terminal(PLAIN.format(call=call), seeded_server, tmp_path, eid, "{}")
    lines = re.findall(r"waiting (\d+) s: the server allows (\d+) requests a minute", shown)
    assert len(lines) == wait.hits == 1
    seconds, limit = map(int, lines[0])
    assert seconds in (1, 2)
    passed = [r for r in seeded_server.requests if not r.path.startswith("/auth-token")]
    assert 20 < limit < len(passed)


def test_a_wait_is_logged_where_nobody_looks(
    seeded_server: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seeded_server.faults.add("/subjects", status=429, headers={"retry-after": "1"})
    with ONE(**login(seeded_server), cache_dir=tmp_path) as one:
        one.list_subjects(query_type="remote")
        assert one.stats.waited >= 1
    assert "waiting 1 s: the server refuses further requests (429)" in caplog.text


def test_a_refresh_in_the_background_shows_nothing(seeded_server: Emulator, eid: str, tmp_path: Path) -> None:
    with ONE(**login(seeded_server), cache_dir=tmp_path, mode="refresh") as one:
        one.search()
    seeded_server.touch_tables("2030-01-01 00:00")
    rule = seeded_server.faults.add("/cache.zip", hang=0.7, times=None)
    script = PLAIN.replace(
        "print(", "import time; one.search(lab='cortexlab'); one.cache_expiry = 0.5\n    "
    ).replace("len({call}))", "[time.sleep(0.05) for _ in range(40)]; print(1)")
    assert on_terminal(script, seeded_server, tmp_path, eid, "{'mode': 'auto'}") == ""
    assert rule.hits


def test_building_tables_is_shown(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / "lab" / "Subjects" / "S1" / "2024-01-01" / f"00{number + 1}" / "alf"
        folder.mkdir(parents=True)
        (folder / "trials.choice.npy").write_bytes(b"x")
    script = (
        "import sys, time\nfrom one_async.tables import assemble, build\n"
        "old = assemble._md5\nassemble._md5 = lambda *given: time.sleep(0.5) or old(*given)\n"
        f"build.make_parquet_db({str(tmp_path)!r}, hash_files=True)\nprint(1)\n# {{call}}"
    )
    shown = terminal([sys.executable, "-W", "error", "-c", script])
    assert re.search(r"\[\.{10}\] +0% reading files 0/3 files", shown), shown


def test_opening_tables_is_shown(tmp_path: Path, seeded_server: Emulator, eid: str) -> None:
    with ONE(**login(seeded_server), cache_dir=tmp_path, mode="refresh") as one:
        one.search()
    script = (
        "import time\nfrom one_async.tables import catalogue\nold = catalogue.read_table\n"
        "catalogue.read_table = lambda *given: time.sleep(0.5) or old(*given)\n"
    ) + PLAIN.format(call="one.search(lab='cortexlab')")
    shown = on_terminal(script, seeded_server, tmp_path, eid, "{'mode': 'local'}")
    assert re.search(r"opening the tables 1/\d files", shown), shown


def test_the_total_of_a_harvest_grows_until_all_endpoints_are_counted() -> None:
    task = HarvestTask(2)
    assert task.text() == "harvesting 0 rows so far"
    for endpoint, rows, total, text in (
        ("labs", 0, 4, "harvesting 2 endpoints: 0/4+ rows"),
        ("sessions", 0, None, "harvesting 2 endpoints: 0/4+ rows"),
        ("sessions", 100, 1200, "harvesting 2 endpoints: 100/1,204 rows"),
        ("labs", 4, 4, "harvesting 2 endpoints: 104/1,204 rows"),
    ):
        task.report(endpoint, rows, total)
        assert task.text() == text


# ---- whether progress is shown


def test_what_progress_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="progress=5"):
        ONE(cache_dir=tmp_path, progress=5)
    assert isinstance(display_for(True), Display)
    assert display_for(False) is None
    monkeypatch.setenv("TERM", "dumb")
    assert display_for(None) is None
    for given, expected in (("1", True), ("0", False)):
        monkeypatch.setenv("ONE_PROGRESS", given)
        assert (AsyncONE(cache_dir=tmp_path)._context.display is not None) is expected
        assert AsyncONE(cache_dir=tmp_path, progress=False)._context.display is None
        assert AsyncONE(cache_dir=tmp_path, silent=True)._context.display is None
        assert AsyncONE(cache_dir=tmp_path, progress=True)._context.display is not None


# ---- texts


def test_the_progress_line_shows_the_known_numbers() -> None:
    assert Task("opening", "files").text() == "opening 0 files so far"
    assert Task("reading", "files", 1200).text() == "reading 0/1,200 files"
    assert Task("reading", "rows", 7, grows=True).text() == "reading 0/7+ rows"
    assert Task("preparing").text() == "preparing, 0 s"
    task = Task("x", "files", 4)
    task.set(1, 4)
    task.started -= 60
    assert line_of([Task("y"), task]) == "[##........]  25% 3:00 left, y, 0 s; x 1/4 files"
    other = Task("z", "files", 2, grows=True)
    assert line_of([task, other]) == "[##........]  25% 3:00 left, x 1/4 files; z 0/2+ files"
    other.grows = False
    assert line_of([task, other]) == "[..........]   0% x 1/4 files; z 0/2 files"
    archive = Task("tables", "bytes")
    assert archive.text() == "tables 0 B so far"
    archive.set(1_200_000, 3_400_000)
    assert archive.text() == "tables 1.2/3.4 MB"
    archive.set(5, 0)
    assert archive.text() == "tables 5/0 B"


def test_growing_totals_are_marked() -> None:
    begun: list[Task] = []
    transfers = Transfers("downloading", begun.append)
    with growing(transfers, 2) as looked_up:
        transfers.start(3, 3000)
        looked_up()
        assert transfers.text() == "downloading 0/3+ files, 0.0/3.0+ kB"
        assert transfers.fraction is None
        transfers.start(1, 1000)
        looked_up()
        assert transfers.text() == "downloading 0/4 files, 0.0/4.0 kB"
    with pytest.raises(ZeroDivisionError), growing(transfers, 2):
        1 / 0  # noqa: B018
    assert transfers.growing == 0
    assert begun == [transfers]
    transfers.advance(2, 5000)
    assert transfers.text() == "downloading 2/4 files, 5.0/5.0 kB"


@pytest.mark.anyio
async def test_transfers_of_calls_at_the_same_time_are_summed() -> None:
    display = Display(delay=1000)
    async with display.transferring() as first:
        async with display.transferring() as second:
            assert first is second
            for transfers, size in ((first, 10), (second, 20)):
                transfers.start(1, size)
                transfers.advance(1, size)
                transfers.stop()
        assert display.line == "[##########] 100% downloading 2/2 files, 30/30 B"
    assert display.line == ""
    async with display.transferring() as again:
        assert (again.files, again.all_files) == (0, 0)
    async with shown(display, Task("x")), shown(None, Task("y")):
        assert display.line == "x, 0 s"
    with working(display, Task("x")) as task, screen(), screen():
        assert list(task.each("abc")) == ["a", "b", "c"]
        assert task.done == 3
    assert display.line == ""


@pytest.mark.filterwarnings("ignore")  # Jupyter's own warnings
def test_a_notebook_shows_it_too(slow: Emulator, eid: str, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    options = {**login(slow), "cache_dir": str(tmp_path)}
    code = f"from one_async import ONE\nONE(**{options!r}).load_object({eid!r}, 'wheel');"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    shown = "".join(output.get("data", {}).get("text/html", "") for output in notebook.cells[0].outputs)
    assert re.search(r"(\d+)/\1 files", re.sub(r"<[^>]*>", "", shown))
