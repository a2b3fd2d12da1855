"""Every error and warning that one_async raises, in one tree.

::

    OneError
    ├── InputError (ValueError)            an invalid argument; no request was made
    ├── ConfigurationError                 a setting is missing; the text names it and how to set it
    │   └── OfflineError                   a remote query where no database is configured
    ├── ServerError                        a request to a server failed
    │   ├── ServerUnreachable (ConnectionError)
    │   ├── LoginError (PermissionError)   no token, a wrong one, or not enough rights
    │   ├── StatusError                    an answer with an error status; has .status, .url, .detail
    │   │   ├── NotFound (LookupError)     404
    │   │   └── Throttled                  429 that outlasted the retries
    │   └── AnswerError                    an invalid answer: HTML, broken JSON, cut short
    ├── ConflictError                      another client changed the record; has .endpoint, .id, .field, .found
    ├── TransferError                      a file could not be fetched; has .url, .path
    │   ├── HashMismatch                   its bytes are not those of the record; has .expected, .found
    │   └── UnsafePath                     it would have been written outside the cache folder
    ├── StorageError (OSError)             the disk is full or read-only, no permission, too many open files; has .path
    ├── RegistrationError                  sessions or files that were not registered; has .refused, .registered
    ├── HarvestUnderWay                    another harvest writes the same endpoint to the same place; has .endpoint
    ├── TablesError                        cache tables that are absent or cannot be read
    │   ├── TablesNotFound
    │   └── TablesDamaged
    └── ALFError
        ├── ALFInvalid (ValueError)        a path or name that is not ALF
        ├── ALFObjectNotFound              no file matches
        ├── ALFMultipleObjectsFound
        ├── ALFMultipleCollectionsFound
        ├── ALFMultipleRevisionsFound
        └── FileDamaged                    the content of a file does not match its suffix; has .path

    OneWarning (UserWarning)
    ├── StaleAnswerWarning                 the server cannot be reached; an old answer is returned
    ├── CacheWarning                       the shared REST cache cannot be reached and is not used
    ├── IncompleteListWarning              fewer distinct rows were received than the server counted
    ├── EmptySearchWarning                 a search found nothing; the text gives the reason
    ├── TablesWarning                      tables could not be refreshed; the old ones stay in use
    └── ALFWarning                         a dataset is unusual in a way that the caller should know
"""

from __future__ import annotations

import pickle
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from types import MappingProxyType
from typing import Self

from one_async._foreign_errors import SUBSTITUTES, adopt_one_api

__all__ = [
    "ALFError",
    "ALFInvalid",
    "ALFMultipleCollectionsFound",
    "ALFMultipleObjectsFound",
    "ALFMultipleRevisionsFound",
    "ALFObjectNotFound",
    "ALFWarning",
    "AnswerError",
    "CacheWarning",
    "ConfigurationError",
    "ConflictError",
    "EmptySearchWarning",
    "FileDamaged",
    "HarvestUnderWay",
    "HashMismatch",
    "IncompleteListWarning",
    "InputError",
    "LoginError",
    "NotFound",
    "OfflineError",
    "OneError",
    "OneWarning",
    "RegistrationError",
    "ServerError",
    "ServerUnreachable",
    "StaleAnswerWarning",
    "StatusError",
    "StorageError",
    "TablesDamaged",
    "TablesError",
    "TablesNotFound",
    "TablesWarning",
    "Throttled",
    "TransferError",
    "UnsafePath",
]


#: The most characters of an error's text; longer texts of servers, users and libraries are shortened in the middle.
LONGEST = 480
_SHORT: reprlib.Repr = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
#: The most names that are compared for their similarity, which is slow.
_MOST_COMPARED = 20_000
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxset, _SHORT.maxdict = 3, 4, 4, 4, 3


def shown(value: object) -> str:
    """Return a short, printable text of any value for an error's text; the message of an exception."""
    if isinstance(value, PurePath):
        value = str(value)
    try:
        text = str(value) if isinstance(value, BaseException) else _SHORT.repr(value)
    except Exception:  # an integer with too many digits, or an object whose repr fails
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 300 else f"{text[:150]} … {text[-140:]}"


def name_list(names: Iterable[str], room: int = 300) -> str:
    """Return names, separated by commas, that fit into so many characters; ``and 37 more`` stands for the others."""
    names = list(names)
    text = ", ".join(names)
    if len(text) <= room:
        return text
    kept, length = 0, len(f" and {len(names)} more")
    while kept < len(names) and length + len(names[kept]) + 2 <= room:
        length += len(names[kept]) + 2
        kept += 1
    kept = max(kept, 1)
    more = len(names) - kept
    return f"{', '.join(names[:kept])} and {more} more" if more else text


def closest(given: str, names: Iterable[str], count: int = 1, similarity: float = 0.6) -> list[str]:
    """Return the names that were probably meant, ignoring case: those that begin with the given text, else similar ones.

    The given name itself is never returned.
    """
    from difflib import get_close_matches  # not at the top: only errors need it

    others = {name.casefold(): name for name in sorted(names) if name and name != given}
    wanted = given.casefold()
    if wanted in others:
        return [others[wanted]]
    found = sorted((name for name in others if len(wanted) > 1 and name.startswith(wanted)), key=len)
    if not found and len(others) <= _MOST_COMPARED:
        found = get_close_matches(wanted[:100], list(others), count, similarity)
    return [others[name] for name in found[:count]]


def _text(message: object) -> str:
    """Return the printable text of an error, shortened in its middle."""
    text = str(message).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 103]} … {text[-100:]}"


class OneError(Exception):
    """The base class of all errors. Its text is for users, its keyword attributes are for programs.

    The text is printable and has fewer than 500 characters; the attributes are not shortened.

    Examples:
        >>> from one_async import OneError
        >>> try:
        ...     one.search(laboratry="summitlab")
        ... except OneError as error:
        ...     print(type(error).__name__, error.http_status)
        InputError 400
    """

    #: The HTTP status with which a web service should answer when a call raises this; see docs/services.md.
    http_status: int = 500

    def __init__(self, message: str = "", **attributes: object) -> None:
        BaseException.__init__(
            self, _text(message)
        )  # not that of a base from another library, see `_foreign_errors`
        self.__dict__.update(attributes)

    def about(self, subject: str) -> Self:
        """Prefix the text with the name of an object, such as a session, and return the error.

        Examples:
            >>> from one_async import OneError
            >>> str(OneError("no such file").about("SU_101"))
            'SU_101: no such file'
        """
        self.args = (_text(f"{subject}: {self}"), *self.args[1:])
        return self

    def __reduce__(self) -> tuple[object, ...]:
        # BaseException keeps args and __dict__, but OSError, which some subclasses mix in, does not.
        return (
            _rebuild,
            (
                getattr(self, "_stands_for", type(self)),
                self.args,
                {name: _pickled(one) for name, one in self.__dict__.items()},
            ),
        )

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows: the user's own frames and the text."""
        from one_async._tracebacks import notebook_lines

        return notebook_lines(self)


def _pickled(value: object) -> bytes:
    """Return the pickle of a value, or of its text if the value cannot be pickled.

    The result is bytes, since a deeply nested value that can be pickled alone may be too deep inside its error's pickle.
    """
    try:
        return pickle.dumps(value)
    except Exception:
        return pickle.dumps(shown(value))


def _rebuild(kind: type[OneError], args: tuple[object, ...], attributes: dict[str, bytes]) -> OneError:
    error = kind(*args)  # type: ignore[arg-type]
    error.__dict__.update((name, pickle.loads(one)) for name, one in attributes.items())
    return error


class InputError(OneError, ValueError):
    """An invalid argument, found before any request is made.

    Examples:
        >>> one.search(number=1.5)
        Traceback (most recent call last):
            ...
        one_async.errors.InputError: number=1.5 is not valid; accepted: a whole number of at most 64 bits
    """

    http_status = 400

    @classmethod
    def of(cls, argument: str, given: object, accepted: str | Iterable[str]) -> InputError:
        """Return an error that names the argument, the given value and the accepted ones.

        Examples:
            >>> from one_async.errors import InputError
            >>> str(InputError.of("band", "mid", ["ap", "lf"]))
            "band='mid' is not valid; accepted: ap, lf"
        """
        text = f"{argument}={shown(given)} is not valid; accepted: "
        wanted = accepted if isinstance(accepted, str) else name_list(accepted, LONGEST - len(text))
        return cls(f"{text}{wanted}", argument=argument, given=given)


def rename(error: InputError, names: Mapping[str, str]) -> None:
    """Name the argument of an error as the caller gave it; ``names`` maps the argument's name to that name."""
    before = str(getattr(error, "argument", ""))
    name, text = names.get(before, before), str(error)
    if name != before and text.startswith(f"{before}="):
        error.args = (_text(f"{name}{text[len(before) :]}"), *error.args[1:])
        error.__dict__["argument"] = name


@contextmanager
def naming(names: Mapping[str, str]) -> Iterator[None]:
    """Name arguments in the InputErrors of the code inside as the caller gave them; see `rename`."""
    try:
        yield
    except InputError as error:
        rename(error, names)
        raise


class ConfigurationError(OneError):
    """A setting is missing; the text names it and how to set it."""


class OfflineError(ConfigurationError):
    """A remote query on an instance for which no database is configured."""


class ServerError(OneError):
    """A request to a server failed."""

    http_status = 502

    url: str = ""


class ServerUnreachable(ServerError, ConnectionError):
    """No connection, or a broken one, after all retries."""

    http_status = 503


class LoginError(ServerError, PermissionError):
    """No token, a wrong one, a refused login, or not enough rights.

    Examples:
        >>> from one_async import AlyxClient
        >>> from one_async.errors import LoginError
        >>> try:
        ...     AlyxClient().authenticate("demo", "wrong", force=True)
        ... except LoginError as error:
        ...     print(error.status)
        400
    """

    status: int = 403


class StatusError(ServerError):
    """The server answered with an error status.

    Examples:
        >>> from one_async.errors import StatusError
        >>> try:
        ...     one.alyx.post("/sessions", {"subject": "nobody"})
        ... except StatusError as error:
        ...     print(error.status, error.detail)
        400 {'subject': ['Object with nickname=nobody does not exist.']}
    """

    status: int = 0
    detail: object = None

    def __new__(cls, message: str = "", **attributes: object) -> Self:
        if cls not in SUBSTITUTES:
            return super().__new__(cls, message)
        kind, base = SUBSTITUTES[cls]
        made: Self = base.__new__(kind, message)
        return made


class NotFound(StatusError, LookupError):
    """The server answered 404.

    Examples:
        >>> from one_async.errors import NotFound
        >>> try:
        ...     one.alyx.rest("sessions", "read", id="00000000-0000-0000-0000-000000000000")
        ... except NotFound as error:
        ...     print(error.status, error.detail)
        404 No Session matches the given query.
    """

    http_status = 404

    status: int = 404


class Throttled(StatusError):
    """The server answered 429 until the retries ran out."""

    http_status = 503

    status: int = 429


class AnswerError(ServerError):
    """An answer that does not follow the endpoint's documentation: an HTML page, broken JSON, a body cut short."""


class ConflictError(OneError):
    """Another client changed a record meanwhile, so that a change to it was not made.

    ``endpoint``, ``id`` and ``field`` identify the field to be changed; ``found`` is what the field contains now.

    Examples:
        >>> from one_async.errors import ConflictError
        >>> insertion = one.alyx.json_field_write("insertions", pid, "json", ["a list"])
        >>> try:
        ...     one.alyx.json_field_update("insertions", pid, "json", {"depth": 3})
        ... except ConflictError as error:
        ...     print(error.field, error.found)
        json ['a list']
    """

    http_status = 409

    endpoint: str = ""
    id: str = ""
    field: str = ""
    found: object = None


class TransferError(ServerError):
    """A file could not be fetched."""

    path: str = ""


class HashMismatch(TransferError):
    """The received bytes are not those that the record describes; nothing was kept."""

    expected: str = ""
    found: str = ""


class UnsafePath(TransferError):
    """A record or an archive names a path outside its folder."""


class StorageError(OneError, OSError):
    """A disk error: the disk is full or read-only, permission is denied, or too many files are open.

    ``path`` names the file, ``errno`` is the system's number; the system's own error is the cause.
    """

    path: str = ""
    errno: int | None = None

    @classmethod
    def of(cls, error: OSError, file: object = None) -> StorageError:
        """Convert an OSError, with its message and its file, or ``file`` where a write does not know its name.

        Examples:
            >>> from one_async.errors import StorageError
            >>> error = StorageError.of(PermissionError(13, "Permission denied", "data/spikes.times.npy"))
            >>> error.errno, str(error.path)
            (13, 'data/spikes.times.npy')
        """
        path = str(file if error.filename is None and file is not None else error.filename or "")
        why = error.strerror or shown(error) or type(error).__name__
        text = f"{path}: {why}" if path else why
        return cls(text, path=path, errno=error.errno)


class RegistrationError(OneError):
    """Some sessions or files were not registered.

    ``refused`` has the reason by path, ``registered`` the records of the files that were registered before and stay, and
    ``sessions`` those of sessions.

    Examples:
        >>> from one_async.errors import RegistrationError
        >>> try:
        ...     one.register_session(folder, file_list=[folder / "notes.txt"])
        ... except RegistrationError as error:
        ...     print(*error.refused.values())
        the name is not object.attribute.extension, as ALF has it
    """

    http_status = 422

    refused: Mapping[str, str] = MappingProxyType({})
    registered: Sequence[Mapping[str, object]] = ()
    sessions: Sequence[Mapping[str, object]] = ()

    @classmethod
    def of(
        cls,
        refused: Mapping[str, str],
        registered: Sequence[Mapping[str, object]] = (),
        sessions: Sequence[Mapping[str, object]] = (),
    ) -> RegistrationError:
        """Return an error that names the refused items and the number of registered ones.

        Examples:
            >>> from one_async.errors import RegistrationError
            >>> error = RegistrationError.of({"a.npy": "no dataset type"})
            >>> error.refused
            {'a.npy': 'no dataset type'}
        """
        shown = [f"{path}: {reason}" for path, reason in refused.items()]
        more = f"; and {len(shown) - 3} more, all in .refused" if len(shown) > 3 else ""
        done = f"; {len(registered)} files of {len(sessions)} sessions were registered" if sessions else ""
        text = (
            f"{len(refused)} not registered{done or '; nothing was registered'}: {'; '.join(shown[:3])}{more}"
        )
        return cls(text, refused=dict(refused), registered=list(registered), sessions=list(sessions))


class HarvestUnderWay(OneError):
    """Another harvest was still writing the same endpoint to the same place when this one stopped waiting."""

    http_status = 409

    endpoint: str = ""


class TablesError(OneError):
    """Cache tables that are absent or cannot be read."""

    http_status = 503


class TablesNotFound(TablesError):
    """There are no cache tables in the folder."""


class TablesDamaged(TablesError):
    """A file that should hold a cache table cannot be read as one."""


class ALFError(OneError):
    """An error of ALF paths or objects. Where ONE-api is imported, its ``except`` clauses catch it under the same name."""

    http_status = 422

    def __init__(self, message: str = "", **attributes: object) -> None:
        adopt_one_api(ALFError)
        super().__init__(message, **attributes)

    @property
    def message(self) -> str:
        """The text, as ONE-api's errors have it."""
        return str(self)


class ALFInvalid(ALFError, ValueError):
    """A path or file name that does not follow the ALF specification."""

    http_status = 400


class ALFObjectNotFound(ALFError):
    """No dataset matches the request.

    Examples:
        >>> one.load_object(eid, "nothing")
        Traceback (most recent call last):
            ...
        one_async.errors.ALFObjectNotFound: SU_101 2024-06-24 #1 (...): the session has no object 'nothing'; it has ...
    """

    http_status = 404


class ALFMultipleObjectsFound(ALFError):
    """The datasets that match belong to more than one object."""


class ALFMultipleCollectionsFound(ALFError):
    """The datasets that match belong to more than one collection."""


class ALFMultipleRevisionsFound(ALFError):
    """The datasets that match belong to more than one revision, none of them the default."""


class FileDamaged(ALFError):
    """A file whose content does not match its suffix: cut short, empty, or of another format."""

    http_status = 500

    path: str = ""


class OneWarning(UserWarning):
    """The base class of all warnings."""


class StaleAnswerWarning(OneWarning):
    """The server cannot be reached, so a stored answer is returned that is older than allowed."""


class CacheWarning(OneWarning):
    """The shared REST cache cannot be reached; requests go to the server meanwhile, and nothing is stored."""


class IncompleteListWarning(OneWarning):
    """Fewer distinct rows were received than the server counted."""


class EmptySearchWarning(OneWarning):
    """A search found nothing because one of its terms names something that does not exist."""


class TablesWarning(OneWarning):
    """Cache tables could not be refreshed; the loaded ones stay in use."""


class ALFWarning(OneWarning):
    """A dataset is unusual in a way that the caller should know."""
