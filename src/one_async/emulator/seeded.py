"""The seeded world: a made-up database that is the same on every run, for demonstrations, examples and tests.

Four labs (``cortexlab``, ``harbourlab``, ``summitlab``, ``valleylab``), 13 subjects and 318 sessions over two
years, from habituation through training and biased blocks to recordings with probes and histology; some 6,700
datasets. No animal, person or measurement in it is real.

Every session with trials has real files: a trials table whose choices follow the contrast (better with
training, with lapses, shifted by the blocks), wheel, licks, settings and raw task data. Two dozen have a
camera's times, pupil and motion. 11 sessions have probes, 15 insertions in all, with 3.2 seconds of both raw
bands, poses and videos of three cameras, and a passive protocol; 6 of these have spike sorting, whose
clusters differ in rate and partly follow the task. All videos are readable. Everything else has bytes that follow the
rule of the recorded world. In sessions without a camera's data, a few datasets lack a hash or a size, are
missing on the server or lie on a personal computer only; some trials tables have one or two revisions, of
which the newest, the oldest or none is the default.

A session to begin with: ``CX_001/2023-06-09/001`` of ``cortexlab`` (``probe00`` and ``probe01``, both
sorted). Users, whose passwords are their names: ``demo`` (reads and writes) and ``reader`` (only reads),
besides ``admin``, one person a lab and ``intbrainlab`` (only reads).
"""

from __future__ import annotations

from functools import cache, partial

from one_async.emulator.content import World
from one_async.emulator.seeded_cache import cache_zip
from one_async.emulator.seeded_datasets import Datasets
from one_async.emulator.seeded_files import table_bytes, uid
from one_async.emulator.seeded_lazy import md5_of, pinned, subject_trials
from one_async.emulator.seeded_people import people_records
from one_async.emulator.seeded_plan import NOW, Session, sessions
from one_async.emulator.seeded_records import session_records
from one_async.emulator.seeded_unserved import unserved
from one_async.emulator.seeded_vocabulary import vocabulary_records
from one_async.emulator.seeded_words import SUBJECTS, TAGS, USERS

__all__ = ["world"]

NAME = "one_async_seeded"


@cache
def world() -> World:
    """Return the seeded world, which is the same object in each call.

    The first call takes one or two seconds, since the md5 of every file is computed; the bytes are generated again when
    they are read.
    """
    plan: list[Session] = []
    datasets = Datasets()
    for session in sessions():
        plan.append(session)
        datasets.add_session(session)
    _add_aggregates(plan, datasets)

    records = {
        **vocabulary_records(),
        **session_records(plan, datasets),
        **people_records(plan),
        "datasets": datasets.records(),
        "files": {"list": datasets.files, "detail": {row["url"][-36:]: row for row in datasets.files}},
    }
    quality = {eid: body["extended_qc"] for eid, body in records["sessions"]["detail"].items()}
    zipped = cache(partial(cache_zip, NAME, plan, datasets, quality))
    for tag, (_, protected, _) in TAGS.items():
        if protected:
            datasets.shelf.put(f"caches/{tag}/cache.zip", partial(zipped, tag))
    return World(
        name=NAME,
        now=NOW,
        records=dict(sorted(records.items())),
        unserved=unserved(datasets.others),
        passwords={user: user for user in USERS},
        read_file=datasets.shelf.read,
        cache_zip=zipped,
    )


def _add_aggregates(plan: list[Session], datasets: Datasets) -> None:
    """Add two tables for every subject that had probes: of training progress, a row per session, and of all trials."""
    for subject, (lab, _, with_probes) in SUBJECTS.items():
        if not with_probes:
            continue
        mine = [s for s in plan if s.subject == subject]
        table = {
            "session": [s.path for s in mine],
            "task_protocol": [s.protocol for s in mine],
            "n_trials": [s.recording.task.n_trials if s.recording else 0 for s in mine],
            "n_correct_trials": [s.n_correct or 0 for s in mine],
        }
        number, data = uid("subject", subject), table_bytes(table)
        md5 = md5_of(data)
        datasets.add_aggregate(number, lab, subject, "subjectTraining", (data.__bytes__, len(data), md5))
        every = pinned(f"aggregates/{subject}", partial(subject_trials, mine))
        datasets.add_aggregate(number, lab, subject, "subjectTrials", every)
