"""Tables are replaced during searches: each answer is from the old or the new tables. Times are measured by benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from one_async.refresh import prepare_subprocess, update
from one_async.tables.catalogue import Catalogue

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SIZE = {"sessions": 2000, "datasets": 30_000}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tables, which are made once."""
    return tmp_path_factory.mktemp("load")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    pytest.importorskip("pandas")
    import bench_refresh

    return bench_refresh


@pytest.mark.parametrize("where", ["in a thread", "in a process"])
def test_searches_continue_while_tables_are_replaced(
    bench: Any, scratch: Path, anyio_backend: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "in a process":
        monkeypatch.setattr(update, "SMALL", 0)
    found = bench.run(scratch, **SIZE, idle=1.5, backend=anyio_backend)
    assert found["changes"] == ["new"]
    assert found["new_answers"] > 0
    assert found["refresh"]["searches"] > 10


@pytest.mark.anyio
async def test_a_subprocess_prepares_the_same_tables_as_a_thread(
    bench: Any, scratch: Path, tmp_path: Path
) -> None:
    archive, _ = bench.make(scratch, **SIZE)
    (tmp_path / "apart").mkdir()
    (tmp_path / "here").mkdir()
    assert await prepare_subprocess.prepare_in_subprocess(archive, tmp_path / "apart")
    prepare_subprocess.prepare(archive, tmp_path / "here")
    assert (tmp_path / "apart" / ".one_async_tables").is_dir()
    one, other = Catalogue.open(tmp_path / "apart"), Catalogue.open(tmp_path / "here")
    assert one.session_frame.equals(other.session_frame)
    assert one.datasets().collect().equals(other.datasets().collect())


@pytest.mark.anyio
async def test_a_thread_prepares_tables_if_the_subprocess_fails(tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4")
    assert not await prepare_subprocess.prepare_in_subprocess(tmp_path / "cut.zip", tmp_path)


@pytest.mark.anyio
@pytest.mark.parametrize("program", ["", "/opt/game/game", "C:\\app.exe"])
async def test_an_executable_that_is_not_python_is_not_started(
    tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", program)
    assert not await prepare_subprocess.prepare_in_subprocess(tmp_path / "x.zip", tmp_path)


@pytest.mark.anyio
async def test_the_process_ends_when_the_refresh_is_cancelled(
    scratch: Path, tmp_path: Path, bench: Any
) -> None:
    import psutil

    archive, _ = bench.make(scratch, **SIZE)
    with anyio.move_on_after(0.05):
        await prepare_subprocess.prepare_in_subprocess(archive, tmp_path)
    running = [child.cmdline() for child in psutil.Process().children()]
    assert not [line for line in running if "one_async.refresh.prepare_subprocess" in " ".join(line)]
