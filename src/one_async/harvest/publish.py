"""Parts that are complete take the place of an earlier harvest, or are merged into it. Blocking."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from one_async.errors import ConfigurationError

from .checkpoint import Checkpoint
from .held import key_expression
from .places import Place
from .plan import Plan
from .report import EndpointReport
from .write import number_of, parquet

if TYPE_CHECKING:
    import polars as pl


def check_format(format: str) -> None:
    """Raise ConfigurationError where the package that a format needs is not there."""
    if format == "delta":
        try:
            import deltalake  # noqa: F401
        except ImportError as error:
            raise ConfigurationError("delta needs deltalake: pip install 'one-async[delta]'") from error


def parts_of(place: Place, plan: Plan, format: str) -> list[str]:
    """Name the parts of an earlier harvest; those of a Delta table are made of it."""
    names = _parquet_names(place, plan.endpoint)
    if format == "delta" and names:
        import polars as pl

        older = f".harvest/{plan.endpoint}/older"
        table = pl.scan_delta(place.address(plan.endpoint), storage_options=place.options).collect(
            engine="streaming"
        )
        place.put(f"{older}/part-00000.parquet", parquet(table))
        return [f"{older}/part-00000.parquet"]
    return names


def publish(place: Place, plan: Plan, checkpoint: Checkpoint, report: EndpointReport, format: str) -> None:
    """Put the parts where readers look; may be interrupted and called again."""
    merge = bool(checkpoint.publishing and checkpoint.publishing["merge"])
    if format == "delta":
        _into_delta(place, plan, checkpoint, report, merge)
    else:
        _into_parquet(place, plan, checkpoint, report, merge)
    checkpoint.finish(report.model_dump(mode="json"))
    for name in place.names(f"{checkpoint.folder}/older"):
        place.delete(name)


def _into_parquet(
    place: Place, plan: Plan, checkpoint: Checkpoint, report: EndpointReport, merge: bool
) -> None:
    assert checkpoint.publishing is not None
    folder = plan.endpoint
    names: dict[str, str] | None = checkpoint.publishing.get("names")
    if names is None:  # decided once, so that a run that goes on decides the same
        gone, new = _gone(plan, checkpoint), checkpoint.parts()
        for name in new if gone else ():
            _without(place, name, plan, gone)
        if not new and not merge:
            new = [_empty(place, plan, checkpoint)]
        older = _parquet_names(place, folder)
        newer = _ids(place, plan, new) if merge else set()
        for name in older if merge else ():
            report.updated += _without(place, name, plan, gone | newer, newer)
        first = 1 + max((number_of(name) for name in older), default=-1) if merge else 0
        names = {name: f"{folder}/part-{number:05d}.parquet" for number, name in enumerate(new, first)}
        checkpoint.publishing |= {"names": names, "report": report.model_dump(mode="json")}
        checkpoint.save()
    waiting = set(checkpoint.parts())
    for name, target in names.items():
        if name in waiting:
            place.move(name, target)
    for name in () if merge else _parquet_names(place, folder):
        if name not in names.values():
            place.delete(name)


def _into_delta(
    place: Place, plan: Plan, checkpoint: Checkpoint, report: EndpointReport, merge: bool
) -> None:
    import polars as pl

    gone, new = _gone(plan, checkpoint), checkpoint.parts()
    older = place.names(f"{checkpoint.folder}/older") if merge else []
    newer = _ids(place, plan, new) if merge else set()
    for name in older:
        report.updated += _without(place, name, plan, gone | newer, newer)
    for name in new if gone else ():
        _without(place, name, plan, gone)
    names = [*older, *(new or ([] if older else [_empty(place, plan, checkpoint)]))]
    rows = pl.scan_parquet([place.address(name) for name in names], storage_options=place.options)
    rows.sink_delta(place.address(plan.endpoint), mode="overwrite", storage_options=place.options)


def _parquet_names(place: Place, folder: str) -> list[str]:
    return [name for name in place.names(folder) if name.endswith(".parquet")]


def _gone(plan: Plan, checkpoint: Checkpoint) -> set[Any]:
    return {plan.text(id) if plan.ids == "uuid" else id for id in checkpoint.vanished}


def _read(place: Place, name: str) -> pl.DataFrame:
    import polars as pl

    return pl.read_parquet(io.BytesIO(place.get(name) or b""))


def _without(place: Place, name: str, plan: Plan, ids: set[Any], counted: set[Any] = frozenset()) -> int:  # type: ignore[assignment]
    """Take rows out of a part; gives how many of the ``counted`` ones were in it."""
    import polars as pl

    key = plan.columns.key
    assert key is not None
    frame = _read(place, name)
    its = frame.select(key_expression(key).alias("id"))["id"]
    out = its.is_in(pl.Series(list(ids), dtype=its.dtype).implode())
    if out.any():
        place.put(name, parquet(frame.filter(~out)))
    return sum(id in counted for id in its.filter(out).to_list())


def _ids(place: Place, plan: Plan, names: list[str]) -> set[Any]:
    key = plan.columns.key
    assert key is not None
    return {
        id for name in names for id in _read(place, name).select(key_expression(key)).to_series().to_list()
    }


def _empty(place: Place, plan: Plan, checkpoint: Checkpoint) -> str:
    """Write a part without rows, so that readers find the columns."""
    import polars as pl

    name = f"{checkpoint.folder}/part-00000.parquet"
    place.put(name, parquet(pl.DataFrame(schema=plan.columns.schema)))
    return name
