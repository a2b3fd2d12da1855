"""Read all metadata of a database, rate-limited and resumable; report what is missing if it is not complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from one_async.harvest.report import EndpointReport, HarvestReport
    from one_async.harvest.run import harvest

__all__ = ["EndpointReport", "HarvestReport", "harvest"]


def __getattr__(name: str) -> Any:
    if name == "harvest":
        from one_async.harvest.run import harvest

        return harvest
    if name in __all__:
        from one_async.harvest import report

        return getattr(report, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
