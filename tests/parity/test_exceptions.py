"""``except`` clauses for ONE-api's own classes catch our errors in a process that has imported both packages."""

from __future__ import annotations

import inspect
import subprocess
from pathlib import Path

from runner import interpreter

import one_async
from one_async import errors

CATCH = """
import sys
from one_async import errors
import one.alf.exceptions as theirs
shared = [name for name in vars(theirs) if name.startswith("ALF") and name != "ALFWarning" and hasattr(errors, name)]
for name in shared:
    ours = getattr(errors, name)
    try:
        raise ours("no such object", eid="some")
    except getattr(theirs, name) as error:
        assert type(error) is ours and str(error) == error.message == "no such object", name
print(*shared)
"""


def test_except_clauses_for_one_api_classes_catch_our_errors(tmp_path: Path) -> None:
    source = Path(inspect.getfile(one_async)).parents[1]
    done = subprocess.run(
        [interpreter(), "-c", CATCH], capture_output=True, text=True, check=False,
        env={"HOME": str(tmp_path), "PYTHONPATH": str(source)}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {name for name in errors.__all__ if name.startswith("ALF")} - {
        "ALFWarning"
    }
