"""Fixtures of the page's tests: a client of the tables that each module builds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browse_world import write_tables

from one_async import ONE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONE_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="module")
def local(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, home: None
) -> Iterator[ONE]:
    """Yield a client of the module's ``TABLES``."""
    folder = write_tables(request.module.TABLES, tmp_path_factory.mktemp("tables"))
    with ONE(cache_dir=folder, mode="local") as one:
        yield one
