"""The grammar of ALF names."""

from one_async.alf import spec
from one_async.alf.spec import *  # noqa: F403

__all__ = list(spec.__all__)
