"""Docstrings begin as those of other Python libraries do."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import one_async

SOURCE = Path(one_async.__file__).parent
#: "Return", "Load", "Check" and so on say more.
VAGUE = re.compile(r"(Be|Do|Give|Have|Let|Say|Tell)\b")


def test_no_docstring_begins_with_a_vague_verb() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno} {docstring.splitlines()[0]}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if (docstring := ast.get_docstring(node)) and VAGUE.match(docstring)
    ]
    assert not found
