"""Parts that are complete take the place of an earlier harvest, or are merged into it. Blocking.

What is to be done is decided by reading alone, and saved, before any file is touched that readers see; doing it may be
interrupted and done again. So whoever comes next, with whichever question, first finishes what was decided.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from one_async.errors import ConfigurationError, FileDamaged, InputError, TransferError
from one_async.harvest.checkpoint import Checkpoint
from one_async.harvest.id_index import key_expression
from one_async.harvest.plan import Plan
from one_async.harvest.report import REPORT, EndpointReport, HarvestReport
from one_async.harvest.storage import Storage, read
from one_async.harvest.write import Known, number_of, parquet

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

PART = re.compile(r"part-\d+\.parquet")
#: Gives the ids of an earlier harvest, in frames with the column that tells rows apart.
Older = Callable[[], Iterable["pl.DataFrame"]]


def check_format(format: str) -> None:
    """Raise ConfigurationError where the package that a format needs is not there."""
    if format == "delta":
        try:
            import deltalake  # noqa: F401
        except ImportError as error:
            raise ConfigurationError("delta needs deltalake: pip install 'one-async[delta]'") from error


# ---- what lies there


def parts_of(storage: Storage, endpoint: str) -> list[str]:
    """Name the parts of an earlier harvest; other files in the folder are none of ours."""
    return [name for name in storage.names(endpoint) if PART.fullmatch(name.rpartition("/")[2])]


def format_of(storage: Storage, endpoint: str) -> str | None:
    """Say what lies there: a Delta table, Parquet files, nothing."""
    if storage.names(f"{endpoint}/_delta_log"):
        return "delta"
    return "parquet" if parts_of(storage, endpoint) else None


def older_of(storage: Storage, plan: Plan, format: str) -> Older | None:
    """Give what reads the ids of an earlier harvest; None if there is none."""
    key = plan.columns.key
    if key is None or format_of(storage, plan.endpoint) is None:
        return None

    def parts() -> Iterator[pl.DataFrame]:
        for name in parts_of(storage, plan.endpoint):
            yield read(storage, name, [key])

    def table() -> Iterator[pl.DataFrame]:
        with _said(storage, plan.endpoint):
            yield _table(storage, plan.endpoint).select(key).collect(engine="streaming")

    return table if format == "delta" else parts


def check_there(
    storage: Storage, endpoint: str, filters: Mapping[str, str], format: str, *, merge: bool
) -> None:
    """Raise InputError where an earlier harvest lies in another format, or, to merge into it, has other filters."""
    there = format_of(storage, endpoint)
    if there not in (None, format):
        raise InputError.of(
            "format", format, f"{there}, as which {storage.address(endpoint)} is there already"
        )
    holds = _filters_of(storage, endpoint) if merge and there else None
    if holds is not None and holds != filters:
        accepted = f"with since= the filters of the harvest that is there: {holds or 'none'}"
        raise InputError.of("filters", dict(filters), accepted)


def _filters_of(storage: Storage, endpoint: str) -> dict[str, str] | None:
    """Give the filters of the rows that lie there; None if nobody knows."""
    checkpoint = Checkpoint(storage, endpoint, "")
    checkpoint.load()
    if checkpoint.publishing is not None or checkpoint.finished is not None:
        stored = checkpoint.finished or (checkpoint.publishing or {})["report"]
        return EndpointReport.model_validate(stored).holds
    try:
        report = HarvestReport.model_validate_json(storage.get(REPORT) or b"")
    except ValueError:
        return None
    return report.endpoints[endpoint].holds if endpoint in report.endpoints else None


# ---- a harvest that begins, and one that has read all


def begin(storage: Storage, plan: Plan, signature: str, resume: bool) -> Checkpoint:
    """Finish what an interrupted run was about to publish, then go on where one of the same question stopped, or afresh."""
    checkpoint = Checkpoint(storage, plan.endpoint, signature)
    there = checkpoint.load()
    if checkpoint.publishing is not None:
        publish(storage, plan, checkpoint)
    if there and resume and checkpoint.signature == signature:
        checkpoint.resumed = True
        return checkpoint
    checkpoint.clear()
    return Checkpoint(storage, plan.endpoint, signature)


def publish(storage: Storage, plan: Plan, checkpoint: Checkpoint) -> EndpointReport:
    """Put the parts where readers look, as was decided; gives the report, which says what was updated."""
    task = checkpoint.publishing
    assert task is not None
    delta = task["format"] == "delta"
    report = EndpointReport.model_validate(task["report"])
    if task.get("moves") is None:
        if report.written and not checkpoint.parts():
            where = storage.address(checkpoint.folder)
            raise FileDamaged(f"{where}: {report.written:,} rows were written there and are gone", path=where)
        moves: dict[str, str] = {}
        replaced: list[str] = []
        if delta:
            report.updated = _changed_in_table(storage, plan, checkpoint)
        else:
            report.updated, moves, replaced = _decide(storage, plan, checkpoint)
        task |= {"moves": moves, "replaced": replaced, "report": report.model_dump(mode="json")}
        checkpoint.save()
    if delta:
        _into_delta(storage, plan, checkpoint)
    else:
        _into_parquet(storage, checkpoint)
    checkpoint.finish(report.model_dump(mode="json"))
    return report


# ---- Parquet


def _decide(storage: Storage, plan: Plan, checkpoint: Checkpoint) -> tuple[int, dict[str, str], list[str]]:
    """Give how many older rows are updated, which files get which names, and which older ones then go."""
    assert checkpoint.publishing is not None
    new, there = checkpoint.parts(), parts_of(storage, plan.endpoint)
    kept: list[str] = []
    updated, replaced = 0, there
    gone = _digests_of_gone(plan, checkpoint)
    for name in new if len(gone) else ():
        _keep(storage, name, name, ~_among(gone, _digests(read(storage, name), plan)))
    if checkpoint.publishing["merge"]:
        newer = np.concatenate([gone[:0], *(_digests(read(storage, name), plan) for name in new)])
        updated, kept, replaced = _older(storage, plan, checkpoint, np.sort(newer), gone)
    if not new and not kept and len(replaced) == len(there):
        new = [_empty(storage, plan, checkpoint)]
    first = 1 + max((number_of(name) for name in there), default=-1)
    files = enumerate((*kept, *new), first)
    return updated, {name: f"{plan.endpoint}/part-{number:05d}.parquet" for number, name in files}, replaced


def _older(
    storage: Storage, plan: Plan, checkpoint: Checkpoint, newer: NDArray[np.uint64], gone: NDArray[np.uint64]
) -> tuple[int, list[str], list[str]]:
    """Write anew the older parts that hold rows which came again, went, or stand twice; those stay as they are, too."""
    kept: list[str] = []
    replaced: list[str] = []
    updated, known = 0, Known()
    for name in parts_of(storage, plan.endpoint):
        its = _digests(read(storage, name), plan)
        again, first = _among(newer, its), known.fresh(its)
        updated += int((again & first).sum())
        stays = first & ~again & ~_among(gone, its)
        if stays.all():
            continue
        replaced.append(name)
        if stays.any():
            kept.append(f"{checkpoint.older}/{name.rpartition('/')[2]}")
            _keep(storage, name, kept[-1], stays)
    return updated, kept, replaced


def _into_parquet(storage: Storage, checkpoint: Checkpoint) -> None:
    assert checkpoint.publishing is not None
    waiting = {*checkpoint.parts(), *storage.names(checkpoint.older)}
    for name, target in checkpoint.publishing["moves"].items():
        if name in waiting:
            storage.move(name, target)
    for name in checkpoint.publishing["replaced"]:
        storage.delete(name)


def _keep(storage: Storage, name: str, to: str, stays: NDArray[np.bool_]) -> None:
    import polars as pl

    if to != name or not stays.all():
        storage.put(to, parquet(read(storage, name).filter(pl.Series(stays))))


def _digests(frame: pl.DataFrame, plan: Plan) -> NDArray[np.uint64]:
    """Give 8 bytes of each row's id."""
    assert plan.columns.key is not None
    return frame.select(key_expression(plan.columns.key)).to_series().hash().to_numpy()


def _digests_of_gone(plan: Plan, checkpoint: Checkpoint) -> NDArray[np.uint64]:
    return np.sort(_gone(plan, checkpoint).hash().to_numpy())


def _among(known: NDArray[np.uint64], digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say of each digest whether it is one of these sorted ones."""
    if not len(known):
        return np.zeros(len(digests), bool)
    at = np.minimum(np.searchsorted(known, digests), len(known) - 1)
    return np.asarray(known[at] == digests)


def _gone(plan: Plan, checkpoint: Checkpoint) -> pl.Series:
    """Give the ids that the server has no longer."""
    import polars as pl

    if plan.ids == "int":
        return pl.Series(checkpoint.vanished, dtype=pl.Int64)
    return pl.Series([plan.text(id) for id in checkpoint.vanished], dtype=pl.String)


def _empty(storage: Storage, plan: Plan, checkpoint: Checkpoint) -> str:
    """Write a part without rows, so that readers find the columns."""
    import polars as pl

    name = f"{checkpoint.folder}/part-00000.parquet"
    storage.put(name, parquet(pl.DataFrame(schema=plan.columns.schema)))
    return name


# ---- Delta Lake, which shows its readers the old rows until the new ones are whole


def _table(storage: Storage, endpoint: str) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_delta(storage.address(endpoint), storage_options=storage.options)


def _new(storage: Storage, plan: Plan, checkpoint: Checkpoint) -> pl.LazyFrame:
    import polars as pl

    parts = checkpoint.parts() or [_empty(storage, plan, checkpoint)]
    rows = pl.scan_parquet([storage.address(name) for name in parts], storage_options=storage.options)
    gone = _gone(plan, checkpoint)
    if plan.columns.key is None or gone.is_empty():
        return rows
    return rows.filter(~key_expression(plan.columns.key).is_in(gone.implode()))


def _newer(storage: Storage, plan: Plan, checkpoint: Checkpoint) -> pl.Series:
    assert plan.columns.key is not None
    return _new(storage, plan, checkpoint).select(key_expression(plan.columns.key)).collect().to_series()


def _changed_in_table(storage: Storage, plan: Plan, checkpoint: Checkpoint) -> int:
    assert checkpoint.publishing is not None
    if not checkpoint.publishing["merge"]:
        return 0
    assert plan.columns.key is not None
    with _said(storage, plan.endpoint):
        again = key_expression(plan.columns.key).is_in(_newer(storage, plan, checkpoint).implode())
        return int(_table(storage, plan.endpoint).select(again.sum()).collect(engine="streaming").item())


def _into_delta(storage: Storage, plan: Plan, checkpoint: Checkpoint) -> None:
    import polars as pl

    assert checkpoint.publishing is not None
    with _said(storage, plan.endpoint):
        rows = _new(storage, plan, checkpoint)
        if checkpoint.publishing["merge"]:
            assert plan.columns.key is not None
            out = pl.concat([_newer(storage, plan, checkpoint), _gone(plan, checkpoint)])
            older = _table(storage, plan.endpoint).filter(
                ~key_expression(plan.columns.key).is_in(out.implode())
            )
            rows = pl.concat([older, rows])
        rows.sink_delta(storage.address(plan.endpoint), mode="overwrite", storage_options=storage.options)


@contextmanager
def _said(storage: Storage, endpoint: str) -> Iterator[None]:
    """Turn what Polars and Delta Lake complain of into an error of ours."""
    import polars as pl
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (pl.exceptions.PolarsError, DeltaError, OSError) as error:
        where = storage.address(endpoint)
        raise TransferError(f"{where}: {str(error).partition(chr(10))[0]}", path=where) from error
