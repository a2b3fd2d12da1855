"""The facts of the two worlds from which calls are made: sessions, datasets, insertions and records."""

from __future__ import annotations

import io
import random
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

DATA = Path(__file__).parents[1] / "data" / "alyx"


@dataclass
class Facts:
    """The content of a world, read from its records and its published tables."""

    name: str
    sessions: list[dict[str, Any]]
    datasets: pl.DataFrame
    insertions: list[dict[str, Any]]
    records: Any = field(repr=False)
    cache_zip: bytes = field(repr=False)

    def unpack_tables(self, folder: Path) -> Path:
        """Write the published tables into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(io.BytesIO(self.cache_zip)) as archive:
            for name in archive.namelist():
                (folder / name).write_bytes(archive.read(name))
        return folder

    def shows_all(self, eid: str) -> bool:
        """Return whether each dataset of a session has an address and a size; ONE-api fails otherwise."""
        found = self.records["sessions"]["detail"][eid]["data_dataset_session_related"]
        return bool(found) and all(row["data_url"] and row["file_size"] is not None for row in found)

    def pick(self, count: int, seed: int = 1) -> list[dict[str, Any]]:
        """Choose sessions: some with insertions, and one that ONE-api cannot list."""
        with_probes = {row["session"] for row in self.insertions}
        sound = [row for row in self.sessions if self.shows_all(row["eid"])]
        first = [row for row in sound if row["eid"] in with_probes][: max(1, count // 3)]
        rest = [row for row in sound if row not in first]
        rng = random.Random(seed)
        others = [row for row in self.sessions if row not in sound]
        chosen = first + rng.sample(rest, min(len(rest), max(0, count - len(first))))
        return chosen + rng.sample(others, min(1, len(others)))

    def paths(self, eid: str) -> list[str]:
        """Return the relative paths of a session's datasets."""
        return self.datasets.filter(pl.col("eid") == eid)["rel_path"].sort().to_list()


def facts(world: Any, name: str) -> Facts:
    """Return the facts of a world."""
    data = world.cache_zip()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sessions = pl.read_parquet(archive.read("sessions.pqt"))
        datasets = pl.read_parquet(archive.read("datasets.pqt"))
    sessions = _with_text(sessions).rename({"id": "eid"}).sort(["date", "subject", "number"], descending=True)
    return Facts(
        name, list(sessions.iter_rows(named=True)), _with_text(datasets).rename({"id": "did"}),
        list(world.records["insertions"]["list"]), world.records, data,
    )  # fmt: skip


def _with_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Convert ids to text; a table may hold them as bytes."""
    import uuid

    binary = [name for name, kind in frame.schema.items() if kind == pl.Binary]
    return frame.with_columns(
        pl.col(name).map_elements(lambda raw: str(uuid.UUID(bytes=raw)), pl.String) for name in binary
    )
