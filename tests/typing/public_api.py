"""Record the public API: names, signatures, errors, and what docstrings promise.

``python tests/typing/public_api.py`` writes ``tests/data/public_api.json``; ``tests/test_public_api.py`` compares.
Of docstrings it keeps what rewording does not change: the errors and warnings that they name, and the parameters.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any, TypeVar

FILE = Path(__file__).parents[1] / "data" / "public_api.json"
#: Modules that users import from, as in README, docs and examples.
MODULES = (
    "one_async", "one_async.api", "one_async.webclient", "one_async.errors", "one_async.events", "one_async.types",
    "one_async.distributed",
    "one_async.emulator", "one_async.harvest", "one_async.registration", "one_async.remote.aws",
)  # fmt: skip
#: Memory addresses, which the text of defaults may contain.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def public_names(module: Any) -> list[str]:
    """Return the names in a module's ``__all__``, or the names that it defines."""
    named = getattr(module, "__all__", None)
    if named is not None:
        return sorted(named)
    defined: set[str] = set()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            defined.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
        elif isinstance(node, ast.Assign):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return sorted(
        name
        for name in defined
        if not name.startswith("_") and not isinstance(getattr(module, name), TypeVar)
    )


def signature(value: Any) -> str | None:
    """Return the text of a signature; annotations are as written."""
    try:
        return _ADDRESS.sub("", str(inspect.signature(value)))
    except (TypeError, ValueError):
        return None


def promises(value: Any) -> dict[str, list[str]]:
    """Return what a docstring names before its examples: our errors and warnings, and parameters of the function."""
    words = set(re.findall(r"\w+", (inspect.getdoc(value) or "").partition("\nExamples:\n")[0]))
    errors = importlib.import_module("one_async.errors")
    try:
        parameters = set(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        parameters = set()
    found = {"errors": sorted(words & set(errors.__all__)), "parameters": sorted(words & parameters)}
    return {kind: names for kind, names in found.items() if names}


def describe_function(value: Any) -> dict[str, Any]:
    """Describe a function or method: its signature, its kind, and what its docstring promises."""
    kind = "function"
    if inspect.iscoroutinefunction(value):
        kind = "coroutine"
    elif inspect.isasyncgenfunction(value):
        kind = "async iterator"
    described: dict[str, Any] = {"kind": kind, "signature": signature(value)}
    if said := promises(value):
        described["docstring"] = said
    return described


def describe_class(value: type) -> dict[str, Any]:
    """Describe a class: its constructor, its bases outside this project, and its public members, inherited ones included."""
    members: dict[str, Any] = {}
    for name in sorted(dir(value)):
        if name.startswith("_") or hasattr(object, name):
            continue
        if any(name in vars(base) for base in value.__mro__ if not base.__module__.startswith("one_async")):
            continue  # inherited from a library, whose versions differ
        static = inspect.getattr_static(value, name)
        if isinstance(static, property):
            members[name] = {"kind": "property", "settable": static.fset is not None}
        elif isinstance(static, staticmethod | classmethod):
            members[name] = describe_function(getattr(value, name)) | {"bound": type(static).__name__}
        elif inspect.isroutine(static):
            members[name] = describe_function(static)
        else:
            members[name] = {"kind": "attribute"}
    return {
        "kind": "class",
        "signature": signature(value),
        "bases": sorted(
            base.__name__ for base in value.__mro__ if not base.__module__.startswith("one_async")
        ),
        "fields": sorted({*getattr(value, "__dataclass_fields__", ()), *getattr(value, "model_fields", ())}),
        "members": members,
    }


def describe(value: Any) -> dict[str, Any]:
    """Describe the object of a public name."""
    if inspect.isclass(value):
        return describe_class(value)
    if inspect.isroutine(value):
        return describe_function(value)
    return {"kind": "value"}


def error_tree() -> dict[str, list[str]]:
    """Return the direct bases of each error and warning."""
    errors = importlib.import_module("one_async.errors")
    found = {name: getattr(errors, name) for name in errors.__all__}
    return {
        name: [base.__name__ for base in value.__bases__]
        for name, value in found.items()
        if inspect.isclass(value)
    }


def commands() -> dict[str, list[str]]:
    """Return the options and arguments of each command of ``one-async``."""
    from typer.main import get_command

    from one_async.cli.app import app

    found: dict[str, list[str]] = {}

    def walk(command: Any, name: str) -> None:
        found[name] = sorted(text for one in command.params for text in (*one.opts, *one.secondary_opts))
        for part, inner in sorted(getattr(command, "commands", {}).items()):
            walk(inner, f"{name} {part}")

    walk(get_command(app), "one-async")
    return found


def snapshot() -> dict[str, Any]:
    """Describe the whole public API."""
    modules: dict[str, Any] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        modules[name] = {each: describe(getattr(module, each)) for each in public_names(module)}
    return {"modules": modules, "errors": error_tree(), "commands": commands()}


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return every place where two snapshots differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new})
            for line in differences(old.get(key), new.get(key), f"{where}/{key}")
        ]
    return [] if old == new else [f"{where}: was {old!r}, is {new!r}"]


if __name__ == "__main__":
    FILE.write_text(json.dumps(snapshot(), indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
