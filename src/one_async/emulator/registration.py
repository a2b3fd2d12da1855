"""The endpoints register-file and new-download."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from .models import CHOICES
from .owners import (
    COLLECTION,
    WRONG_COLLECTION,
    Place,
    alike,
    change,
    flag,
    given_path,
    is_protected,
    listed,
    owner_of,
    parse_path,
    person,
    places,
    protected_answer,
    refuse,
    session_of,
    split,
)
from .query import Answer, Failed
from .records import Record
from .rows import Rows
from .store import plain

__all__ = ["link_probes", "new_download", "register_file"]

LARGEST_SIZE = 2**63 - 1


# ---- register-file ----


@dataclass
class Request:
    """The values of a request to register files that all of the files share."""

    owner: Record
    session: Record | None
    subject: str | None
    user: str | None
    repositories: list[str]
    existing: set[str | None]
    default: Any


def register_file(rows: Rows, data: Mapping[str, Any], caller: str | None) -> list[Record]:
    """Register files in their order. An error ends the request; files that were registered before it stay so."""
    user = person(rows, data.get("created_by"), caller)
    repository = repository_of(rows, data)
    path = given_path(data).strip("/")
    names = [name for name in listed(data.get("filenames", ())) if name]
    columns = file_columns(data, len(names))
    server_only = flag(data.get("server_only", False))
    request, found = whose(rows, data, path, names, user, caller, repository, server_only)
    if repository and repository not in request.repositories:
        request.repositories.append(repository)
    request.existing = set(request.repositories) if server_only else {repository}
    if not flag(data.get("exists", True)):
        request.existing = set()
    if flag(data.get("check_protected", False)):
        answer = protected_answer(rows, request.owner, names, found)
        if answer is not None:
            raise Answer(403, answer)
    return [
        register_one(rows, request, place, *values) for place, *values in zip(found, *columns, strict=False)
    ]


def repository_of(rows: Rows, data: Mapping[str, Any]) -> str | None:
    """Return the repository that holds the files, by its name or host."""
    known = rows.repositories()
    if data.get("name"):
        matching = [name for name in known if name == data["name"]]
    elif data.get("hostname"):
        matching = [name for name, item in known.items() if item["hostname"] == data["hostname"]]
    else:
        return None
    if not matching:
        raise refuse(400, "detail", "The specified repository does not exist.")
    if len(matching) > 1:
        raise Failed(f"get() returned more than one DataRepository -- it returned {len(matching)}!")
    return matching[0]


def file_columns(data: Mapping[str, Any], count: int) -> list[list[Any]]:
    """Return the lists of hashes, sizes, versions and qc, each as long as the request's."""
    nothing = [None] * count
    hashes, versions = listed(data.get("hashes", nothing)), listed(data.get("versions", nothing))
    sizes = data.get("filesizes", nothing)
    sizes = listed(sizes) if isinstance(sizes, str | list | tuple) else [sizes]
    try:
        sizes = [None if size is None else int(size) for size in sizes]
    except (TypeError, ValueError) as error:
        raise Failed(str(error)) from None
    qc = listed(data.get("qc", nothing) or "NOT_SET")
    if isinstance(data.get("versions"), str) and len(versions) == 1:
        versions *= count
    if len(qc) == 1 and not isinstance(data.get("qc", nothing), list):
        qc *= count
    return [hashes, sizes, versions, qc]


def whose(
    rows: Rows,
    data: Mapping[str, Any],
    path: str,
    names: list[str],
    user: str | None,
    caller: str | None,
    repository: str | None,
    server_only: Any,
) -> tuple[Request, list[Place]]:
    """Return the session or object that the files belong to, and the repositories for which they get file records."""
    owned = owner_of(rows, data)
    default = flag(data.get("default", True))
    if owned is not None:
        if repository is None:
            words = "A valid repository name or hostname must be provided for non-session datasets."
            raise refuse(400, "detail", words)
        owner: Record = {"session": None, "content_type": owned[0], "object_id": owned[1]}
        subject = None
        if owned[0] == "subjects.subject":
            [(subject,)] = rows.store.select("SELECT nickname FROM subjects WHERE id = ?", owned[1])
        return Request(owner, None, subject, user, [repository], set(), default), places("", path, names)
    try:
        subject, date, number = parse_path(rows, path)
        session = session_of(rows, subject, date, number, user, anonymous=user is None)
    except ValueError as error:
        raise refuse(400, "error", str(error)) from None
    except KeyError as error:
        words = f'A subject with nickname "{error.args[0]}" does not exist.'
        raise refuse(400, "error", words) from None
    found = places(*split(path), names)
    labs = [lab for lab in joined(data.get("labs", []), data.get("projects", [])) if lab]
    if not all(rows.store.exists("labs.name", lab) for lab in labs):
        raise refuse(400, "detail", "One or more of the specified labs do not exist.")
    known, of_labs = rows.repositories(), []
    for lab in labs or [(rows.get("subjects", subject) or {})["lab"]]:
        of_labs += [name for name in (rows.get("labs", lab) or {})["repositories"] if name not in of_labs]
    if server_only:
        of_labs = [name for name in of_labs if known[name]["globus_is_personal"] is False]
    owner = {"session": session["id"], "content_type": None, "object_id": None}
    return Request(owner, session, subject, user, of_labs, set(), default), found


def joined(labs: Any, projects: Any) -> list[Any]:
    """Join two lists, or texts with commas. Raise Failed with Python's own complaint about other types."""
    left, right = (value.split(",") if isinstance(value, str) else value for value in (labs, projects))
    try:
        return list(left + right)
    except TypeError as error:
        raise Failed(str(error)) from None


def dataset_type(rows: Rows, name: str) -> str:
    """Return the only dataset type that a file name matches."""
    match = re.match(r"_?(?:[^_.]+_)?(?P<object>\w+)\.(?P<attribute>[^.]+)", name)
    plain_name = re.match(r"(?:_[^_]+_)?([^.]+)\.((?:_[a-z]+_)?[A-Za-z0-9]+(?:_times|_intervals)?)", name)
    own = ".".join(plain_name.groups()) if match and plain_name else name.rpartition(".")[0]
    found = []
    for kind, pattern in rows.store.select(
        'SELECT name, filename_pattern FROM "dataset-types" ORDER BY name'
    ):
        wanted = (pattern or "").strip().casefold()
        if fnmatchcase(name.casefold(), wanted) if wanted else kind == own:
            found.append(kind)
    if not found:
        raise Failed(f'No dataset type found for filename "{name}"')
    if len(found) > 1:
        types = ", ".join(f"<DatasetType {kind}>" for kind in found)
        raise Failed(f'Multiple matching dataset types found for filename "{name}": \n{types}')
    return str(found[0])


def data_format(rows: Rows, name: str) -> str:
    """Return the only data format with the extension of a file name."""
    stem, dot, end = name.rpartition(".")
    extension = dot + end if stem else ""
    found = rows.store.select('SELECT name FROM "data-formats" WHERE file_extension = ?', extension)
    if not found:
        raise Failed("DataFormat matching query does not exist.")
    if len(found) > 1:
        raise Failed(f"get() returned more than one DataFormat -- it returned {len(found)}!")
    return str(found[0][0])


def register_one(
    rows: Rows, request: Request, place: Place, hash: Any, size: int | None, version: Any, qc: Any
) -> Record:
    """Register one file: its revision, dataset and file records."""
    now = rows.clock().isoformat()
    if place.revision and rows.get("revisions", place.revision) is None:
        new = {"id": rows.new_id(), "json": None, "name": place.revision, "description": ""}
        rows.create("revisions", {**new, "created_datetime": now})
    kind, form = dataset_type(rows, place.name), data_format(rows, place.name)
    if request.default:
        for other in alike(rows, request.owner, place):
            if other["default_dataset"]:
                time = rows.clock().isoformat()
                change(rows, "datasets", other, default_dataset=False, auto_datetime=time)
    same = [
        item
        for item in alike(rows, request.owner, place)
        if (item["dataset_type"], item["data_format"], item["revision"]) == (kind, form, place.revision)
    ]
    if len(same) > 1:
        raise Failed(f"get() returned more than one Dataset -- it returned {len(same)}!")
    dataset = same[0] if same else new_dataset(rows, request, place, kind, form, now)
    level = qc_level(qc or "NOT_SET")
    if level is None:
        raise refuse(400, "detail", f'Invalid QC value "{qc}" for dataset "{place.path}"')
    dataset = change(
        rows, "datasets", dataset, default_dataset=request.default is True, qc=level, auto_datetime=now
    )
    if same and is_protected(rows, dataset):
        raise refuse(403, "detail", f"Dataset {plain(dataset['url'])} is protected, cannot patch")
    patched = not (hash and dataset["hash"] and dataset["hash"] == hash)
    values: Record = {"created_by": request.user, "hash": hash or dataset["hash"]}
    values |= {"version": version} if version else {}
    values |= {"file_size": size} if size is not None else {}
    complain(place, values)
    dataset = change(rows, "datasets", dataset, **values)
    link_probes(rows, dataset)
    for repository in request.repositories:
        file_record(rows, request, place, dataset, repository, patched)
    rows.flush("datasets")
    return answer_of(rows, request, rows.get("datasets", dataset["url"]) or dataset)


def qc_level(qc: Any) -> str | None:
    """Return the name of a QC level, given by name in any case or by number; None for another value."""
    names = {str(number): name for name, number in CHOICES["qc"].items()}
    name = str(qc).upper()
    return name if name in CHOICES["qc"] else names.get(name)


def new_dataset(rows: Rows, request: Request, place: Place, kind: str, form: str, now: str) -> Record:
    """Create the dataset of a file."""
    key = rows.new_id()
    session = request.session["url"] if request.session else None
    record = {
        "id": key,
        "name": place.name,
        "created_by": request.user,
        "created_datetime": now,
        "dataset_type": kind,
        "data_format": form,
        "collection": place.collection,
        "session": session,
        "file_size": None,
        "hash": "",
        "version": "",
        "auto_datetime": now,
        "revision": place.revision,
        "default_dataset": False,
        "tags": [],
        "qc": "NOT_SET",
        "json": None,
        **{name: request.owner[name] for name in ("content_type", "object_id")},
    }
    rows.create("datasets", record)
    return rows.get("datasets", key) or record


def complain(place: Place, values: Record) -> None:
    """Refuse values that a dataset cannot hold."""
    errors: dict[str, list[str]] = {}
    if (values.get("file_size") or 0) > LARGEST_SIZE:
        errors["file_size"] = [f"Ensure this value is less than or equal to {LARGEST_SIZE}."]
    for name in ("hash", "version"):
        length = len(str(values.get(name) or ""))
        if length > 64:
            errors[name] = [f"Ensure this value has at most 64 characters (it has {length})."]
    if COLLECTION.match(place.collection) is None:
        errors |= WRONG_COLLECTION
    if errors:
        raise refuse(400, "detail", f'Invalid dataset "{place.path}": {errors}')


def file_record(
    rows: Rows, request: Request, place: Place, dataset: Record, repository: str, patched: bool
) -> None:
    """Register the location of a file, or the one to which it should be copied."""
    at = rows.store.numbers("files", data_repository=repository, relative_path=place.path)
    exists = repository in request.existing
    if not at:
        key = rows.new_id()
        record = {
            "id": key,
            "dataset": dataset["url"],
            "data_repository": repository,
            "name": "",
            "json": None,
        }
        rows.create("files", {**record, "relative_path": place.path, "exists": exists})
        return
    [found] = rows.load("files", at[:1])
    if found["dataset"] != dataset["url"]:
        words = f'A file record for "{place.path}" already exists on repository "{repository}" for a different dataset.'
        raise refuse(400, "detail", words)
    if patched:
        rows.change("files", at[0], exists=exists, json=None)


def link_probes(rows: Rows, dataset: Record) -> None:
    """Link a dataset to the insertions and fields of view that its collection names."""
    parts = (dataset["collection"] or "").split("/")
    if len(parts) < 2 or not dataset["session"]:
        return
    for endpoint in ("insertions", "fields-of-view"):
        for number in rows.store.numbers(endpoint, session=plain(dataset["session"]), name=parts[1]):
            [probe] = rows.load(endpoint, [number])
            key = plain(dataset["url"])
            if key not in probe["datasets"]:
                rows.change(endpoint, number, datasets=[*probe["datasets"], key])


def answer_of(rows: Rows, request: Request, dataset: Record) -> Record:
    """Return a registered dataset in the form that only this endpoint uses."""
    shown = {
        "id": plain(dataset["url"]),
        "name": dataset["name"],
        "file_size": dataset["file_size"],
        "subject": request.subject,
        **{name: dataset[name] for name in ("created_by", "created_datetime", "dataset_type", "data_format")},
    }
    if request.session is not None:
        session = rows.get("sessions", request.session["id"]) or request.session
        shown |= {
            "session": session["id"],
            "session_number": session["number"],
            "session_users": ",".join(session["users"]),
            "session_start_time": session["start_time"],
        }
    else:
        shown |= {"content_type": request.owner["content_type"], "object_id": request.owner["object_id"]}
    names = ("id", "data_repository", "relative_path", "exists")
    return {
        **shown,
        "collection": dataset["collection"],
        "revision": dataset["revision"],
        "default": dataset["default_dataset"],
        "qc": CHOICES["qc"][dataset["qc"]],
        "file_records": [{name: item[name] for name in names} for item in dataset["file_records"]],
    }


# ---- new-download ----


def new_download(rows: Rows, data: Mapping[str, Any], caller: str | None) -> Record:
    """Count downloads: one record for each user and dataset."""
    keys = listed(data.get("datasets"))
    for key in keys:
        if key is None:
            raise Failed("Dataset matching query does not exist.")
        try:
            uuid.UUID(str(key))
        except ValueError:
            raise Failed(f"['“{key}” is not a valid UUID.']") from None
        if not rows.store.exists("datasets.id", str(key)):
            raise Failed("Dataset matching query does not exist.")
    projects = [name for name in listed(data.get("projects", ())) if name]
    if not all(rows.store.exists("projects.name", name) for name in projects):
        raise Failed("Project matching query does not exist.")
    if keys and caller is None:
        raise Failed('Cannot assign "<AnonymousUser>": "Download.user" must be a "LabMember" instance.')
    found, counts = [], []
    for key in keys:
        numbers = rows.store.numbers("downloads", user=caller, dataset=key)
        if numbers:
            [record] = rows.load("downloads", numbers[:1])
            held = sorted({*record.get("projects", ()), *projects})
            rows.change("downloads", numbers[0], count=record["count"] + 1, projects=held)
            found.append(record["id"])
            counts.append(record["count"] + 1)
        else:
            record = {"id": rows.new_id(), "user": caller, "dataset": key, "count": 1, "json": None}
            rows.create("downloads", {**record, "projects": projects})
            found.append(record["id"])
            counts.append(1)
    return {"download": found, "count": counts}
