"""The files of a folder are read, whatever its name matches as a pattern, and whatever replaces them meanwhile."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import one_async
from one_async import ONE
from one_async.tables.build import make_parquet_db
from one_async.tables.catalogue import Catalogue
from one_async.tables.polars_files import count_rows, read_arrow, read_metadata, read_parquet

NAMES = st.text(st.sampled_from("ab1[]*?{},^!- ~#%"), min_size=1, max_size=5).filter(
    lambda name: name.strip(". ") == name
)


@given(st.sets(NAMES, min_size=2, max_size=4))
@example({"d1", "d[1]"})
@example({"a*", "a?", "ab", "{a,b}"})
@settings(max_examples=15, deadline=None)
def test_the_tables_of_each_folder_are_its_own(names: set[str]) -> None:
    """Beside folders that its name matches as a pattern, in both forms of the tables, and from build to build."""
    with TemporaryDirectory() as parent:
        for at, name in enumerate(sorted(names)):
            file = Path(parent, name, f"S{at}/2020-01-01/001/alf/spikes.times.npy")
            file.parent.mkdir(parents=True)
            np.save(file, np.arange(at + 1))
            make_parquet_db(Path(parent, name))
        for at, name in enumerate(sorted(names)):
            folder = Path(parent, name)
            for convert in (False, True, None):
                tables = Catalogue.open(folder, convert=convert)
                assert tables.session_frame["subject"].to_list() == [f"S{at}"]
                assert tables.dataset_table.frame()["rel_path"].to_list() == ["alf/spikes.times.npy"]
            report = make_parquet_db(folder, quick=True)
            assert (report.sessions.unchanged, report.datasets.unchanged, report.written) == (1, 1, False)
            shutil.rmtree(folder / ".one_async_tables", ignore_errors=True)
            with ONE(cache_dir=folder, mode="local") as one:
                assert len(one.load_object(one.search()[0], "spikes").times) == at + 1


def test_tables_that_are_replaced_meanwhile_are_read_whole(tmp_path: Path) -> None:
    """Each read gives one version of a file, with the metadata of that version."""
    import polars as pl

    target, over = tmp_path / "t.pqt", threading.Event()

    def write(rows: int) -> None:
        frame = pl.DataFrame({"a": np.full(rows, rows), "b": [f"{rows}" * 3] * rows})
        frame.write_parquet(tmp_path / "new", metadata={"rows": str(rows)}, compression="uncompressed")
        (tmp_path / "new").replace(target)

    def replace() -> None:
        while not over.is_set():
            for rows in (10, 20_000, 3):
                write(rows)

    write(1)
    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(150):
            frame, metadata = read_parquet(target)
            assert set(frame["a"]) == {len(frame)} == {int(metadata["rows"])}
            assert frame["b"].unique().to_list() == [f"{len(frame)}" * 3]
            assert count_rows(target) in (1, 3, 10, 20_000)
    finally:
        over.set()
        writer.join()


WRITTEN_IN_PLACE = """
import sys, threading, time
from pathlib import Path
import numpy as np, polars as pl
from one_async.tables.polars_files import count_rows, read_parquet

target, versions = Path(sys.argv[1]), []
for rows in (60_000, 50_000):
    pl.DataFrame({"a": np.full(rows, rows)}).write_parquet(target, compression="uncompressed", row_group_size=5_000)
    versions.append(target.read_bytes())
over = threading.Event()

def write():
    while not over.is_set():
        for content in versions:
            with target.open("wb", buffering=0) as file:
                for half in (content[: len(content) // 2], content[len(content) // 2 :]):
                    file.write(half)
                    time.sleep(0.003)

writer, whole = threading.Thread(target=write, daemon=True), 0
writer.start()
end = time.monotonic() + 1.5
while time.monotonic() < end:
    try:
        frame, _ = read_parquet(target)
        assert set(frame["a"]) == {len(frame)}
        assert count_rows(target) in (60_000, 50_000)
        whole += 1
    except (pl.exceptions.PolarsError, OSError):
        pass
over.set()
print("whole:", whole > 0)
"""


def test_a_table_that_another_program_writes_in_place_ends_no_process(tmp_path: Path) -> None:
    """A read gives one whole version of the file, or an error."""
    ran = subprocess.run(
        [sys.executable, "-c", WRITTEN_IN_PLACE, str(tmp_path / "t.pqt")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "whole: True\n", "")


@pytest.mark.parametrize("read", [read_parquet, read_metadata, count_rows, read_arrow])
def test_a_file_that_is_not_there(tmp_path: Path, read: object) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "t[1].pqt")  # type: ignore[operator]


def test_polars_gets_no_path() -> None:
    """Everywhere else, Polars reads bytes, open files, or addresses with ``glob=False``."""
    root = Path(one_async.__file__).parent
    found = [
        f"{file.relative_to(root)}:{call.lineno}"
        for file in root.rglob("*.py")
        if file.name != "polars_files.py" and "emulator" not in file.parts
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "pl"
        and call.func.attr.startswith(("read_", "scan_"))
        and call.func.attr.endswith(("parquet", "ipc", "metadata", "schema"))
        and not any(keyword.arg == "glob" for keyword in call.keywords)
        and not ("BytesIO" in ast.unparse(call.args[0]) or ast.unparse(call.args[0]) == "target")
    ]
    assert found == []
