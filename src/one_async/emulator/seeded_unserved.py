"""Values of the seeded world that no endpoint shows but filters and answers depend on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from one_async.emulator.seeded_files import uid
from one_async.emulator.seeded_plan import first_day
from one_async.emulator.seeded_vocabulary import region_tree, repositories
from one_async.emulator.seeded_words import LABS, PROBE_MODELS, PROJECTS, SUBJECTS, USERS, WATER_TYPES

__all__ = ["unserved"]


def unserved(datasets_of_other_objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Return flags, passwords, memberships, hidden ids and the region tree in the form of the recorded world."""
    rigs = [f"_iblrig_{lab}_{rig}_0" for lab in LABS for rig in ("behavior", "ephys")]
    return {
        "users": [_user(name) for name in sorted(USERS)],
        "lab_memberships": [_membership(lab, user) for lab, (_, _, user) in LABS.items()],
        "labs": _named("lab", LABS),
        "locations": _named("location", rigs),
        "projects": [{**row, "json": None} for row in _named("project", PROJECTS)],
        "data_repositories": _named("repository", [row["name"] for row in repositories()]),
        "water_types": _named("water type", WATER_TYPES),
        "probe_models": [_probe_model(*model) for model in PROBE_MODELS],
        "coordinate_systems": _named("coordinate system", ["Needles-Allen", "IBL-Allen"]),
        "imaging_types": _named("imaging type", ["mesoscope"]),
        "imaging_stacks": [],
        "species": [{**_named("species", ["Mus musculus"])[0], "nickname": "Laboratory mouse"}],
        "strains": _named("strain", ["C57BL/6J"]),
        "sources": _named("source", ["Charles River"]),
        "lines": [{**_named("line", ["C57BL/6J"])[0], "nickname": "C57BL/6J"}],
        "litters": [],
        "alleles": [],
        "line_alleles": [],
        "zygosities": [],
        "subjects": [
            {"nickname": name, "protocol_number": "1", "cage": None, "ear_mark": ""}
            for name in sorted(SUBJECTS)
        ],
        "datasets_of_other_objects": datasets_of_other_objects,
        "water_restrictions": [_restriction(number, name) for number, name in enumerate(SUBJECTS)],
        "generating_software": "ibllib for every dataset",
        "brain_region_tree": region_tree(),
        "download_projects": [],
    }


def _named(kind: str, names: Any) -> list[dict[str, Any]]:
    return [{"id": uid(kind, name), "name": name} for name in names]


def _user(name: str) -> dict[str, Any]:
    superuser, staff, reads_only = USERS[name]
    return {
        "id": uid("user", name),
        "username": name,
        "is_superuser": superuser,
        "is_staff": staff,
        "is_active": True,
        "is_public_user": reads_only,
        "is_stock_manager": False,
        "password": name,
    }


def _membership(lab: str, user: str) -> dict[str, Any]:
    return {"user": user, "lab": lab, "role": "experimenter", "start_date": "2022-01-01", "end_date": None}


def _probe_model(name: str, part: str) -> dict[str, Any]:
    return {"id": uid("probe model", name), "name": name, "probe_manufacturer": "Imec", "probe_model": part}


def _restriction(number: int, nickname: str) -> dict[str, Any]:
    start = first_day(number) - timedelta(days=7)
    return {
        "id": uid("restriction", nickname),
        "subject": nickname,
        "lab": SUBJECTS[nickname][0],
        "start_time": f"{start}T09:00:00+00:00",
        "narrative": "",
    }
