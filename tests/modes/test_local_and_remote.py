"""Searches in local and in remote mode find the same sessions in the same order, except where `docs/modes.md` says why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client.faces import Face, opened
from one_async.emulator import Emulator
from one_async.errors import InputError

from .conftest import login
from .searches import EMPTY, KEPT, REASONS, SAME, Terms

#: Some of the searches find nothing on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::one_async.errors.EmptySearchWarning")

PAGE = Path(__file__).parents[2] / "docs" / "modes.md"
CASES = [(world, terms) for world, searches in SAME.items() for terms in searches]


@pytest.fixture(scope="module")
def one_of(
    recorded_emulator: Emulator, seeded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Face]]:
    """Return a function that returns the client of a world with its tables; searches do not depend on the face."""
    servers = {"recorded": recorded_emulator, "seeded": seeded_emulator}
    made: dict[str, Any] = {}
    for world, emulator in servers.items():
        emulator.start()
        made[world] = opened(
            "blocking", cache_dir=tmp_path_factory.mktemp(world), cache_rest=None, **login(emulator)
        )
    faces = {world: context.__enter__() for world, context in made.items()}
    for face in faces.values():
        face.ask("refresh_cache", "refresh")
    yield faces.__getitem__
    for context in made.values():
        context.__exit__(None, None, None)


@pytest.mark.parametrize(("world", "terms"), CASES, ids=[f"{world} {terms}" for world, terms in CASES])
def test_local_and_remote_find_the_same_sessions_in_the_same_order(
    one_of: Callable[[str], Face], world: str, terms: Terms
) -> None:
    one = one_of(world)
    local = one.ask("search", query_type="local", **terms)
    assert local == one.ask("search", query_type="remote", **terms)
    assert local == one.ask("search", query_type="auto", **terms)


def test_the_compared_searches_find_sessions(one_of: Callable[[str], Face]) -> None:
    sizes = [len(one_of(world).ask("search", query_type="local", **terms)) for world, terms in CASES]
    assert len(CASES) >= 60
    assert sum(size > 0 for size in sizes) >= 50
    assert len(set(sizes)) >= 20


@pytest.mark.parametrize(("terms", "local", "remote", "reason"), KEPT, ids=[str(row[0]) for row in KEPT])
def test_each_intended_difference_exists(
    one_of: Callable[[str], Face], terms: Terms, local: int, remote: int, reason: str
) -> None:
    one = one_of("recorded")
    assert len(one.ask("search", query_type="local", **terms)) == local
    assert len(one.ask("search", query_type="remote", **terms)) == remote
    assert local != remote
    assert reason in REASONS


@pytest.mark.parametrize("mode", ["local", "auto", "remote"])
@pytest.mark.parametrize("terms", EMPTY, ids=str)
@pytest.mark.parametrize("method", ["search", "search_insertions"])
def test_terms_without_a_value_are_refused_in_every_mode(
    one_of: Callable[[str], Face], recorded_emulator: Emulator, method: str, terms: Terms, mode: str
) -> None:
    one = one_of("recorded")
    one.ask("search_terms", "remote", "sessions")
    one.ask("search_terms", "remote", "insertions")
    recorded_emulator.requests.reset()
    with pytest.raises(InputError, match=f"{next(iter(terms))}.*accepted"):
        one.ask(method, query_type=mode, **terms)
    assert not len(recorded_emulator.requests)


def test_the_page_explains_each_difference() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert set(rows) >= REASONS
    assert {reason for _, _, _, reason in KEPT} == REASONS


def test_details_have_the_same_columns_except_the_start_time(one_of: Callable[[str], Face]) -> None:
    one = one_of("recorded")
    eids, local = one.ask("search", details=True, query_type="local", lab="cortexlab")
    others, remote = one.ask("search", details=True, query_type="remote", lab="cortexlab")
    assert eids == others
    assert set(remote.columns) - set(local.columns) == {"start_time"}
    assert local.equals(remote.select(local.columns))


def test_local_and_remote_list_the_same_datasets(one_of: Callable[[str], Face]) -> None:
    one = one_of("recorded")
    for eid in one.ask("search", lab="cortexlab", query_type="local"):
        local, remote = (one.ask("list_datasets", eid, query_type=mode) for mode in ("local", "remote"))
        assert local == remote
        for method in ("list_collections", "list_revisions"):
            local, remote = (one.ask(method, eid, query_type=mode) for mode in ("local", "remote"))
            assert sorted(local) == sorted(remote)
