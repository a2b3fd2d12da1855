"""A name means its session, for 500 generated folders and 100 generated databases."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from client.identity import Place, check_tree, check_world, trees, worlds

# Tables of a folder do not say which revision is the default.
pytestmark = pytest.mark.filterwarnings("ignore:No default revision")


@given(trees)
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
def test_folders(tree: dict[str, set[str]]) -> None:
    check_tree(tree)


@given(worlds)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_worlds(places: set[Place]) -> None:
    check_world(places)
