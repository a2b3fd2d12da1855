"""The datasets of the seeded world: their records, file records and bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial
from typing import Any

from one_async.emulator.seeded_arrays import CAMERA_RATE
from one_async.emulator.seeded_files import (
    Files,
    Probe,
    Recording,
    Shelf,
    probe_files,
    ruled_bytes,
    session_files,
    site_files,
    uid,
)
from one_async.emulator.seeded_lazy import Made, md5_of, pinned, probe_places, session_places
from one_async.emulator.seeded_plan import NOW, QC, Session
from one_async.emulator.seeded_sorting import sorting_places
from one_async.emulator.seeded_video import mp4_bytes
from one_async.emulator.seeded_words import FORMATS, TAGS

__all__ = ["ALYX", "DATA", "Datasets", "Record"]

Record = dict[str, Any]
ALYX, DATA = "https://alyx.test", "https://data.test"
FORMAT_OF = {extension: name for name, (extension, _) in FORMATS.items() if extension}
NAME = re.compile(r"(?P<space>_[a-z]+_)?(?P<object>[A-Za-z]+)_?[^.]*\.(?P<rest>.+)")
# Files with generated content: path, and size in lines of 37 bytes, or in numbers for .npy
BEHAVIOUR = {
    "_ibl_experiment.description.yaml": 9,
    "raw_behavior_data/_iblrig_encoderPositions.raw.ssv": 60,
    "raw_behavior_data/_iblrig_ambientSensorData.raw.jsonable": 20,
    "raw_video_data/_iblrig_leftCamera.raw.mp4": 500,
    "raw_video_data/_iblrig_leftCamera.timestamps.ssv": 80,
    "alf/_ibl_leftCamera.times.npy": 240,
}
HABITUATION = [place for place in BEHAVIOUR if place.startswith(("_ibl", "raw"))]
# The frames of a video in a session without a camera's data: as many as its times
FRAMES = BEHAVIOUR["alf/_ibl_leftCamera.times.npy"]
OF_INSERTION = (
    "id",
    "name",
    "dataset_type",
    "data_url",
    "url",
    "file_size",
    "hash",
    "version",
    "collection",
    "qc",
)


class Datasets:
    """Collects the datasets of sessions: their records, file records and bytes."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.rows: list[Record] = []
        self.files: list[Record] = []
        self.others: list[Record] = []
        self.of_session: dict[str, list[Record]] = {}
        self.of_insertion: dict[str, list[Record]] = {}
        self.table: list[tuple[Any, ...]] = []

    def add_session(self, session: Session) -> None:
        """Add all datasets of a session."""
        self.of_session[session.id] = []
        if session.recording is None:
            for place in HABITUATION if session.protocol else ():
                self._add(session, place, lines=BEHAVIOUR[place])
            return
        real = session_files(session.recording)
        lazy = session_places(session)
        for place, lines in BEHAVIOUR.items():
            if place not in real and place not in lazy:
                self._add(session, place, lines=lines)
        for place in real:
            self._add(session, place, (partial(_of_session, session.recording, place), real))
        for place, make in lazy.items():
            self._add_lazy(session, place, make)
        if session.ephys:
            self._add_ephys(session, session.recording)

    def _add_lazy(self, session: Session, place: str, make: Callable[[], bytes]) -> None:
        self._add(session, place, pinned=pinned(f"{session.path}/{place}", make))

    def _add_ephys(self, session: Session, recording: Recording) -> None:
        probes = [{"label": i.name, "model": i.model[1], "serial": i.serial} for i in session.insertions]
        described = {"alf/probes.description.json": json.dumps(probes, indent=1).encode()}
        for place, data in described.items():
            self._add(session, place, (data.__bytes__, described))
        for number, insertion in enumerate(session.insertions):
            before = len(self.rows)
            for place, make in probe_places(recording, number, insertion).items():
                self._add_lazy(session, place, make)
            if insertion.regions:
                for place in (real := site_files(insertion.name, insertion.regions)):
                    self._add(session, place, (partial(real.__getitem__, place), real))
            if insertion.sorting is not None:
                for place, make in sorting_places(insertion.sorting).items():
                    self._add_lazy(session, place, make)
                for place in (real := probe_files(insertion.sorting)):
                    self._add(session, place, (partial(_of_probe, insertion.sorting, place), real))
            self.of_insertion[insertion.id] = [_of_insertion(row) for row in self.rows[before:]]

    def _add(
        self,
        session: Session,
        place: str,
        made: tuple[Callable[[], bytes], Files] | None = None,
        *,
        pinned: Made | None = None,
        lines: int = 0,
    ) -> None:
        *folders, name = place.split("/")
        revision = folders.pop().strip("#") if folders and folders[-1].startswith("#") else ""
        did = uid("dataset", session.path, place)
        make, size, md5 = pinned or _described(did, place, made, lines)
        fault = 1000 if session.full else int(did[:8], 16) % 1000
        tags = _tags(session, name)
        created = session.end + timedelta(hours=2)
        row: Record = {
            "url": f"{ALYX}/datasets/{did}",
            "name": name,
            "created_by": session.users[0],
            "created_datetime": created.isoformat(),
            "dataset_type": dataset_type(name),
            "data_format": FORMAT_OF["." + name.rsplit(".", 1)[1]],
            "collection": "/".join(folders),
            "session": f"{ALYX}/sessions/{session.id}",
            "file_size": None if 10 <= fault < 15 else size,
            "hash": "" if fault < 10 else md5,
            "version": "" if place.startswith("raw") else "3.1.0",
            "experiment_number": session.number,
            "file_records": self._file_records(session, did, place, fault, "Brainwidemap" in tags, make),
            "auto_datetime": (created + timedelta(days=1)).isoformat(),
            "revision": revision,
            "default_dataset": _is_default(session, place, revision),
            "protected": sum(TAGS[tag][1] for tag in tags),
            "public": sum(TAGS[tag][2] for tag in tags),
            "tags": tags,
            "qc": _qc(session, did, name),
            "json": None,
        }
        self.rows.append(row)
        self._publish(session, did, place, row)

    def _file_records(
        self, session: Session, did: str, place: str, fault: int, aws: bool, make: Callable[[], bytes]
    ) -> list[Record]:
        lab, relative = session.lab, f"{session.path}/{place}"
        stem, extension = relative.rsplit(".", 1)
        path = f"{lab}/Subjects/{stem}.{did}.{extension}"
        exists = not 15 <= fault < 25
        personal_only = 25 <= fault < 35
        records = []
        if not personal_only:
            if exists:
                self.shelf.put(path, make)
            records.append(
                self._file(did, f"flatiron_{lab}", f"/{lab}/Subjects/", relative, f"{DATA}/{path}", exists)
            )
        if personal_only or session.full:
            records.append(self._file(did, f"{lab}_SR", "/mnt/s0/Data/Subjects/", relative, None, True))
        if aws:
            records.append(self._file(did, "aws_cortexlab", f"/data/{lab}/Subjects/", relative, None, True))
        return records

    def _file(
        self, did: str, repository: str, root: str, relative: str, data_url: str | None, exists: bool
    ) -> Record:
        number = uid("file", did, repository)
        self.files.append(
            {
                "url": f"{ALYX}/files/{number}",
                "dataset": f"{ALYX}/datasets/{did}",
                "data_repository": repository,
                "name": "",
                "json": None,
                "relative_path": relative,
                "exists": exists,
            }
        )
        return {
            "id": number,
            "data_repository": repository,
            "data_repository_path": root,
            "relative_path": relative,
            "data_url": data_url if exists else None,
            "exists": exists,
        }

    def _publish(self, session: Session, did: str, place: str, row: Record) -> None:
        """Add a dataset to its session and to the published tables if a server has its file."""
        served = [f for f in row["file_records"] if f["exists"] and not f["data_repository"].endswith("_SR")]
        if not served:
            return
        revision = row["revision"]
        self.of_session[session.id].append(
            {
                "id": did,
                "name": row["name"],
                "dataset_type": row["dataset_type"],
                "data_url": served[0]["data_url"],
                "url": row["url"],
                "file_size": row["file_size"],
                "hash": row["hash"],
                "version": row["version"],
                "collection": row["collection"],
                "revision": uid("revision", revision) if revision else "",
                "default_revision": str(row["default_dataset"]),
                "qc": row["qc"],
            }
        )
        flag, qc = row["default_dataset"], row["qc"]
        self.table.append((row["file_size"], row["hash"], flag, qc, True, place, session.id, did))

    def add_aggregate(self, subject_id: str, lab: str, nickname: str, kind: str, made: Made) -> None:
        """Add a table of a subject, a dataset that belongs to no session; ``kind`` is its object."""
        collection, name = f"Subjects/{lab}/{nickname}", f"_ibl_{kind}.table.pqt"
        did = uid("dataset", collection, name)
        path = f"aggregates/{collection}/_ibl_{kind}.table.{did}.pqt"
        make, size, md5 = made
        self.shelf.put(path, make)
        relative = f"{collection}/{name}"
        created = NOW - timedelta(days=30)
        self.rows.append(
            {
                "url": f"{ALYX}/datasets/{did}",
                "name": name,
                "created_by": "admin",
                "created_datetime": created.isoformat(),
                "dataset_type": f"{kind}.table",
                "data_format": "parquet",
                "collection": collection,
                "session": None,
                "file_size": size,
                "hash": md5,
                "version": "3.1.0",
                "experiment_number": None,
                "file_records": [
                    self._file(did, "flatiron_aggregates", "/aggregates/", relative, f"{DATA}/{path}", True)
                ],
                "auto_datetime": created.isoformat(),
                "revision": "",
                "default_dataset": True,
                "protected": 0,
                "public": 0,
                "tags": [],
                "qc": "NOT_SET",
                "json": None,
            }
        )
        self.others.append({"id": did, "content_type": "subjects.subject", "object_id": subject_id})

    def records(self) -> Record:
        """Return the bodies of ``/datasets``, by id."""
        rows = sorted(self.rows, key=lambda row: str(row["url"]))
        hidden = ("protected", "public")
        detail = {row["url"][-36:]: {k: v for k, v in row.items() if k not in hidden} for row in rows}
        return {"list": rows, "detail": detail}


def _of_session(recording: Recording, place: str) -> bytes:
    return session_files(recording)[place]


def _of_probe(probe: Probe, place: str) -> bytes:
    return probe_files(probe)[place]


def _described(
    did: str, place: str, made: tuple[Callable[[], bytes], Files] | None, lines: int
) -> tuple[Callable[[], bytes], int, str]:
    """Return what makes a file, its size and its md5: a real file, a video, or one with generated content."""
    name = place.rsplit("/", 1)[-1]
    size = 128 + 8 * lines if name.endswith(".npy") else 37 * lines
    make: Callable[[], bytes] = made[0] if made else partial(ruled_bytes, did, name, size)
    if name.endswith(".mp4"):
        make = _short_video
    data = made[1][place] if made else make()
    return make, len(data), md5_of(data)


@cache
def _short_video() -> bytes:
    return mp4_bytes(FRAMES, int(CAMERA_RATE))


def dataset_type(name: str) -> str:
    """Return the dataset type of a file name of this world."""
    found = NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"not a name of this world: {name}")
    space, kind, rest = found["space"] or "", found["object"], found["rest"].split(".")
    if space == "_spikeglx_":
        return f"ephysData.raw.{rest[1] if rest[-1] in ('cbin', 'npy') else rest[-1]}"
    if kind.endswith("Camera"):
        kind = "Camera" if space == "_iblrig_" else "camera"
    if kind.endswith("ROIMotionEnergy"):
        kind = "ROIMotionEnergy"
    keep = space in ("_iblrig_", "_iblqc_") or kind == "experiment"
    return f"{space if keep else ''}{kind}.{rest[0]}"


def _tags(session: Session, name: str) -> list[str]:
    if session.ephys:
        return ["Brainwidemap"] if name.endswith((".npy", ".pqt", ".csv")) else []
    if "practice" in session.projects:
        return ["practice-tag"] if name.startswith("_iblrig_taskSettings") else []
    released = session.start.year == 2023 and name.startswith(("_ibl_trials", "_ibl_wheel."))
    return ["2024_Q1_Behaviour"] if released else []


def _is_default(session: Session, place: str, revision: str) -> bool:
    """Return whether a dataset is the default: usually the newest revision, sometimes the oldest, sometimes none."""
    revisions = session.recording.revisions if session.recording else ()
    if not revisions or not place.endswith("_ibl_trials.table.pqt"):
        return True
    choice = int(session.id[:4], 16) % 6
    wanted = "" if choice == 0 else revisions[-1]
    return choice != 1 and revision == wanted


def _qc(session: Session, did: str, name: str) -> str:
    """Return the quality of a dataset; never CRITICAL in a session with probes, since loaders omit such datasets."""
    draw = int(did[9:13], 16) % 40
    known = 1 if name.startswith(("_ibl_trials", "spikes", "clusters")) else 0
    found = known if draw < 30 else (1, 1, 1, 2, 2, 2, 0, 3, 3, 4)[draw - 30]
    return QC[min(found, 3) if session.ephys else found]


def _of_insertion(row: Record) -> Record:
    urls = [f["data_url"] for f in row["file_records"] if f["data_url"]]
    whole = {"id": row["url"][-36:], **row, "data_url": urls[0] if urls else None}
    whole["qc"] = (0, 10, 30, 40, 50)[QC.index(row["qc"])]
    return {key: whole[key] for key in OF_INSERTION}
