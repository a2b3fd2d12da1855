"""The clients of databases and of folders."""

from one_async.alf.path import ALFPath
from one_async.alf.spec import QC
from one_async.api import ONE, One, OneAlyx

__all__ = ["ONE", "QC", "ALFPath", "One", "OneAlyx"]
