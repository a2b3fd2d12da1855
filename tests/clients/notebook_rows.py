"""The row of notebooks: their cells, with the ids, subjects and labs of the seeded world in place of IBL's.

The value of a cell consists of the names that it binds: arrays, frames, texts, numbers, and mappings of these.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
from pathlib import Path
from typing import Any

from pypi_rows import Steps, sorted_probes

#: Folders of notebooks that load data of sessions, and notebooks of another folder.
FOLDERS = ("examples/exploring_data", "examples/loading_data")
OTHERS = (
    "brainbox/examples/Psychometric curves.ipynb",
    "brainbox/examples/docs_wheel_moves.ipynb",
    "brainbox/examples/docs_wheel_screen_stimulus.ipynb",
)
#: Names of IBL's data in cells, and their replacements from the seeded world, whose raw recordings are 3.2 s long.
WORDS = {
    r"(?<!pid = )'[0-9a-f]{8}-[0-9a-f-]{27}'": "'{eid}'",
    r"(?<=pid = )'[0-9a-f]{8}-[0-9a-f-]{27}'": "'{pid}'",
    r"eids\[50\]": "eids[5]",
    r"trials\.intervals": "trials.table",
    r"\bt0 = 100\b": "t0 = 1",
    r"\bevent_no = 100\b": "event_no = 0",
    "SWC_043": "{subject}",
    "mrsicflogellab": "{lab}",
    "2022_Q2_IBL_et_al_RepeatedSite": "2024_Q1_Behaviour",
    r"(?m)^ *%.*$": "",
}


def steps(one: Any, folder: Path) -> Steps:
    """Return the cells of each notebook; cells of one notebook share their namespace."""
    _stand_in(one)
    pid = sorted_probes(one)[0]
    eid = str(one.pid2eid(pid)[0])
    record = one.alyx.rest("sessions", "read", id=eid)
    here = {"pid": pid, "eid": eid, "subject": record["subject"], "lab": record["lab"]}
    words = {old: re.sub(r"\{(\w+)\}", lambda found: here[found[1]], new) for old, new in WORDS.items()}
    for path in _notebooks(folder):
        names: dict[str, Any] = {"__name__": "__main__"}
        cells = json.loads(path.read_text("utf-8"))["cells"]
        codes = [_code(cell, words) for cell in cells if cell["cell_type"] == "code"]
        for number, code in enumerate(codes):
            yield f"{path.stem} {number}", functools.partial(_run, code, names)


def _notebooks(folder: Path) -> list[Path]:
    found = [path for name in FOLDERS for path in sorted((folder / name).glob("*.ipynb"))]
    return found + [folder / name for name in OTHERS]


def _stand_in(one: Any) -> None:
    """Make ``ONE(…)`` return the instance under test, whatever its arguments."""
    given = functools.cache(lambda *args, **kwargs: one)
    given.setup = lambda *args, **kwargs: None  # type: ignore[attr-defined]
    importlib.import_module("one.api").ONE = given


def _code(cell: dict[str, Any], words: dict[str, str]) -> str:
    code = "".join(cell["source"])
    for old, new in words.items():
        code = re.sub(old, new, code)
    return code


def _run(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run a cell and return the data that it binds."""
    import matplotlib.pyplot as plt

    before = dict(names)
    try:
        exec(code, names)
    finally:
        plt.close("all")
    bound = {name: value for name, value in names.items() if before.get(name) is not value}
    return {name: value for name, value in bound.items() if _is_data(value)}


def _is_data(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_data, value.values()))
    of_arrays = type(value).__module__.partition(".")[0] in ("numpy", "pandas") and hasattr(value, "shape")
    return of_arrays or isinstance(value, str | int | float)
