"""Imports load heavy libraries only when needed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "polars",
    "hishel",
    "numpy",
    "pandas",
    "pyarrow",
    "obstore",
    "rich",
    "typer",
    "starlette",
    "uvicorn",
    "distributed",
)


def loaded_by(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after running code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_package_alone_imports_almost_nothing() -> None:
    modules = loaded_by("import one_async")
    assert not modules & {*HEAVY, "httpx", "pydantic", "anyio", "asyncio"}
    assert {name for name in modules if name.startswith("one_async")} == {"one_async"}


@pytest.mark.parametrize(
    "line",
    [
        "from one_async.api import ONE",
        "import one_async.webclient as webclient",
        "from one_async import ONE, AsyncONE, ALFPath, QC, OneError, no_cache",
    ],
)
def test_the_public_names_load_no_tables_and_no_cache(line: str) -> None:
    assert not loaded_by(line) & set(HEAVY)


def test_settings_and_an_unused_client_load_no_tables() -> None:
    modules = loaded_by(
        "from one_async import ONE\n"
        "one = ONE(base_url='http://127.0.0.1:9', token='0' * 40, cache_dir='/nowhere')\n"
        "assert repr(one) == 'One (online, http://127.0.0.1:9)'"
    )
    assert not modules & {"polars", "hishel", "pandas", "pyarrow"}


@pytest.mark.parametrize(
    "module", ["one_async.errors", "one_async.types", "one_async.alf.spec", "one_async.alf.path"]
)
def test_pure_modules_load_nothing_else(module: str) -> None:
    assert not loaded_by(f"import {module}") & {*HEAVY, "httpx", "pydantic", "anyio"}
