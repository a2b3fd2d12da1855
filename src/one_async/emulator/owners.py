"""The owner, the location and the protection of files, for register-file and check-protected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date as day
from typing import Any

from .query import NO_SUCH_DAY, Answer, Failed
from .records import Record
from .rows import Rows
from .shapes import CONTENT, content_label
from .store import plain

__all__ = [
    *(
        "COLLECTION",
        "WRONG_COLLECTION",
        "Place",
        "alike",
        "change",
        "check_protected",
        "flag",
        "given_path",
        "is_protected",
    ),
    *(
        "listed",
        "owner_of",
        "parse_path",
        "person",
        "places",
        "protected_answer",
        "refuse",
        "session_of",
        "split",
    ),
]

SESSION_PATH = re.compile(r"(?P<subject>[\w.-]+)/(?P<date>\d{4}-\d{2}-\d{2})/(?P<number>\d{1,3})(?![^/])")
FOLDERS = re.compile(r"(?:(?P<collection>[\w./-]+)/)?(?:#(?P<revision>[\w.-]+)#/)?")
COLLECTION = re.compile(r"[\w./-]*\Z")
WRONG_COLLECTION = {
    "collection": [
        "Collections must only contain letters, numbers, hyphens, underscores and forward slashes."
    ]
}
MANY_REVISIONS = (
    "Invalid ALF path. There must be only 1 revision and it cannot containsub folders. "
    "A revision folder must be surrounded by pound signs (#)."
)
WRONG_PATH = (
    "Invalid ALF path. Only letters, numbers, hyphen and underscores allowed. "
    "A revision folder must be surrounded by pound signs (#)."
)


def refuse(status: int, key: str, text: str) -> Answer:
    """Return an error body in the form that these endpoints use."""
    return Answer(status, {"status_code": status, key: text})


@dataclass(frozen=True)
class Place:
    """The location of a file: below a session (``root``) or, without one, only in its collection."""

    root: str
    collection: str
    revision: str
    name: str

    @property
    def path(self) -> str:
        """The path below the repository."""
        revision = f"#{self.revision}#" if self.revision else ""
        return "/".join(part for part in (self.root, self.collection, revision, self.name) if part)


# ---- the fields of a request ----


def listed(value: Any) -> list[Any]:
    """Parse a list, or a text with commas. Raise Failed for a value that cannot be iterated over."""
    if isinstance(value, str):
        return value.split(",")
    if not isinstance(value, list | tuple | dict):
        raise Failed(f"'{type(value).__name__}' object is not iterable")
    return list(value)


def given_path(data: Mapping[str, Any]) -> str:
    """Return the path of a request, with forward slashes. Raise Failed for anything but a text."""
    path = data.get("path")
    if not path:
        raise Failed("The path argument is required.")
    if not isinstance(path, str):
        raise Failed(f"'{type(path).__name__}' object has no attribute 'replace'")
    return path.replace("\\", "/").replace("//", "/")


def flag(value: Any) -> Any:
    """Parse a boolean, or the text True."""
    return value == "True" if isinstance(value, str) else value


def person(rows: Rows, name: str | None, caller: str | None) -> str | None:
    """Return the user who registers: the named one, or else the caller."""
    if name and not rows.store.exists("users.username", str(name)):
        raise Failed("LabMember matching query does not exist.")
    return name or caller


def parse_path(rows: Rows, path: str) -> tuple[str, str, int]:
    """Parse subject, date and number. Raise ValueError for a path without them, KeyError for an unknown subject."""
    match = SESSION_PATH.match(path)
    if match is None:
        raise ValueError(f"The path {path} should be `nickname/YYYY-MM-DD/n/...")
    if not rows.store.exists("subjects.nickname", match["subject"]):
        raise KeyError(path.split("/")[0])
    return match["subject"], match["date"], int(match["number"])


def session_of(
    rows: Rows, subject: str, date: str, number: int | None, user: str | None, anonymous: bool
) -> Record:
    """Return a session by subject, date and number; add the user to it and to the first session of that day."""
    try:
        day.fromisoformat(date)
    except ValueError:
        raise Failed(f"['“{date}” {NO_SUCH_DAY}']") from None
    of_day = [s for s in rows.all("sessions", subject=subject) if s["start_time"][:10] == date]
    of_day.sort(key=lambda session: str(session["id"]))
    base = next((s for s in of_day if s["parent_session"] is None), None)
    if base is None:
        raise ValueError(f"A base session for {subject} on {date} does not exist")
    add_user(rows, base, user, anonymous)
    session = next((s for s in of_day if s["number"] == number), None)
    if session is None:
        raise ValueError(f"A session for {subject}/{number} on {date} does not exist")
    session = add_user(rows, session, user, anonymous)
    if session["parent_session"] is None and session["id"] != base["id"]:
        changes = {"parent_session": base["url"], "auto_datetime": rows.clock().isoformat()}
        session = change(rows, "sessions", session, **changes)
    return session


def add_user(rows: Rows, session: Record, user: str | None, anonymous: bool) -> Record:
    """Add a user to those of a session."""
    session = rows.get("sessions", session["id"]) or session
    if user is None and anonymous:
        raise Failed(
            'null value in column "labmember_id" of relation "actions_session_users" violates not-null constraint\n'
            f"DETAIL:  Failing row contains (48, {session['id']}, null).\n"
        )
    if user is None or user in session["users"]:
        return session
    users = sorted([*session["users"], user])
    return change(rows, "sessions", session, users=users, auto_datetime=rows.clock().isoformat())


def change(rows: Rows, endpoint: str, record: Record, /, **values: Any) -> Record:
    """Change a record that has been loaded."""
    number = rows.store.number_of(endpoint, str(plain(record["url"])))
    assert number is not None
    return rows.change(endpoint, number, **values)


def owner_of(rows: Rows, data: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the content type and id of the object, other than a session, that the files belong to."""
    kind, key = data.get("content_type"), data.get("object_id")
    if not kind and not key:
        return None
    if not (kind and key):
        raise refuse(400, "error", "Both content_type and object_id should be provided together.")
    label = content_label(kind)
    if label is None:
        raise refuse(400, "detail", f"Invalid content type: {kind}")
    endpoint = CONTENT[label.partition(".")[2]][1]
    if not rows.store.exists(f"{endpoint}.id", key):
        raise refuse(400, "detail", f"Invalid object ID: {key}")
    return label, str(key)


def places(root: str, folder: str, names: Iterable[str]) -> list[Place]:
    """Parse collection, revision and name of files in a folder below a session (``root``), or of aggregates ("")."""
    found = []
    for name in names:
        if name.startswith("/"):
            raise refuse(400, "detail", WRONG_PATH)
        parts = [part for part in f"{folder}/{name}".split("/") if part not in ("", ".")]
        parent = "/".join(parts[:-1]) + "/" if len(parts) > 1 else ""
        match = FOLDERS.match(parent)
        collection, revision = (match["collection"] or "", match["revision"] or "") if match else ("", "")
        if root and revision and parts.index(f"#{revision}#") != len(parts) - 2:
            raise refuse(400, "detail", MANY_REVISIONS)
        expected = len(collection.split("/")) * bool(collection) + bool(revision)
        if not root and len(parts) - 1 != expected:
            raise refuse(400, "detail", WRONG_PATH)
        found.append(Place(root, collection, revision, parts[-1]))
    return found


# ---- protected files ----


def alike(rows: Rows, owner: Record, place: Place) -> list[Record]:
    """Return all revisions of a dataset: those of its owner with its collection and name."""
    return rows.all("datasets", **owner, collection=place.collection, name=place.name)


def protection(rows: Rows, owner: Record, place: Place) -> list[dict[str, bool]]:
    """Return whether each revision of a file is protected, newest first."""

    def age(dataset: Record) -> str:
        revision = rows.get("revisions", dataset["revision"]) if dataset["revision"] else None
        return str(revision["created_datetime"]) if revision else ""

    found = sorted(alike(rows, owner, place), key=age, reverse=True)
    return [{item["revision"] or "": is_protected(rows, item)} for item in found]


def is_protected(rows: Rows, dataset: Record) -> bool:
    """Return whether a tag protects a dataset."""
    return any((rows.get("tags", name) or {}).get("protected") for name in dataset["tags"])


def protected_answer(rows: Rows, owner: Record, names: list[str], found: list[Place]) -> Record | None:
    """Return which of some files are protected, None if there are none."""
    details = [{name: protection(rows, owner, place)} for name, place in zip(names, found, strict=False)]
    if not any(
        flag for item in details for infos in item.values() for info in infos for flag in info.values()
    ):
        return None
    return {"status_code": 403, "error": "One or more datasets is protected", "details": details}


def check_protected(rows: Rows, data: Mapping[str, Any], caller: str | None) -> Record:
    """Answer check-protected, which adds the user to the session although it only checks."""
    user = person(rows, data.get("created_by"), caller)
    path = given_path(data)
    names = [name for name in listed(data.get("filenames", ())) if name]
    owned = owner_of(rows, data)
    if owned is not None:
        owner: Record = {"session": None, "content_type": owned[0], "object_id": owned[1]}
        found = places("", path.strip("/"), names)
    else:
        try:
            subject, date, number = parse_path(rows, path)
            session = session_of(rows, subject, date, number, user, anonymous=user is None)
        except ValueError as error:
            raise Failed(str(error)) from None
        except KeyError:
            raise Failed("Subject matching query does not exist.") from None
        owner = {"session": session["id"], "content_type": None, "object_id": None}
        found = places(*split(path), names)
    answer = protected_answer(rows, owner, names, found)
    return answer or {"status_code": 200, "details": "None of the datasets are protected"}


def split(path: str) -> tuple[str, str]:
    """Split a path into the session's path and the folder below it."""
    parts = path.strip("/").split("/")
    return "/".join(parts[:3]), "/".join(parts[3:])
