"""Write `sync.pyi`, the blocking faces' signatures made from the async classes, overloads included, and `client/by_id.pyi`.

The second file has those async methods that also accept a session as ``id=``, with an overload for it. The blocking methods in
`sync.pyi` have the same overload.

``python tests/typing/make_stub.py``
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import inspect
import sys
from pathlib import Path

from one_async import sync
from one_async.client.call import SESSION

STUB = Path(sync.__file__).with_suffix(".pyi")
BY_ID = STUB.parent / "client" / "by_id.pyi"
HEAD = '"""Made by `tests/typing/make_stub.py` of the async classes; not to be edited by hand."""'
FACES = ("AlyxClient", "Registration", "ONE")
#: Objects that methods open, with their blocking versions.
TWINS = {
    "AsyncRawEphys": ("one_async._recordings", "RawEphys"),
    "AsyncVideo": ("one_async._recordings", "Video"),
    "AsyncBrowsePage": ("one_async._browsing", "BrowsePage"),
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def by_id(function: Function) -> Function | None:
    """Return an overload with the keyword ``id=`` for the session and all else by keyword; None for methods without a session."""
    arguments = copy.deepcopy(function.args)
    named = [*arguments.posonlyargs, *arguments.args]
    if len(named) < 2 or named[1].arg not in SESSION:
        return None
    owner, session, *others = named
    session.arg = "id"
    defaults = [*([None] * len(named)), *arguments.defaults]
    arguments.kwonlyargs = [session, *others, *arguments.kwonlyargs]
    arguments.kw_defaults = [None, *defaults[-len(others) :][: len(others)], *arguments.kw_defaults]
    arguments.posonlyargs, arguments.args, arguments.defaults = [], [owner], []
    if arguments.kwarg is not None:  # search terms, one of which may be called id
        arguments.kwarg.annotation = ast.Name("Any")
    made = copy.copy(function)
    made.args = arguments
    return made


def with_id(functions: list[Function]) -> list[Function]:
    """Return the overloads of a method, or the method itself if it has none, and their variants with ``id=``."""
    shown = functions[:-1] or functions
    return [*shown, *(made for one in shown if (made := by_id(one)) is not None)]


class Source:
    """The parsed text of a module: its classes and functions, and the modules that its names are imported from."""

    def __init__(self, name: str) -> None:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        self.name = name
        self.tree = ast.parse(Path(spec.origin).read_text("utf-8"))
        package = name if spec.submodule_search_locations else name.rpartition(".")[0]
        self.places: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                parts = package.split(".")
                base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
                module = ".".join(filter(None, [base, node.module]))
                for alias in node.names:
                    self.places[alias.asname or alias.name] = f"from {module} import {alias.name}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.places[alias.asname or alias.name] = f"import {alias.name}" + (
                        f" as {alias.asname}" if alias.asname else ""
                    )
        for node in self.tree.body:
            for inner in [node, *getattr(node, "body", [])]:
                if (
                    isinstance(inner, ast.ClassDef | ast.Assign | ast.AnnAssign) and inner is node
                ) or isinstance(node, ast.If):
                    for defined in _names(inner):
                        self.places.setdefault(defined, f"from {name} import {defined}")

    def functions(self, name: str, kind: str | None = None) -> list[Function]:
        """Return all definitions of a function, or of a class's method, overloads first."""
        bodies = [self.tree.body] if kind is None else [
            node.body for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == kind
        ]  # fmt: skip
        return [node for body in bodies for node in body if isinstance(node, Function) and node.name == name]


def _shown(default: ast.expr) -> ast.expr:
    return default if isinstance(default, ast.Constant) else ast.Constant(...)


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ClassDef):
        return [node.name]
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    return [target.id for target in targets if isinstance(target, ast.Name)]


def definition(face: type, name: str) -> tuple[Source, list[Function]]:
    """Return the definition of a method in the async class, or in the module from which the class takes the function."""
    awaited = face._kind  # type: ignore[attr-defined]
    for kind in awaited.__mro__:
        if name not in vars(kind):
            continue
        source = Source(kind.__module__)
        if found := source.functions(name, kind.__name__):
            return source, found
        function = inspect.unwrap(getattr(awaited, name))
        source = Source(function.__module__)
        owner = function.__qualname__.rpartition(".")[0]  # the class of a method that is decorated
        return source, source.functions(function.__name__, *filter(None, [owner]))
    raise LookupError(f"{awaited.__name__} has no {name}")


class Stub:
    """The lines of the stub, and the names that they use."""

    def __init__(self, *, blocking: bool = True) -> None:
        self.blocking = blocking
        self.lines: list[str] = []
        self.imports: dict[str, str] = {}

    def method(self, source: Source, function: Function, name: str, *decorators: str) -> None:
        """Add the blocking version of a definition."""
        returns = function.returns
        iterates = isinstance(returns, ast.Subscript) and ast.unparse(returns.value) == "AsyncIterator"
        if self.blocking and iterates:
            returns = ast.Subscript(ast.Name("Iterator"), returns.slice)  # type: ignore[union-attr]
            self.imports["Iterator"] = "from collections.abc import Iterator"
        if self.blocking and isinstance(returns, ast.Name) and returns.id in TWINS:
            module, twin = TWINS[returns.id]
            self.imports[twin] = f"from {module} import {twin}"
            returns = ast.Name(twin)
        arguments = function.args
        arguments.defaults = [_shown(one) for one in arguments.defaults]
        arguments.kw_defaults = [one and _shown(one) for one in arguments.kw_defaults]
        self.use(source, arguments, returns)
        result = f" -> {ast.unparse(returns)}" if returns else ""
        self.lines += [f"    @{decorator}" for decorator in decorators]
        word = "def" if self.blocking or iterates or isinstance(function, ast.FunctionDef) else "async def"
        self.lines.append(f"    {word} {name}({ast.unparse(arguments)}){result}: ...")

    def use(self, source: Source, *nodes: ast.AST | None) -> None:
        """Import the names in some types; when two types share a name, the second gets an alias."""
        for node in filter(None, nodes):
            for inner in ast.walk(node):
                if not isinstance(inner, ast.Name) or inner.id not in source.places or inner.id in FACES:
                    continue
                place = source.places[inner.id]
                if self.imports.setdefault(inner.id, place) != place:
                    inner.id += "2"
                    self.imports[inner.id] = f"{place} as {inner.id}"

    def face(self, source: Source, kind: type) -> None:
        """Add a class."""
        (node,) = (
            one for one in source.tree.body if isinstance(one, ast.ClassDef) and one.name == kind.__name__
        )
        self.use(source, *node.bases)
        self.lines.append(f"class {node.name}({', '.join(map(ast.unparse, node.bases))}):")
        for member in node.body:
            if isinstance(member, ast.AnnAssign):
                self.use(source, member.annotation)
                self.lines.append(f"    {ast.unparse(member.target)}: {ast.unparse(member.annotation)}")
            elif isinstance(member, ast.Assign):
                (name,) = _names(member)
                self.twins(kind, name, "staticmethod" in ast.unparse(member.value))
            elif isinstance(member, ast.FunctionDef) and member.name == "__init__":
                self.twins(kind, "__init__", False)
            elif isinstance(member, ast.FunctionDef):
                self.method(source, member, member.name, *map(ast.unparse, member.decorator_list))

    def twins(self, kind: type, name: str, static: bool) -> None:
        """Add each overload of a method, or the method itself if it has none."""
        source, functions = definition(kind, name)
        overloads = with_id(functions)
        text = None if self.blocking else ast.get_docstring(functions[-1], clean=False)
        for function in overloads:
            decorators = (["staticmethod"] if static else []) + (["overload"] if len(overloads) > 1 else [])
            self.method(source, function, name, *decorators)
            if text:  # editors show the docstring of the first overload
                self.lines[-1] = self.lines[-1].removesuffix(" ...") + f'\n        """{text}"""'
                text = None
            if len(overloads) > 1:
                self.imports["overload"] = "from typing import overload"


def make() -> str:
    """Return the text of the blocking faces' stub."""
    stub, source = Stub(), Source("one_async.sync")
    for name in FACES:
        stub.face(source, getattr(sync, name))
    return text_of(stub, sync.__all__)


def make_by_id() -> str:
    """Return the text of the stub of the async methods with ``id=``."""
    stub = Stub(blocking=False)
    stub.lines.append("class SessionById:")
    for name in sorted(vars(sync.ONE)):
        if name.startswith("_") or not inspect.isfunction(getattr(sync.ONE, name)):
            continue
        _, functions = definition(sync.ONE, name)
        if len(with_id(functions)) > len(functions[:-1] or functions):
            stub.twins(sync.ONE, name, False)
    return text_of(stub, ["SessionById"])


def text_of(stub: Stub, names: list[str]) -> str:
    """Return the text of a stub."""
    return "\n".join([HEAD, *sorted(set(stub.imports.values())), f"__all__ = {names!r}", *stub.lines]) + "\n"


def main() -> None:
    """Write the stubs; `ruff format` wraps their lines."""
    for file, text in ((STUB, make()), (BY_ID, make_by_id())):
        file.write_text(text, "utf-8")
        sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
