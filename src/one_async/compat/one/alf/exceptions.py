"""The errors of ALF names and files: the classes that one_async raises."""

from one_async.errors import (
    ALFError,
    ALFInvalid,
    ALFMultipleCollectionsFound,
    ALFMultipleObjectsFound,
    ALFMultipleRevisionsFound,
    ALFObjectNotFound,
    ALFWarning,
)
from one_async.errors import RegistrationError as AlyxSubjectNotFound

__all__ = [
    "ALFError", "ALFInvalid", "ALFMultipleCollectionsFound", "ALFMultipleObjectsFound", "ALFMultipleRevisionsFound",
    "ALFObjectNotFound", "ALFWarning", "AlyxSubjectNotFound",
]  # fmt: skip
