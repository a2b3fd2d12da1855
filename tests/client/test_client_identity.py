"""A name means its own session, whatever letters it has: by generated folders and worlds, and by examples."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from .identity import Place, check_world, check_tree, trees, worlds


@given(trees)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_each_session_of_a_folder_is_found_and_loads_its_own_files(tree: dict[str, set[str]]) -> None:
    check_tree(tree)


@given(worlds)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_each_session_of_a_database_is_found_and_loads_its_own_files(places: set[Place]) -> None:
    check_world(places)
