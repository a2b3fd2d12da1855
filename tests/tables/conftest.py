from __future__ import annotations

import pytest

from one_async.tables.catalogue import Catalogue
from tables_data import make_catalogue


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Return small tables for the tests of the tables layer."""
    return make_catalogue()
