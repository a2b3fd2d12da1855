"""Generated folders and worlds of sessions with names as people give them, and what must hold for each."""

from __future__ import annotations

import dataclasses
import io
import warnings
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import strategies as st

from one_async import ONE
from one_async.emulator import Emulator
from one_async.emulator.content import recorded
from one_async.errors import ALFMultipleObjectsFound, UnsafePath
from one_async.tables.build import make_parquet_db

RECORDS = Path(__file__).parents[1] / "data" / "alyx"
SPACE = UUID("6b2c1f3a-0000-4000-8000-000000000000")
DATASET = "alf/spikes.times.npy"

#: Names that differ only in what a pattern of words would cut off.
WORDS = [
    "Mouse",
    "My Mouse",
    "Mouse ",
    "12",
    "A#12",
    "GAD++",
    "GAD X GAD++",
    "x.y",
    "y",
    "Ünï",
    "鼠 1",
    "(1)",
    "1",
]
letters = st.sampled_from("ab1 -_.+#()é鼠&%@'")
names = st.one_of(st.sampled_from(WORDS), st.text(letters, min_size=1, max_size=6)).filter(
    lambda name: name.strip(". ") != "" and name == name.strip()
)
labs = st.one_of(st.none(), st.sampled_from(["lab", "zador-lab", "A", "B b"]), names)
numbers = st.sampled_from(["001", "1", "01", "002", "012", "12", "123"])
days = st.sampled_from([date(2020, 1, 1), date(2020, 2, 29), date(1999, 12, 31)])


class Session(NamedTuple):
    """A session's folder."""

    lab: str | None
    subject: str
    day: date
    number: str
    subjects: str = "Subjects"

    @property
    def path(self) -> str:
        head = f"{self.lab}/{self.subjects}/" if self.lab else ""
        return f"{head}{self.subject}/{self.day}/{self.number}"

    @property
    def content(self) -> np.ndarray[Any, Any]:
        """An array that no other session has."""
        return np.frombuffer(uuid5(SPACE, self.path).bytes, np.uint8)


sessions = st.builds(
    Session, labs, names, days, numbers, st.sampled_from(["Subjects", "Subjects", "subjects"])
)
trees = st.lists(sessions, min_size=1, max_size=8, unique_by=lambda session: session.path)


def make_folder(root: Path, tree: list[Session]) -> list[str]:
    """Write the sessions' files, and tables of them; the warnings of `tables build`."""
    for session in tree:
        file = root / session.path / DATASET
        file.parent.mkdir(parents=True)
        np.save(file, session.content)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        make_parquet_db(root)
    return [str(one.message) for one in said]


def check_folder(root: Path, tree: list[Session]) -> None:
    """Each session of the folder is found and loads its own bytes, or was left out by name."""
    said = make_folder(root, tree)
    one = ONE(cache_dir=root, mode="local")
    eids = one.search()
    found = set()
    for eid in eids:
        path = one.eid2path(eid)
        assert path is not None, eid
        assert one.path2eid(path) == eid, path
        relative = path.relative_to(root).as_posix()
        (session,) = [session for session in tree if session.path == relative]
        found.add(relative)
        assert one.list_datasets(eid) == [DATASET]
        for name in (eid, path, str(path)):
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "ignore", "No default revision"
                )  # tables of a folder have no such column
                assert (one.load_dataset(name, DATASET) == session.content).all(), relative
        record = one.path2record(path / DATASET)
        assert record is not None
        assert one.record2path(record) == path / DATASET
    for session in tree:
        if session.path not in found:
            assert any(session.path in text for text in said), (session.path, said)
        wrong = root / Session("no such lab", *session[1:]).path
        assert one.path2eid(wrong) is None


class Row(NamedTuple):
    """A session of a database: the same name may be in several labs, but not twice in one."""

    lab: str
    subject: str
    day: date
    number: int


rows = st.builds(
    Row, st.sampled_from(["lab", "zador-lab", "A", "B b"]) | names, names, days, st.integers(0, 999)
)
worlds = st.lists(rows, min_size=1, max_size=6, unique=True)


def copies(endpoint: Any, key: str, values: set[str]) -> Any:
    """The first record of an endpoint, under other names."""
    row, detail = endpoint["list"][0], next(iter(endpoint["detail"].values()))
    ids = {value: {"id": str(uuid5(SPACE, value))} if "id" in row else {} for value in sorted(values)}
    return {
        "list": [{**row, key: value, **own} for value, own in ids.items()],
        "detail": {value: {**detail, key: value, **own} for value, own in ids.items()},
    }


def world_of(some: list[Row]) -> Any:
    """A database of these sessions, each with one dataset."""
    listed, details, datasets, files = [], {}, [], {}
    for row in some:
        session = Session(row.lab, row.subject, row.day, f"{row.number:03d}")
        eid, did = str(uuid5(SPACE, session.path)), str(uuid5(SPACE, session.path + DATASET))
        record = {
            "id": eid, "subject": row.subject, "start_time": f"{row.day}T12:00:00", "number": row.number, "lab": row.lab,
            "projects": [], "url": f"https://alyx.test/sessions/{eid}", "task_protocol": "",
        }  # fmt: skip
        where = f"{session.path}/alf/spikes.times.{did}.npy"
        buffer = io.BytesIO()
        np.save(buffer, session.content)
        files[where] = buffer.getvalue()
        dataset = {
            "id": did, "name": "spikes.times.npy", "dataset_type": "spikes.times", "data_url": f"https://data.test/{where}",
            "url": f"https://alyx.test/datasets/{did}", "file_size": len(files[where]), "hash": None, "version": "",
            "collection": "alf", "revision": "", "default_revision": "True", "qc": "NOT_SET",
        }  # fmt: skip
        listed.append(record)
        details[eid] = {**record, "json": None, "data_dataset_session_related": [dataset]}
        datasets.append(dataset)
    base = recorded(RECORDS)
    subjects, labs = {row.subject for row in some}, {row.lab for row in some}
    records = {**base.records, "sessions": {"list": listed, "detail": details}}
    records["subjects"] = copies(base.records["subjects"], "nickname", subjects)
    records["labs"] = copies(base.records["labs"], "name", labs)
    records |= {name: {"list": [], "detail": {}} for name in ("datasets", "files", "insertions")}
    return dataclasses.replace(base, records=records, read_file=files.get)


def check_world(root: Path, some: list[Row]) -> None:
    """Each session of a database has a path of its own, in remote mode, and its own bytes."""
    with Emulator(world_of(some)) as emulator:
        one = ONE(
            base_url=emulator.url,
            username="admin",
            password="admin",
            cache_dir=root,
            mode="remote",
            silent=True,
        )
        eids = one.search()
        assert len(eids) == len(some)
        keys = [(row.subject, row.day, row.number) for row in some]
        for eid in eids:
            details = one.get_details(eid)
            session = Session(
                str(details["lab"]), details["subject"], details["date"], f"{details['number']:03d}"
            )
            path = one.eid2path(eid)
            assert path is not None
            assert path == root / session.path
            assert one.path2eid(path) == eid
            if str(session.lab).startswith("."):
                with pytest.raises(UnsafePath, match="hidden"):  # the server names it, and ours lie beside it
                    one.load_dataset(path, DATASET)
            else:
                assert (one.load_dataset(path, DATASET) == session.content).all()
                assert (np.load(path / DATASET) == session.content).all()
            without_lab = f"{session.subject}/{session.day}/{session.number}"
            if keys.count((session.subject, session.day, details["number"])) == 1:
                assert one.path2eid(without_lab) == eid
            else:
                with pytest.raises(ALFMultipleObjectsFound, match=str(eid)):
                    one.path2eid(without_lab)
            assert one.path2eid(root / Session("no such lab", *session[1:]).path) is None
        one.close()
