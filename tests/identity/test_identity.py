"""A name means its session: the short form of ``tests/faults/test_session_identity.py``."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from .folders import Row, Session, check_folder, check_world, trees, worlds

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
DAY = date(2020, 1, 1)


@given(tree=trees)
@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
def test_folders(tree: list[Session]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_folder(Path(folder).resolve(), tree)


@given(some=worlds)
@settings(max_examples=5, deadline=None, suppress_health_check=SLOW)
def test_worlds(some: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_world(Path(folder).resolve(), some)


@pytest.mark.parametrize(
    "tree",
    [
        [Session("lab", "Mouse", DAY, "001"), Session("lab", "My Mouse", DAY, "001")],
        [Session("lab", "12", DAY, "001"), Session("lab", "A#12", DAY, "001")],
        [Session("lab", "GAD++", DAY, "001"), Session("lab", "GAD X GAD++", DAY, "001")],
        [Session(None, "A 1", DAY, "001"), Session(None, "B 1", DAY, "001"), Session(None, "1", DAY, "001")],
        [Session("lab", "1", DAY, "001"), Session("zador-lab", "1", DAY, "001")],
        [Session("lab", "S", DAY, "1"), Session("lab", "S", DAY, "01"), Session("lab", "S", DAY, "001")],
        [Session("low", "S", DAY, "001", "subjects"), Session(None, "S", DAY, "001")],
        [Session("a", "S.1", DAY, "001"), Session("a", "1", DAY, "001"), Session("a", "S(1)", DAY, "001")],
        [Session("Ünï", "鼠", DAY, "001"), Session("Uni", "鼠 2", DAY, "001")],
    ],
)
def test_names_that_patterns_of_words_confuse(tmp_path: Path, tree: list[Session]) -> None:
    check_folder(tmp_path.resolve(), tree)


def test_a_subject_of_two_labs_in_a_database(tmp_path: Path) -> None:
    check_world(
        tmp_path.resolve(), [Row("labA", "S1", DAY, 1), Row("labB", "S1", DAY, 1), Row("labA", "S 1", DAY, 1)]
    )
