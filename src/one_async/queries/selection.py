"""Select the datasets of a session that a load requests. Pure, on rows of the datasets table.

All of it uses `alf.match.DatasetFilter`, as `list_datasets` does, so every dataset of a list can be loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, TypeAlias, get_args

from one_async._warnings import warn
from one_async.alf.match import DatasetFilter, as_plain
from one_async.alf.parts import PartsTuple
from one_async.alf.path import rel_path_parts
from one_async.alf.spec import QC
from one_async.errors import (
    ALFMultipleCollectionsFound,
    ALFMultipleObjectsFound,
    ALFObjectNotFound,
    InputError,
    closest,
    name_list,
    naming,
)
from one_async.ids import dataset_id, is_dataset_record
from one_async.types import RevisionPolicy

#: A row of the datasets table.
Row: TypeAlias = Mapping[str, Any]
#: Selects the requested datasets from those of a session.
Choice: TypeAlias = Callable[[Sequence[Row]], Sequence[Row]]
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

    def filter(self, **filters: Any) -> DatasetFilter:
        """Return the compiled filters of a request, which choose as `list_datasets` does."""
        return DatasetFilter(
            wildcards=self.wildcards,
            policy=self.policy,
            qc=self.qc,
            ignore_qc_not_set=self.ignore_qc_not_set,
            **filters,
        )


#: The number of names that the text of an error lists.
MOST_NAMES = 12


def one_dataset(dataset: str | Row, collection: Any, revision: str | None, how: SelectionOptions) -> Choice:
    """Return the choice of the dataset that a name, a path below the session, or ALF parts mean: exactly one row.

    It raises ALFObjectNotFound if none matches, or an error such as ALFMultipleCollectionsFound if several do.
    """
    if isinstance(dataset, PurePath):
        dataset = dataset.as_posix()
    if not isinstance(dataset, str | Mapping):
        raise InputError.of("dataset", dataset, "a name, a path below the session, or a mapping of ALF parts")
    if isinstance(dataset, Mapping) and _is_record(dataset):
        return _one_of_record(dataset)
    is_path = "/" in dataset if isinstance(dataset, str) else "collection" in dataset
    if is_path:
        _check_no_folders("collection, revision", collection, revision)
    with naming({"filename": "dataset"}):
        wanted = how.filter(
            filename=_with_any_extension(dataset, how),
            collection=None if is_path else collection,
            revision=None if is_path else _revision(revision),
            assert_unique=not is_path,
        )

    def choose(datasets: Sequence[Row]) -> Sequence[Row]:
        if is_path and isinstance(dataset, str) and "*" in dataset and datasets:
            warn(f"a dataset that is given as a path should have no wildcards in it: {dataset!r}")
        found = wanted.choose(datasets)
        if not found:
            raise ALFObjectNotFound(
                f"no dataset of the session matches {dataset!r}"
                + _did_you_mean(dataset, _file_names(datasets)),
                dataset=dataset,
            )
        if len(found) > 1:
            raise ALFMultipleObjectsFound(f"{dataset!r} matches {_names(_paths(found))}")
        return found

    return choose


def one_object(
    obj: str, collection: Any, revision: str | None, how: SelectionOptions, **parts: Any
) -> Choice:
    """Return the choice of the datasets of one ALF object, at least one row.

    It raises ALFObjectNotFound, ALFMultipleObjectsFound, ALFMultipleCollectionsFound.
    """
    with naming({"object": "obj"}):
        wanted = how.filter(
            filename={"object": obj, **parts}, collection=collection, revision=_revision(revision)
        )

    def choose(datasets: Sequence[Row]) -> Sequence[Row]:
        found = wanted.choose(datasets)
        if not found:
            known = _objects(datasets)
            is_there = isinstance(obj, str) and obj in known
            hint = _places(obj, datasets, parts) if is_there else _did_you_mean(obj, known, listed=True)
            if is_there and collection is None and not parts:
                hint += ", but not with the requested qc and revision"
            raise ALFObjectNotFound(
                f"the session has no object {obj!r}" + _within(collection, parts) + hint, object=obj
            )
        split = [rel_path_parts(path) for path in _paths(found)]
        objects, collections = {part[3] or "" for part in split}, {part[0] or "" for part in split}
        if len(objects) > 1:
            raise ALFMultipleObjectsFound(f"{obj!r} matches several objects: {_names(objects)}")
        if len(collections) > 1:
            raise ALFMultipleCollectionsFound(
                f"{obj!r} is in several collections: {_names(collections)}; give one with collection="
            )
        return found

    return choose


def whole_collection(
    collection: Any, obj: Any, revision: str | None, how: SelectionOptions, **parts: Any
) -> Choice:
    """Return the choice of the datasets of a collection, or of its objects that match, at least one row."""
    of_folder = replace(how, policy="exact").filter(collection=collection)
    wanted = how.filter(filename={"object": obj, **parts}, revision=_revision(revision))

    def choose(datasets: Sequence[Row]) -> Sequence[Row]:
        inside = of_folder.choose(datasets)
        if not inside:
            collections = {parts[0] or "" for parts in _alf_parts(datasets)}
            raise ALFObjectNotFound(
                f"the session has no collection {collection!r}"
                + _did_you_mean(collection, collections, listed=True),
                collection=collection,
            )
        found = wanted.choose(inside)
        if not found:
            raise ALFObjectNotFound(
                f"the collection {collection!r} has no object {obj!r}"
                + _within(None, parts)
                + _did_you_mean(obj, _objects(inside), listed=True)
            )
        return found

    return choose


def as_wanted(wanted: Any) -> Any:
    """Return several wanted datasets as a list, in which paths are texts, or as the frame that they are."""
    if hasattr(wanted, "columns"):
        if "rel_path" not in wanted.columns:
            raise InputError.of("datasets", list(wanted.columns), "a frame with the column rel_path")
        return wanted
    if isinstance(wanted, str | Mapping) or not isinstance(wanted, Iterable):
        raise InputError.of("datasets", wanted, "a list of names or of mappings of ALF parts, or a frame")
    return [item.as_posix() if isinstance(item, PurePath) else item for item in wanted]


def many_datasets(
    wanted: Any, collections: Any, revisions: Any, how: SelectionOptions
) -> Callable[[Sequence[Row]], list[Sequence[Row]]]:
    """Return the choice of several datasets: for each wanted one a list of one row, empty if there is no such dataset.

    ``wanted`` are names, mappings of ALF parts, records, or whole paths, also as a frame; see `as_wanted`.
    """
    is_frame = hasattr(wanted, "columns")
    collections, revisions = as_plain(collections), as_plain(revisions)
    if not is_frame and wanted and all(map(_is_record, wanted)):
        _check_no_folders("collections, revisions", collections, revisions)
        by_record = list(map(_of_record, wanted))
        return lambda datasets: [choose(datasets) for choose in by_record]
    if is_frame or any(isinstance(item, str) and "/" in item for item in wanted):
        _check_no_folders("collections, revisions", collections, revisions)
        paths = wanted["rel_path"].to_list() if is_frame else list(wanted)
        good = replace(how, policy="exact").filter()
        return lambda datasets: _of_paths(good.choose(datasets), paths)
    kinds = {str if isinstance(item, str) else dict if isinstance(item, Mapping) else None for item in wanted}
    if len(kinds) > 1 or None in kinds:
        raise InputError.of("datasets", wanted, "names only, or mappings of ALF parts only")
    folders, versions = (_for_each(value, len(wanted), name) for value, name in
                         ((collections, "collections"), (_revision(revisions), "revisions")))  # fmt: skip
    with naming({"filename": "datasets", "collection": "collections", "revision": "revisions"}):
        each = [
            how.filter(
                filename=_with_any_extension(item, how),
                collection=folder,
                revision=version,
                assert_unique=True,
            )
            for item, folder, version in zip(wanted, folders, versions, strict=True)
        ]
    return lambda datasets: [one.choose(datasets) for one in each]


def _is_record(item: object) -> bool:
    """Return whether this is a row of the datasets table, or a record of the database, rather than ALF parts."""
    return isinstance(item, Mapping) and ("rel_path" in item or is_dataset_record(item))


def _of_record(record: Row) -> Choice:
    """Return the choice of the dataset with a record's id; a dataset of another session is not found."""
    did, eid = str(record.get("did") or dataset_id(record, "datasets")), str(record.get("eid") or "")
    return lambda datasets: [row for row in datasets if row["did"] == did and (not eid or row["eid"] == eid)]


def _one_of_record(record: Row) -> Choice:
    of_record = _of_record(record)

    def choose(datasets: Sequence[Row]) -> Sequence[Row]:
        found = of_record(datasets)
        if not found:
            raise ALFObjectNotFound(
                f"{_name(record)!r} is not among the session's datasets", dataset=dict(record)
            )
        return found

    return choose


def _name(item: Any) -> str:
    if isinstance(item, str):
        return item
    if _is_record(item):
        return str(item.get("rel_path") or item["name"])
    return ", ".join(f"{part}={value!r}" for part, value in item.items())


def _of_paths(datasets: Sequence[Row], paths: Sequence[str]) -> list[Sequence[Row]]:
    """Select by whole paths, as `list_datasets` returns them; warn of datasets that are not the default revision."""
    found: list[Sequence[Row]] = [[row for row in datasets if row["rel_path"] == path] for path in paths]
    if old := [
        path
        for path, rows in zip(paths, found, strict=True)
        if any(row.get("default_revision") is False for row in rows)
    ]:
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
    return as_plain(given) or os.environ.get(REVISION_VARIABLE) or None


def describe_missing(wanted: Any, found: Sequence[Sequence[Row]]) -> str:
    """Return the names of the datasets that were not found."""
    items = wanted["rel_path"].to_list() if hasattr(wanted, "columns") else list(wanted)
    missing = [_name(item) for item, row in zip(items, found, strict=True) if not row]
    return _names(missing)


def _for_each(value: Any, count: int, argument: str) -> list[Any]:
    if not value or isinstance(value, str):
        return [value] * count
    if not isinstance(value, Sequence) or len(value) != count:
        raise InputError.of(argument, value, f"one for all, or a list of {count}: one for each dataset")
    return list(value)


def _with_any_extension(dataset: Any, how: SelectionOptions) -> Any:
    if how.wildcards and isinstance(dataset, str) and dataset.count(".") == 1:
        return f"{dataset}.*"
    return dataset


def _names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))


def _paths(datasets: Iterable[Row]) -> list[str]:
    return [row["rel_path"] for row in datasets]


def _alf_parts(datasets: Iterable[Row]) -> list[PartsTuple]:
    """Return the parts of the datasets' paths; tables may also have files in folders that are no ALF collections."""
    found = [rel_path_parts(path, assert_valid=False) for path in _paths(datasets)]
    return [parts for parts in found if parts[3] is not None]


def _objects(datasets: Iterable[Row]) -> set[str]:
    return {parts[3] or "" for parts in _alf_parts(datasets)}


def _file_names(datasets: Iterable[Row]) -> set[str]:
    return {path.rpartition("/")[2] for path in _paths(datasets)}


def _did_you_mean(given: object, known: Iterable[str], listed: bool = False) -> str:
    """Return the end of an error's text: the nearest known name, and with ``listed`` the known names."""
    names = sorted(filter(None, known))
    text = ""
    if isinstance(given, str) and (near := closest(given.rpartition("/")[2], names)):
        text = f"; did you mean {near[0]!r}?"
    if listed and not names:
        text += "; it has no datasets"
    elif listed:
        rest = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        text += f"{'' if text else ';'} {'It' if text else 'it'} has {', '.join(names[:MOST_NAMES])}{rest}"
    return text


def _places(obj: str, datasets: Sequence[Row], parts: Mapping[str, Any]) -> str:
    """Return the end of an error's text for an object that is there: its files if parts of their names are asked for,
    otherwise its collections.
    """
    paths = [path for path in _paths(datasets) if rel_path_parts(path, assert_valid=False)[3] == obj]
    if parts:
        return f"; its files are {name_list(sorted({path.rpartition('/')[2] for path in paths}))}"
    return f"; it is in {name_list(sorted({repr(rel_path_parts(path)[0] or '') for path in paths}))}"


def _within(collection: Any, parts: Mapping[str, Any]) -> str:
    said = {**({"collection": collection} if collection is not None else {}), **parts}
    return f" with {', '.join(f'{k}={v!r}' for k, v in said.items())}" if said else ""
