"""Select the datasets of a session that a load requests. Pure functions on rows of the datasets table.

All of them use `alf.match.resolve`, as `list_datasets` does, so every dataset of a list can be loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_args

from one_async._warnings import warn
from one_async.alf.match import resolve
from one_async.alf.parts import PartsTuple
from one_async.alf.path import rel_path_parts
from one_async.alf.spec import QC, to_alf
from one_async.errors import (
    ALFMultipleCollectionsFound,
    ALFMultipleObjectsFound,
    ALFObjectNotFound,
    InputError,
)
from one_async.ids import dataset_id, is_dataset_record
from one_async.types import RevisionPolicy

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")
#: ONE-api's environment variable for the default of ``revision`` in all loads.
REVISION_VARIABLE = "ONE_REVISION_LAST_BEFORE"


@dataclass(frozen=True)
class SelectionOptions:
    """Options of the selection of datasets. Raises InputError for an unknown policy or QC."""

    wildcards: bool = True
    policy: RevisionPolicy = "last_before"
    qc: int | str | QC = QC.FAIL
    ignore_qc_not_set: bool = False

    def __post_init__(self) -> None:
        QC.validate(self.qc)
        if self.policy not in get_args(RevisionPolicy):
            raise InputError.of("revision_policy", self.policy, get_args(RevisionPolicy))

    def resolve(self, datasets: pl.DataFrame, **filters: Any) -> pl.DataFrame:
        """Return the datasets that match filters, as `list_datasets` does."""
        return resolve(
            datasets,
            wildcards=self.wildcards,
            policy=self.policy,
            qc=self.qc,
            ignore_qc_not_set=self.ignore_qc_not_set,
            **filters,
        )


#: The number of names that the text of an error lists.
MOST_NAMES = 12

#: Selects the requested datasets from the frame of a session's datasets.
Choice: TypeAlias = "Callable[[pl.DataFrame], T]"


def checked(choice: Choice[T]) -> Choice[T]:
    """Call a selection function with no datasets and return it. Raises InputError for invalid filters.

    This checks the filters before any request is sent.
    """
    with suppress(ALFObjectNotFound):
        choice(no_datasets())
    return choice


@cache
def no_datasets() -> pl.DataFrame:
    """Return an empty frame of datasets."""
    import polars as pl

    from one_async.tables.schema import DATASETS

    return pl.DataFrame(schema=dict(DATASETS))


def one_dataset(
    datasets: pl.DataFrame,
    dataset: str | Mapping[str, Any],
    collection: Any,
    revision: str | None,
    how: SelectionOptions,
) -> pl.DataFrame:
    """Return the dataset that matches a name, a path below the session, or ALF parts, as a frame of one row.

    Raises ALFObjectNotFound if none matches, or an error such as ALFMultipleCollectionsFound if several do.
    """
    if not isinstance(dataset, str | Mapping):
        raise InputError.of("dataset", dataset, "a name, a path below the session, or a mapping of ALF parts")
    if isinstance(dataset, Mapping) and _is_record(dataset):
        found = _of_record(datasets, dataset)
        if found.is_empty():
            raise ALFObjectNotFound(
                f"{_name(dataset)!r} is not among the session's datasets", dataset=dict(dataset)
            )
        return found
    is_path = "/" in dataset if isinstance(dataset, str) else "collection" in dataset
    if is_path:
        _check_no_folders("collection, revision", collection, revision)
    if is_path and isinstance(dataset, str) and "*" in dataset and len(datasets):
        warn(f"a dataset that is given as a path should have no wildcards in it: {dataset!r}")
    found = how.resolve(
        datasets,
        filename=_with_any_extension(dataset, how),
        collection=None if is_path else collection,
        revision=None if is_path else _revision(revision),
        assert_unique=not is_path,
    )
    if found.is_empty():
        raise ALFObjectNotFound(
            f"no dataset of the session matches {dataset!r}" + _did_you_mean(dataset, _file_names(datasets)),
            dataset=dataset,
        )
    if found.height > 1:
        raise ALFMultipleObjectsFound(f"{dataset!r} matches {_names(found['rel_path'])}")
    return found


def one_object(
    datasets: pl.DataFrame,
    obj: str,
    collection: Any,
    revision: str | None,
    how: SelectionOptions,
    **parts: Any,
) -> pl.DataFrame:
    """Return the datasets of one ALF object, at least one row.

    Raises ALFObjectNotFound, ALFMultipleObjectsFound, ALFMultipleCollectionsFound.
    """
    found = how.resolve(
        datasets, filename={"object": obj, **parts}, collection=collection, revision=_revision(revision)
    )
    if found.is_empty():
        objects = _objects(datasets)
        raise ALFObjectNotFound(
            f"the session has no object {obj!r}"
            + _within(collection, parts)
            + _did_you_mean(obj, objects, listed=True),
            object=obj,
        )
    split = [rel_path_parts(path) for path in found["rel_path"]]
    objects, collections = {part[3] or "" for part in split}, {part[0] or "" for part in split}
    if len(objects) > 1:
        raise ALFMultipleObjectsFound(f"{obj!r} matches several objects: {_names(objects)}")
    if len(collections) > 1:
        raise ALFMultipleCollectionsFound(
            f"{obj!r} is in several collections: {_names(collections)}; give one with collection="
        )
    return found


def whole_collection(
    datasets: pl.DataFrame,
    collection: Any,
    obj: Any,
    revision: str | None,
    how: SelectionOptions,
    **parts: Any,
) -> pl.DataFrame:
    """Return the datasets of a collection, or of its objects that match, at least one row."""
    inside = replace(how, policy="exact").resolve(datasets, collection=collection)
    found = how.resolve(inside, filename={"object": obj, **parts}, revision=_revision(revision))
    if inside.is_empty():
        collections = {parts[0] or "" for parts in _alf_parts(datasets)}
        raise ALFObjectNotFound(
            f"the session has no collection {collection!r}"
            + _did_you_mean(collection, collections, listed=True),
            collection=collection,
        )
    if found.is_empty():
        raise ALFObjectNotFound(
            f"the collection {collection!r} has no object {obj!r}"
            + _within(None, parts)
            + _did_you_mean(obj, _objects(inside), listed=True)
        )
    return found


def many_datasets(
    datasets: pl.DataFrame,
    wanted: Sequence[str] | Sequence[Mapping[str, Any]] | pl.DataFrame,
    collections: Any,
    revisions: Any,
    how: SelectionOptions,
) -> list[pl.DataFrame]:
    """Return a list with a frame for each wanted dataset: one row, or no row if there is no such dataset."""
    if not hasattr(wanted, "columns") and (isinstance(wanted, Mapping) or not isinstance(wanted, Iterable)):
        raise InputError.of("datasets", wanted, "a list of names or of mappings of ALF parts, or a frame")
    exact = hasattr(wanted, "columns") or any(isinstance(item, str) and "/" in item for item in wanted)
    if not hasattr(wanted, "columns") and wanted and all(map(_is_record, wanted)):
        _check_no_folders("collections, revisions", collections, revisions)
        return [_of_record(datasets, item) for item in wanted if isinstance(item, Mapping)]
    if exact:
        return _exact_paths(datasets, wanted, collections, revisions, how)
    kinds = {str if isinstance(item, str) else dict if isinstance(item, Mapping) else None for item in wanted}
    if len(kinds) > 1 or None in kinds:
        raise InputError.of("datasets", wanted, "names only, or mappings of ALF parts only")
    revisions = _revision(revisions)
    folders, versions = (_for_each(value, len(wanted), name) for value, name in
                         ((collections, "collections"), (revisions, "revisions")))  # fmt: skip
    return [
        how.resolve(
            datasets,
            filename=_with_any_extension(item, how),
            collection=folder,
            revision=version,
            assert_unique=True,
        )
        for item, folder, version in zip(wanted, folders, versions, strict=True)
    ]


def _is_record(item: object) -> bool:
    """Return whether this is a row of the datasets table, or a record of the database, rather than ALF parts."""
    return isinstance(item, Mapping) and ("rel_path" in item or is_dataset_record(item))


def _of_record(datasets: pl.DataFrame, record: Mapping[str, Any]) -> pl.DataFrame:
    """Return the dataset with a record's id; a dataset of another session is not found."""
    import polars as pl

    did = record.get("did") or dataset_id(record, "datasets")
    found = datasets.filter(pl.col("did") == str(did))
    if record.get("eid"):
        found = found.filter(pl.col("eid") == str(record["eid"]))
    return found


def _name(item: Any) -> str:
    if isinstance(item, str):
        return item
    return str(item.get("rel_path") or item["name"]) if _is_record(item) else to_alf(**item)


def _exact_paths(
    datasets: pl.DataFrame, wanted: Any, collections: Any, revisions: Any, how: SelectionOptions
) -> list[pl.DataFrame]:
    """Select by whole paths, as `list_datasets` returns them; warn of datasets that are not the default revision."""
    _check_no_folders("collections, revisions", collections, revisions)
    import polars as pl

    paths = wanted["rel_path"].to_list() if hasattr(wanted, "columns") else list(wanted)
    good = replace(how, policy="exact").resolve(datasets)
    found = [good.filter(pl.col("rel_path") == path) for path in paths]
    old = [
        path
        for path, row in zip(paths, found, strict=True)
        if "default_revision" in row.columns and row["default_revision"].eq(False).any()
    ]
    if old:
        warn(
            f"there may be better revisions of {_names(old)}; give revisions= to choose one, or names instead of paths"
        )
    return found


def _check_no_folders(arguments: str, collection: Any, revision: Any) -> None:
    """Raise InputError if a collection or revision is given beside a path."""
    if collection is not None or revision or os.environ.get(REVISION_VARIABLE):
        raise InputError.of(
            arguments, (collection, revision),
            f"None where datasets are given as paths (and {REVISION_VARIABLE} not set)",
        )  # fmt: skip


def _revision(given: Any) -> Any:
    return given or os.environ.get(REVISION_VARIABLE) or None


def describe_missing(wanted: Any, found: Sequence[pl.DataFrame]) -> str:
    """Return the names of the datasets that were not found."""
    items = wanted["rel_path"].to_list() if hasattr(wanted, "columns") else list(wanted)
    missing = [_name(item) for item, row in zip(items, found, strict=True) if row.is_empty()]
    return _names(missing)


def _for_each(value: Any, count: int, argument: str) -> list[Any]:
    if not value or isinstance(value, str):
        return [value] * count
    if len(value) != count:
        raise InputError.of(argument, value, f"one for all, or a list of {count}: one for each dataset")
    return list(value)


def _with_any_extension(dataset: Any, how: SelectionOptions) -> Any:
    if how.wildcards and isinstance(dataset, str) and dataset.count(".") == 1:
        return f"{dataset}.*"
    return dataset


def _names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))


def _objects(datasets: pl.DataFrame) -> set[str]:
    return {parts[3] or "" for parts in _alf_parts(datasets)}


def _alf_parts(datasets: pl.DataFrame) -> list[PartsTuple]:
    """Return the parts of the datasets' paths; tables may also have files in folders that are no ALF collections."""
    found = [rel_path_parts(path, assert_valid=False) for path in datasets["rel_path"]]
    return [parts for parts in found if parts[3] is not None]


def _file_names(datasets: pl.DataFrame) -> set[str]:
    return {path.rpartition("/")[2] for path in datasets["rel_path"]}


def _did_you_mean(given: object, known: Iterable[str], listed: bool = False) -> str:
    """Return the end of an error's text: the nearest known name, and with ``listed`` the known names."""
    from difflib import get_close_matches

    names = sorted(filter(None, known))
    text = ""
    if isinstance(given, str) and (near := get_close_matches(given.rpartition("/")[2], names, n=1)):
        text = f"; did you mean {near[0]!r}?"
    if listed and not names:
        text += "; it has no datasets"
    elif listed:
        rest = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        text += f"{'' if text else ';'} {'It' if text else 'it'} has {', '.join(names[:MOST_NAMES])}{rest}"
    return text


def _within(collection: Any, parts: Mapping[str, Any]) -> str:
    said = {**({"collection": collection} if collection is not None else {}), **parts}
    return f" with {', '.join(f'{k}={v!r}' for k, v in said.items())}" if said else ""
