"""Parse the documentation for tests: blocks of code, links and anchors of Markdown pages."""

from __future__ import annotations

import importlib.util
import re
import shlex
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Pages that other commands make from measurements; their blocks are not examples.
MADE = ("parity.md", "clients.md", "performance.md")

_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$|^<!-- run\n(?P<hidden>.*?)^-->$"
    r"|^<!-- output -->\n```text\n(?P<output>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_FENCED = re.compile(r"^( *)```.*?^\1```$|^<!--.*?-->$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?)(?: *\{ *#([\w.-]+) *\})?$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code, or with `is_output` the text that the block before it prints."""

    line: int
    text: str
    is_output: bool = False


def pages() -> list[Path]:
    """Return the pages of the site."""
    return sorted(DOCS.rglob("*.md"))


def is_made(page: Path) -> bool:
    """Return whether a page is made from a notebook, which has its own test, or from measurements."""
    return page.name in MADE or page.parent.name == "tutorials"


def script(name: str) -> ModuleType:
    """Import and return a script of the folder ``docs``."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path) -> list[Block]:
    """Return the Python code of a page, including comments ``<!-- run … -->``, and its expected output."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        kind = match.lastgroup or ""
        line = text.count("\n", 0, match.start(kind))
        found.append(Block(line, match[kind], kind == "output"))
    return found


def prose(page: Path) -> str:
    """Return the text of a page without blocks of code and comments."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return the targets of the links of a page."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "``", prose(page)))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as Markdown's toc extension makes them."""
    found = set()
    for title, own in _HEADING.findall(prose(page)):
        found.add(own or slug(title))
    return found


def slug(title: str) -> str:
    """Return the anchor of a heading."""
    text = unicodedata.normalize("NFKD", re.sub(r"[`*]", "", title)).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def inline_code(page: Path) -> list[str]:
    """Return the spans of code in the text of a page."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def shell_commands(page: Path) -> list[list[str]]:
    """Return the commands ``one-async …`` in blocks of shell code and in the text, split into words."""
    found = []
    text = page.read_text(encoding="utf-8")
    for block in [*re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL), *inline_code(page)]:
        for line in block.splitlines():
            if line.startswith("one-async "):
                words = shlex.split(line, comments=True)
                end = next((n for n, word in enumerate(words) if word in ("|", ">", "&")), len(words))
                found.append(words[1:end])
    return found
