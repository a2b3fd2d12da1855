"""Base classes of our errors from other libraries: those of ONE-api, if a process has imported it, and those of a hook.

Nothing is imported here. An ``except`` clause compares classes by their real bases, and asks no ``__instancecheck__``, so
ONE-api's classes become bases of ours. That happens when an ALF error of ours is made, so ONE-api must be imported before:
an ``except`` clause that itself imports ONE-api does not match the current error, only later ones.
"""

from __future__ import annotations

import sys
from threading import Lock
from typing import Any

_MODULE = "one.alf.exceptions"
_lock = Lock()
_adopted: object = None


def adopt_one_api(root: type[Exception]) -> None:
    """Make ONE-api's ALF errors, if its module is imported, bases of ours of the same names: ``root`` and its subclasses.

    The classes themselves stay the same objects.
    """
    global _adopted
    module = sys.modules.get(_MODULE)
    if module is None or module is _adopted:
        return
    with _lock:
        theirs = vars(module).copy()
        for ours in (root, *root.__subclasses__()):
            if ours.__module__ == root.__module__:
                add_base(ours, theirs.get(ours.__name__))
        if "ALFInvalid" in theirs:  # its last class: not while another thread is still importing the module
            _adopted = module


def add_base(ours: type[Exception], theirs: object) -> bool:
    """Make an exception class a base of one of ours. Return False if the classes do not allow it."""
    if not (isinstance(theirs, type) and issubclass(theirs, Exception)):
        return False
    if issubclass(ours, theirs):
        return True
    own = [base for base in ours.__bases__ if base.__module__ != "builtins"]
    builtin = [base for base in ours.__bases__ if base not in own]
    try:
        ours.__bases__ = (*own, theirs, *builtin)
    except TypeError:  # another memory layout, or no order of the bases
        return False
    return True


#: By class of ours: the class of which instances are made instead, and its base; see `raise_also_as`.
SUBSTITUTES: dict[type, tuple[type, Any]] = {}


def raise_also_as(ours: type[Exception], theirs: type[Exception], **members: Any) -> None:
    """Make later instances of ``ours`` instances of ``theirs``, too; `members` are their attributes or properties.

    For `StatusError` and the classes below it, and bases whose memory layout is not that of ours, such as those of OSError
    (``requests.HTTPError``): the class is a subclass of both with the name of ours, which is what its pickle contains.
    """
    names = {"__module__": ours.__module__, "__qualname__": ours.__qualname__, "__doc__": ours.__doc__}
    kind = type(ours.__name__, (ours, theirs), {**names, **members, "_stands_for": ours})
    SUBSTITUTES[ours] = (kind, theirs)
