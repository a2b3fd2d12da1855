"""Paths of ALF files and their parts."""

from one_async.alf import parts, path
from one_async.alf.parts import *  # noqa: F403
from one_async.alf.path import *  # noqa: F403
from one_async.alf.spec import COLLECTION_SPEC, FILE_SPEC, REL_PATH_SPEC, SESSION_SPEC
from one_async.errors import ALFInvalid

__all__ = [
    "COLLECTION_SPEC", "FILE_SPEC", "REL_PATH_SPEC", "SESSION_SPEC", "ALFInvalid", *parts.__all__, *path.__all__,
]  # fmt: skip
