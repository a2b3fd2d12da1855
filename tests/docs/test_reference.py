"""The reference is complete: generated pages are up to date, and every public name is explained on some page."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from doc_pages import DOCS, ROOT, pages, script

from one_async import ONE, AlyxClient, AsyncAlyxClient, AsyncONE
from one_async._observer import LOGS
from one_async.registration.client import RegistrationClient

SOURCE = ROOT / "src" / "one_async"


SCRIPT = script("make_reference")


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def sources() -> str:
    """Return the library's code without ONE-api's stand-in and the emulator."""
    found = [path for path in SOURCE.rglob("*.py") if not {"compat", "emulator"} & set(path.parts)]
    return "\n".join(path.read_text(encoding="utf-8") for path in found)


@pytest.mark.parametrize("name", SCRIPT.PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    assert text_of(name) == SCRIPT.PAGES[name](), "run: python docs/make_reference.py"


def test_page_on_performance_is_up_to_date() -> None:
    made = script("make_performance")
    results = json.loads(made.RESULTS.read_text("utf-8"))
    assert text_of("performance.md") == made.page(results), "run: python docs/make_performance.py"
    readme = made.README.read_text("utf-8")
    assert readme == made.with_speed(readme, results), "run: python docs/make_performance.py"
    assert set(results) <= set(made.BENCHMARKS)
    assert set(made.BENCHMARKS) == {path.stem for path in made.RESULTS.parent.glob("bench_*.py")}


@pytest.mark.parametrize("kind", [AsyncONE, ONE, AsyncAlyxClient, AlyxClient, RegistrationClient])
def test_every_public_method_is_named_on_a_page(kind: type) -> None:
    written = [page for page in pages() if page.name not in ("parity.md", "methods.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in written)
    words = set(re.findall(r"\w+", text))
    assert not [name for name in dir(kind) if not name.startswith("_") and name not in words]


def test_every_variable_is_on_the_page() -> None:
    used = set(re.findall(r"\bONE_(?!GAIN)[A-Z][A-Z0-9_]*[A-Z]\b|\bAWS_[A-Z0-9_]*[A-Z0-9]\b", sources()))
    page = text_of("reference/environment.md")
    assert used
    assert not [name for name in sorted(used) if f"`{name}`" not in page]


def test_every_logger_is_on_the_page() -> None:
    own = [
        path
        for path in SOURCE.rglob("*.py")
        if "logging.getLogger(__name__)" in path.read_text(encoding="utf-8")
    ]
    names = [".".join(path.relative_to(SOURCE.parent).with_suffix("").parts) for path in own]
    page = text_of("services.md")
    assert not [name for name in (*names, *(log.name for log in LOGS.values())) if f"`{name}`" not in page]


def test_every_hidden_file_is_on_the_page() -> None:
    hidden = set(re.findall(r'"(\.one_async_\w+(?:\.json)?)"', sources()))
    page = text_of("reference/files.md")
    assert len(hidden) >= 3
    assert not [name for name in sorted(hidden) if f"`{name}`" not in page]


def test_every_page_is_in_the_navigation() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    listed = set()
    for entry in site["nav"]:
        [(_, inside)] = entry.items()
        listed |= {path for one in ([entry] if isinstance(inside, str) else inside) for path in one.values()}
    assert listed >= {page.relative_to(DOCS).as_posix() for page in pages()}
    assert all((DOCS / path).is_file() for path in listed)
