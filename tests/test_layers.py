"""A module imports only from its own layer and lower ones, and some libraries are imported by only one module."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "one_async"

# First match wins. Lower numbers are more basic; a module may import from its own layer and from lower ones.
LAYERS: list[tuple[str, float]] = [
    ("__init__", 99),
    ("__main__", 99),
    ("api", 99),
    ("webclient", 99),
    ("compat", 99),
    ("_foreign_errors", 0),
    ("errors", 0),
    ("_parse_retry_after", 0),
    ("_addresses", 0),
    ("_display", 0),
    ("_tracebacks", 0),
    ("_observer", 0),
    ("_tracing", 0),
    ("events", 0),
    ("_boundary", 0),
    ("_arguments", 0),
    ("_warnings", 0),
    ("types", 0),
    ("alf", 0),
    ("settings", 1),
    ("files", 1),
    ("tables", 1),
    ("emulator", 1.5),
    ("alyx", 2),
    ("transfer", 2),
    ("ids", 3),
    ("queries", 3),
    ("refresh", 3),
    ("recordings", 3),
    ("frozen", 3),
    ("_settings_files", 1),
    ("_token_file", 1),
    ("_parameters", 1),
    ("_values", 1),
    ("_merging", 1),
    ("_threads", 1),
    ("_progress", 1),
    ("_screen", 1),
    ("harvest", 4),
    ("browse", 4),
    ("registration", 4),
    ("client", 5),
    ("_concurrency", 0),
    ("_loop", 6),
    ("_bridge", 6),
    ("_iterator_bridge", 6),
    ("sync", 6),
    ("_one_api", 6),
    ("_recordings", 6),
    ("plot", 6),
    ("_browsing", 6),
    ("remote", 6),
    ("distributed", 6),
    ("filesystem", 6),
    ("cli", 6),
    ("completion", 6),
]
APART = {frozenset({"alyx", "transfer"})}
#: The module that downloads files for a client of one of these packages.
BETWEEN = "alyx.files"
#: Third-party modules that only these modules of ours may import.
ONLY_IN = {
    "httpx": {"alyx"},
    "httpcore": {"alyx"},
    "hishel": {"alyx"},
    "typer": {"cli"},
    "rich": {"cli"},
    "obstore": {"transfer", "harvest"},
    "matplotlib": {"plot"},
    "av": {"recordings"},
    "isal": {"recordings"},
    "starlette": {"emulator", "browse"},
    "uvicorn": {"emulator", "browse"},
}


def room(module: str) -> str:
    return module.split(".")[0] or "__init__"


def layer(module: str) -> float:
    for name, number in LAYERS:
        if room(module) == name:
            return number
    raise AssertionError(f"{module} is in no layer: add its room to LAYERS and to CONTRIBUTING.md")


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (package, module) of each import: package is 'one_async' for our own, else the name of the third-party package."""
    yield from _targets(path, ast.walk(ast.parse(path.read_text("utf-8"))))


def run_imports(path: Path, late: bool) -> set[str]:
    """Return our modules that a module imports on import, and with ``late`` those that its functions import."""
    names = {name_of(one) for one in modules()}
    found = _targets(path, _executed(ast.parse(path.read_text("utf-8")), late))
    return {
        module for package, module in found if package == "one_async" and module in names - {name_of(path)}
    }


def _executed(node: ast.AST, late: bool) -> Iterator[ast.AST]:
    """Yield the nodes that are executed, without the branches for type checkers."""
    yield node
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        children = list(node.orelse)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not late:
        children = list(node.decorator_list)
    for child in children:
        yield from _executed(child, late)


def _targets(path: Path, nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    package = ["one_async", *path.relative_to(ROOT).parent.parts]
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, node.module] if node.module else base)
            folder = ROOT.joinpath(*stem.split(".")[1:])
            names = [
                f"{stem}.{alias.name}" if stem == "one_async" or _is_module(folder / alias.name) else stem
                for alias in node.names
            ]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            yield first, rest


def _is_module(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def cycles(graph: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Return the groups of modules that import each other, directly or through others."""
    reached = {name: _reached(graph, name) for name in graph}
    groups = {frozenset(other for other in reached[name] if name in reached.get(other, ())) for name in graph}
    return groups - {frozenset()}


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    left = [start]
    while left:
        new = graph.get(left.pop(), set()) - seen
        seen |= new
        left += new
    return seen


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_modules_import_only_from_lower_layers(path: Path) -> None:
    module = name_of(path)
    for package, imported in imports(path):
        if package != "one_async" or not imported:
            continue
        assert layer(imported) <= layer(module), f"{module} imports {imported}, which is in a higher layer"
        apart = frozenset({room(module), room(imported)}) in APART
        assert module == BETWEEN or not apart, f"{module} imports {imported}"
        if room(module) == "emulator" and room(imported) != "emulator":
            assert layer(imported) <= 1, (
                f"{module} imports {imported}: the emulator must not share a mistake with it"
            )


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_each_library_is_imported_only_where_allowed(path: Path) -> None:
    for package, _ in imports(path):
        allowed = ONLY_IN.get(package)
        assert allowed is None or room(name_of(path)) in allowed, f"{name_of(path)} imports {package}"


def test_modules_have_no_import_cycles() -> None:
    assert cycles({name_of(path): run_imports(path, late=False) for path in modules()}) == set()


def test_imports_in_functions_form_no_cycle() -> None:
    assert cycles({name_of(path): run_imports(path, late=True) for path in modules()}) == set()


def test_imports_for_annotations_form_no_cycle() -> None:
    graph = {name_of(path): {module for _, module in imports(path)} - {name_of(path)} for path in modules()}
    assert cycles(graph) == set()


def test_packages_have_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for path in modules():
        name = room(name_of(path))
        graph.setdefault(name, set()).update(
            {room(module) for module in run_imports(path, late=True)} - {name}
        )
    assert cycles(graph) == set()


def test_a_cycle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "d"}, "e": {"d"}}
    assert cycles(graph) == {frozenset("abc"), frozenset("d")}
