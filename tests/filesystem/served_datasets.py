"""An emulator with datasets large enough for the number of bytes read to matter."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import polars as pl

from one_async.emulator import Emulator

ROWS = 200_000


class Served:
    """An emulator whose first session with trials has a large table and a large array in place of small ones."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        numbers = np.random.default_rng(0).standard_normal((ROWS, 8))
        self.table = pl.DataFrame(numbers, schema=[f"column{n}" for n in range(8)])
        out = io.BytesIO()
        self.table.write_parquet(out, row_group_size=ROWS // 10)
        array = io.BytesIO()
        np.save(array, numbers)
        self.array = numbers
        files = {"_ibl_trials.table.pqt": out.getvalue(), "_ibl_wheel.position.npy": array.getvalue()}
        self.sizes: dict[str, int] = {}
        rows = emulator.app.world.records["datasets"]["list"]
        session = next(row["session"] for row in rows if row["name"] in files and row["collection"] == "alf")
        self.eid = session[-36:]
        self.session = json.loads(emulator.store.detail("sessions", self.eid) or "")
        self.urls: dict[str, str] = {}
        for name, data in files.items():
            self.put(name, data)

    def put(self, name: str, data: bytes) -> str:
        """Replace the content of a dataset in ``alf``, and return its address."""
        for row in self.session["data_dataset_session_related"]:
            if row["name"] == name and row["collection"] == "alf":
                row |= {"file_size": len(data), "hash": hashlib.md5(data).hexdigest()}
                path = row["data_url"].partition("//")[2].partition("/")[2].removeprefix("data/")
                self.emulator.app.files[path] = data
                self.urls[name] = f"/data/{path}"
        self.sizes[name] = len(data)
        self.save()
        return f"one://{self.eid}/alf/{name}"

    def save(self) -> None:
        rows = self.session["data_dataset_session_related"]
        self.emulator.store.update("sessions", self.eid, data_dataset_session_related=rows)

    def sent(self, name: str) -> list[int]:
        """Return the bytes of each answer with a part of a file, from the server's log."""
        return [r.size for r in self.emulator.requests if r.path == self.urls[name] and r.method == "GET"]

    def received(self, name: str) -> int:
        return sum(self.sent(name))
