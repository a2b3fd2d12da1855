"""References between tables, by column of Alyx's lists, which the OpenAPI document lacks. Data only."""

from __future__ import annotations

from collections.abc import Mapping

#: The name of a table's id in all tables that refer to it, and next to ``id`` in the table itself.
SHARED_NAMES: Mapping[str, str] = {"sessions": "eid", "insertions": "pid", "datasets": "did"}
#: Counts that are converted to booleans, with their descriptions.
BOOLEANS: Mapping[str, Mapping[str, str]] = {
    "datasets": {
        "protected": "Whether a tag protects it from changes",
        "public": "Whether a tag makes it public",
    },
}
#: Additional columns extracted from a field of a struct.
PARTS: Mapping[str, Mapping[str, str]] = {"trajectories": {"eid": "session.id"}}
_USER, _SUBJECT, _LAB = "users.username", "subjects.nickname", "labs.name"
_REPOSITORY, _PROJECT, _REGION = "data-repository.name", "projects.name", "brain-regions.id"
_SESSION, _INSERTION, _DATASET = "sessions.id", "insertions.id", "datasets.id"
#: The table and column that each field refers to, by endpoint and field. ``[]`` means the items of a list.
REFERENCES: Mapping[str, Mapping[str, str]] = {
    "brain-regions": {"parent": _REGION},
    "channels": {"trajectory_estimate": "trajectories.id", "brain_region": _REGION},
    "chronic-insertions": {"subject": _SUBJECT, "lab": _LAB},
    "data-notices": {"created_by": _USER, "datasets[]": _DATASET},
    "data-repository": {"repository_type": "data-repository-type.name"},
    "dataset-types": {"created_by": _USER},
    "datasets": {
        "created_by": _USER,
        "dataset_type": "dataset-types.name",
        "data_format": "data-formats.name",
        "session": _SESSION,
        "file_records[].data_repository": _REPOSITORY,
        "revision": "revisions.name",
        "tags[]": "tags.name",
    },
    "downloads": {"user": _USER, "dataset": _DATASET},
    "fields-of-view": {
        "location[].id": "fov-location.id",
        "location[].brain_region[]": _REGION,
        "session": _SESSION,
        "stack": "imaging-stack.id",
        "datasets[]": _DATASET,
    },
    "files": {"dataset": _DATASET, "data_repository": _REPOSITORY},
    "fov-location": {"brain_region[]": _REGION},
    "imaging-stack": {
        "slices[].id": "fields-of-view.id",
        "slices[].session": _SESSION,
        "slices[].datasets[]": _DATASET,
    },
    "insertions": {
        "session": _SESSION,
        "session_info.id": _SESSION,
        "session_info.subject": _SUBJECT,
        "session_info.lab": _LAB,
        "session_info.projects[]": _PROJECT,
        "chronic_insertion": "chronic-insertions.id",
        "datasets[]": _DATASET,
    },
    "labs": {"repositories[]": _REPOSITORY},
    "locations": {"lab": _LAB},
    "notes": {"user": _USER},
    "projects": {"users[]": _USER},
    "sessions": {"subject": _SUBJECT, "lab": _LAB, "projects[]": _PROJECT},
    "subjects": {
        "responsible_user": _USER,
        "projects[]": _PROJECT,
        "session_projects[]": _PROJECT,
        "lab": _LAB,
    },
    "surgeries": {"subject": _SUBJECT, "users[]": "users.id", "procedures[]": "procedures.id"},
    "tasks": {"parents[]": "tasks.id", "session": _SESSION, "data_repository": _REPOSITORY},
    "trajectories": {
        "probe_insertion": _INSERTION,
        "session.id": _SESSION,
        "session.subject": _SUBJECT,
        "session.lab": _LAB,
        "session.projects[]": _PROJECT,
        "chronic_insertion": "chronic-insertions.id",
    },
    "users": {"subjects_responsible[]": _SUBJECT, "lab[]": _LAB, "allowed_users[]": _USER},
    "water-administrations": {
        "subject": _SUBJECT,
        "water_type": "water-type.name",
        "user": _USER,
        "session": _SESSION,
    },
    "water-restricted-subjects": {"nickname": _SUBJECT},
    "water-restriction": {"subject": _SUBJECT, "water_type": "water-type.name"},
    "weighings": {"subject": _SUBJECT, "user": _USER},
}
