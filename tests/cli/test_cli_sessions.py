"""``search``, ``ls``, ``show``, ``download``, ``cache`` and ``doctor`` on the seeded world, piped and on a terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from one_async import ONE
from one_async.cli import cache, sessions, show, tables
from one_async.cli.app import app
from one_async.emulator import Emulator

Run = Callable[..., Result]
TERMS = ("lab=cortexlab", "datasets=spikes.times.npy")


@pytest.fixture
def run(seeded_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name, value in {
        "BASE_URL": seeded_emulator.url,
        "USERNAME": "demo",
        "PASSWORD": "demo",
        "CACHE_DIR": tmp_path / "data",
    }.items():
        monkeypatch.setenv(f"ONE_{name}", str(value))
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def one(seeded_emulator: Emulator, tmp_path: Path) -> ONE:
    return ONE(
        base_url=seeded_emulator.url,
        username="demo",
        password="demo",
        cache_dir=tmp_path / "other",
        silent=True,
    )


@pytest.fixture(params=[80, 120])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Replace the console by a terminal of the given width."""
    for module in (show, sessions, cache, tables):
        console = Console(markup=False, emoji=False, force_terminal=True, no_color=True, width=request.param)
        monkeypatch.setattr(module, "console", console)
    return int(request.param)


def lines(done: Result) -> list[list[str]]:
    assert done.exit_code == 0, done.output
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_piped_search_has_all_sessions_with_the_eid_first(run: Run, one: ONE) -> None:
    eids, frame = one.search(lab="cortexlab", details=True)
    found = lines(run("search", "lab=cortexlab"))
    assert [row[0] for row in found] == [str(eid) for eid in eids]
    assert len(found) == frame.height > 20
    assert [row[1:4] for row in found] == [
        [row["subject"], str(row["date"]), str(row["number"])] for row in frame.to_dicts()
    ]


def test_the_eids_of_a_search_can_be_listed(run: Run, one: ONE) -> None:
    """Search, take the first column and list, as ``search … | cut -f1 | xargs ls`` does."""
    eids = [row[0] for row in lines(run("search", *TERMS))][:3]
    rows = lines(run("ls", *eids))
    wanted = one.list_datasets(eids)
    assert sorted((row[3], row[0]) for row in rows) == sorted(
        (eid, path) for eid, paths in zip(eids, wanted, strict=True) for path in paths
    )
    rows = lines(run("ls", eids[0], "--collection", "alf", "--dataset", "licks*"))
    assert {row[0] for row in rows} == {path for path in wanted[0] if path.startswith("alf/licks")}


@pytest.mark.parametrize(
    "words", [("ls",), ("show",), ("cache", "verify", "--mode", "remote"), ("download",)]
)
def test_a_name_without_a_session_exits_with_an_error(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "data").mkdir()
    done = run(*words, "2024-05-06_1_NOPE")
    assert done.exit_code == 1, done.output
    assert done.stderr == "ALFObjectNotFound: there is no session with the name '2024-05-06_1_NOPE'\n"


@pytest.mark.parametrize("words", [("search", "lab=cortexlab"), ("show", "EID"), ("ls", "EID", "--json")])
def test_closing_the_output_early_is_not_an_error(
    one: ONE, seeded_emulator: Emulator, tmp_path: Path, words: tuple[str, ...]
) -> None:
    eid = str(one.search(subject="SU_101")[0])
    places = {
        "ONE_BASE_URL": seeded_emulator.url,
        "ONE_CACHE_DIR": str(tmp_path),
        "ONE_CONFIG_DIR": str(tmp_path),
    }
    environment = {**os.environ, **places, "ONE_USERNAME": "demo", "ONE_PASSWORD": "demo"}
    command = [sys.executable, "-m", "one_async", *(eid if word == "EID" else word for word in words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_limits_and_columns_can_be_chosen(run: Run) -> None:
    assert len(lines(run("search", "lab=cortexlab", "--limit", 3))) == 3
    assert len(json.loads(run("search", "lab=cortexlab", "--limit", 3, "--json").stdout)) == 3
    assert len(json.loads(run("search", "lab=cortexlab", "--json").stdout)) > 20
    first = json.loads(run("search", *TERMS, "--columns", "number,eid", "--json").stdout)[0]
    assert list(first) == ["number", "eid"]
    refused = run("search", *TERMS, "--columns", "eid,nummber")
    assert refused.exit_code == 2
    assert "nummber" in refused.stderr
    assert "task_protocol" in refused.stderr


def test_a_terminal_shows_whole_eids_subjects_and_dates(run: Run, one: ONE, terminal: int) -> None:
    eids, frame = one.search(lab="cortexlab", details=True)
    done = run("search", "lab=cortexlab", "--limit", 5)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()
    assert shown[0].strip() == f"{frame.height} sessions"
    assert all(len(line.rstrip()) <= terminal for line in shown)
    for eid, row, line in zip(eids, frame.to_dicts(), shown[2:7], strict=False):
        assert line.split()[:4] == [str(eid), row["subject"], str(row["date"]), str(row["number"])]
    assert ("task_protocol" in shown[1]) is (terminal == 120)
    assert f"… {frame.height - 5} more" in shown[-1]


def test_show_prints_a_session(run: Run, one: ONE) -> None:
    eid = one.search(lab="cortexlab", datasets="spikes.times.npy")[0]
    answer = json.loads(run("show", eid, "--json").stdout)
    pids, names = one.eid2pid(eid)
    assert answer["insertions"] == [
        {"name": name, "pid": str(pid)} for pid, name in zip(pids, names, strict=True)
    ]
    assert sum(found["datasets"] for found in answer["collections"].values()) == len(one.list_datasets(eid))
    text = run("show", one.eid2ref(eid, as_dict=False)).stdout
    assert str(eid) in text
    assert str(pids[0]) in text
    assert run("show", "nonsense").exit_code != 0


def test_a_dry_run_predicts_the_download(run: Run, one: ONE, tmp_path: Path) -> None:
    eid = one.search(lab="cortexlab", datasets="spikes.times.npy")[0]
    options = (eid, "--collection", "alf", "--dataset", "licks*", "--to", tmp_path / "copy")
    assert {row[0] for row in lines(run("download", *options, "--dry-run"))} == {"absent"}
    assert not list((tmp_path / "copy").glob("[!.]*"))
    first = lines(run("download", *options))
    assert {row[0] for row in first} == {"fetched"}
    assert all(Path(row[2]).is_relative_to(tmp_path / "copy") for row in first)
    assert {Path(row[2]).name for row in first} == {
        Path(p).name for p in one.list_datasets(eid, "licks*", "alf")
    }
    assert {row[0] for row in lines(run("download", *options))} == {"present"}


def test_verify_finds_a_damaged_file(run: Run, one: ONE) -> None:
    eid = one.search(lab="cortexlab", datasets="spikes.times.npy")[0]
    run("download", eid, "--collection", "alf", "--dataset", "licks*")
    assert json.loads(run("cache", "verify", "--mode", "remote", eid, "--json").stdout) == {
        "right": 1,
        "wrong": [],
    }
    path = Path(lines(run("download", eid, "--collection", "alf", "--dataset", "licks*"))[0][2])
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    done = run("cache", "verify", "--mode", "remote", eid)
    assert done.exit_code == 1
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [str(path)]


def test_cache_counts_files_and_prunes_only_unfinished_ones(run: Run, one: ONE, tmp_path: Path) -> None:
    eid = one.search(lab="cortexlab", datasets="spikes.times.npy")[0]
    path = Path(lines(run("download", eid, "--collection", "alf", "--dataset", "licks*"))[0][2])
    part = path.with_name(f".{path.name}.{'0' * 16}.part")
    own = path.with_name(".notes.part")  # a file of the user
    for file in (part, own):
        file.write_bytes(b"12345")
    held = json.loads(run("cache", "info", "--json").stdout)["holds"]
    assert held["unfinished"] == {"files": 1, "bytes": 5}
    assert run("cache", "prune").stdout.startswith(
        "0 unfinished files deleted"
    )  # they may belong to a running download
    assert "1 unfinished file would be deleted" in run("cache", "prune", "--days", 0, "--dry-run").stdout
    assert part.exists()
    assert "1 unfinished file deleted, 5 B" in run("cache", "prune", "--days", 0).stdout
    assert [part.exists(), own.exists(), path.exists()] == [False, True, True]
    assert run("cache", "clear").exit_code == 1  # without confirmation
    assert run("cache", "clear", "--yes").exit_code == 0
    assert path.exists()


def test_a_missing_cache_folder_is_not_reported_as_empty(run: Run, tmp_path: Path) -> None:
    for words in (
        ["cache", "info"], ["cache", "info", "--json"], ["cache", "verify"], ["cache", "prune"],
        ["cache", "clear", "--yes"], ["cache", "clear", "--tables", "--yes"],
    ):  # fmt: skip
        done = run(*words, "--cache-dir", tmp_path / "nothing")
        assert (done.exit_code, done.stdout) == (2, "")
        assert f"--cache-dir='{tmp_path}/nothing' is not valid; accepted: a folder that exists" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_doctor_prints_no_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://u:PROXYSECRET@127.0.0.1:9")
    monkeypatch.setenv("ONE_DATA_SERVER", "http://127.0.0.1:9/public")
    done = run("doctor", "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 1  # the data server is unreachable
    assert [problem.partition(":")[0] for problem in report["problems"]] == ["data"]
    assert report["servers"]["login"] == "accepted (demo)"
    assert report["environment"]["HTTPS_PROXY"] == "set"
    monkeypatch.setenv("ONE_PASSWORD", "WRONGSECRET")
    monkeypatch.setenv("ONE_USERNAME", "nobody")
    text = run("doctor")
    assert "not accepted" in text.stdout
    assert not any(
        secret in done.output + text.output for secret in ("PROXYSECRET", "WRONGSECRET", '"demo"}')
    )


def test_login_with_a_token(run: Run, one: ONE, monkeypatch: pytest.MonkeyPatch) -> None:
    token = one.alyx.post("/auth-token", {"username": "demo", "password": "demo"})["token"]
    monkeypatch.delenv("ONE_PASSWORD")
    assert "login" in run("whoami").stdout
    refused = CliRunner().invoke(
        app, ["login", "--token"], input="0123456789abcdef0123456789abcdef01234567\n"
    )
    assert refused.exit_code == 1
    assert lines(run("search", "lab=cortexlab", "--limit", 1))  # the stored login is kept
    done = CliRunner().invoke(app, ["login", "--token"], input=f"{token}\n")
    assert done.exit_code == 0, done.output
    assert token not in done.output
    answer = run("whoami", "--json").stdout
    assert json.loads(answer)["login"] == "token"
    assert token not in answer
    assert lines(run("search", "lab=cortexlab", "--limit", 1))
    assert run("logout").exit_code == 0
    assert json.loads(run("whoami", "--json").stdout)["login"].startswith("none")


def test_the_module_runs_in_an_encoding_without_our_symbols(tmp_path: Path) -> None:
    env = {"PYTHONIOENCODING": "cp1252", "PATH": "", "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "one_async", "--version"], capture_output=True, env=env, check=True
    )
    assert done.stdout.startswith(b"one-async ")
    code = (
        "from one_async.cli.show import *; use_safe_encoding(); print_tsv([['\u017d\u4e2d']])\n"
        "for line in plot([(-1., 0.), (1., 1.)]): console.print(printable(line))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=True)
    assert done.stdout.startswith(b"\x8e\\u4e2d")
    assert b"|" in done.stdout


def test_a_warning_is_one_line_of_standard_error(seeded_emulator: Emulator, tmp_path: Path) -> None:
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "ONE_CACHE_DIR": str(tmp_path),
        "ONE_USERNAME": "demo",
        "ONE_PASSWORD": "demo",
        "ONE_BASE_URL": seeded_emulator.url,
    }
    command = [sys.executable, "-m", "one_async", "search", "--mode", "remote", "lab=cortxlab"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["EmptySearchWarning: no lab 'cortxlab'; did you mean 'cortexlab'?"]
