"""All the metadata of a database: complete or saying what is missing, as fast as the server lets it, restartable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import EndpointReport, HarvestReport
    from .run import harvest

__all__ = ["EndpointReport", "HarvestReport", "harvest"]


def __getattr__(name: str) -> Any:
    if name == "harvest":
        from .run import harvest

        return harvest
    if name in __all__:
        from . import report

        return getattr(report, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
