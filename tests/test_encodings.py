"""Text files are read and written in the same encoding everywhere, not in that of the user's locale."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import one_async
from one_async.tables.build import make_parquet_db

TEXT = {"read_text": 0, "write_text": 1}  # the position of the encoding


def _calls(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield node


def _without_encoding(call: ast.Call) -> bool:
    named = {keyword.arg for keyword in call.keywords}
    if "encoding" in named:
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if name in TEXT:
        return len(call.args) <= TEXT[name]
    if (
        name != "open" or None in named or ast.unparse(call.func).endswith("_av.open")
    ):  # PyAV's is for binary files
        return False
    modes = [
        value.value
        for value in [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    modes = [mode for mode in modes if set(mode) <= set("rwxabt+") and mode]
    return bool(modes) and not any("b" in mode for mode in modes)


def test_each_text_file_has_an_encoding() -> None:
    root = Path(one_async.__file__).parent
    found = [
        f"{file.relative_to(root)}:{call.lineno}"
        for file in sorted(root.rglob("*.py"))
        for call in _calls(file.read_text("utf-8"))
        if _without_encoding(call)
    ]
    assert found == []


def test_the_check_finds_what_it_looks_for() -> None:
    found = "a.open('x'); open(a, 'w'); a.read_text(); a.write_text(b); a.open(mode='r+')"
    fine = "a.open('xb'); open(a, 'w', encoding='utf-8'); a.read_text('utf-8'); a.open(); a.write_text(b, 'utf-8')"
    assert [all(map(_without_encoding, _calls(text))) for text in (found, fine)] == [True, False]
    assert not any(map(_without_encoding, _calls(fine)))


ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOAD = """
import sys, sysconfig
from one_async import ONE
from one_async.errors import StorageError
one = ONE(cache_dir=sys.argv[1], mode="local")
for subject in ("S1", "\\u00dc1"):
    eid = one.search(subject=subject)[0]
    try:
        print(len(one.load_object(eid, "spikes").times), one.list_datasets(eid))
    except StorageError as error:
        print(ascii(str(error)))
"""


def test_a_locale_without_the_letters_of_a_name_is_named(tmp_path: Path) -> None:
    for subject in ("S1", "\u00dc1"):
        file = tmp_path / subject / "2020-01-01/001/alf/spikes.times.npy"
        file.parent.mkdir(parents=True)
        np.save(file, np.arange(3))
    make_parquet_db(tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOAD, str(tmp_path)],
        env={**os.environ, **ASCII_LOCALE},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == "3 ['alf/spikes.times.npy']"
    assert "ascii; set PYTHONUTF8=1" in second


def test_names_of_processes_and_threads_may_be_no_text(tmp_path: Path) -> None:
    """A thread's name is cut after 15 bytes, perhaps within a letter; files that a process owns are recognized anyway."""
    if not Path("/proc/self/comm").exists():
        pytest.skip("needs the names of processes in /proc")
    code = """
import os
from pathlib import Path
Path("/proc/self/comm").write_bytes(b"K\\xf6ln \\xc3")
from one_async._threads import _has_polars_threads
from one_async.files.claim import owner_of
import polars
print(_has_polars_threads(), owner_of("x").count(os.sep))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False 0\n", "")
