"""Filter tables by a tag of the datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import write_table

__all__ = ["filter_tables"]


def filter_tables(folder: Path, tag: str, dids: list[str]) -> None:
    """Reduce a folder's tables to these datasets and their sessions and insertions; blocking.

    This is not atomic, so the folder must not be in use yet.
    """
    tables = Catalogue.open(folder, convert=False)
    wanted = pl.LazyFrame({"did": dids}, schema={"did": pl.String})
    datasets = tables.datasets().join(wanted, on="did", how="semi").collect()
    eids = datasets.lazy().select("eid").unique()
    frames: dict[str, pl.DataFrame] = {"datasets": datasets}
    for name, frame in {"sessions": tables.session_frame, **tables.others}.items():
        if "eid" in frame.columns:
            frames[name] = frame.lazy().join(eids, on="eid", how="semi", maintain_order="left").collect()
    for name, frame in frames.items():
        meta: dict[str, Any] = {**tables.meta.raw.get(name, {}), "database_tags": [tag]}
        write_table(folder / f"{name}.pqt", name, frame, meta)
