"""The output of commands: plain help, one line per row for any values and encodings, and no empty lines."""

from __future__ import annotations

import datetime
import io
import json
import re
import uuid
from pathlib import Path

import polars as pl
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from one_async.cli import harvest, register, sessions, show
from one_async.cli.app import app
from one_async.harvest.report import EndpointReport, HarvestReport
from one_async.tables.disk import write_table
from one_async.tables.schema import DATASETS, SESSIONS

BOXES = set("╭╮╰╯│─━\x1b")
PROTOCOL = "_iblrig_tasks_ephysChoiceWorld6.4.2"
WIDTHS = {"eid": 36, "subject": 14, "task_protocol": 20}
ROW = (str(uuid.UUID(int=7)), "KS005", PROTOCOL)


class Screen:
    """A terminal with an encoding."""

    def __init__(self, patch: pytest.MonkeyPatch, width: int = 80, encoding: str = "utf-8") -> None:
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
        self.file = file
        console = Console(
            file=file, markup=False, emoji=False, force_terminal=True, color_system=None, width=width
        )
        patch.setattr(show, "console", console)

    def lines(self) -> list[str]:
        self.file.flush()
        return self.file.buffer.getvalue().decode(self.file.encoding).splitlines()  # type: ignore[attr-defined]


def names_of_commands() -> list[tuple[str, ...]]:
    group = typer.main.get_command(app)
    found: list[tuple[str, ...]] = [()]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        found += [(name,), *((name, inner) for inner in getattr(command, "commands", ()))]
    return found


def test_help_is_plain_text_of_80_columns_with_whole_summaries() -> None:
    names = names_of_commands()
    assert len(names) > 20
    for words in names:
        done = CliRunner(env={"COLUMNS": "80"}).invoke(app, [*words, "--help"])
        assert done.exit_code == 0, done.output
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert not set(done.stdout) & BOXES, words
        assert "..." not in done.stdout.partition("Commands:")[2], words
        # Metavars are names such as URL, not types of Python.
        assert not re.search(r"<[a-z]|list\[|\b(str|int|float|range)\b", done.stdout.replace("x>=", "")), (
            words
        )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("search", "--lmit", "3"), "Error: No such option: --lmit"),
        (("search",), "Error: Missing argument 'TERM=VALUE"),
        (("serch",), "Error: No such command 'serch'"),
        (("ls",), "Error: Missing argument 'SESSION"),
        (("harvest",), "Error: Missing option '--to'"),
    ],
)
def test_errors_of_usage_are_plain_and_name_the_argument(words: tuple[str, ...], text: str) -> None:
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, list(words))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(text)
    assert not set(done.stderr) & BOXES


def test_columns_share_the_width_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for width, shown in ((60, False), (70, False), (79, True), (80, True), (160, True)):
        screen = Screen(monkeypatch, width)
        show.listing([ROW], WIDTHS, "1 session", 1, fit=True)
        title, head, row = screen.lines()
        assert ("task_protocol" in head) is (sum((36, 7, 20)) + 2 <= width)
        assert max(map(len, (title, head, row))) <= width
        if shown:
            room = width - 36 - 7 - 2
            assert row.split()[2] == (PROTOCOL if room >= len(PROTOCOL) else f"{PROTOCOL[: room - 1]}…")


def test_long_values_continue_below_their_beginning_and_paths_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen(monkeypatch)
    path, address = "/data/" + "x" * 90, "https://host/" + "y" * 90
    protocols = f"{PROTOCOL}/{PROTOCOL}/{PROTOCOL}"
    show.print_fields(
        {"path": path, "task_protocol": protocols, "database": address, "note": "one\ttwo\nthree"}
    )
    lines = screen.lines()
    assert lines[0] == f"path           {path}"
    assert lines[-2:] == [f"database       {address}", "note           one two three"]
    assert "".join(line[15:] for line in lines[1:-2]) == protocols
    assert all(line.startswith((" " * 15, "task_protocol  ")) and len(line) <= 80 for line in lines[1:-2])


def test_empty_tables_have_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    show.listing([], WIDTHS, "0 sessions", 0, fit=True)
    assert screen.lines() == ["0 sessions"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(names=st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_rows_with_any_name_have_one_line_and_aligned_columns(
    monkeypatch: pytest.MonkeyPatch, encoding: str, names: list[str]
) -> None:
    screen = Screen(monkeypatch, encoding=encoding)
    rows = [("\u202etxt.npy" + name, "1 kB", "FAIL") for name in names]
    show.listing(rows, {"dataset": 30, "size": 8, "qc": 8}, "title", len(rows))
    lines = screen.lines()
    assert len(lines) == len(rows) + 2
    for line in lines[2:]:
        assert line.split()[-3:] == ["1", "kB", "FAIL"]
        assert not set(line) & {"\u202e", "\t", "\r", "\x1b"}
    if encoding != "utf-8":  # one column a character
        assert len({len(line.rstrip()) for line in lines[2:]}) == 1
        assert max(map(len, lines)) <= 80


def test_progress_writes_nothing_to_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    for module in (show, harvest):
        monkeypatch.setattr(module, "stderr", Console(file=pipe, markup=False))
    with show.waiting("searching …"):
        pass
    bars = harvest.Bars()
    with bars.bars:
        bars("sessions", 5, 10)
    assert pipe.getvalue() == ""


def test_a_session_without_a_path_is_shown(tmp_path: Path) -> None:
    eid, date = str(uuid.UUID(int=7, version=4)), datetime.date(2024, 5, 6)
    row = {"eid": eid, "lab": "lab", "subject": "no/folder", "date": date, "number": 1}
    tables = {"sessions": pl.DataFrame([row], schema=SESSIONS), "datasets": pl.DataFrame(schema=DATASETS)}
    for name, frame in tables.items():
        write_table(
            tmp_path / f"{name}.pqt", name, frame, {"date_created": "2025-01-15 06:00", "origin": "here"}
        )
    runner = CliRunner(env={"ONE_CACHE_DIR": str(tmp_path)})
    with pytest.warns(UserWarning, match="no path"):
        done = runner.invoke(app, ["show", eid, "--json", "--mode", "local"])
    assert json.loads(done.stdout)["path"] is None
    with pytest.warns(UserWarning, match="no path"):
        done = runner.invoke(app, ["show", eid, "--mode", "local"])
    assert [line.split()[0] for line in done.stdout.splitlines()][:3] == ["eid", "lab", "subject"]


def test_errors_break_between_words_and_not_within_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    console = Console(file=file, markup=False, force_terminal=True, color_system=None, width=40)
    monkeypatch.setattr(show, "stderr", console)
    path = "/data/cortexlab/Subjects/CX-001/2024-05-06/001/alf"
    show.print_problem("refused", f" {path}: the database has no subject\nand no lab \x1b[31m")
    lines = file.getvalue().splitlines()
    assert lines == ["refused", f"{path}:", "the database has no subject", "and no lab \ufffd[31m"]
    file.truncate(0)
    file.seek(0)
    monkeypatch.setattr(show, "stderr", Console(file=file, force_terminal=False, width=40))
    show.print_problem("InputError", ": a message that is much longer than one line of the terminal")
    assert file.getvalue().count("\n") == 1


@pytest.mark.parametrize("width", [80, 120])
def test_headers_of_a_harvest_are_not_truncated(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    screen = Screen(monkeypatch, width)
    report = HarvestReport(server="http://127.0.0.1", started=datetime.datetime.now(datetime.UTC))
    for name in ("sessions", "water-restricted-subjects"):
        report.endpoints[name] = EndpointReport(
            endpoint=name, counted=38_000, distinct=38_000, written=38_000, complete=False
        )
    show.print_titled("title", harvest.table_of(report))
    assert screen.lines()[1].split() == ["endpoint", "counted", "distinct", "written", "requests", "seconds"]
    assert all(len(line) <= width for line in screen.lines())


def test_a_terminal_shows_the_first_of_many_failed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    Screen(monkeypatch)
    console = Console(file=file, markup=False, force_terminal=True, color_system=None, width=200)
    monkeypatch.setattr(show, "stderr", console)
    monkeypatch.setattr(sessions, "stderr", console)
    rows = [
        {"eid": "e", "dataset": f"d{at}", "status": "failed", "bytes": 1, "error": "disk full"}
        for at in range(25)
    ]
    monkeypatch.setattr(sessions, "console", show.console)
    sessions._report(pl.DataFrame(rows))
    lines = file.getvalue().splitlines()
    assert lines[:10] == [f"failed e d{at}: disk full" for at in range(10)]
    assert lines[10:] == ["… 15 more failed; --json shows all"]


def test_reasons_of_a_plan_wrap_and_names_of_files_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    monkeypatch.setattr(register, "console", show.console)
    names = ["alf/_ibl_trials.choice.npy", "alf/wheel.position.npy"]
    plan = pl.DataFrame(
        {"file": names, "reason": ["no dataset type matches the name", "the same content is registered"]}
    )
    plan = plan.with_columns(
        session=pl.lit("CX_001/2026-01-02/001"),
        eid=pl.lit(None, pl.String),
        dataset_type=pl.lit("wheel.position"),
        size=pl.lit(168),
        status=pl.lit("no type"),
    )
    register.print_plan(plan)
    shown = [line.split()[0] for line in screen.lines() if line.startswith("alf")]
    assert shown == names
    assert all(len(line) <= 80 for line in screen.lines())
