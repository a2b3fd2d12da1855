"""The subjects, sessions and probes of the seeded world, from which its records are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from one_async.emulator import seeded_arrays as arrays
from one_async.emulator.seeded_files import Probe, Recording, trials_of, uid
from one_async.emulator.seeded_words import LABS, PROBE_MODELS, REGIONS, REVISIONS, SUBJECTS, TRACKS

__all__ = ["NOW", "QC", "Insertion", "Session", "first_day", "sessions", "since"]

NOW = datetime(2025, 6, 2, 12, 0)
QC = ("NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL")
SESSIONS_EACH = 24
TRAINING, BIASED = 1, 13
REGION_IDS = {acronym: number for number, acronym, _, _ in REGIONS}
# Indices of sessions with probes: those with spike sorting, and those with an aligned track.
SORTED = frozenset({0, 4, 6, 8})
ALIGNED = SORTED | {3, 9}
LAB_PROJECT = {"harbourlab": "harbour_learning", "summitlab": "summit_dopamine"}


@dataclass(frozen=True)
class Insertion:
    """A probe insertion; ``sorting`` if it has spikes, ``regions`` from the tip up if its track is aligned."""

    id: str
    name: str
    model: tuple[str, str]
    serial: str
    sorting: Probe | None
    regions: tuple[int, ...]


@dataclass(frozen=True)
class Session:
    """A session; ``recording`` is None for those without trials: habituation, and histology (no protocol)."""

    id: str
    subject: str
    lab: str
    number: int
    start: datetime
    end: datetime
    protocol: str
    projects: tuple[str, ...]
    users: tuple[str, ...]
    qc: str
    recording: Recording | None
    n_correct: int | None
    insertions: tuple[Insertion, ...]

    @property
    def path(self) -> str:
        """The session's folder below the lab's subjects."""
        return f"{self.subject}/{self.start.date()}/{self.number:03d}"

    @property
    def full(self) -> bool:
        """Whether the session also has a camera's data, and no missing dataset."""
        return self.recording is not None and self.recording.camera

    @property
    def ephys(self) -> bool:
        """Whether the session has probe insertions."""
        return bool(self.insertions)


def first_day(subject_number: int) -> date:
    """Return the day of a subject's first session."""
    return date(2023, 5, 15) + timedelta(days=54 * subject_number)


def since(start: datetime, **delta: float) -> str:
    """Return a later time as Alyx writes it."""
    return (start + timedelta(**delta)).isoformat()


def sessions() -> Iterator[Session]:
    """Return all sessions, by subject and then by time."""
    with_probes = 0
    for number, (subject, (lab, _, n_ephys)) in enumerate(SUBJECTS.items()):
        day = first_day(number)
        for index in range(SESSIONS_EACH):
            second = index in (7, 16)
            ephys = index >= SESSIONS_EACH - n_ephys
            yield _session(number, subject, lab, index, day, second, with_probes if ephys else None)
            with_probes += ephys
            if index not in (6, 15):
                day += timedelta(days=3 if day.weekday() == 4 else 1)
        if n_ephys:
            yield _histology(subject, lab, datetime(day.year, day.month, day.day, 14) + timedelta(days=12))


def _session(
    number: int, subject: str, lab: str, index: int, day: date, second: bool, probes: int | None
) -> Session:
    seed = 10_000 + 100 * number + index
    rng = np.random.default_rng(seed)
    micro = int(rng.integers(1, 1_000_000)) if index % 5 == 0 else 0
    start = datetime(day.year, day.month, day.day, 15 if second else 8 + number % 5, 0, 0, micro)
    start += timedelta(seconds=int(rng.integers(0, 5400)))
    run = 1 + second
    path = f"{subject}/{day}/{run:03d}"
    protocol = _protocol(number, index, probes)
    recording, n_correct, minutes = None, None, 20
    if index >= TRAINING:
        task = arrays.Task(
            seed=seed,
            n_trials=int(rng.integers(150, 320)) + 8 * index,
            skill=round(min(0.05 + 0.045 * index, 1.0), 3),
            biased=index >= BIASED,
        )
        revised = tuple(REVISIONS)[: 1 + (index == 17)] if index == 17 or (index == 14 and number < 8) else ()
        recording = Recording(path, task, protocol, probes is not None or index == 18, revised)
        columns = trials_of(task)
        n_correct = int((columns["feedbackType"] == 1).sum())
        minutes = int(columns["intervals_1"][-1] // 60) + 3
    user = LABS[lab][2]
    return Session(
        id=uid("session", path),
        subject=subject,
        lab=lab,
        number=run,
        start=start,
        end=start + timedelta(minutes=minutes),
        protocol=protocol,
        projects=_projects(lab, index, probes),
        users=(user,) if probes is None else (user, "admin"),
        qc=QC[(0, 0, 1, 1, 1, 1, 2, 3, 1, 4)[int(rng.integers(10))]] if index else "NOT_SET",
        recording=recording,
        n_correct=n_correct,
        insertions=() if recording is None or probes is None else _insertions(recording, probes),
    )


def _histology(subject: str, lab: str, start: datetime) -> Session:
    return Session(
        id=uid("session", f"{subject}/{start.date()}/001"),
        subject=subject,
        lab=lab,
        number=1,
        start=start,
        end=start + timedelta(hours=2),
        protocol="",
        projects=("ibl_neuropixel_brainwide_01",),
        users=("admin",),
        qc="NOT_SET",
        recording=None,
        n_correct=None,
        insertions=(),
    )


def _protocol(number: int, index: int, probes: int | None) -> str:
    if probes is not None and number > 5:
        return "_iblrig_tasks_ephysChoiceWorld8.2.0/_iblrig_tasks_passiveChoiceWorld8.2.0"
    kind = "habituation" if index < TRAINING else "training" if index < BIASED else "biased"
    return f"_iblrig_tasks_{kind if probes is None else 'ephys'}ChoiceWorld7.1.2"


def _projects(lab: str, index: int, probes: int | None) -> tuple[str, ...]:
    mine = ["practice"] if index == 1 else [LAB_PROJECT.get(lab, "ibl_neuropixel_brainwide_01")]
    if probes is not None and "ibl_neuropixel_brainwide_01" not in mine:
        mine.insert(0, "ibl_neuropixel_brainwide_01")
    return tuple(mine)


def _insertions(recording: Recording, probes: int) -> tuple[Insertion, ...]:
    made = []
    for number in range(2 if probes % 3 == 0 else 1):
        name = f"probe{number:02d}"
        seed = 900 + 2 * probes + number
        regions = tuple(REGION_IDS[acronym] for acronym in TRACKS[(probes + number) % len(TRACKS)])
        sorting = Probe(name, recording, seed, 22 + seed % 9, regions) if probes in SORTED else None
        made.append(
            Insertion(
                id=uid("insertion", recording.path, name),
                name=name,
                model=PROBE_MODELS[probes % 4 % 3],
                serial=str(18_194_819_000 + 37 * seed),
                sorting=sorting,
                regions=regions if probes in ALIGNED else (),
            )
        )
    return tuple(made)
