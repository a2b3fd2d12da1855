"""Several datasets of a session, each with its own collection and revision, compared with the paths themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import polars as pl
import pytest

from one_async.errors import ALFObjectNotFound, InputError
from one_async.queries.selection import (
    SelectionOptions,
    as_wanted,
    describe_missing,
    many_datasets,
    one_object,
)
from one_async.tables.schema import DATASETS, canonical

FOLDERS = ("alf/probe00", "alf/probe01")
NAMES = ("spikes.times.npy", "clusters.depths.npy")
REVISIONS = ("2020-01-01", "2021-01-01", "2022-01-01")
PATHS = [f"{folder}/#{revision}#/{name}" for folder, revision, name in product(FOLDERS, REVISIONS, NAMES)]
TABLE = canonical(
    "datasets",
    pl.DataFrame([{"did": f"{n:02d}", "eid": "e", "rel_path": path} for n, path in enumerate(PATHS)]),
).with_columns(pl.col("rel_path").str.contains(REVISIONS[-1]).alias("default_revision"))
ROWS = TABLE.rows(named=True)


@pytest.mark.parametrize("revisions", list(product(REVISIONS, repeat=2)), ids="-".join)
@pytest.mark.parametrize("folders", [FOLDERS, FOLDERS[::-1], FOLDERS[:1] * 2], ids="-".join)
def test_each_dataset_has_its_own_collection_and_revision(folders: Any, revisions: Any) -> None:
    expected = [
        [f"{folder}/#{revision}#/{name}"]
        for folder, revision, name in zip(folders, revisions, NAMES, strict=True)
    ]
    found = many_datasets(NAMES, list(folders), list(revisions), SelectionOptions())(ROWS)
    assert [[row["rel_path"] for row in rows] for rows in found] == expected
    if set(revisions) == {REVISIONS[-1]}:  # whole paths of other revisions raise a warning
        paths = [path for (path,) in expected]
        for wanted in (paths, pl.DataFrame({"rel_path": paths})):
            exact = many_datasets(wanted, None, None, SelectionOptions())(ROWS)
            assert [[row["rel_path"] for row in rows] for rows in exact] == expected


def test_an_absent_object_is_named_with_its_collection() -> None:
    assert set(TABLE.columns) == set(DATASETS)
    with pytest.raises(ALFObjectNotFound, match="'trials' with collection='alf/probe00'"):
        one_object("trials", "alf/probe00", None, SelectionOptions())(ROWS)


@pytest.mark.parametrize(
    ("obj", "parts"),
    [
        (["spikes"], {"attribute": "amps"}),
        (["spikes", "trials"], {"extension": "csv"}),
        (["nothing"], {}),
        (("spikes",), {"namespace": "ibl"}),
    ],
)
def test_absent_objects_of_a_list_are_named(obj: Any, parts: dict[str, str]) -> None:
    with pytest.raises(ALFObjectNotFound) as raised:
        one_object(obj, None, None, SelectionOptions(), **parts)(ROWS)
    assert repr(obj) in str(raised.value)


@pytest.mark.parametrize(
    "parts",
    [
        {"object": "trials"},
        {"object": ["trials", "wheel"], "attribute": "times"},
        {"object": "trials", "attribute": "*", "extension": "npy", "collection": "alf"},
        {"object": "_x", "attribute": "times", "extension": "npy"},
    ],
)
def test_missing_datasets_are_named_by_the_parts_that_were_given(parts: dict[str, Any]) -> None:
    wanted = [parts, {"object": "spikes", "collection": FOLDERS[0]}]
    text = describe_missing(wanted, many_datasets(wanted, None, None, SelectionOptions())(ROWS))
    assert all(part in text and str(value) in text for part, value in parts.items())
    assert "spikes" not in text


@pytest.mark.parametrize(
    "wanted", [NAMES, PATHS[4:6], PATHS[-1:], []], ids=["names", "paths", "path", "none"]
)
@pytest.mark.parametrize("form", [tuple, iter, dict.fromkeys, np.array, pl.Series, "generator", "paths"])
def test_datasets_may_be_given_in_any_iterable(
    form: Callable[[Any], Iterable[Any]] | str, wanted: list[str]
) -> None:
    forms: dict[Any, Any] = {
        "generator": (item for item in wanted),
        "paths": [path(item) for path, item in zip((Path, PurePosixPath), wanted, strict=False)],
        dict.fromkeys: dict.fromkeys(wanted).keys(),
    }
    given = forms[form] if form in forms else form(wanted)  # type: ignore[operator]
    expected = many_datasets(list(wanted), FOLDERS[0] if wanted is NAMES else None, None, SelectionOptions())
    found = many_datasets(as_wanted(given), FOLDERS[0] if wanted is NAMES else None, None, SelectionOptions())
    assert found(ROWS) == expected(ROWS)
    assert len(found(ROWS)) == len(wanted)


@pytest.mark.parametrize(
    "wanted", ["spikes.times.npy", {"object": "spikes"}, 3, None, pl.DataFrame({"x": NAMES})]
)
def test_one_dataset_is_not_a_list_of_them(wanted: Any) -> None:
    with pytest.raises(InputError, match="datasets="):
        as_wanted(wanted)


@pytest.mark.parametrize(
    ("revision", "how"),
    [
        (None, SelectionOptions(qc="PASS")),
        (None, SelectionOptions(ignore_qc_not_set=True, qc="PASS")),
        ("2019-12-31", SelectionOptions()),
        ("2020-06-01", SelectionOptions(policy="exact")),
    ],
    ids=["qc", "qc not set", "before the first revision", "no such revision"],
)
def test_an_object_excluded_by_qc_or_revision_is_not_called_absent(
    revision: str | None, how: SelectionOptions
) -> None:
    rows = [{**row, "qc": "WARNING" if revision is None else "PASS"} for row in ROWS]
    with pytest.raises(ALFObjectNotFound, match=r"it is in .*, but not with the requested qc and revision"):
        one_object("spikes", None, revision, how)(rows)
    with pytest.raises(ALFObjectNotFound) as raised:
        one_object("spikes", "alf/probe07", revision, how)(rows)
    assert "qc" not in str(raised.value)
