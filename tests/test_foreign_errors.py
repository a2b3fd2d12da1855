"""``except`` clauses for ONE-api's classes catch our errors in processes that imported ONE-api before or after one_async."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: A module with the classes of ONE-api's `one.alf.exceptions`, whose constructor and text differ from ours.
THEIRS = """
class ALFError(Exception):
    explanation = ""
    def __init__(self, *args, terse=False):
        self.message, self.terse = ", ".join(map(str, args)), terse
    def __str__(self):
        return self.message + self.explanation
class ALFObjectNotFound(ALFError): explanation = "not found"
class ALFMultipleObjectsFound(ALFError): pass
class ALFMultipleCollectionsFound(ALFError): pass
class ALFMultipleRevisionsFound(ALFError): pass
class ALFInvalid(ALFError, ValueError): pass
class AlyxSubjectNotFound(ALFError): pass
"""

CHECK = """
import copy, pickle, sys
from one_async import errors
NAMES = ["ALFError", "ALFInvalid", "ALFObjectNotFound", "ALFMultipleObjectsFound", "ALFMultipleCollectionsFound",
         "ALFMultipleRevisionsFound"]
before = {name: (getattr(errors, name), repr(getattr(errors, name))) for name in NAMES}
early = errors.ALFObjectNotFound("early")
assert "one.alf" not in sys.modules
import one.alf.exceptions as theirs
for name in NAMES:
    ours, shown = before[name]
    assert getattr(errors, name) is ours and repr(ours) == shown
    try:
        raise ours("x" * 600, eid="some")
    except getattr(theirs, name) as error:
        assert type(error) is ours and isinstance(error, errors.OneError)
        assert str(error) == error.args[0] == error.message and len(str(error)) < 500
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(again) is ours and (again.args, again.eid) == (error.args, "some")
    assert not issubclass(ours, theirs.AlyxSubjectNotFound)
assert isinstance(early, theirs.ALFObjectNotFound)
assert issubclass(errors.ALFInvalid, ValueError) and not issubclass(errors.ALFObjectNotFound, ValueError)
assert isinstance(errors.FileDamaged("damaged", path="a.npy"), theirs.ALFError)
assert not issubclass(errors.InputError, theirs.ALFError)
try:
    raise errors.ALFObjectNotFound
except theirs.ALFMultipleObjectsFound:
    raise SystemExit("caught as another error")
except theirs.ALFObjectNotFound as error:
    assert str(error) == ""
"""


def run(script: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """Write a package `one` that has only `alf.exceptions`."""
    (tmp_path / "one" / "alf").mkdir(parents=True)
    for name in ("one/__init__.py", "one/alf/__init__.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "one" / "alf" / "exceptions.py").write_text(THEIRS)
    return tmp_path


@pytest.mark.parametrize("first", ["", "import one.alf.exceptions, sys; del sys.modules['one.alf']\n"])
def test_classes_of_one_api_catch_ours(stand_in: Path, first: str) -> None:
    run(first + CHECK, stand_in)


def test_one_api_is_not_imported(stand_in: Path) -> None:
    script = "import sys; from one_async import errors; errors.ALFObjectNotFound('x'); assert 'one' not in sys.modules"
    run(script, stand_in)


def test_a_module_that_is_being_imported_is_adopted_later(stand_in: Path) -> None:
    script = """
import sys, types
from one_async import errors
half = sys.modules["one.alf.exceptions"] = types.ModuleType("one.alf.exceptions")
errors.ALFObjectNotFound("while it is empty")
exec(open("one/alf/exceptions.py").read(), half.__dict__)
assert isinstance(errors.ALFObjectNotFound("later"), half.ALFObjectNotFound)
"""
    run(script, stand_in)


def test_an_import_after_an_error_applies_to_later_errors(stand_in: Path) -> None:
    """The module's docstring documents this; matching itself cannot be changed, since ``except`` calls no hook."""
    script = """
import importlib
from one_async import errors
def theirs():
    return importlib.import_module("one.alf.exceptions").ALFObjectNotFound
caught = []
for _ in range(2):
    try:
        raise errors.ALFObjectNotFound("x")
    except theirs():
        caught.append("theirs")
    except errors.ALFObjectNotFound:
        caught.append("ours")
assert caught == ["ours", "theirs"], caught
"""
    run(script, stand_in)


def test_classes_that_allow_no_base_are_not_changed(stand_in: Path) -> None:
    (stand_in / "one/alf/exceptions.py").write_text(
        THEIRS.replace("class ALFObjectNotFound(ALFError)", "class ALFObjectNotFound(OSError)")
    )
    script = """
import one.alf.exceptions as theirs
from one_async import errors
assert not isinstance(errors.ALFObjectNotFound("x"), OSError)
assert isinstance(errors.ALFMultipleObjectsFound("x"), theirs.ALFMultipleObjectsFound)
"""
    run(script, stand_in)


def test_status_errors_can_be_those_of_another_library(tmp_path: Path) -> None:
    script = """
import pickle
from one_async import errors
from one_async._foreign_errors import raise_also_as
class HTTPError(OSError):
    def __init__(self, *args, **kwargs):
        self.response = kwargs.pop("response", None)
        super().__init__(*args)
for kind in (errors.StatusError, errors.NotFound):
    raise_also_as(kind, HTTPError, response=property(lambda self: (self.status, self.url)))
for kind, status in ((errors.StatusError, 500), (errors.NotFound, 404)):
    try:
        raise kind("no", url="http://x", status=status)
    except HTTPError as error:
        assert isinstance(error, kind) and error.response == (status, "http://x") and str(error) == "no"
        assert repr(type(error)) == repr(kind)
        again = pickle.loads(pickle.dumps(error))
        assert isinstance(again, kind) and again.response == error.response and again.args == error.args
assert not isinstance(errors.Throttled("x"), OSError) and not issubclass(errors.NotFound, OSError)
"""
    run(script, tmp_path)
