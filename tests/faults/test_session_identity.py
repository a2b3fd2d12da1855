"""A name means its session, for 500 generated folders and 100 generated databases."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings

from identity.folders import Row, Session, check_folder, check_world, trees, worlds
from identity.test_identity import SLOW


@given(tree=trees)
@settings(max_examples=500, deadline=None, suppress_health_check=SLOW)
def test_folders(tree: list[Session]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_folder(Path(folder).resolve(), tree)


@given(some=worlds)
@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
def test_worlds(some: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_world(Path(folder).resolve(), some)
