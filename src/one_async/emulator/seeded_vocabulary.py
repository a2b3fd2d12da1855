"""Records of the seeded world that depend on no session: regions, types, formats, repositories, tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from one_async.emulator.seeded_datasets import ALYX, DATA, Record
from one_async.emulator.seeded_files import uid
from one_async.emulator.seeded_words import (
    DATASET_TYPES,
    FORMATS,
    LABS,
    PROCEDURES,
    PROJECTS,
    REGIONS,
    REVISIONS,
    TAGS,
    USERS,
    WATER_TYPES,
)

__all__ = ["endpoint", "region_tree", "repositories", "vocabulary_records"]


def endpoint(rows: Iterable[Record], key: str = "id") -> Record:
    """Return the records of an endpoint whose detail bodies are its list rows."""
    kept = list(rows)
    return {"list": kept, "detail": {str(row[key]): row for row in kept}}


def vocabulary_records() -> dict[str, Record]:
    """Return the endpoints that depend on no session."""
    revisions = REVISIONS.items()
    return {
        "brain-regions": endpoint(_regions()),
        "dataset-types": endpoint(map(_dataset_type, sorted(DATASET_TYPES)), "name"),
        "data-formats": endpoint(map(_format, sorted(FORMATS)), "name"),
        "data-repository": endpoint(repositories(), "name"),
        "data-repository-type": endpoint([_repository_type("Fileserver")], "name"),
        "labs": endpoint(map(_lab, LABS), "name"),
        "locations": endpoint((_location(lab, rig) for lab in LABS for rig in ("behavior", "ephys")), "name"),
        "procedures": {"list": [_procedure(name) for name in PROCEDURES], "detail": {}},
        "projects": endpoint(map(_project, PROJECTS), "name"),
        "revisions": endpoint((_revision(*item) for item in revisions), "name"),
        "tags": endpoint((_tag(name, *about) for name, about in TAGS.items()), "name"),
        "water-type": {"list": [_water_type(name) for name in WATER_TYPES], "detail": {}},
        **{name: {"list": [], "detail": {}} for name in EMPTY},
    }


EMPTY = ("chronic-insertions", "downloads", "fields-of-view", "fov-location", "imaging-stack")


def _ancestors(acronym: str) -> list[str]:
    parents = {name: parent for _, name, _, parent in REGIONS}
    found = []
    while (above := parents[acronym]) is not None:
        found.append(above)
        acronym = above
    return found


def region_tree() -> list[dict[str, int]]:
    """Return the depth and the nested-set bounds of each region, depth-first."""
    rows = []
    for place, (number, acronym, _, _) in enumerate(REGIONS):
        level = len(_ancestors(acronym))
        below = sum(acronym in _ancestors(other) for _, other, _, _ in REGIONS)
        left = 2 * place - level + 1
        rows.append({"id": number, "level": level, "lft": left, "rght": left + 2 * below + 1})
    return rows


DESCRIBED = {
    "HPF": "Memory and space; its fields line the lateral ventricle",
    "CA1": "The output field of the hippocampus",
}


def _regions() -> Iterable[Record]:
    ids = {acronym: number for number, acronym, _, _ in REGIONS}
    names = {acronym: name for _, acronym, name, _ in REGIONS}
    levels = {row["id"]: row["level"] for row in region_tree()}
    for number, acronym, name, parent in REGIONS:
        related = [
            {"id": ids[other], "name": names[other], "description": text, "level": levels[ids[other]]}
            for other, text in DESCRIBED.items()
            if other != acronym and (other in _ancestors(acronym) or acronym in _ancestors(other))
        ]
        yield {
            "id": number,
            "acronym": acronym,
            "name": name,
            "description": DESCRIBED.get(acronym),
            "parent": None if parent is None else ids[parent],
            "related_descriptions": related,
        }


def _dataset_type(name: str) -> Record:
    if name.startswith("ephysData.raw."):
        band = name.rsplit(".", 1)[1]
        pattern = f"*ephysData*.{band}" + {"ap": ".cbin", "lf": ".cbin", "ch": "", "meta": ""}.get(
            band, ".npy"
        )
    elif name.startswith("_iblrig_Camera"):
        pattern = name.replace("_Camera", "_*Camera") + "*"
    elif name == "trials.table":
        pattern = "*_trials.table.*"  # not that of all trials of a subject
    else:
        pattern = f"*{name}.*"
    return {
        "id": uid("dataset type", name),
        "name": name,
        "created_by": None,
        "description": DATASET_TYPES[name],
        "filename_pattern": pattern,
    }


def _format(name: str) -> Record:
    extension, loader = FORMATS[name]
    return {
        "id": uid("format", name),
        "json": None,
        "name": name,
        "description": f"{extension or 'unknown'} file",
        "file_extension": extension,
        "matlab_loader_function": "",
        "python_loader_function": loader,
    }


def repositories() -> list[Record]:
    """Return the repositories by name: a server and a rig computer per lab, a bucket, and one for aggregates."""

    def repository(name: str, zone: str, path: str, url: str | None, personal: bool, json: Any) -> Record:
        return {
            "name": name,
            "timezone": zone,
            "globus_path": path,
            "hostname": "data.test" if url else "",
            "data_url": url,
            "repository_type": "Fileserver",
            "globus_endpoint_id": uid("endpoint", name) if personal else None,
            "globus_is_personal": personal,
            "json": json,
        }

    bucket = {"bucket_name": "example-bucket", "region_name": "eu-west-2"}
    rows = [
        repository("aws_cortexlab", "UTC", "/data/", None, False, bucket),
        repository("flatiron_aggregates", "UTC", "/aggregates/", f"{DATA}/aggregates/", False, None),
    ]
    for lab, (zone, _, _) in LABS.items():
        home = f"/{lab}/Subjects/"
        rows.append(repository(f"flatiron_{lab}", zone, home, DATA + home, False, None))
        rows.append(repository(f"{lab}_SR", zone, "/mnt/s0/Data/Subjects/", None, True, None))
    return sorted(rows, key=lambda row: str(row["name"]))


def _repository_type(name: str) -> Record:
    return {"url": f"{ALYX}/data-repository-type/{quote(name)}", "json": "", "name": name}


def _lab(name: str) -> Record:
    zone, limit, _ = LABS[name]
    return {
        "name": name,
        "institution": f"Institute of {name}",
        "address": "1 Example Road",
        "timezone": zone,
        "repositories": [f"flatiron_{name}", f"{name}_SR"],
        "reference_weight_pct": limit,
        "zscore_weight_pct": 0.0,
        "json": None,
    }


def _location(lab: str, rig: str) -> Record:
    return {"name": f"_iblrig_{lab}_{rig}_0", "lab": lab, "json": None}


def _procedure(name: str) -> Record:
    return {"id": uid("procedure", name), "name": name, "json": None, "description": ""}


def _project(name: str) -> Record:
    users = sorted(user for user, (_, staff, _) in USERS.items() if staff)
    return {"name": name, "description": PROJECTS[name], "users": users}


def _revision(name: str, description: str) -> Record:
    return {
        "id": uid("revision", name),
        "json": None,
        "name": name,
        "description": description,
        "created_datetime": f"{name}T09:00:00",
    }


def _tag(name: str, description: str, protected: bool, public: bool) -> Record:
    return {
        "id": uid("tag", name),
        "json": None,
        "name": name,
        "description": description,
        "protected": protected,
        "public": public,
        "hash": None,
    }


def _water_type(name: str) -> Record:
    return {"url": f"{ALYX}/water-type/{quote(name)}", "json": None, "name": name}
