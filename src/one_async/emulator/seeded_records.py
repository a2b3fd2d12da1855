"""Records of the seeded world's sessions, insertions, trajectories, channels, notes, notices and tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from one_async.emulator.seeded_arrays import channels
from one_async.emulator.seeded_camera import RATES
from one_async.emulator.seeded_datasets import ALYX, Datasets, Record
from one_async.emulator.seeded_files import uid
from one_async.emulator.seeded_people import WATER, water_in_session
from one_async.emulator.seeded_plan import QC, Insertion, Session, since
from one_async.emulator.seeded_vocabulary import endpoint

__all__ = ["session_records"]

TRACK_ENDPOINTS = ("Planned", "Micro-manipulator", "Histology track", "Ephys aligned histology track")

SESSION_INFO = ("subject", "start_time", "number", "lab", "id", "projects", "task_protocol")


def session_records(plan: list[Session], datasets: Datasets) -> dict[str, Record]:
    """Return the endpoints of sessions and of insertions and their tracks; the latest sessions come first."""
    latest = sorted(plan, key=lambda s: s.start, reverse=True)
    ephys = [(s, i) for s in latest for i in s.insertions]
    rows = [(_insertion(s, i, datasets.of_insertion[i.id])) for s, i in ephys]
    trajectories = [row for s, i in ephys for row in _trajectories(s, i)]
    return {
        "sessions": {
            "list": [_session(s) for s in latest],
            "detail": {s.id: _session_detail(s, datasets) for s in latest},
        },
        "insertions": {"list": [row for row, _ in rows], "detail": {row["id"]: body for row, body in rows}},
        "trajectories": endpoint(trajectories),
        "channels": endpoint(row for _, i in ephys for row in _channels(i)),
        "notes": endpoint(note for s in latest for note in _notes(s)),
        "tasks": endpoint(_task(s) for s in latest if s.ephys),
        "data-notices": endpoint([_notice(plan, datasets)]),
    }


def _session(session: Session) -> Record:
    return {
        "id": session.id,
        "subject": session.subject,
        "start_time": session.start.isoformat(),
        "number": session.number,
        "lab": session.lab,
        "projects": list(session.projects),
        "url": f"{ALYX}/sessions/{session.id}",
        "task_protocol": session.protocol,
    }


def _session_detail(session: Session, datasets: Datasets) -> Record:
    recording, given = session.recording, water_in_session(session)
    water = (
        {"id": given[0], "name": "", "water_type": WATER, "water_administered": given[1]} if given else None
    )
    return {
        "subject": session.subject,
        "users": sorted(session.users),
        "location": f"_iblrig_{session.lab}_{'ephys' if session.ephys else 'behavior'}_0",
        "procedures": _procedures(session),
        "lab": session.lab,
        "projects": list(session.projects),
        "type": "Experiment",
        "task_protocol": session.protocol,
        "number": session.number,
        "start_time": session.start.isoformat(),
        "end_time": session.end.isoformat(),
        "narrative": "calm, licked from the start" if session.full else "",
        "parent_session": None,
        "n_correct_trials": session.n_correct,
        "n_trials": recording.task.n_trials if recording else None,
        "url": f"{ALYX}/sessions/{session.id}",
        "extended_qc": _extended_qc(session),
        "qc": session.qc,
        "wateradmin_session_related": [water] if water else [],
        "data_dataset_session_related": datasets.of_session[session.id],
        "auto_datetime": since(session.end, hours=20),
        "id": session.id,
        "json": {"IS_MOCK": False, "SUBJECT_WEIGHT": 20.5 + session.start.day % 7} if session.full else None,
        "probe_insertion": [
            _insertion(session, i, datasets.of_insertion[i.id])[0] for i in session.insertions
        ],
        "field_of_view": [],
        "notes": _notes(session),
    }


def _procedures(session: Session) -> list[str]:
    if session.recording is None:
        return ["handling_habituation"] if session.protocol else ["Histology"]
    return ["Ephys recording with acute probe(s)"] * session.ephys + ["Behavior training/tasks"]


def _extended_qc(session: Session) -> Record | None:
    """Return quality checks with their keys in the database's order: by length, then alphabet."""
    if session.qc == "NOT_SET" or session.n_correct is None or session.recording is None:
        return None
    share = round(session.n_correct / session.recording.task.n_trials, 3)
    checks: Record = {
        "task": session.qc,
        "behavior": int(share > 0.65),
        "_task_stimOn_delays": round(0.9 + 0.1 * share, 3),
        "_task_correct_trial": share,
        "_task_response_feedback_delays": 1.0,
    }
    if session.ephys:
        checks["alignment_resolved"] = any(i.regions for i in session.insertions)
        for kind in ("video", "dlc"):
            checks |= {f"{kind}{view.capitalize()}": _camera_qc(session, kind, view) for view in RATES}
    return dict(sorted(checks.items(), key=lambda item: (len(item[0]), item[0])))


def _camera_qc(session: Session, kind: str, view: str) -> str:
    """Return the quality of a camera's video or of the poses in it: most pass."""
    return ("PASS", "PASS", "PASS", "WARNING", "FAIL")[int(uid(kind, session.path, view)[:4], 16) % 5]


def _notes(session: Session) -> list[Record]:
    if not session.ephys:
        return []
    text = "probe entered smoothly" if session.insertions[0].regions else "wheel slipped, see video"
    return [
        {
            "id": uid("note", session.path),
            "user": session.users[0],
            "date_time": since(session.end, hours=1),
            "content_type": "actions.session",
            "object_id": session.id,
            "text": text,
            "image": None,
            "json": None,
        }
    ]


def _session_info(session: Session) -> Record:
    row = _session(session)
    return {key: row[key] for key in SESSION_INFO}


def _insertion(session: Session, insertion: Insertion, datasets: list[Record]) -> tuple[Record, Record]:
    """Return an insertion as the list shows it, and its detail body, which holds the datasets themselves."""
    first = {
        "id": insertion.id,
        "session": session.id,
        "model": insertion.model[1],
        "session_info": _session_info(session),
    }
    last = {
        "name": insertion.name,
        "json": _insertion_json(insertion),
        "serial": insertion.serial,
        "auto_datetime": since(session.start, days=2),
        "chronic_insertion": None,
    }
    return {**first, **last, "datasets": [d["id"] for d in datasets]}, {**first, "datasets": datasets, **last}


def _insertion_json(insertion: Insertion) -> Record:
    sorting = insertion.sorting
    found = {"qc": QC[1 + len(insertion.regions) % 3], "n_units": sorting.n_clusters if sorting else 0}
    checks: Record = {"tracing_exists": True, "alignment_count": 2 if insertion.regions else 0}
    if insertion.regions:
        checks["alignment_resolved"] = sorting is not None
    return {**found, "xyz_picks": [[-2200, -2000, 0], [-2180, -1980, -2000]], "extended_qc": checks}


def _trajectories(session: Session, insertion: Insertion) -> list[Record]:
    rows = []
    for number, provenance in enumerate(TRACK_ENDPOINTS[: 4 if insertion.regions else 2]):
        aligned = number == 3
        rows.append(
            {
                "id": _trajectory_id(insertion, provenance),
                "probe_insertion": insertion.id,
                "x": -2243.1 + 10.0 * number,
                "y": -2000.0 - 12.5 * number,
                "z": 0.0 if number == 0 else -150.5,
                "depth": 4000.0 - 30.0 * number,
                "theta": 15.0,
                "phi": 180.0,
                "roll": 0.0,
                "provenance": provenance,
                "session": _session_info(session),
                "probe_name": insertion.name,
                "coordinate_system": "IBL-Allen" if number > 1 else None,
                "datetime": since(session.end, days=30 * (1 + number)),
                "json": {"2024-03-01T10:00:00_admin": [[0.0, 0.002], [0.0001, 0.0021]]} if aligned else None,
                "chronic_insertion": None,
            }
        )
    return rows


def _trajectory_id(insertion: Insertion, provenance: str) -> str:
    return uid("trajectory", insertion.id, provenance)


def _channels(insertion: Insertion) -> list[Record]:
    if not insertion.regions:
        return []
    made: dict[str, Any] = channels(np.array(insertion.regions, dtype=np.int64))
    track = _trajectory_id(insertion, TRACK_ENDPOINTS[-1])
    places = zip(
        made["localCoordinates"].tolist(),
        made["brainLocationIds_ccf_2017"].tolist(),
        made["mlapdv"].tolist(),
        strict=True,
    )
    return [
        {
            "id": uid("channel", insertion.id, number),
            "trajectory_estimate": track,
            "brain_region": region,
            "name": "",
            "json": None,
            "axial": axial,
            "lateral": lateral,
            "x": x,
            "y": y,
            "z": z,
        }
        for number, ((lateral, axial), region, (x, y, z)) in enumerate(places)
    ]


def _task(session: Session) -> Record:
    return {
        "id": uid("task", session.path),
        "parents": [],
        "session": session.id,
        "data_repository": f"flatiron_{session.lab}",
        "status": "Complete",
        "name": "EphysRegisterRaw",
        "priority": 100,
        "io_charge": 1,
        "level": 0,
        "gpu": 0,
        "cpu": 1,
        "ram": 4,
        "time_out_secs": None,
        "time_elapsed_secs": 12.5,
        "executable": "ibllib.pipes.tasks.EphysRegisterRaw",
        "graph": "EphysPipeline",
        "log": None,
        "version": "3.1.0",
        "datetime": since(session.end, hours=3),
        "arguments": None,
    }


def _notice(plan: list[Session], datasets: Datasets) -> Record:
    first = next(s for s in plan if s.ephys)
    text = "The right camera was out of focus."
    named = [d["id"] for d in datasets.of_session[first.id] if "rightCamera" in d["name"]]
    return {
        "id": uid("notice", first.path),
        "created_by": "admin",
        "datasets": named,
        "description_html": f"<p>{text}</p>",
        "name": "Blurred video",
        "json": None,
        "description": text,
        "importance": 20,
        "created_datetime": since(first.end + timedelta(days=3)),
        "version_affected": "",
        "affected_date_start": first.start.date().isoformat(),
        "affected_date_end": None,
    }
