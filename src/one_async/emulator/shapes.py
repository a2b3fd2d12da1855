"""The parts of an answer beside a record's own fields: related records, and computed values."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from .models import CHOICES
from .records import Record, Records
from .water import water_control

__all__ = ["CONTENT", "DEPENDENTS", "OWN", "SHAPES", "collected", "content_label", "family"]

Shape = Callable[[Records, Record], Any]
# The models that a note or a dataset may belong to, with their application and endpoint
CONTENT = {
    "session": ("actions", "sessions"),
    "surgery": ("actions", "surgeries"),
    "subject": ("subjects", "subjects"),
    "dataset": ("data", "datasets"),
    "tag": ("data", "tags"),
    "probeinsertion": ("experiments", "insertions"),
    "chronicinsertion": ("experiments", "chronic-insertions"),
    "trajectoryestimate": ("experiments", "trajectories"),
    "fov": ("experiments", "fields-of-view"),
    "task": ("jobs", "tasks"),
}


def content_label(text: Any) -> str | None:
    """Return the label of a content type named ``model`` or ``application.model``; None if there is none."""
    name = str(text).rpartition(".")[2]
    known = CONTENT.get(name)
    return None if known is None or str(text) not in (name, f"{known[0]}.{name}") else f"{known[0]}.{name}"


def picked(record: Record, *names: str) -> Record:
    """Return some fields of a record."""
    return {name: record.get(name) for name in names}


def id_of(url: str) -> str:
    """Return the key at the end of an address."""
    return url.rsplit("/", 1)[-1]


def session_info(rows: Records, record: Record) -> Any:
    """Return the session of an insertion."""
    session = rows.get("sessions", record["session"]) if record.get("session") else None
    names = ("subject", "start_time", "number", "lab", "id", "projects", "task_protocol")
    return None if session is None else picked(session, *names)


def related(endpoint: str, column: str, *names: str) -> Shape:
    """Return a function that shows the records that refer to this one: some of their fields, or their list rows."""

    def shape(rows: Records, record: Record) -> list[Record]:
        value = record["nickname"] if column == "subject" else record["id"]
        found = rows.all(endpoint, **{column: value})
        if not names:
            return [rows.listed(endpoint, item) for item in found]
        return [picked({"id": id_of(item.get("url") or ""), "name": "", **item}, *names) for item in found]

    return shape


def file_records(rows: Records, record: Record) -> list[Record]:
    """Return the file records of a dataset."""
    found = []
    for item in rows.all("files", dataset=id_of(record["url"])):
        repository = rows.repositories()[item["data_repository"]]
        stem, _, end = item["relative_path"].rpartition(".")
        url = None
        if repository["data_url"]:
            url = f"{repository['data_url']}{stem}.{id_of(record['url'])}.{end}"
        found.append(
            {
                "id": id_of(item["url"]),
                "data_repository": item["data_repository"],
                "data_repository_path": repository["globus_path"],
                "relative_path": item["relative_path"],
                "data_url": url,
                "exists": item["exists"],
            }
        )
    return found


def served(rows: Records, record: Record) -> bool:
    """Return whether a dataset has an existing file on a repository that is not personal."""
    known = rows.repositories()
    return any(
        item["exists"] and known[item["data_repository"]]["globus_is_personal"] is False
        for item in record.get("file_records") or ()
    )


def data_url(record: Record) -> str | None:
    """Return the address of a dataset's file: that of the last repository by name."""
    known = record.get("file_records") or ()
    urls = {f["data_repository"]: f["data_url"] for f in known if f["exists"] and f["data_url"]}
    return urls[max(urls)] if urls else None


def short_dataset(record: Record, *more: str) -> Record:
    """Return a dataset as sessions and insertions show it."""
    names = ("name", "dataset_type", "data_url", "url", "file_size", "hash", "version", "collection", *more)
    return {"id": id_of(record["url"]), **picked({**record, "data_url": data_url(record)}, *names)}


def session_datasets(rows: Records, record: Record) -> list[Record]:
    """Return the datasets of a session that have an existing file."""
    found = []
    for item in rows.all("datasets", session=record["id"]):
        if served(rows, item):
            shown = short_dataset(item, "revision", "default_revision", "qc")
            revision = rows.get("revisions", item["revision"]) if item["revision"] else None
            flag = item["default_dataset"]
            found.append(
                {
                    **shown,
                    "revision": "" if revision is None else revision["id"],
                    "default_revision": None if flag is None else str(flag),
                    "qc": item["qc"],
                }
            )
    return found


def collected(rows: Records, record: Record) -> list[Record]:
    """Return the datasets of the session of a probe or field of view whose collection contains its name."""
    name = str(record["name"]).lower()
    found = rows.all("datasets", session=id_of(record["session"])) if record["session"] else []
    return [item for item in found if name in (item["collection"] or "").lower()]


def insertion_datasets(rows: Records, record: Record) -> list[Record]:
    """Return the datasets of an insertion that have an existing file; qc as a number."""
    items = [item for item in collected(rows, record) if served(rows, item)]
    return [{**short_dataset(item, "qc"), "qc": CHOICES["qc"][item["qc"]]} for item in items]


def trajectory_session(rows: Records, record: Record) -> Any:
    """Return the session of a trajectory's insertion."""
    insertion = rows.get("insertions", record["probe_insertion"]) if record.get("probe_insertion") else None
    return None if insertion is None else session_info(rows, insertion)


def probe_name(rows: Records, record: Record) -> str | None:
    """Return the name of a trajectory's insertion."""
    for endpoint, name in (("insertions", "probe_insertion"), ("chronic-insertions", "chronic_insertion")):
        found = rows.get(endpoint, record[name]) if record.get(name) else None
        if found is not None:
            return str(found["name"])
    return None


def chronic_probes(rows: Records, record: Record) -> list[Record]:
    """Return the insertions of a chronic insertion; the model by its name."""
    names = dict(rows.store.select('SELECT probe_model, name FROM "probe_models"'))
    return [
        {**picked(item, "id", "name", "model", "serial", "session_info"), "model": names.get(item["model"])}
        for item in rows.all("insertions", chronic_insertion=record["id"])
    ]


def session_notes(rows: Records, record: Record) -> list[Record]:
    """Return the notes on a session."""
    return rows.all("notes", content_type="actions.session", object_id=record["id"])


def default_first(rows: Records, record: Record) -> list[Record]:
    """Return the locations of a field of view, the default one first."""
    found = rows.all("fov-location", field_of_view=record["id"])
    found.sort(key=lambda item: not item["default_provenance"])
    return [rows.listed("fov-location", item) for item in found]


def html(rows: Records, record: Record) -> str:
    """Convert the Markdown that notices use to HTML."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", record["description"])
    text = re.sub(r"\*(.+?)\*", r"<em>\1</em>", re.sub(r"`(.+?)`", r"<code>\1</code>", text))
    return "\n".join(block(part) for part in re.split(r"\n\s*\n", text.strip()) if part)


def block(text: str) -> str:
    """Convert a paragraph, or a list if each line begins with a number or a bullet."""
    for mark, tag in ((r"\d+\. ", "ol"), (r"[-*+] ", "ul")):
        lines = text.split("\n")
        if all(re.match(mark, line) for line in lines):
            items = "\n".join(f"<li>{re.sub(mark, '', line, count=1)}</li>" for line in lines)
            return f"<{tag}>\n{items}\n</{tag}>"
    return f"<p>{text}</p>"


def counted(flag: str) -> Shape:
    """Return a function that counts the tags of a dataset that have a flag."""

    def shape(rows: Records, record: Record) -> int:
        return sum(bool((rows.get("tags", name) or {}).get(flag)) for name in record["tags"])

    return shape


def experiment_number(rows: Records, record: Record) -> Any:
    """Return the number of a dataset's session."""
    session = rows.get("sessions", id_of(record["session"])) if record.get("session") else None
    return None if session is None else session["number"]


def session_projects(rows: Records, record: Record) -> list[str]:
    """Return the projects of a subject's sessions."""
    return sorted({p for item in rows.all("sessions", subject=record["nickname"]) for p in item["projects"]})


def age_weeks(rows: Records, record: Record) -> int:
    """Return the age of a subject, or its age at death, in weeks."""
    if not record.get("birth_date"):
        return 0
    end = date.fromisoformat(record["death_date"]) if record.get("death_date") else rows.clock().date()
    return (end - date.fromisoformat(record["birth_date"])).days // 7


def expected_water(rows: Records, record: Record) -> float:
    """Return the daily water need of a subject in ml."""
    control = water_control(rows, record)
    return control.expected_water(control.now)


def remaining_water(rows: Records, record: Record) -> float:
    """Return the water that a subject still needs today, in ml."""
    control = water_control(rows, record)
    return control.remaining_water(control.now)


def reference_weight(rows: Records, record: Record) -> float:
    """Return the weight of a subject at the start of its restriction."""
    control = water_control(rows, record)
    return control.reference_weight(control.now)


def last_restriction(rows: Records, record: Record) -> str | None:
    """Return the start of the water restriction that holds now."""
    control = water_control(rows, record)
    held = control.restriction(control.now)
    return None if held is None else held.start.isoformat()


def responsible_for(rows: Records, record: Record) -> list[str]:
    """Return the subjects that a user is responsible for."""
    return sorted(item["nickname"] for item in rows.all("subjects", responsible_user=record["username"]))


def family(rows: Records, record: Record) -> list[int]:
    """Return the row numbers of a region's ancestors and of its descendants, from the top."""
    sql = (
        'SELECT b.row FROM "brain-regions" b JOIN "brain-regions" me ON me.id = ? AND b.id != me.id'
        " WHERE (b.lft < me.lft AND b.rght > me.rght) OR (b.lft > me.lft AND b.rght < me.rght) ORDER BY b.lft"
    )
    return [row for (row,) in rows.store.select(sql, record["id"])]


def related_descriptions(rows: Records, record: Record) -> list[Record]:
    """Return the descriptions of a region's ancestors and descendants."""
    found = [rows.load("brain-regions", [row])[0] for row in family(rows, record)]
    return [picked(item, "id", "name", "description", "level") for item in found if item["description"]]


WATER = ("id", "name", "water_type", "water_administered")
SHAPES: dict[tuple[str, str], Shape] = {
    ("sessions", "wateradmin_session_related"): related("water-administrations", "session", *WATER),
    ("sessions", "data_dataset_session_related"): session_datasets,
    ("sessions", "probe_insertion"): related("insertions", "session"),
    ("sessions", "field_of_view"): related("fields-of-view", "session"),
    ("sessions", "notes"): session_notes,
    ("datasets", "file_records"): file_records,
    ("datasets", "experiment_number"): experiment_number,
    ("datasets", "protected"): counted("protected"),
    ("datasets", "public"): counted("public"),
    ("insertions", "session_info"): session_info,
    ("insertions", "datasets.detail"): insertion_datasets,
    ("trajectories", "session"): trajectory_session,
    ("trajectories", "probe_name"): probe_name,
    ("chronic-insertions", "probe_insertion"): chronic_probes,
    ("fields-of-view", "location"): default_first,
    ("imaging-stack", "slices"): related("fields-of-view", "stack"),
    ("subjects", "weighings"): related("weighings", "subject"),
    ("subjects", "water_administrations"): related("water-administrations", "subject"),
    ("subjects", "session_projects"): session_projects,
    ("subjects", "alive"): lambda rows, record: record.get("death_date") is None,
    ("subjects", "age_weeks"): age_weeks,
    ("subjects", "expected_water"): expected_water,
    ("subjects", "remaining_water"): remaining_water,
    ("subjects", "reference_weight"): reference_weight,
    ("subjects", "last_water_restriction"): last_restriction,
    ("users", "subjects_responsible"): responsible_for,
    ("data-notices", "description_html"): html,
    ("brain-regions", "related_descriptions"): related_descriptions,
}
# Values that depend on a record's own fields, and are computed again with each change of it
OWN = {
    "datasets": ("experiment_number", "protected", "public"),
    "insertions": ("session_info", "datasets.detail"),
    "trajectories": ("session", "probe_name"),
    "subjects": ("alive", "age_weeks"),
    "data-notices": ("description_html",),
}
INFO = {"subject", "start_time", "number", "lab", "projects", "task_protocol"}
# Answers that show a record of another endpoint: (endpoint, changed fields or None for any, dependent endpoint, how to
# find the dependent records, the fields to update in them). They are found by a foreign key of the changed record,
# "<column": their column refers to it, "*link": their many-to-many field holds it, "family": region ancestors and descendants
DEPENDENTS: list[tuple[str, set[str] | None, str, str, tuple[str, ...]]] = [
    ("files", None, "datasets", "dataset", ("file_records",)),
    ("datasets", None, "sessions", "session", ("data_dataset_session_related",)),
    ("datasets", None, "insertions", "*datasets", ("datasets.detail",)),
    ("water-administrations", None, "sessions", "session", ("wateradmin_session_related",)),
    ("water-administrations", None, "subjects", "subject", ("water_administrations", "remaining_water")),
    ("weighings", None, "subjects", "subject", ("weighings", "expected_water", "remaining_water")),
    ("water-restriction", None, "subjects", "subject", ("reference_weight", "last_water_restriction")),
    ("water-restriction", None, "subjects", "subject", ("expected_water", "remaining_water")),
    ("subjects", {"responsible_user"}, "users", "responsible_user", ("subjects_responsible",)),
    ("insertions", None, "sessions", "session", ("probe_insertion",)),
    ("insertions", None, "chronic-insertions", "chronic_insertion", ("probe_insertion",)),
    ("insertions", {"session_info", "name"}, "trajectories", "<probe_insertion", ("session", "probe_name")),
    ("fields-of-view", None, "sessions", "session", ("field_of_view",)),
    ("fields-of-view", None, "imaging-stack", "stack", ("slices",)),
    ("fov-location", None, "fields-of-view", "field_of_view", ("location",)),
    ("notes", None, "sessions", "object_id", ("notes",)),
    ("sessions", INFO, "insertions", "<session", ("session_info",)),
    ("sessions", {"number"}, "datasets", "<session", ("experiment_number",)),
    ("sessions", {"projects", "subject"}, "subjects", "subject", ("session_projects",)),
    ("tags", {"protected", "public"}, "datasets", "*tags", ("protected", "public")),
    ("brain-regions", {"description"}, "brain-regions", "family", ("related_descriptions",)),
]
