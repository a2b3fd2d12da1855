from __future__ import annotations

import pytest

from one_async.tables.catalogue import Catalogue
from tables_data import make_catalogue


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Small tables that every test of the tables layer can use."""
    return make_catalogue()
