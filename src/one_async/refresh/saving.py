"""Write lists of loaded datasets in ONE-api's format."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from one_async.files.atomic import write_whole

if TYPE_CHECKING:
    from one_async.tables.catalogue import Catalogue

__all__ = ["save_ids"]


def save_ids(folder: Path, dids: list[str], tables: Catalogue | None) -> tuple[list[str], Path]:
    """Write dataset ids, or with tables the ids of their sessions, to a CSV file with one column; blocking.

    Return the ids and the file, whose name contains the time.
    """
    name, ids = "dataset_uuid", dids
    if tables is not None:
        name, wanted = "session_uuid", pl.LazyFrame({"did": dids}, schema={"did": pl.String})
        found = tables.datasets().join(wanted, on="did", how="semi").select(pl.col("eid").unique().sort())
        ids = found.collect()["eid"].to_list()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now().strftime('%Y-%m-%dT%H-%M-%S')}_loaded_{name}s.csv"
    write_whole(path, pl.DataFrame({name: ids}, schema={name: pl.String}).write_csv)
    return ids, path
