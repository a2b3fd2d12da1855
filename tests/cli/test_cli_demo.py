"""``one-async demo`` in a narrow terminal that cannot encode everything."""

from __future__ import annotations

import os
import subprocess
import sys


def test_the_demo_fits_80_columns_of_cp1252() -> None:
    environment = {**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(
        [sys.executable, "-m", "one_async", "demo"], env=environment, capture_output=True, check=True
    )
    lines = done.stdout.decode("cp1252").splitlines()
    assert all(len(line) <= 80 for line in lines if not line.startswith(">>>"))
    assert "\\u" not in "".join(lines)
    # Subjects and dates are whole; only the list of projects is too long.
    assert any({"SU_101", "2024-06-24"} <= set(line.split()) for line in lines)
