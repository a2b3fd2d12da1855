"""The long form of ``client/test_client_identity.py``: each name means its own session in 500 folders and 100 worlds."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from client.identity import Place, check_tree, check_world, trees, worlds


@given(trees)
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
def test_500_folders(tree: dict[str, set[str]]) -> None:
    check_tree(tree)


@given(worlds)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_100_worlds(places: set[Place]) -> None:
    check_world(places)
