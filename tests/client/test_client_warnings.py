"""Warnings of a session's datasets name the session, whichever call meets them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from one_async import ONE
from one_async.errors import ALFWarning
from one_async.tables.build import make_parquet_db

#: Files of two revisions, of which the tables of a folder call none the default one.
FILES = (
    "alf/#2024-01-01#/trials.choice.npy", "alf/#2024-02-02#/trials.choice.npy", "alf/trials.contrast.npy",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("warned")
    for subject in "AB":
        for name in FILES:
            path = root / f"lab/Subjects/{subject}/2024-05-06/001" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                np.save(file, np.arange(3))
    make_parquet_db(root)
    return root


@pytest.fixture(scope="module")
def one(folder: Path) -> Iterator[ONE]:
    with ONE(cache_dir=folder, mode="local") as client:
        yield client


def frozen_copy(one: ONE, eids: list[UUID], **how: Any) -> None:
    path = one.freeze(eids, Path(one.cache_dir) / "frozen.json", **how)
    path.unlink()


def opened_file(one: ONE, eids: list[UUID], **_: Any) -> None:
    """Read as pandas does, through the file system."""
    pytest.importorskip("fsspec")
    from one_async.filesystem import OneFileSystem

    files = OneFileSystem(one_mode="local", cache_dir=str(one.cache_dir), skip_instance_cache=True)
    for eid in eids:
        files.cat_file(f"{eid}/alf/trials.choice.npy")


#: Calls that choose among the datasets of sessions.
CALLS: dict[str, Callable[[ONE, list[UUID]], Any]] = {
    "list_datasets": lambda one, eids: one.list_datasets(eids, revision_policy="last_before"),
    "list_datasets of one": lambda one, eids: [
        one.list_datasets(eid, revision_policy="last_before", details=True) for eid in eids
    ],
    "download": lambda one, eids: one.download(eids, collection="alf", revision_policy="last_before", dry_run=True),
    "freeze": frozen_copy,
    "load_object": lambda one, eids: one.load_object(eids, "trials"),
    "load_dataset": lambda one, eids: one.load_dataset(eids, "trials.choice.npy"),
    "load_datasets": lambda one, eids: one.load_datasets(eids, ["trials.choice.npy", "trials.contrast.npy"]),
    "load_collection": lambda one, eids: one.load_collection(eids, "alf", "trials"),
    "load_many": lambda one, eids: one.load_many(eids, "trials"),
    "iter_objects": lambda one, eids: list(one.iter_objects(eids, "trials")),
    "fsspec": opened_file,
}  # fmt: skip


def warned(call: Callable[[ONE, list[UUID]], Any], one: ONE, eids: list[UUID]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(one, eids)
    return [str(one.message) for one in caught if issubclass(one.category, ALFWarning)]


@pytest.mark.parametrize("name", CALLS)
def test_a_warning_names_its_session(one: ONE, name: str) -> None:
    for eid in one.search():
        texts = warned(CALLS[name], one, [eid])
        assert any(text.startswith("No default revision of 'alf/trials.choice.npy'") for text in texts), texts
        for text in texts:
            assert str(eid) in text.rpartition("; session ")[2], text


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"list_datasets of one", "fsspec", "iter_objects"}))
def test_a_warning_of_several_sessions_names_them_all(one: ONE, name: str) -> None:
    eids = one.search()
    texts = warned(CALLS[name], one, eids)
    assert texts
    for text in texts:
        assert "; in 2 sessions: " in text, text
        assert all(str(eid) in text for eid in eids), text
