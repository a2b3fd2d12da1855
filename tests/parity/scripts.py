"""Run lines of Python that use `one`, as a notebook would: blocking in either package, or with every call awaited."""

from __future__ import annotations

import ast
import inspect


def _as_function(code, name="lines", kind=ast.FunctionDef):
    """Return a module whose function runs the lines and returns the value of the last one."""
    body = ast.parse(code).body
    if isinstance(body[-1], ast.Expr):
        body[-1] = ast.Return(body[-1].value)
    module = ast.parse(f"def {name}():\n    pass")
    function = kind(**{field: getattr(module.body[0], field) for field in module.body[0]._fields})
    function.body = body
    module.body = [function]
    return module


def run(code, scope, names):
    """Run lines as they are and return the value of the last."""
    found = {**scope, **names}
    exec(compile(ast.fix_missing_locations(_as_function(code)), "<lines>", "exec"), found)
    return found["lines"]()


class _Awaiting(ast.NodeTransformer):
    """Put `await` before every call of an attribute of `one`."""

    def visit_Call(self, node):
        self.generic_visit(node)
        root = node.func
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id == "one":
            return ast.Await(ast.Call(ast.Name("_settle", ast.Load()), [node], []))
        return node


async def _settle(value):
    return await value if inspect.isawaitable(value) else value


async def run_async(code, scope, names):
    """Run lines with every call of `one` awaited, and return the value of the last."""
    found = {**scope, **names, "_settle": _settle}
    module = _Awaiting().visit(_as_function(code, kind=ast.AsyncFunctionDef))
    exec(compile(ast.fix_missing_locations(module), "<lines>", "exec"), found)
    return await found["lines"]()


def our_names(one):
    """Return what lines may use besides `one`, under the names that ONE-api's notebooks use."""
    import datetime
    import pathlib
    import re
    import uuid

    import numpy as np

    from one_async import webclient
    from one_async.alf import path as alfpath
    from one_async.alf import spec
    from one_async.alf.path import ALFPath

    return {"one": one, "np": np, "webclient": webclient, "spec": spec, "alfpath": alfpath, "ALFPath": ALFPath,
            "Path": pathlib.Path, "UUID": uuid.UUID, "re": re,
            "timedelta": datetime.timedelta, "date": datetime.date}  # fmt: skip
