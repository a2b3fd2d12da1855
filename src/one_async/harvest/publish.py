"""Replace an earlier harvest by the parts of a new one, or merge the parts into it. All functions block.

What to do is decided without writing to published files, and saved before any of them is touched. Publishing is
idempotent: if it is interrupted, the next run finishes it first, whatever that run requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from one_async.errors import ConfigurationError, FileDamaged, InputError, TransferError
from one_async.harvest.checkpoint import Checkpoint, Publication
from one_async.harvest.id_index import key_expression
from one_async.harvest.plan import ReadPlan
from one_async.harvest.report import REPORT, EndpointReport, HarvestReport
from one_async.harvest.storage import FolderStorage, Storage, read, shown_address
from one_async.harvest.write import DigestSet, number_of, parquet

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

PART = re.compile(r"part-\d+\.parquet")
#: Characters that deltalake and Polars encode in paths, which they then do not find.
_NOT_IN_DELTA_PATHS = re.compile(r"[^\w!$&'()*+,./:;=@~-]", re.ASCII)
#: Returns frames with the key column of an earlier harvest.
OlderIds = Callable[[], Iterable["pl.DataFrame"]]


def check_format(format: str, storage: Storage | None) -> None:
    """Raise ConfigurationError if the package that a format needs is not installed, InputError if it cannot be in a place."""
    if format != "delta":
        return
    try:
        import deltalake  # noqa: F401
    except ImportError as error:
        raise ConfigurationError("delta needs deltalake: pip install 'one-async[delta]'") from error
    folder = PurePath(storage.address("")) if isinstance(storage, FolderStorage) else PurePath()
    if _NOT_IN_DELTA_PATHS.search(folder.as_posix()):
        accepted = "for Delta tables a path of ASCII letters, digits and punctuation that URLs do not encode"
        raise InputError.of("to", str(folder), accepted)


def parts_of(storage: Storage, endpoint: str) -> list[str]:
    """Return the names of the parts of an earlier harvest, without other files in the folder."""
    return [name for name in storage.names(endpoint) if PART.fullmatch(name.rpartition("/")[2])]


def format_of(storage: Storage, endpoint: str) -> str | None:
    """Return the format of an earlier harvest; None if there is none."""
    if storage.names(f"{endpoint}/_delta_log"):
        return "delta"
    return "parquet" if parts_of(storage, endpoint) else None


def older_ids(storage: Storage, plan: ReadPlan, format: str) -> OlderIds | None:
    """Return a function that reads the ids of an earlier harvest; None if there is none."""
    key = plan.columns.key
    if key is None or format_of(storage, plan.endpoint) is None:
        return None

    def parts() -> Iterator[pl.DataFrame]:
        for name in parts_of(storage, plan.endpoint):
            yield read(storage, name, [key])

    def table() -> Iterator[pl.DataFrame]:
        with _translate_errors(storage, plan.endpoint):
            yield _table(storage, plan.endpoint).select(key).collect(engine="streaming")

    return table if format == "delta" else parts


def check_existing(
    storage: Storage, endpoint: str, filters: Mapping[str, str], format: str, tidy: bool, *, merge: bool
) -> None:
    """Raise InputError if an earlier harvest has another format, or if a merge has other filters or columns."""
    existing = format_of(storage, endpoint)
    if existing not in (None, format):
        raise InputError.of(
            "format", format, f"{existing}, the format of the harvest in {shown_address(storage, endpoint)}"
        )
    entry = stored_entry(storage, endpoint) if merge and existing else None
    if entry is not None and (entry.columns is not None) != tidy:
        accepted = f"{not tidy} with since=, as in the harvest in {shown_address(storage, endpoint)}"
        raise InputError.of("tidy", tidy, accepted)
    holds = None if entry is None else entry.holds
    if holds is not None and holds != filters:
        accepted = f"with since=, the filters of the existing harvest: {holds or 'none'}"
        raise InputError.of("filters", dict(filters), accepted)


def stored_entry(storage: Storage, endpoint: str) -> EndpointReport | None:
    """Return the report of an earlier harvest; None if there is none."""
    checkpoint = Checkpoint(storage, endpoint, "")
    checkpoint.load()
    if checkpoint.finished is not None:
        return EndpointReport.model_validate(checkpoint.finished)
    if checkpoint.publishing is not None:
        return checkpoint.publishing.report
    try:
        report = HarvestReport.model_validate_json(storage.get(REPORT) or b"")
    except ValueError:
        return None
    return report.endpoints.get(endpoint)


def start_or_resume(storage: Storage, plan: ReadPlan, signature: str, resume: bool) -> Checkpoint:
    """Finish an interrupted publication, then return the checkpoint to resume, or a new one."""
    checkpoint = Checkpoint(storage, plan.endpoint, signature)
    exists = checkpoint.load()
    if checkpoint.publishing is not None:
        publish(storage, plan, checkpoint)
    if exists and resume and checkpoint.signature == signature and checkpoint.recent:
        checkpoint.resumed = True
        return checkpoint
    checkpoint.clear()
    return Checkpoint(storage, plan.endpoint, signature)


def publish(storage: Storage, plan: ReadPlan, checkpoint: Checkpoint) -> EndpointReport:
    """Move the parts to their published names; return the report, with the number of updated rows."""
    task = checkpoint.publishing
    assert task is not None
    if task.moves is None:
        if task.report.written and not checkpoint.parts():
            where = shown_address(storage, checkpoint.folder)
            raise FileDamaged(
                f"{where}: {task.report.written:,} rows were written there, but their files are missing",
                path=where,
            )
        if task.format == "delta":
            task.report.updated, task.moves = _count_updated(storage, plan, checkpoint), {}
        else:
            task.report.updated, task.moves, task.replaced = _decide(storage, plan, checkpoint)
        checkpoint.save()
    if task.format == "delta":
        _publish_delta(storage, plan, checkpoint)
    else:
        _publish_parquet(storage, task, checkpoint)
    checkpoint.finish(task.report.model_dump(mode="json"))
    return task.report


# ---- Parquet


def _decide(
    storage: Storage, plan: ReadPlan, checkpoint: Checkpoint
) -> tuple[int, dict[str, str], list[str]]:
    """Return the number of updated rows, the new names of files, and the older files to delete."""
    assert checkpoint.publishing is not None
    new, older = checkpoint.parts(), parts_of(storage, plan.endpoint)
    kept: list[str] = []
    updated, replaced = 0, older
    deleted = _deleted_digests(plan, checkpoint)
    for name in new if len(deleted) else ():
        _write_rows(storage, name, name, ~_among(deleted, _digests(read(storage, name), plan)))
    if checkpoint.publishing.merge:
        newer = np.concatenate([deleted[:0], *(_digests(read(storage, name), plan) for name in new)])
        updated, kept, replaced = _rewrite_older(storage, plan, checkpoint, np.sort(newer), deleted)
    if not new and not kept and len(replaced) == len(older):
        new = [_empty_part(storage, plan, checkpoint)]
    first = 1 + max((number_of(name) for name in older), default=-1)
    files = enumerate((*kept, *new), first)
    return updated, {name: f"{plan.endpoint}/part-{number:05d}.parquet" for number, name in files}, replaced


def _rewrite_older(
    storage: Storage,
    plan: ReadPlan,
    checkpoint: Checkpoint,
    newer: NDArray[np.uint64],
    deleted: NDArray[np.uint64],
) -> tuple[int, list[str], list[str]]:
    """Write new versions of the older parts that contain updated, deleted or repeated rows, beside the old ones.

    Return the number of updated rows, the new files, and the files that they replace.
    """
    kept: list[str] = []
    replaced: list[str] = []
    updated, known = 0, DigestSet()
    for name in parts_of(storage, plan.endpoint):
        digests = _digests(read(storage, name), plan)
        is_updated, is_first = _among(newer, digests), known.add(digests)
        updated += int((is_updated & is_first).sum())
        is_kept = is_first & ~is_updated & ~_among(deleted, digests)
        if is_kept.all():
            continue
        replaced.append(name)
        if is_kept.any():
            kept.append(f"{checkpoint.older}/{name.rpartition('/')[2]}")
            _write_rows(storage, name, kept[-1], is_kept)
    return updated, kept, replaced


def _publish_parquet(storage: Storage, task: Publication, checkpoint: Checkpoint) -> None:
    waiting = {*checkpoint.parts(), *storage.names(checkpoint.older)}
    for name, target in (task.moves or {}).items():
        if name in waiting:
            storage.move(name, target)
    for name in task.replaced:
        storage.delete(name)


def _write_rows(storage: Storage, name: str, to: str, is_kept: NDArray[np.bool_]) -> None:
    import polars as pl

    if to != name or not is_kept.all():
        storage.put(to, parquet(read(storage, name).filter(pl.Series(is_kept))))


def _digests(frame: pl.DataFrame, plan: ReadPlan) -> NDArray[np.uint64]:
    """Return a 64-bit digest of each row's id."""
    assert plan.columns.key is not None
    return frame.select(key_expression(plan.columns.key)).to_series().hash().to_numpy()


def _deleted_digests(plan: ReadPlan, checkpoint: Checkpoint) -> NDArray[np.uint64]:
    return np.sort(_deleted_ids(plan, checkpoint).hash().to_numpy())


def _among(known: NDArray[np.uint64], digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return a mask of the digests that are in ``known``, which is sorted."""
    if not len(known):
        return np.zeros(len(digests), bool)
    at = np.minimum(np.searchsorted(known, digests), len(known) - 1)
    return np.asarray(known[at] == digests)


def _deleted_ids(plan: ReadPlan, checkpoint: Checkpoint) -> pl.Series:
    """Return the ids that the server no longer has."""
    import polars as pl

    if plan.ids == "int":
        return pl.Series(checkpoint.vanished, dtype=pl.Int64)
    return pl.Series([plan.text(id) for id in checkpoint.vanished], dtype=pl.String)


def _empty_part(storage: Storage, plan: ReadPlan, checkpoint: Checkpoint) -> str:
    """Write a part without rows, so that readers find the columns; return its name."""
    import polars as pl

    name = f"{checkpoint.folder}/part-00000.parquet"
    storage.put(name, parquet(pl.DataFrame(schema=plan.columns.schema)))
    return name


# ---- Delta Lake


def _table(storage: Storage, endpoint: str) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_delta(storage.address(endpoint), storage_options=storage.options)


def delta_files(storage: Storage, endpoint: str) -> list[str] | None:
    """Return the names of the files that hold the rows of a Delta table now; None without the package deltalake."""
    try:
        from deltalake import DeltaTable
    except ImportError:
        return None
    with _translate_errors(storage, endpoint):
        uris = DeltaTable(storage.address(endpoint), storage_options=storage.options).file_uris()
    return sorted(f"{endpoint}/{uri.rpartition('/')[2]}" for uri in uris)


def _new_rows(storage: Storage, plan: ReadPlan, checkpoint: Checkpoint) -> pl.LazyFrame:
    import polars as pl

    parts = checkpoint.parts() or [_empty_part(storage, plan, checkpoint)]
    addresses = [storage.address(name) for name in parts]
    rows = pl.scan_parquet(addresses, glob=False, storage_options=storage.options)
    deleted = _deleted_ids(plan, checkpoint)
    if plan.columns.key is None or deleted.is_empty():
        return rows
    return rows.filter(~key_expression(plan.columns.key).is_in(deleted.implode()))


def _new_ids(storage: Storage, plan: ReadPlan, checkpoint: Checkpoint) -> pl.Series:
    assert plan.columns.key is not None
    return _new_rows(storage, plan, checkpoint).select(key_expression(plan.columns.key)).collect().to_series()


def _count_updated(storage: Storage, plan: ReadPlan, checkpoint: Checkpoint) -> int:
    assert checkpoint.publishing is not None
    if not checkpoint.publishing.merge:
        return 0
    assert plan.columns.key is not None
    with _translate_errors(storage, plan.endpoint):
        again = key_expression(plan.columns.key).is_in(_new_ids(storage, plan, checkpoint).implode())
        return int(_table(storage, plan.endpoint).select(again.sum()).collect(engine="streaming").item())


def _publish_delta(storage: Storage, plan: ReadPlan, checkpoint: Checkpoint) -> None:
    import polars as pl

    assert checkpoint.publishing is not None
    with _translate_errors(storage, plan.endpoint):
        rows = _new_rows(storage, plan, checkpoint)
        if checkpoint.publishing.merge:
            assert plan.columns.key is not None
            out = pl.concat([_new_ids(storage, plan, checkpoint), _deleted_ids(plan, checkpoint)])
            older = _table(storage, plan.endpoint).filter(
                ~key_expression(plan.columns.key).is_in(out.implode())
            )
            rows = pl.concat([older, rows])
        rows.sink_delta(
            storage.address(plan.endpoint),
            mode="overwrite",
            storage_options=storage.options,
            delta_write_options={"schema_mode": "overwrite"},
        )


@contextmanager
def _translate_errors(storage: Storage, endpoint: str) -> Iterator[None]:
    """Raise errors of Polars and Delta Lake as TransferError."""
    import polars as pl
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (pl.exceptions.PolarsError, DeltaError, OSError) as error:
        where = shown_address(storage, endpoint)
        raise TransferError(f"{where}: {str(error).partition(chr(10))[0]}", path=where) from error
