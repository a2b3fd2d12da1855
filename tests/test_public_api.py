"""Public names, signatures, errors and documented promises are those of the recorded public API."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest


def load_maker() -> ModuleType:
    path = Path(__file__).parent / "typing" / "public_api.py"
    spec = importlib.util.spec_from_file_location("public_api", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_public_api_is_as_recorded() -> None:
    """``python tests/typing/public_api.py`` records an intended change."""
    maker = load_maker()
    written = json.loads(maker.FILE.read_text("utf-8"))
    found = json.loads(json.dumps(maker.snapshot()))
    assert not maker.differences(written, found), "run tests/typing/public_api.py to accept these"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda made: made["modules"]["one_async"]["ONE"]["members"].pop("search"), "ONE/members/search"),
        (lambda made: made["modules"]["one_async"].update(Extra={"kind": "value"}), "one_async/Extra"),
        (lambda made: made["errors"].update(InputError=["OneError"]), "errors/InputError"),
        (lambda made: made["modules"]["one_async"]["no_cache"].update(signature="()"), "no_cache/signature"),
        (lambda made: made["commands"]["one-async demo"].append("--new"), "one-async demo"),
    ],
)
def test_a_difference_is_named(change: object, where: str) -> None:
    maker = load_maker()
    written = json.loads(maker.FILE.read_text("utf-8"))
    changed = json.loads(maker.FILE.read_text("utf-8"))
    change(changed)  # type: ignore[operator]
    (line,) = [line for line in maker.differences(written, changed) if where in line][:1]
    assert "was" in line
