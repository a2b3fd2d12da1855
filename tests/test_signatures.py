"""The stub of the blocking faces matches the async classes, and public types are specific."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from one_async import ONE, AsyncONE

ROOT = Path(__file__).parents[1]
#: Methods that load data, or return the JSON of an endpoint, which may be anything.
LOADS = frozenset(
    {
        "load_dataset", "load_datasets", "load_object", "load_collection", "load_dataset_from_id", "load_aggregate",
        "rest", "get", "post", "put", "patch", "delete",
        "register_session", "register_files", "check_protected_files", "assert_exists",
        "json_field_write", "json_field_update", "json_field_remove_key", "json_field_delete",
    }
)  # fmt: skip
#: Keywords that are passed on to another method, or become filters of an endpoint.
PASSED_ON = frozenset({"options", "parts", "filters", "kwargs"})


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_stub", ROOT / "tests" / "typing" / "make_stub.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(text: str) -> list[str]:
    """Return the statements of a stub without layout, with imports in one order and one name each."""
    body = ast.parse(text).body
    imports = sorted(
        f"{ast.unparse(node).partition('import')[0]}{ast.unparse(alias)}"
        for node in body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    )
    return imports + [ast.unparse(node) for node in body if not isinstance(node, ast.Import | ast.ImportFrom)]


def test_the_stubs_are_up_to_date() -> None:
    """``python tests/typing/make_stub.py`` writes the stubs."""
    stub = maker()
    assert plain(stub.STUB.read_text("utf-8")) == plain(stub.make())
    assert plain(stub.BY_ID.read_text("utf-8")) == plain(stub.make_by_id())


def test_methods_with_a_session_have_overloads_with_id() -> None:
    """Each overload with a session has a twin with ``id`` and all else by keyword, in both stubs."""
    stub = maker()
    takes = {
        name
        for name, method in inspect.getmembers(AsyncONE, inspect.isfunction)
        if not name.startswith("_") and {"eid", "eids"} & set(list(inspect.signature(method).parameters)[1:2])
    }
    assert {"load_object", "get_details", "eid2path", "type2datasets", "list_datasets", "download"} <= takes
    for text in (stub.make(), stub.make_by_id()):
        twins: dict[str, list[int]] = {}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in takes:
                by_id = [one.arg for one in node.args.kwonlyargs if one.arg == "id"]
                twins.setdefault(node.name, []).append(len(by_id))
        assert set(twins) == takes
        assert all(2 * sum(found) == len(found) for found in twins.values()), twins
    for name in takes:
        assert "id" in inspect.signature(getattr(AsyncONE, name)).parameters
        assert "id" in inspect.signature(getattr(ONE, name)).parameters


def functions() -> Iterator[ast.FunctionDef]:
    for node in ast.parse(maker().make()).body:
        if isinstance(node, ast.ClassDef):
            yield from (one for one in node.body if isinstance(one, ast.FunctionDef))


def contains_any(node: ast.AST) -> bool:
    """Return whether a type is or contains Any, except as a value of a record."""
    if isinstance(node, ast.Subscript) and ast.unparse(node) in ("dict[str, Any]", "Mapping[str, Any]"):
        return False
    return (isinstance(node, ast.Name) and node.id == "Any") or any(
        map(contains_any, ast.iter_child_nodes(node))
    )


def test_only_loaded_data_has_type_any() -> None:
    vague = []
    for function in functions():
        arguments = function.args
        keywords = arguments.kwarg
        if keywords is not None and keywords.arg in PASSED_ON:
            arguments.kwarg = None
        if function.name not in LOADS and (
            contains_any(arguments) or (function.returns and contains_any(function.returns))
        ):
            vague.append(ast.unparse(function))
    assert not vague
    assert {function.name for function in functions()} >= LOADS
