"""Datasets of sessions learned from a search are requested from the server instead of being assumed empty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from client.faces import Face
from client.worlds import World, recorded_world
from modes.conftest import Make
from one_async.emulator import Emulator
from one_async.errors import StatusError
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import save_tables
from shared_worlds import unzip

KNOWN, LEARNED = "cortexlab", "riverlab"


@pytest.fixture(scope="module")
def world() -> World:
    return recorded_world()


def tables_of(emulator: Emulator, folder: Path, lab: str, *, empty: bool = False) -> None:
    """Put the sessions of one lab into a folder as its tables, with their datasets or ``empty``."""
    tables = Catalogue.open(unzip(emulator, folder))
    sessions = tables.session_frame.filter(pl.col("lab") == lab)
    of_them = pl.col("eid").is_in(sessions["eid"].implode())
    datasets = tables.datasets().collect().filter(of_them & pl.lit(not empty))
    save_tables(tables.replace(sessions=sessions, datasets=datasets), folder, clobber=True)


def listed(one: Face, eid: Any) -> list[str]:
    paths: list[str] = one.ask("list_datasets", eid, qc="CRITICAL")
    return paths


def listed_of_many(one: Face, eid: Any) -> list[str]:
    (paths,) = one.ask("list_datasets", [eid], qc="CRITICAL")
    return list(paths)


def detailed(one: Face, eid: Any) -> list[str]:
    return sorted(one.ask("list_datasets", eid, qc="CRITICAL", details=True)["rel_path"])


QUESTIONS = [listed, listed_of_many, detailed]
Question = Callable[[Face, Any], list[str]]


@pytest.mark.parametrize("question", QUESTIONS)
def test_datasets_of_learned_sessions_are_requested(
    make: Make, alyx: Emulator, world: World, tmp_path: Path, question: Question
) -> None:
    tables_of(alyx, tmp_path / "cache", KNOWN)
    one = make(alyx, mode="auto")
    for eid in one.ask("search", lab=LEARNED, query_type="remote")[:3]:
        assert question(one, eid) == world.paths(str(eid)) != []


@pytest.mark.parametrize("question", QUESTIONS)
def test_where_the_server_cannot_answer_that_is_an_error(
    make: Make, alyx: Emulator, tmp_path: Path, question: Question
) -> None:
    tables_of(alyx, tmp_path / "cache", KNOWN)
    one = make(alyx, mode="auto")
    eid = one.ask("search", lab=LEARNED, query_type="remote")[0]
    assert eid in one.ask("search", lab=LEARNED)
    alyx.faults.add(status=500, times=None)
    with pytest.raises(StatusError):
        question(one, eid)


@pytest.mark.parametrize("question", QUESTIONS)
def test_sessions_of_the_tables_may_have_no_datasets(
    make: Make, alyx: Emulator, tmp_path: Path, question: Question
) -> None:
    tables_of(alyx, tmp_path / "cache", KNOWN, empty=True)
    one = make(alyx, mode="auto")
    one.ask("search", lab=LEARNED, query_type="remote")
    eid = one.ask("search", lab=KNOWN)[0]
    alyx.faults.add(status=500, times=None)
    assert question(one, eid) == []


def test_one_learned_session_among_others_is_enough(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    tables_of(alyx, tmp_path / "cache", KNOWN, empty=True)
    one = make(alyx, mode="auto")
    learned = one.ask("search", lab=LEARNED, query_type="remote")[0]
    known = one.ask("search", lab=KNOWN)[:2]
    alyx.faults.add(status=500, times=None)
    with pytest.raises(StatusError):
        one.ask("list_datasets", [*known, learned], qc="CRITICAL")
