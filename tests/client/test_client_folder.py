"""Tables kept up to date with the files of a folder, in both faces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread
import pytest

from one_async import ONE, AsyncONE
from one_async.errors import ConfigurationError, InputError, OneError, TablesWarning
from one_async.tables import build
from one_async.tables.build import make_parquet_db

SPIKES = "alf/spikes.times.npy"


def add(root: Path, subject: str, file: str = SPIKES) -> Path:
    path = root / f"lab/Subjects/{subject}/2020-01-01/001" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def tables(root: Path) -> list[Path]:
    return list(root.glob("*.pqt"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add(tmp_path, "A")
    return tmp_path


def test_a_loop_gets_a_report_of_each_change(root: Path) -> None:
    seen: list[tuple[str, int]] = []
    with ONE(cache_dir=root, mode="local") as one:
        for report in one.watch_folder(every=0.01):
            seen.append((str(report.sessions), len(one.search())))
            if len(seen) == 1:
                first = one.search()
                add(root, "B")
            elif len(seen) == 2:
                assert first[0] in one.search()
                add(root, "B", "alf/spikes.amps.npy")
            else:
                assert "1 new" in str(report.datasets)
                break
        assert not [thread for thread in threading.enumerate() if "watch" in thread.name]
    assert seen == [
        ("1 new, 0 gone, 0 unchanged", 1),
        ("1 new, 0 gone, 1 unchanged", 2),
        ("0 new, 0 gone, 2 unchanged", 2),
    ]


def test_the_first_report_brings_what_another_process_built(root: Path) -> None:
    make_parquet_db(root)
    with ONE(cache_dir=root, mode="local") as one:
        assert len(one.search()) == 1
        add(root, "B")
        make_parquet_db(root)
        (report,) = one.watch_folder(every=None)
        assert not report.written
        assert len(one.search()) == 2


@pytest.mark.anyio
async def test_a_task_gets_one_round_or_many(root: Path) -> None:
    async with AsyncONE(cache_dir=root, mode="local") as one:
        reports = [report async for report in one.watch_folder(every=None, namespace=str(UUID(int=4)))]
        assert [report.written for report in reports] == [True]
        reports = [report async for report in one.watch_folder(every=None)]
        assert [report.written for report in reports] == [False]  # the first one is always reported
        async with aclosing(one.watch_folder(every=0.01)) as found:
            assert not (await anext(found)).written
            add(root, "B")
            assert (await anext(found)).sessions.new == 1
            assert len(await one.search()) == 2


def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Delay the scan of a session while ``check`` is called; the event is set when the scan begins."""
    begun = threading.Event()

    def scan(session: str, check: Callable[[], object]) -> Any:
        begun.set()
        for _ in range(3000):
            check()
            time.sleep(0.01)
        raise AssertionError("it was not ended")

    monkeypatch.setattr(build, "scan_session", scan)
    return begun


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["cancelled", "closed"])
async def test_a_build_under_way_ends_with_its_task(
    root: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    begun = slow(monkeypatch)
    errors: list[BaseException] = []
    async with AsyncONE(cache_dir=root, mode="local") as one:

        async def watch() -> None:
            try:
                async for _ in one.watch_folder():
                    raise AssertionError("no report")
            except OneError as error:
                errors.append(error)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                await anyio.to_thread.run_sync(begun.wait)
                if way == "closed":
                    await one.aclose()
                else:
                    group.cancel_scope.cancel()
    assert [str(error) for error in errors] == (
        ["the client was closed during this call"] if way == "closed" else []
    )
    assert not tables(root)


def test_a_folder_that_is_away_for_a_while_is_looked_for_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = build.find_sessions
    rounds: list[int] = []

    def away(*args: Any) -> Any:
        rounds.append(1)
        if len(rounds) in (2, 3):
            raise OSError(5, "the disk is away", str(root))
        return find(*args)

    monkeypatch.setattr(build, "find_sessions", away)
    with ONE(cache_dir=root, mode="local") as one:
        for report in one.watch_folder(every=0.01):
            if report.sessions.unchanged:
                break
            add(root, "B")
    assert len(rounds) == 4


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"every": 0}, "every"),
        ({"every": "x"}, "every"),
        ({"namespace": "lab"}, "namespace"),
        ({"namespace": 5}, "namespace"),
        ({"lab": "a/b"}, "lab"),
        ({"lab": 5}, "lab"),
    ],
)
def test_wrong_arguments_are_refused(root: Path, wrong: dict[str, Any], match: str) -> None:
    with ONE(cache_dir=root, mode="local") as one, pytest.raises(InputError, match=match):
        next(iter(one.watch_folder(**wrong)))
    assert not tables(root)


def test_a_client_of_a_database_has_its_tables(tmp_path: Path) -> None:
    with (
        ONE(
            base_url="http://127.0.0.1:9", cache_dir=tmp_path, mode="auto", username="x", password="x"
        ) as one,
        pytest.raises(ConfigurationError, match="local"),
    ):
        next(iter(one.watch_folder()))


def test_an_empty_folder_warns(tmp_path: Path) -> None:
    with ONE(cache_dir=tmp_path, mode="local") as one, pytest.warns(TablesWarning, match="no "):
        next(iter(one.watch_folder(every=None)))


# ---- folders that cannot be written, such as a share


def files(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in (root, *root.rglob("*"))}


@pytest.mark.filterwarnings("ignore:No default revision")
def test_reading_a_folder_in_local_mode_writes_nothing_there(root: Path) -> None:
    """Root may write anywhere, so the files are compared."""
    make_parquet_db(root)
    before = files(root)
    with ONE(cache_dir=root, mode="local") as one:
        (eid,) = one.search()
        assert one.list_datasets(eid) == [SPIKES]
        assert one.path2eid(one.eid2path(eid)) == eid
        assert one.load_dataset(eid, SPIKES, download_only=True).read_text() == "x"
    assert files(root) == before
