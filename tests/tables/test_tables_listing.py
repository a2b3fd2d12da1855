"""Lists of all sessions equal the lists of each session together, and filter by name, folder and QC."""

from __future__ import annotations

import itertools

import pytest

from one_async.alf.match import resolve
from one_async.alf.spec import QC
from one_async.errors import ALFError
from one_async.tables import listing
from one_async.tables.catalogue import Catalogue
from tables_data import make_catalogue, search

NAMES = [None, "*.npy", "spikes.times.npy", ["spikes.times.npy", "*wheel*"], {"object": "trials"}]
FOLDERS = [None, "", "alf*", ["alf/probe00", "raw*"]]
REVISIONS = [None, "", "2024*"]


@pytest.mark.parametrize(("name", "folder", "revision"), list(itertools.product(NAMES, FOLDERS, REVISIONS)))
def test_a_list_of_all_sessions_equals_those_of_each(
    catalogue: Catalogue, name: object, folder: object, revision: object
) -> None:
    filters = {"filename": name, "collection": folder, "revision": revision, "qc": QC.WARNING}
    every = listing.list_datasets(catalogue, **filters)  # type: ignore[arg-type]
    each = [
        path
        for eid in sorted(search(catalogue))
        for path in resolve(catalogue.dataset_table.by_session([eid])[0], **filters)["rel_path"]  # type: ignore[arg-type]
    ]
    assert every == list(dict.fromkeys(each))
    rows = listing.list_datasets(catalogue, **filters, details=True)  # type: ignore[arg-type]
    assert rows["rel_path"].to_list() == each


def test_collections_and_revisions_group_the_rows(catalogue: Catalogue) -> None:
    for call in (listing.list_collections, listing.list_revisions):
        names = call(catalogue)
        parts = call(catalogue, details=True)
        assert sorted(names) == list(parts)
        assert all(len(part) for part in parts.values())
    assert "alf/probe00" in listing.list_collections(catalogue)
    assert set(listing.list_revisions(catalogue)) == {"", "2021-07-05", "2024-02-15"}


def test_the_requested_columns_are_returned(catalogue: Catalogue) -> None:
    eid = max(search(catalogue), key=lambda one: len(catalogue.dataset_table.by_session([one])[0]))
    assert catalogue.dataset_table.by_session([eid], ["rel_path", "nothing"])[0].columns == ["rel_path"]
    assert catalogue.dataset_table.by_session([eid])[0]["eid"].unique().to_list() == [eid]


def test_default_revisions_need_their_column() -> None:
    with_column = make_catalogue()
    rows = listing.list_datasets(with_column, default_revisions_only=True, details=True)
    assert rows["default_revision"].all()
    without = with_column.replace(datasets=with_column.datasets().drop("default_revision").collect())
    with pytest.raises(ALFError, match="default"):
        listing.list_datasets(without, default_revisions_only=True)
    assert listing.list_datasets(without)


def test_empty_tables_list_nothing() -> None:
    empty = Catalogue.empty()
    assert listing.list_datasets(empty) == []
    assert listing.list_collections(empty) == []
    assert listing.list_revisions(empty, details=True) == {}
    assert listing.list_datasets(empty, details=True).height == 0
    assert empty.dataset_table.by_session(["00000000-0000-4000-8000-000000000000"])[0].height == 0
