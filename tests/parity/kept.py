"""Where answers differ from ONE-api's on purpose: the difference, the reason, and how to recognize such a call.

The suite fails when no call shows a difference any more, so that its entry can be removed.
"""

# ruff: noqa: E501 - rows of tables

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Answer = dict[str, Any]
LIST_IS_ALL = ("dataset", "date", "django")


@dataclass(frozen=True)
class Call:
    """A call and both answers."""

    method: str
    mode: str
    args: list[Any]
    kwargs: dict[str, Any]
    theirs: Answer
    ours: Answer

    @property
    def error(self) -> str:
        """The text of ONE-api's error."""
        return str(self.theirs.get("text", ""))

    @property
    def kinds(self) -> tuple[Any, Any]:
        """The kinds of both errors, None for an answer."""
        return self.theirs.get("error"), self.ours.get("error")

    @property
    def given(self) -> Any:
        """The first argument."""
        return self.args[0] if self.args else None


@dataclass(frozen=True)
class Kept:
    """An intended difference."""

    what: str
    why: str
    applies: Callable[[Call], bool]


def _has_list(call: Call) -> bool:
    return any(
        isinstance(value, list) and not term.startswith(LIST_IS_ALL) for term, value in call.kwargs.items()
    )


SEARCHES = ("search", "search_insertions")
LISTS = ("list_datasets", "list_collections", "list_revisions")

KEPT: dict[str, Kept] = {
    "any of": Kept(
        "`search(subject=[a, b])`, `search_insertions(name=[…])` remotely",
        "A list means any of its members, as in ONE-api's own local mode. ONE-api sends the list joined by commas, and the server, "
        "which takes it for one odd name, finds nothing or refuses.",
        lambda call: call.method in SEARCHES and call.mode == "remote" and _has_list(call) and call.kinds[1] is None,
    ),
    "projects": Kept(
        "`search(proj=…)` remotely",
        "`proj` is short for `projects`. ONE-api calls it ambiguous, as the server has one filter under two names, project and projects.",
        lambda call: call.method == "search" and "Ambiguous search term" in call.error and "proj" in call.kwargs,
    ),
    "more terms": Kept(
        "`search_insertions(projects=…, date_range=…, dataset=…)`",
        "The terms of a session search are understood for insertions, too; ONE-api refuses those that the server's endpoint names otherwise.",
        lambda call: call.method == "search_insertions" and "Invalid search term" in call.error and call.kinds[1] is None,
    ),
    "unknown mode": Kept(
        "`query_type='wrong'`", "An unknown mode is refused; ONE-api takes it for remote.",
        lambda call: call.kwargs.get("query_type") == "wrong" and call.kinds[1] == "bad input",
    ),
    "all subjects": Kept(
        "`list_subjects()` remotely",
        "All subjects of the database. ONE-api lists those of the sessions that happened to be asked for before, at first none.",
        lambda call: call.method == "list_subjects" and call.mode == "remote" and _part(call.theirs, call.ours),
    ),
    "terms": Kept(
        "`search_terms()`",
        "The names are sorted, once each; `lab` stands as `laboratory` and paging (`limit`, `offset`) is no search term. All are understood by `search`.",
        lambda call: call.method == "search_terms" and _part(call.theirs, call.ours, {"lab", "limit", "offset"}),
    ),
    "endpoints": Kept(
        "`alyx.list_endpoints()`", "The pages of the server's own documentation (`docs`) are no endpoint.",
        lambda call: call.method == "alyx.list_endpoints" and _part(call.theirs, call.ours, {"docs"}),
    ),
    "offset": Kept(
        "`alyx.rest(…, limit=5, offset=3)`",
        "The rows from the fourth on, each once. ONE-api repeats some: it counts its pages as if they began at the first row.",
        lambda call: call.method == "alyx.rest" and "offset" in call.kwargs and call.kinds == (None, None),
    ),
    "types of names": Kept(
        "`dataset2type(name)`, `describe_dataset(name)`",
        "The database is asked. ONE-api knows only the names of datasets that were listed before in the same process.",
        lambda call: call.method in ("dataset2type", "describe_dataset") and "not found in cache" in call.error,
    ),
    "revision text": Kept(
        "`describe_revision(name)`", "Gives the description, and ALFObjectNotFound for a revision that is not there; ONE-api prints either and gives None.",
        lambda call: call.method == "describe_revision" and call.theirs == {"value": None},
    ),
    "unknown session": Kept(
        "`eid2ref`, `get_details`, `ref2eid`, `list_datasets`, … of a session that nobody knows",
        "ALFObjectNotFound, in every mode. ONE-api gives an AttributeError, an AssertionError, a KeyError, None or an empty answer, by method and mode.",
        lambda call: call.kinds[1] == "not found" and call.kinds[0] in ("bad input", None) and _names_nobody(call),
    ),
    "unknown reference": Kept(
        "`to_eid('2001-01-01_1_nobody')`", "None, as for a path or record that is not known; ONE-api gives an AssertionError for references alone.",
        lambda call: call.method == "to_eid" and call.ours == {"value": None} and call.kinds[0] == "bad input",
    ),
    "no id": Kept(
        "`pid2eid('nonsense')`", "Text that is no id is refused; ONE-api asks the server and gives (None, None).",
        lambda call: call.method == "pid2eid" and call.kinds == (None, "bad input"),
    ),
    "references of texts": Kept(
        "`dict2ref({'date': '2020-01-01', …})`", "Dates may be texts, as `eid2ref(parse=False)` gives them; ONE-api gives a ValueError.",
        lambda call: call.method == "dict2ref" and call.kinds == ("bad input", None),
    ),
    "parse": Kept(
        "`path2ref(path, as_dict=False, parse=False)`", "`parse=` is understood with `as_dict=False`, too; ONE-api gives a TypeError.",
        lambda call: call.method == "path2ref" and "unexpected keyword argument 'parse'" in call.error,
    ),
    "no address": Kept(
        "anything about a session with a dataset that has no address (`data_url` null)",
        "Its datasets are listed, and those that have an address can be loaded; ONE-api gives a TypeError for the whole session.",
        lambda call: "a bytes-like object is required" in call.error,
    ),
    "no size": Kept(
        "anything, the second time, about a session with a dataset whose size is not recorded; loading that dataset",
        "The same answer as the first time. ONE-api gives a KeyError when it merges the session into its tables again, and a TypeError when it "
        "compares the size with that of the file.",
        lambda call: "KeyError: np.int64" in call.error or "boolean value of NA is ambiguous" in call.error,
    ),
    "default revisions": Kept(
        "`list_datasets(default_revisions_only=True)` remotely", "The flag is obeyed in every mode; ONE-api drops it remotely.",
        lambda call: call.method in LISTS and call.mode == "remote" and bool(call.kwargs.get("default_revisions_only")),
    ),
    "critical": Kept(
        "`path2record` of a dataset whose QC is CRITICAL",
        "A path is found whatever its dataset's QC. Loads leave such datasets out, as ONE-api does, unless `qc=` asks for them.",
        lambda call: call.method == "path2record" and call.kinds[1] is None and call.theirs == {"value": None},
    ),
    "revision of a collection": Kept(
        "`load_collection(revision=)`",
        "The revision or the last before it, as in every load. ONE-api takes the revision for the collection, and finds nothing.",
        lambda call: call.method == "load_collection" and "revision" in call.kwargs and call.kinds[0] == "not found" != call.kinds[1],
    ),
    "cannot be fetched": Kept(
        "loading a dataset that no reachable server has", "TransferError, which says where it would have been; ONE-api gives the error for a dataset that is not in the database.",
        lambda call: call.kinds == ("not found", "TransferError"),
    ),
    "any name": Kept(
        "`eid2path` of a path, reference, record or URL, without database", "Every method takes every name of a session; ONE-api takes ids alone here.",
        lambda call: call.method == "eid2path" and "is not a valid eID" in call.error and call.kinds[1] is None,
    ),
    "empty list": Kept(
        "`list_datasets` of a session that the tables do not know", "An empty list where paths were asked for; ONE-api gives an empty frame.",
        lambda call: call.method == "list_datasets" and call.ours == {"value": []} and "frame" in (call.theirs.get("value") or ()),
    ),
    "query_type everywhere": Kept(
        "`query_type=` without database", "Every method that asks takes it; ONE-api's class for the local mode has it for some.",
        lambda call: "unexpected keyword argument 'query_type'" in call.error,
    ),
    "exists": Kept(
        "`exists` in records of datasets, local mode", "What the tables say of the database. ONE-api sets it to whether the file is on disk, for the "
        "datasets that it happened to look for.",
        lambda call: call.mode == "local" and "'exists': False" in str(call.theirs) and "'exists': True" in str(call.ours)
        and str(call.theirs).count("None") >= str(call.ours).count("None") - 1,
    ),
    "folder": Kept(
        "`cache_dir` of an instance without database", "Always a Path; ONE-api gives whatever it was given.",
        lambda call: call.method == "cache_dir" and isinstance(call.theirs.get("value"), str),
    ),
    "no server": Kept(
        "`path2url` and `record2url` without database", "ConfigurationError, which says what to set; ONE-api gives an AssertionError.",
        lambda call: call.method in ("path2url", "record2url") and call.kinds[1] == "ConfigurationError",
    ),
    "data server": Kept(
        "`path2url` of a dataset for which the database has no address", "Made from the data server's address (`data_server`); ONE-api gives ALFObjectNotFound.",
        lambda call: call.method == "path2url" and call.kinds == ("not found", None),
    ),
}  # fmt: skip


def _part(few: Answer, many: Answer, but: set[str] = frozenset()) -> bool:  # type: ignore[assignment]
    """Return whether another answer has all names of this answer except those of ``but``."""
    return set(few.get("value") or ()) - but <= set(many.get("value") or ())


def _names_nobody(call: Call) -> bool:
    text = str([call.args, call.kwargs])
    return any(
        name in text for name in ("00000000-0000-4000-8000-000000000000", "nobody", "no.such", "no-such")
    )


def reason(method: str, mode: str, call: list[Any], theirs: Answer, ours: Answer) -> str | None:
    """Return the name of the intended difference that a call shows, or None."""
    seen = Call(method, mode, call[1], call[2], theirs, ours)
    return next((name for name, kept in KEPT.items() if kept.applies(seen)), None)
