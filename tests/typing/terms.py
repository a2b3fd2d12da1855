"""Search terms by name, and values of their types: accepted by mypy --strict and by pyright, and never run."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl

from one_async import ONE, QC, AsyncONE


def sessions(one: ONE, eid: UUID, more: dict[str, Any]) -> None:
    one.search(lab="cortexlab", subject=["a", "b"], date="2024", number=1)
    one.search(True, "local", laboratory=("a", "b"), project={"a"}, projects=np.array(["a"]))
    one.search(subject=pl.Series(["a"]), number=[1, "2"], task_protocol=pd.Series(["a"]))
    one.search(date=date(2024, 1, 1), query_type="remote")
    one.search(date_range=[None, datetime(2024, 1, 1)])
    one.search(date_range=("2024-01", None), datasets="spikes.times.npy", dataset_qc_lte=QC.PASS)
    one.search(
        id=eid, parent_session=[eid, "x"], performance_gte=70, histology=True, qc=["PASS", 10], lab=None
    )
    one.search(django=["n_trials__gte", 500], extended_qc=more)
    one.search(**more)
    one.search_insertions(
        session=[eid, "2024-01-01_1_a"], name="probe00", dataset="spikes", lab="a", model="3A"
    )
    one.eid2pid(eid, name=["probe00", "probe01"])
    one.quality(lab="a", extended=False)
    one.search(labs="a")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    one.search(number=1.5)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    one.search(name=object())  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    one.search_insertions(users="a")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    one.watch(labs="a")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


async def sessions_awaited(one: AsyncONE, more: dict[str, Any]) -> None:
    await one.search(lab="cortexlab", users=["a", "b"], location="rig")
    await one.search_insertions(True, serial="1", chronic_insertion="x", number=[1, 2])
    await one.quality(subject="a", mock=False)
    async for _ in one.watch(every=None, lab="cortexlab", datasets=["a", "b"]):
        break
    await one.search(**more)
    await one.search(labs="a")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    await one.search(dataset="a")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    await one.quality(users="a")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
