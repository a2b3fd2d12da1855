from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .kills import clean, finish, kill_until, start
from .tables_server import TablesServer, generation


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return {name: generation(tmp_path_factory.mktemp("made"), name, 1000, 60) for name in ("first", "second")}


@pytest.fixture
def server(archives: dict[str, bytes]) -> Iterator[TablesServer]:
    with TablesServer(archives["first"]) as running:
        yield running


@pytest.mark.parametrize("mode", ["auto", "refresh"])
def test_one_of_several_processes_of_a_folder_downloads(
    server: TablesServer, folder: Path, mode: str
) -> None:
    server.pace = 0.02
    workers = [start(server.url, folder, mode) for _ in range(4)]
    assert [finish(worker)[-1] for worker in workers] == ["first"] * 4
    assert server.count("/cache.zip") == 1
    clean(folder)


@pytest.mark.parametrize("action", ["refresh", "save"])
def test_tables_are_the_old_or_the_new_ones_after_a_kill(
    server: TablesServer, archives: dict[str, bytes], folder: Path, action: str
) -> None:
    hits, _ = kill_until(server, folder, archives, kills=4, seed=1, action=action)
    assert hits


def test_another_process_takes_over_a_killed_download(server: TablesServer, folder: Path) -> None:
    server.pace = 0.2
    first = start(server.url, folder, "refresh")
    while not server.count("/cache.zip"):
        assert first.poll() is None
    second = start(server.url, folder, "refresh")
    assert second.stdout is not None
    second.stdout.readline()
    server.pace = 0
    first.kill()
    first.communicate()
    assert finish(second)[-1] == "first"
    assert server.count("/cache.zip") == 2
    clean(folder)
