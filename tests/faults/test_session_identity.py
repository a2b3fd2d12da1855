"""A session's name selects that session, in 500 generated folders and 100 generated databases."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from client.identity import Place, check_tree, check_world, trees, worlds

# Tables of a folder do not record the default revision.
pytestmark = pytest.mark.filterwarnings("ignore:No default revision")


@given(trees)
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
def test_names_in_generated_folders_select_their_sessions(tree: dict[str, set[str]]) -> None:
    check_tree(tree)


@given(worlds)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_names_in_generated_databases_select_their_sessions(places: set[Place]) -> None:
    check_world(places)
