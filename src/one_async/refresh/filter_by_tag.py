"""Tables cut down to the datasets of one tag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import write_table

__all__ = ["cut_down"]


def cut_down(folder: Path, tag: str, dids: list[str]) -> None:
    """Leave only these datasets, and sessions and insertions that have any, in a folder's tables; for a thread.

    Not atomic: the folder is one that nobody reads yet.
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
        said: dict[str, Any] = {**tables.meta.raw.get(name, {}), "database_tags": [tag]}
        write_table(folder / f"{name}.pqt", name, frame, said)
