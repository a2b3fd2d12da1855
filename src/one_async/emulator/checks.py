"""Rules of single endpoints that writes.txt cannot express, applied before and after a record is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .models import CHOICES
from .owners import COLLECTION, WRONG_COLLECTION, alike, change, session_of
from .owners import Place as FilePlace
from .query import Failed
from .records import Record
from .registration import link_probes
from .rows import Rows
from .shapes import CONTENT, collected, content_label
from .store import plain
from .values import moment

__all__ = ["CHECKS", "FOLLOW", "PREPARE", "keep_history"]

Complaints = dict[str, list[str]]
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"RIFF", b"II*\0", b"MM\0*")
NO_PICTURE = "Upload a valid image. The file you uploaded was either not an image or a corrupted image."


# ---- checks: they add complaints, or raise an Answer where Alyx fails ----


def check_subject(rows: Rows, values: Record, before: Record | None, bad: bool) -> Complaints:
    """Fail on JSON that is no object, in which the history of a subject cannot be kept."""
    kept = values.get("json", (before or {}).get("json"))
    if not bad and kept and not isinstance(kept, dict):
        raise Failed(f"'{type(kept).__name__}' object has no attribute 'get'")
    return {}


def check_type(rows: Rows, values: Record, before: Record | None, bad: bool) -> Complaints:
    """Check that no other dataset type has a file name pattern, which is stored in lower case."""
    pattern = values.get("filename_pattern")
    if not pattern:
        return {}
    values["filename_pattern"] = pattern.lower()
    others = rows.store.numbers("dataset-types", filename_pattern=pattern)
    if not others or pattern == (before or {}).get("filename_pattern"):
        return {}
    return {"filename_pattern": ["dataset type with this filename pattern already exists."]}


def check_insertion(rows: Rows, values: Record, before: Record | None, bad: bool) -> Complaints:
    """Check that an insertion agrees with its chronic insertion."""
    now = {**(before or {}), **values}
    chronic = (
        rows.get("chronic-insertions", now["chronic_insertion"]) if now.get("chronic_insertion") else None
    )
    if chronic is None or now.get("serial", "") == chronic["serial"]:
        return {}
    return {"non_field_errors": ["serial number of chronic insertion and probe insertion do not match"]}


def check_trajectory(rows: Rows, values: Record, before: Record | None, bad: bool) -> Complaints:
    """Refuse a second trajectory with the same provenance."""
    probe = values.get("probe_insertion")
    provenance = str(values.get("provenance", (before or {}).get("provenance")))
    if bad or probe is None:
        return {}
    number = CHOICES["provenance"][provenance]
    same = rows.all("trajectories", probe_insertion=probe, provenance=number)
    if any(item["id"] != (before or {}).get("id") for item in same):
        raise Failed(
            'duplicate key value violates unique constraint "unique_trajectory_per_provenance"\n'
            f"DETAIL:  Key (provenance, probe_insertion_id)=({number}, {probe}) already exists.\n"
        )
    return {}


def check_notice(rows: Rows, values: Record, before: Record | None, bad: bool) -> Complaints:
    """Check that the dates of a notice are in order."""
    now = {**(before or {}), **values}
    start, end = now.get("affected_date_start"), now.get("affected_date_end")
    if bad or not start or not end or end >= start:
        return {}
    return {"affected_date_end": ["affected_date_end must be on or after affected_date_start."]}


def check_field_of_view(rows: Rows, values: Record, before: Record | None, bad: bool) -> Complaints:
    """Refuse a stack that would belong to two sessions."""
    now = {**(before or {}), **values}
    others = rows.all("fields-of-view", stack=now["stack"]) if now.get("stack") and not bad else []
    if any(item["session"] != now["session"] for item in others if item["id"] != now.get("id")):
        raise Failed("['Stack fields of view must belong to the same session']")
    return {}


def check_location(rows: Rows, values: Record, before: Record | None, bad: bool) -> Complaints:
    """Fail on coordinates that are no numbers, and without a coordinate system, whose default is none."""
    if before is None and not bad and "coordinate_system" not in values:
        words = 'must be a "CoordinateSystem" instance.'
        raise Failed(f'Cannot assign "\'IBL-Allen\'": "FOVLocation.coordinate_system" {words}')
    for axis, form in (("x", float), ("y", float), ("z", float), ("n_xyz", int)):
        for item in filter(None, values.get(axis, ()) if not bad else ()):
            try:
                form(item)
            except (TypeError, ValueError):
                raise Failed(f"Field '{axis}' expected a number but got {item!r}.") from None
    return {}


def check_water(rows: Rows, values: Record, before: Record | None, bad: bool) -> Complaints:
    """Refuse water that is given after the subject's death."""
    now = {"date_time": rows.clock().isoformat(), **(before or {}), **values}
    subject = rows.get("subjects", now["subject"]) if now.get("subject") and not bad else None
    if (
        subject
        and subject["death_date"]
        and moment(now["date_time"]).date().isoformat() > subject["death_date"]
    ):
        raise Failed("Water administration date after death date")
    return {}


def check_note(rows: Rows, values: Record, before: Record | None, bad: bool) -> Complaints:
    """Check a note's object and picture."""
    if "content_type" in values:
        kind = values["content_type"]
        if isinstance(kind, bool | int | float):
            raise Failed(f"argument of type '{type(kind).__name__}' is not iterable")
        label = content_label(values["content_type"])
        if label is None:
            raise Failed("ContentType matching query does not exist.")
        values["content_type"] = label
    image = values.get("image")
    if isinstance(image, tuple) and not image[1].startswith(PICTURES):
        return {"image": [NO_PICTURE]}
    if image is not None and not isinstance(image, tuple):
        return {"image": ["The submitted data was not a file. Check the encoding type on the form."]}
    if bad:
        return {}
    for name in ("content_type", "object_id"):
        if name not in values:
            raise Failed(f"'{name}'")
    model = values["content_type"].partition(".")[2]
    if not rows.store.exists(f"{CONTENT[model][1]}.id", values["object_id"]):
        raise Failed(f"{model.capitalize()} matching query does not exist.")
    if isinstance(image, tuple):
        values["image"] = picture_address(rows, image, values["object_id"])
    return {}


def picture_address(rows: Rows, image: tuple[str, bytes], key: str) -> str:
    """Return the address of a note's picture; the picture itself is not kept."""
    stem, _, end = re.sub(r"[^\w.-]", "", image[0].replace(" ", "_")).rpartition(".")
    return f"https://alyx.test/uploaded/{rows.clock():%Y/%m/%d}/{stem}.{key}.{end}"


CHECKS: dict[str, Callable[[Rows, Record, Record | None, bool], Complaints]] = {
    "dataset-types": check_type,
    "subjects": check_subject,
    "insertions": check_insertion,
    "trajectories": check_trajectory,
    "data-notices": check_notice,
    "fields-of-view": check_field_of_view,
    "fov-location": check_location,
    "water-administrations": check_water,
    "notes": check_note,
}


# ---- values that a new record takes from other records ----


def prepare_session(rows: Rows, record: Record, data: Any, user: str | None) -> None:
    """Set the caller as the user of a session, and its subject's lab as its lab."""
    record["users"] = record["users"] or ([user] if user else [])
    record["lab"] = record["lab"] or (rows.get("subjects", record["subject"]) or {}).get("lab")


def prepare_subject(rows: Rows, record: Record, data: Any, user: str | None) -> None:
    """Set a subject's strain to that of the other subjects of its line. Fail on a genotype, as Alyx does."""
    if "genotype" in data:
        raise Failed("Got a `TypeError` when calling `Subject.objects.create()`.")
    if record["line"] and not record["strain"]:
        others = rows.all("subjects", line=record["line"])
        record["strain"] = next((item["strain"] for item in others if item["strain"]), None)


def prepare_dataset(rows: Rows, record: Record, data: Any, user: str | None) -> None:
    """Set a dataset's session by subject, date and number, and make the newest dataset of its name the default."""
    record["collection"] = record["collection"] or ""
    if not record["session"] and data.get("subject") and data.get("date"):
        try:
            number = int(data["number"]) if data.get("number") is not None else None
            session = session_of(rows, data["subject"], str(data["date"]), number, None, anonymous=False)
        except ValueError as error:
            raise Failed(str(error)) from None
        record |= {"session": session["url"], "created_by": None}
    if record["session"] and (data.get("default_dataset") is not False):
        owner = {"session": plain(record["session"]), "content_type": None, "object_id": None}
        place = FilePlace("", record["collection"], "", record["name"])
        for other in alike(rows, owner, place):
            if other["default_dataset"]:
                time = rows.clock().isoformat()
                change(rows, "datasets", other, default_dataset=False, auto_datetime=time)
        record["default_dataset"] = True


def prepare_note(rows: Rows, record: Record, data: Any, user: str | None) -> None:
    """Name a picture that Alyx scales down: its file name holds the object's id twice."""
    width = data.get("width", [None])[-1] if isinstance(data.get("width"), list) else data.get("width")
    if record["image"] and width != "orig":
        stem, _, end = record["image"].rpartition(".")
        record["image"] = f"{stem}.{record['object_id']}.{end}"


def keep_history(rows: Rows, values: Record, before: Record) -> None:
    """Append a subject's former name and responsible user to the history in its JSON."""
    history: Record = {}
    for name in ("nickname", "responsible_user"):
        old = before.get(name)
        if name in values and values[name] != old and old is not None:
            user = rows.get("users", old) if name == "responsible_user" else None
            history[name] = {"date_time": rows.clock().isoformat(), "value": user["id"] if user else old}
    if history:
        kept = dict(values.get("json", before.get("json")) or {})
        known = dict(kept.get("history") or {})
        for name, item in history.items():
            known[name] = [*known.get(name, ()), item]
        values["json"] = {**kept, "history": known}


PREPARE: dict[str, Callable[[Rows, Record, Any, str | None], None]] = {
    "sessions": prepare_session,
    "subjects": prepare_subject,
    "datasets": prepare_dataset,
    "notes": prepare_note,
}


# ---- effects of a written record ----


def follow_dataset(rows: Rows, number: int, values: Record, before: Record | None) -> None:
    """Link a dataset to its probe. Fail for an invalid collection after the dataset is written, as Alyx does."""
    [record] = rows.load("datasets", [number])
    if not record["collection"]:
        return
    if COLLECTION.match(record["collection"]) is None:
        raise Failed(str(WRONG_COLLECTION))
    link_probes(rows, record)


def follow_probe(endpoint: str) -> Callable[[Rows, int, Record, Record | None], None]:
    """Return a function that links a probe or field of view to the datasets whose collection contains its name."""

    def follow(rows: Rows, number: int, values: Record, before: Record | None) -> None:
        if "datasets" in values and (before is None or endpoint == "fields-of-view"):
            return
        [record] = rows.load(endpoint, [number])
        rows.change(endpoint, number, datasets=[plain(item["url"]) for item in collected(rows, record)])

    return follow


def follow_channel(rows: Rows, number: int, values: Record, before: Record | None) -> None:
    """Save the trajectory of a channel as well, as Alyx does."""
    [record] = rows.load("channels", [number])
    track = rows.store.number_of("trajectories", str(record["trajectory_estimate"]))
    if track is not None:
        rows.change("trajectories", track, datetime=rows.clock().isoformat())


def follow_file(rows: Rows, number: int, values: Record, before: Record | None) -> None:
    """Save the dataset of a file record as well, as Alyx does."""
    [record] = rows.load("files", [number])
    dataset = rows.store.number_of("datasets", str(plain(record["dataset"])))
    if dataset is not None:
        rows.change("datasets", dataset, auto_datetime=rows.clock().isoformat())


def floats(values: list[Any]) -> list[float | None]:
    """Convert the items of an array, which may be null."""
    return [None if value is None else float(value) for value in values]


def follow_location(rows: Rows, number: int, values: Record, before: Record | None) -> None:
    """Keep a single default location for a field of view, and store its coordinates as floats."""
    [record] = rows.load("fov-location", [number])
    rows.change("fov-location", number, **{axis: floats(record[axis]) for axis in "xyz"})
    if not record["default_provenance"]:
        return
    for other in rows.store.numbers("fov-location", field_of_view=record["field_of_view"]):
        if other != number:
            rows.change(
                "fov-location", other, default_provenance=False, auto_datetime=rows.clock().isoformat()
            )


def follow_task(rows: Rows, number: int, values: Record, before: Record | None) -> None:
    """Fail for a task without a status after the task is written, as Alyx does."""
    [record] = rows.load("tasks", [number])
    if record["status"] is None:
        raise Failed("list index out of range")


def follow_subject(rows: Rows, number: int, values: Record, before: Record | None) -> None:
    """End the water restriction of a subject that has died."""
    [record] = rows.load("subjects", [number])
    if not record["death_date"] or (before or {}).get("death_date"):
        return
    for open_one in rows.store.numbers("water-restriction", subject=record["nickname"], end_time=None):
        rows.change("water-restriction", open_one, end_time=f"{record['death_date']}T00:00:00")
    restricted = rows.store.number_of("water-restricted-subjects", record["nickname"])
    if restricted is not None:
        rows.delete("water-restricted-subjects", restricted)


def follow_user(rows: Rows, number: int, values: Record, before: Record | None) -> None:
    """Make a user responsible for exactly the given subjects."""
    [record] = rows.load("users", [number])
    name, wanted = record["username"], values.get("subjects_responsible")
    if wanted is None:
        return
    held = {item["nickname"] for item in rows.all("subjects", responsible_user=name)}
    for nickname in held ^ set(wanted):
        subject = rows.store.number_of("subjects", nickname)
        if subject is not None:
            rows.change("subjects", subject, responsible_user=name if nickname in wanted else None)


FOLLOW: dict[str, Callable[[Rows, int, Record, Record | None], None]] = {
    "datasets": follow_dataset,
    "channels": follow_channel,
    "insertions": follow_probe("insertions"),
    "fields-of-view": follow_probe("fields-of-view"),
    "files": follow_file,
    "fov-location": follow_location,
    "subjects": follow_subject,
    "users": follow_user,
    "tasks": follow_task,
}
