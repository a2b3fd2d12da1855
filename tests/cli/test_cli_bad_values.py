"""Errors name options and arguments as they are typed, and what does not exist ends a command with the documented status."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from one_async.cli.app import app
from one_async.emulator import Emulator

SESSION = "2024-06-24_1_SU_101"
#: Names of arguments that only Python's callers know.
PYTHON = re.compile(
    r"\b(ses_path|base_url|cache_dir|query_type|out_dir|root_dir|file_list|storage_options?|filters|username|labs|tables_dir"
    r"|filename|folders?|sessions?|endpoints?|eids?|id|mode|format|to|every|cursor|port|columns)=|PosixPath|WindowsPath"
)
COMMANDS = {
    "search": "search lab=cortexlab", "ls": f"ls {SESSION}", "show": f"show {SESSION}",
    "download": f"download {SESSION} --dry-run", "browse": "browse --no-open", "info": "cache info",
    "verify": "cache verify", "prune": "cache prune", "clear": "cache clear --yes",
    "harvest": "harvest labs --to OUT", "register": "register RAW --dry-run", "watch": "watch --once", "login": "login",
    "logout": "logout", "whoami": "whoami", "setup": "setup", "doctor": "doctor", "build": "tables build .",
}  # fmt: skip
OF_DATABASES = sorted(COMMANDS.keys() - {"build"})
WITH_FOLDERS = sorted(COMMANDS.keys() - {"build", "login", "logout", "whoami"})
#: Options with bad values, and arguments that are bad in place of good ones.
BAD = [
    *((f"{COMMANDS[name]} --url 'http://x y'", "--url") for name in OF_DATABASES),
    *((f"{COMMANDS[name]} --cache-dir FILE", "--cache-dir") for name in WITH_FOLDERS),
    *((f"{COMMANDS[name]} --mode bad", "--mode") for name in ("search", "ls", "show", "download", "browse", "verify")),
    *((f"{command} nonsense", "SESSION") for command in ("ls", "show", "download", "cache verify")),
    *((f"cache {command} --cache-dir MISSING", "--cache-dir") for command in ("info", "verify", "prune", "clear --yes")),
    ("search lab=cortexlab --columns nope", "--columns"), ("download x --to FILE", "--to"),
    ("browse --no-open --port 99999", "--port"), ("tables build MISSING", "FOLDER"), ("tables build FILE", "FOLDER"),
    ("tables build . --out FILE", "--out"), ("tables build . --lab a/b", "--lab"),
    ("tables build . --watch --every 0", "--every"),
    ("watch --every 0", "--every"), ("watch --cursor FILE", "--cursor"), ("harvest labs --to FILE", "--to"),
    ("harvest labs --to OUT --format csv", "--format"), ("harvest labs --to OUT --since yesterday", "--since"),
    ("harvest labs --to OUT --filter x", "--filter"), ("harvest labs --to OUT --filter sessions:lab=x", "--filter"),
    ("harvest labs --to OUT --storage-option x", "--storage-option"), ("harvest nope --to OUT", "ENDPOINT"),
    ("register .", "FOLDER"), ("register RAW --lab other", "--lab"), ("register RAW --users ''", "--users"),
    ("register RAW --revision a/b", "--revision"), ("register RAW RAW", "FOLDER"),
    ("register lab/Subjects/A/2024-05-06/001", "FOLDER"), ("register lab/Subjects/A/2024-13-06/001", "FOLDER"),
    ("search number=x", "number"), ("search date=2024-13-01", "date"), ("search sub=", "sub="), ("search laab=x", "laab"),
    ("search lab=cortexlab lab=mainenlab", "lab=mainenlab"), ("watch --once lab=cortexlab lab=x", "lab=x"),
    ("harvest sessions --to OUT --filter sessions:lab=x --filter sessions:lab=y", "--filter"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bad values")  # with a blank
    (root / "file").write_text("x")
    (root / "data").mkdir()
    (root / "cortexlab/Subjects/KS046/2024-05-06/001/alf").mkdir(parents=True)
    (root / "cortexlab/Subjects/KS046/2024-05-06/001/alf/wheel.position.npy").write_bytes(b"x")
    return root


def run(server: Emulator, folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    monkeypatch.chdir(folder)
    places = {
        "FILE": folder / "file", "MISSING": folder / "missing", "OUT": folder / "out",
        "RAW": folder / "cortexlab/Subjects/KS046/2024-05-06/001",
    }  # fmt: skip
    words = [one.replace("''", "").strip("'") for one in re.findall(r"'[^']*'|\S+", text)]
    environment = {
        "ONE_BASE_URL": server.url, "ONE_USERNAME": "demo", "ONE_PASSWORD": "demo", "ONE_CACHE_DIR": str(folder / "data"),
    }  # fmt: skip
    done = CliRunner(env=environment).invoke(app, [str(places.get(word, word)) for word in words], input="")
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(("text", "typed"), BAD)
def test_an_error_names_what_was_typed(
    seeded_emulator: Emulator, folder: Path, text: str, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = run(seeded_emulator, folder, text, monkeypatch)
    assert (status, out) == (2, ""), err
    assert err.startswith("InputError: ")
    assert typed in err.partition(":")[2]
    assert not PYTHON.search(re.sub(r"--[\w-]+=", "", err)), err
    assert not (folder / "missing").exists()


@pytest.mark.parametrize("command", ["ls", "show", "download", "cache verify --mode remote"])
@pytest.mark.parametrize(
    "name", ["00000000-0000-0000-0000-000000000000", "2024-05-06_1_NOPE", "lab/Subjects/A B/2024-06-24/001"]
)
def test_a_session_that_does_not_exist(
    seeded_emulator: Emulator, folder: Path, command: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = run(seeded_emulator, folder, f"{command} '{name}'", monkeypatch)
    assert (status, out) == (1, "")
    assert err.startswith("ALFObjectNotFound: ")
    assert name in err


def test_the_environment_is_named_where_it_holds_the_value(
    seeded_emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE_CACHE_DIR", str(folder / "missing"))
    done = CliRunner().invoke(app, ["cache", "prune"])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"InputError: ONE_CACHE_DIR='{folder / 'missing'}' is not valid")


def test_every_option_with_a_checked_value_is_here() -> None:
    """The values of the others are texts that nothing can be wrong with, or are checked by Typer, which names the option."""
    group = typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        for inner in getattr(command, "commands", {name: command}).values():
            for one in inner.params:
                if one.param_type_name == "option" and not one.is_flag:
                    found[one.opts[0]] = one
    tested = {typed for _, typed in BAD}
    by_typer = {"--limit", "--days", "--latency", "--throttle", "--namespace"}
    texts = {"--user", "--collection", "--dataset", "--repository", "--host", "--state", "--records"}
    assert found.keys() <= tested | by_typer | texts, found.keys() - tested - by_typer - texts
