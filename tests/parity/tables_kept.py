"""Where searches and lists in tables differ from ONE-api's local mode on purpose: what, why, and a call that shows it.

The suite fails when a call does not differ any more, so that its entry can be removed.
"""

# ruff: noqa: E501 - rows of a table

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kept:
    """An intended difference and a call that shows it; texts that begin with ``$`` stand for values of the tables."""

    what: str
    why: str
    method: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    wildcards: bool = True


UNKNOWN = "00000000-0000-4000-8000-000000000000"

KEPT: dict[str, Kept] = {
    "qc alone": Kept(
        "`search(dataset_qc_lte=…)` without datasets", "Sessions with any dataset that is so good, as ONE-api's documentation says; its code gives none.",
        "search", kwargs={"dataset_qc_lte": "PASS"},
    ),
    "root file": Kept(
        "`search(datasets=…)` for a file in the session's folder itself", "It is found; ONE-api does not see it if others of the session's datasets have a collection.",
        "search", kwargs={"datasets": "_ibl_experiment.description.yaml"},
    ),
    "name list": Kept(
        "`filename=[…]`, or with regular expressions `a|b`", "Each of the names may be in a collection; in ONE-api only the first.",
        "list_datasets", ["$with spikes"], {"filename": ["nothing.here.npy", "spikes.times.npy"]},
    ),
    "text list": Kept(
        "`search(subject=[a, b])` with `wildcards=False`", "Any of the texts; ONE-api looks for the texts joined by `|`.",
        "search", kwargs={"subject": "$two subjects"}, wildcards=False,
    ),
    "unread pattern": Kept(
        "a pattern that is none, such as `*x` as a regular expression", "Always an InputError; ONE-api ignores it where nothing is left to match.",
        "list_collections", [UNKNOWN], {"collection": "*x"}, wildcards=False,
    ),
    "insertions": Kept(
        "`search_insertions` in tables", "Insertions are found; ONE-api compares their ids with those of sessions and finds none.",
        "_search_insertions", kwargs={"name": "probe00"},
    ),
    "year or month": Kept(
        "`search(date='2020')`, `search(date='2020-05')`", "The whole year or month; to ONE-api its first day.",
        "search", kwargs={"date": "2020"},
    ),
    "nothing": Kept(
        "`search(subject='')`, `search(subject=[])`", "InputError in every mode, as a value that got lost on the way would give every session; in ONE-api's tables the term is without effect.",
        "search", kwargs={"subject": []},
    ),
    "no value": Kept(
        "a term that is None", "As if not given, so that callers can pass arguments on; ONE-api raises a TypeError.",
        "search", kwargs={"date_range": None},
    ),
    "date text": Kept(
        "`search(date_range='Jan 2 2020')`", "Dates are ISO text, with or without zeros (`2020-1-2`, `2020/01`); ONE-api also guesses at other forms, and reads `05/01/2020` as the 1st of May.",
        "search", kwargs={"date_range": ["Jan 2 2020", None]},
    ),
    "unknown eid": Kept(
        "`list_datasets` of a session without datasets", "An empty list where paths are asked for; ONE-api gives an empty frame.",
        "list_datasets", [UNKNOWN],
    ),
    "no datasets": Kept(
        "`get_details(eid, full=True)` of a session without datasets", "No rows; ONE-api gives one row without a dataset.",
        "get_details", ["$without datasets"], {"full": True},
    ),
    "folder parts": Kept(
        "`filename={'revision': …}`, `{'collection': …}`", "The mapping's parts filter as the arguments of that name do; ONE-api takes no notice of them.",
        "list_datasets", ["$with spikes"], {"filename": {"object": "*", "collection": "alf/probe00*"}},
    ),
    "two spellings": Kept(
        "`search(lab=…, laboratory=…)`", "InputError, since one of them was a mistake; ONE-api takes the last.",
        "search", kwargs={"lab": "a", "laboratory": "lab"},
    ),
    "unused argument": Kept(
        "an impossible `dataset_qc_lte`, `qc` or `datasets` where no session is left to look at", "InputError, as everywhere else; ONE-api gives an empty answer.",
        "search", kwargs={"subject": "nobody", "datasets": "spikes.times.npy", "dataset_qc_lte": "GOOD"},
    ),
    "flags inside": Kept(
        "`(?i)` in a list of patterns, but in its first", "InputError: Python reads flags only at the beginning of the alternatives. ONE-api answers where its texts are Arrow's.",
        "search", kwargs={"subject": ["zzz", "(?i)ks"]},
    ),
}  # fmt: skip
