"""Every block of Python in the documentation runs, and every link resolves to a page and an anchor."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import linecache
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import typer
from doc_pages import DOCS, MADE, ROOT, anchors, blocks, inline_code, is_made, links, pages, shell_commands

from one_async import ONE, AsyncONE
from one_async.cli.app import app
from one_async.emulator import Emulator
from one_async.filesystem import OneFileSystem

#: Pages use the extras.
for extra in ("duckdb", "pandas", "matplotlib", "av"):
    pytest.importorskip(extra)
#: Pages after which nothing comes next.
LAST = {"index.md", "releasing.md", *MADE}
RUN = [page for page in pages() if not is_made(page) and blocks(page)]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def protocol() -> Iterator[None]:
    """Register ``one://`` for this source, also if the installed package is older."""
    fsspec.register_implementation("one", OneFileSystem, clobber=True)
    yield
    OneFileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages") / "data"


@pytest.fixture
def reader(
    emulator: Emulator, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Set up a reader's folder and settings; a page may use `one` without making it."""
    settings = {
        "ONE_BASE_URL": emulator.url,
        "ONE_USERNAME": "demo",
        "ONE_PASSWORD": "demo",
        "ONE_CACHE_DIR": str(cache_dir),
        "MPLBACKEND": "agg",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return {"__name__": "page", "ONE": ONE, "AsyncONE": AsyncONE}


def run(page: Path, names: dict[str, Any], said: io.StringIO) -> None:
    """Run the blocks of a page in one namespace and one event loop, and compare their output with the page."""
    with asyncio.Runner() as runner:
        for block in blocks(page):
            if block.is_output:
                assert squeezed(said.getvalue()) == squeezed(block.text), f"{page.name}, line {block.line}"
                continue
            said.seek(0)
            said.truncate()
            source = "\n" * block.line + block.text
            linecache.cache[str(page)] = (len(source), None, source.splitlines(True), str(page))
            code = compile(source, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(awaited(code, names))
            else:
                exec(code, names)


async def awaited(code: Any, names: dict[str, Any]) -> None:
    await eval(code, names)


def squeezed(text: str) -> str:
    """Return a text with whitespace normalized."""
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.filterwarnings("default::one_async.OneWarning")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_page_runs(page: Path, reader: dict[str, Any]) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            run(page, reader, said)
        finally:
            for one in reader.values():
                if isinstance(one, ONE):
                    one.close()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_resolve_to_pages_and_anchors(page: Path) -> None:
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(DOCS):
            broken.append(f"{link}: not in the site")
        elif not target.is_file():
            broken.append(f"{link}: no such page")
        elif anchor and not anchor.startswith("one_async.") and anchor not in anchors(target):
            broken.append(f"{link}: no such heading")
    assert not broken


@pytest.mark.parametrize(
    "page", [page for page in pages() if shell_commands(page)], ids=lambda page: page.stem
)
def test_commands_on_pages_are_valid(page: Path) -> None:
    root = typer.main.get_command(app)
    for words in shell_commands(page):
        command, rest = root, words
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        with command.make_context(words[0], list(rest)):  # raises for an unknown option or a missing argument
            pass


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in pages()
        if page.name not in LAST and page.parent.name not in ("tutorials", "reference")
    ],
    ids=lambda page: page.relative_to(DOCS).as_posix(),
)
def test_pages_end_with_a_link_to_what_comes_next(page: Path) -> None:
    last = page.read_text(encoding="utf-8").strip().rpartition("\n\n")[2]
    assert re.match(r"Next: .*\]\([^)]+\.md(#[\w-]+)?\)", last)


def options(command: Any) -> Iterator[str]:
    """Yield the options of a command and of its subcommands."""
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    for inner in getattr(command, "commands", {}).values():
        yield from options(inner)


def test_options_in_texts_exist() -> None:
    named = {
        (page.name, code.split()[0]) for page in pages() for code in inline_code(page) if code[:2] == "--"
    }
    known = set(options(typer.main.get_command(app)))
    assert {"--to", "--hash-files", "--latency"} <= {option for _, option in named}
    assert {one for one in named if one[1] not in known} == set()
