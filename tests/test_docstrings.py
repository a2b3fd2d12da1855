"""Docstrings begin as those of other Python libraries do."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import one_async

SOURCE = Path(one_async.__file__).parent
TESTS = Path(__file__).parent
#: "Return", "Load", "Check" and so on say more.
VAGUE = re.compile(r"(Be|Do|Give|Have|Let|Say|Tell|Whoever)s?\b")
FILES = {
    "src": sorted(SOURCE.rglob("*.py")),
    "tests": sorted(TESTS.rglob("*.py")),
    "examples": [*sorted((TESTS.parent / "examples").glob("*.py")), TESTS.parent / "noxfile.py"],
    "docs": sorted((TESTS.parent / "docs").glob("*.py")),
}
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("folder", FILES)
def test_no_docstring_begins_with_a_vague_verb(folder: str) -> None:
    assert FILES[folder]
    found = [
        f"{path.name}:{getattr(node, 'lineno', 1)} {docstring.splitlines()[0]}"
        for path in FILES[folder]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, DOCUMENTED)
        if (docstring := ast.get_docstring(node)) and VAGUE.match(docstring)
    ]
    assert not found
