"""ONE-api can load the files that we write, and both packages make the same tables of a folder."""

from __future__ import annotations

import io
import json
import os
import subprocess
import uuid
import zipfile
from pathlib import Path

import pytest

from one_async.tables.build import make_parquet_db
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import save_tables
from one_async.tables.merge import merge

HERE = Path(__file__).parent
FILES = [
    "cortexlab/Subjects/KS005/2020-01-01/001/alf/spikes.times.npy",
    "cortexlab/Subjects/KS005/2020-01-01/001/alf/#2020-02-01#/spikes.times.npy",
    "cortexlab/Subjects/KS005/2020-01-01/001/_ibl_experiment.description.yaml",
    "cortexlab/Subjects/KS005/2020-01-01/001/notes.txt",
    "mainenlab/Subjects/ZM.1/2020-01-02/002/alf/probe00/_ibl_x.y_times_bpod.extra.npy",
    "mainenlab/Subjects/ZM.1/2020-01-02/10/spikes.times.npy",
]


def oracle(*arguments: str) -> str:
    python = os.environ.get("ONE_API_PYTHON")
    if not python:
        pytest.fail("set ONE_API_PYTHON to the Python of an environment with ONE-api 3.6.1")
    command = [python, str(HERE / "oracle_files.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    folder = tmp_path / "recorded"
    folder.mkdir()
    data = (HERE.parent / "data" / "alyx" / "cache" / "cache.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)
    return folder


def test_one_api_loads_tables_that_we_save(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "ours"
    opened = Catalogue.open(recorded)
    again = merge(opened, {"sessions": opened.session_frame.head(3)}, origin="https://alyx.example")
    save_tables(again, out)
    raw = json.loads(oracle("same", str(recorded), str(out)))
    assert raw["sessions"]["origin"] == ["alyx_small", "https://alyx.example"]
    assert raw["datasets"]["date_created"] == "2025-01-15 06:00"


def test_one_api_loads_its_old_tables_after_we_saved_them(tmp_path: Path) -> None:
    old, out = tmp_path / "old", tmp_path / "ours"
    old.mkdir()
    oracle("old", str(old))
    save_tables(Catalogue.open(old), out, clobber=True)
    oracle("same", str(old), str(out))


def test_tables_of_a_folder_equal_those_of_one_api(tmp_path: Path) -> None:
    data, theirs, ours = tmp_path / "data", tmp_path / "theirs", tmp_path / "ours"
    for name in FILES:
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    theirs.mkdir()
    ours.mkdir()
    oracle("build", str(data), str(theirs), str(uuid.UUID(int=9)))
    make_parquet_db(data, ours, hash_files=True, namespace=uuid.UUID(int=9))
    oracle("same", str(theirs), str(ours))
