"""Folders and worlds of sessions with odd names, and the check that each name selects its own session and files."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import polars as pl
from hypothesis import strategies as st

from one_async import ONE, OneError
from one_async.emulator import Emulator, World, recorded
from one_async.tables.build import make_parquet_db
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import save_tables

DATA = Path(__file__).parents[1] / "data" / "alyx"
SPACE = UUID(int=12)
#: Names that are a suffix or prefix of another one.
ALIKE = [
    "Mouse", "My Mouse", "1", "A 1", "B 1", "GAD X GAD++", "A#12", "12", "lab", "zador-lab", "S.1", "01", "Subjects",
    "2020-01-01", "(x) y", "x) y", "é ü", "ü", "_a", "a_", "50% 'x'", "マウス 3", "3", "-a", "a:b",
]  # fmt: skip
LETTERS = "aZ19 +#(),.-_%&'\";=@!~é\u0301ßマ\n"
names = st.sampled_from(ALIKE) | st.text(LETTERS, min_size=1, max_size=6).filter(
    lambda t: t not in (".", "..")
)
days = st.sampled_from(["2020-01-01", "2020-01-02", "2024-02-29"])
numbers = st.sampled_from(["1", "01", "001", "2", "12", "012", "999", "1000"])
#: Files of one session; the last one's name contains an id.
FILES = [
    "alf/spikes.times.npy",
    "alf/my probe/spikes.times.npy",
    "alf/#2020-01-01#/spikes.times.npy",
    "trials.intervals.npy",
    "alf/probe00/spikes.times.0a1b2c3d-1234-4abc-8def-001122334455.npy",
]
files = st.sets(st.sampled_from(FILES), min_size=1, max_size=3)
folders = st.builds(
    lambda above, lab, day, number, subject: "/".join(filter(None, [above, lab, subject, day, number])),
    st.sampled_from(["", "", "", "x", "x y/z"]),
    st.just("")
    | st.builds(lambda lab, word: f"{lab}/{word}", names, st.sampled_from(["Subjects", "subjects"])),
    days,
    numbers,
    names,
)
trees = st.dictionaries(folders, files, min_size=1, max_size=7)


def content(folder: str, file: str) -> bytes:
    """Return the bytes of a file, which differ from those of all other files."""
    buffer = io.BytesIO()
    np.save(buffer, np.frombuffer(f"{folder}\0{file}".encode(), np.uint8))
    return buffer.getvalue()


def make_tree(root: Path, tree: Mapping[str, set[str]]) -> None:
    for folder, its in tree.items():
        for file in its:
            path = root / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(folder, file))


@contextmanager
def noted() -> Iterator[list[str]]:
    """Collect the texts of warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        texts: list[str] = []
        yield texts
        texts += [str(one.message) for one in caught]


def check_folder(root: Path, tree: Mapping[str, set[str]]) -> None:
    """Check that the tables of a folder and a client of them find each existing session and file, and no other."""
    with noted() as said:
        make_parquet_db(root)
    with noted(), ONE(cache_dir=root, mode="local") as one:
        eids = one.search()
        paths = dict(zip(eids, one.eid2path(eids), strict=True))
        there = {path.relative_to(root).as_posix(): eid for eid, path in paths.items()}
        assert len(there) == len(eids)
        left_out = {folder for folder in tree if any(repr(str(root / folder)) in text for text in said)}
        assert there.keys() | left_out == tree.keys()
        assert one.path2eid(list(paths.values())) == eids
        for folder, eid in there.items():
            assert one.path2eid(str(root / folder)) == one.to_eid(paths[eid]) == eid
            listed = one.list_datasets(eid)
            unlisted = {
                file for file in tree[folder] if any(repr(str(root / folder / file)) in text for text in said)
            }
            assert {*listed} | unlisted == tree[folder]
            for file in listed:
                assert one.path2eid(root / folder / file) == eid
                record = one.path2record(root / folder / file)
                assert record is not None
                assert (record["eid"], record["rel_path"]) == (str(eid), file)
                assert one.record2path(record) == root / folder / file
                collection = None if "/" in file else ""
                found = one.load_dataset(eid, file, collection, download_only=True)
                assert found.read_bytes() == content(folder, file)


def check_tree(tree: Mapping[str, set[str]]) -> None:
    """Make a folder in a temporary directory and check it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        make_tree(root, tree)
        check_folder(root, tree)


# --- worlds ---


@dataclass(frozen=True)
class Place:
    """A session of a world."""

    lab: str
    subject: str
    day: str
    number: int

    @property
    def path(self) -> str:
        return f"{self.lab}/Subjects/{self.subject}/{self.day}/{self.number:03d}"

    @property
    def eid(self) -> UUID:
        return uuid5(SPACE, self.path)


#: Some names in databases are not valid as folders.
server_names = (
    st.sampled_from(ALIKE) | st.sampled_from(["a/b", "b", "a\\b", "..", "what?", "1 ", " 1", " (1)"]) | names
)
worlds = st.sets(
    st.builds(Place, server_names, server_names, days, st.sampled_from([1, 2, 999])), min_size=1, max_size=6
)
NAMES = ("spikes.times.npy", "spikes.amps.npy")


@cache
def templates() -> World:
    return recorded(DATA)


def make_world(places: set[Place]) -> World:
    """Return a world with these sessions, each with two datasets, and tables that contain every other one."""
    base = templates()
    records = dict(deepcopy({name: base.records[name] for name in ("sessions", "datasets")}))
    row, detail = records["sessions"]["list"][0], next(iter(records["sessions"]["detail"].values()))
    dataset = records["datasets"]["list"][0]
    dataset["file_records"] = dataset["file_records"][:1]
    sessions, details, datasets, served = [], {}, [], {}
    for place in sorted(places, key=lambda one: one.path):
        eid = str(place.eid)
        own = {"id": eid, "subject": place.subject, "lab": place.lab, "number": place.number}
        own |= {"start_time": f"{place.day}T12:00:00", "url": f"https://alyx.test/sessions/{eid}"}
        sessions.append({**row, **own})
        related = []
        for name in NAMES:
            did = str(uuid5(place.eid, name))
            stem, _, suffix = name.rpartition(".")
            path = f"{place.path}/alf/{stem}.{did}.{suffix}"
            data = content(place.path, f"alf/{name}")
            served[path] = data
            one = {"name": name, "collection": "alf", "file_size": len(data), "hash": None, "revision": ""}
            copy = {**dataset["file_records"][0], "data_url": f"https://data.test/{path}"}
            copy |= {"relative_path": f"{place.path.partition('/Subjects/')[2]}/alf/{name}"}
            copy |= {"id": str(uuid5(UUID(did), "copy"))}
            url = f"https://alyx.test/datasets/{did}"
            datasets.append({**dataset, **one, "url": url, "session": own["url"], "file_records": [copy]})
            more = {"default_revision": True, "qc": "NOT_SET", "dataset_type": "spikes.times", "version": "1"}
            more |= {"id": did, "data_url": copy["data_url"], "url": url, "revision": None}
            related.append({**one, **more})
        details[eid] = {**detail, **own, "data_dataset_session_related": related}
    subject = base.records["subjects"]["list"][0]
    known = sorted({place.subject for place in places})
    subjects = [
        {**subject, "nickname": one, "id": str(uuid5(SPACE, one)), "url": f"https://alyx.test/subjects/{one}"}
        for one in known
    ]
    empty = {
        name: {"list": [], "detail": {}} for name in base.records if name in ("insertions", "trajectories")
    }
    changed = {"subjects": {"list": subjects, "detail": {}}}
    changed |= {
        "sessions": {"list": sessions, "detail": details},
        "datasets": {"list": datasets, "detail": {}},
    }
    return replace(
        base,
        records={**base.records, **empty, **changed},
        read_file=served.get,
        cache_zip=cache(lambda: _tables(places)),
    )


def _tables(places: set[Place]) -> bytes:
    known = sorted(places, key=lambda one: one.path)[::2]
    sessions = pl.DataFrame(
        {
            "eid": [str(one.eid) for one in known],
            "lab": [one.lab for one in known],
            "subject": [one.subject for one in known],
            "date": [date.fromisoformat(one.day) for one in known],
            "number": [one.number for one in known],
            "task_protocol": "",
            "projects": "",
        }
    )
    rows = [(str(uuid5(one.eid, name)), str(one.eid), f"alf/{name}") for one in known for name in NAMES]
    datasets = pl.DataFrame(rows, schema=["did", "eid", "rel_path"], orient="row").with_columns(
        file_size=pl.lit(None, pl.UInt64), hash=pl.lit(None, pl.String), default_revision=True
    )
    about = {
        "date_created": datetime(2025, 1, 15, 6).isoformat(sep=" ", timespec="minutes"),
        "origin": "test",
    }
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as name:
        catalogue = Catalogue.from_frames(sessions, datasets)
        save_tables(catalogue.with_meta(raw={"sessions": about, "datasets": about}), name, clobber=True)
        with zipfile.ZipFile(buffer, "w") as archive:
            for file in ("sessions.pqt", "datasets.pqt"):
                archive.write(Path(name) / file, file)
            archive.writestr("cache_info.json", json.dumps({**about, "min_api_version": "2.0", "tables": {}}))
    return buffer.getvalue()


def check_world(places: set[Place]) -> None:
    """Check that each name selects its own session and files, remotely and with tables of some of the sessions."""
    with Emulator(make_world(places)) as alyx, tempfile.TemporaryDirectory() as name:
        login: dict[str, Any] = {"base_url": alyx.url, "username": "demo", "password": "demo"}
        for mode in ("remote", "auto"):
            root = Path(name).resolve() / mode
            with noted() as said, ONE(cache_dir=root, mode=mode, **login) as one:
                found = {place: one.eid2path(place.eid) for place in places}
                _check_loads(one, root, found)
            for place, path in found.items():
                odd = any(
                    set("/\\") & set(part) or part in (".", "..") for part in (place.lab, place.subject)
                )
                assert (path is None) == odd
                assert path is None or path == root / place.path
                assert not odd or any(str(place.eid) in text for text in said)


def _check_loads(one: ONE, root: Path, found: Mapping[Place, Any]) -> None:
    named = [place for place in found if found[place] is not None]
    assert one.path2eid([found[place] for place in named]) == [place.eid for place in named]
    for place in named:
        assert one.to_eid(root / place.path / "alf" / NAMES[0]) == place.eid
        assert one.path2eid(f"no such lab/Subjects/{place.path.partition('/Subjects/')[2]}") is None
    for place in found:
        try:
            loaded = one.load_dataset(place.eid, f"alf/{NAMES[0]}", download_only=True)
            by_id = one.load_dataset_from_id(uuid5(place.eid, NAMES[0]), download_only=True)
        except OneError as error:
            said = str(error)
        else:
            said = None
        if said is not None:  # a name that is not valid as a folder here: by name
            assert repr(place.subject)[1:-1] in said or repr(place.lab)[1:-1] in said
            continue
        assert loaded.read_bytes() == by_id.read_bytes() == content(place.path, f"alf/{NAMES[0]}")
        assert loaded == by_id == root / place.path / "alf" / NAMES[0]
