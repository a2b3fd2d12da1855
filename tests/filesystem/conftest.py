"""The file system of an emulator with large datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_datasets import Served

from one_async.emulator import Emulator

fsspec = pytest.importorskip("fsspec")
filesystem = pytest.importorskip("one_async.filesystem")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Emulator() as emulator:
        yield Served(emulator)


@pytest.fixture
def options(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    fsspec.register_implementation("one", filesystem.OneFileSystem, clobber=True)
    monkeypatch.setenv("ONE_BASE_URL", served.emulator.url)
    monkeypatch.setenv("ONE_USERNAME", "demo")
    monkeypatch.setenv("ONE_PASSWORD", "demo")
    served.emulator.faults.clear()
    served.emulator.requests.reset()
    yield {"base_url": served.emulator.url, "mode": "remote", "cache_dir": str(tmp_path)}
    filesystem.OneFileSystem.clear_instance_cache()


@pytest.fixture
def fs(options: dict[str, Any]) -> Any:
    return fsspec.filesystem("one", **options)
