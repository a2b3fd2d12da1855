"""The errors of ALF names and files: the classes that one_async raises."""

from one_async import errors
from one_async.errors import *  # noqa: F403
from one_async.errors import RegistrationError as AlyxSubjectNotFound

__all__ = ["AlyxSubjectNotFound", *(name for name in errors.__all__ if name.startswith("ALF"))]
