"""Read and write tables with ONE-api; runs in ONE-api's own environment.

``oracle_files.py same A B`` exits with an error unless the tables of both folders load equal; prints B's metadata as JSON.
``oracle_files.py build FOLDER OUT NAMESPACE`` writes tables of a folder of data, ids in a fixed namespace.
``oracle_files.py old OUT`` copies the tables of 2021 that come with ONE-api.
"""

from __future__ import annotations

import json
import shutil
import sys
import uuid
import warnings
from pathlib import Path
from unittest import mock

warnings.simplefilter("ignore")


def same(left: str, right: str) -> None:
    import pandas as pd
    from one.alf.cache import load_tables
    from one.api import One

    old, new = load_tables(left), load_tables(right)
    names = [name for name in old if not name.startswith("_")]
    assert names, "no tables"
    for name in names:
        # tables of 2021 have integers of other widths
        exact = len(old["datasets"]) == 0 or "default_revision" in old["datasets"]
        # ours has the path of a session whose number on disk does not have three digits
        ours = new[name].drop(columns="folder", errors="ignore")
        pd.testing.assert_frame_equal(old[name], ours, check_like=True, check_dtype=exact)
    assert One(left, mode="local").search() == One(right, mode="local").search()
    raw = {name: {**meta, "origin": sorted(meta["origin"])} for name, meta in new["_meta"]["raw"].items()}
    print(json.dumps(raw))


def build(folder: str, out: str, namespace: str) -> None:
    from one.alf.cache import make_parquet_db

    with mock.patch("uuid.uuid1", return_value=uuid.UUID(namespace)):
        make_parquet_db(folder, out_dir=out, hash_files=True)


def old(out: str) -> None:
    import one

    for file in (Path(one.__file__).parent / "tests" / "fixtures").glob("*.pqt"):
        shutil.copy(file, out)


if __name__ == "__main__":
    {"same": same, "build": build, "old": old}[sys.argv[1]](*sys.argv[2:])
