"""The table of calls. Each row is called for every session, insertion or other example that its group applies to.

``$name`` in arguments stands for a value of the example: `$eid`, `$path`, `$ref`, … of a session, `$pid` of an insertion, `$subject`
of a search. See `examples`.
"""

# ruff: noqa: E501 - rows of tables

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from worlds import Facts

UNKNOWN = "00000000-0000-4000-8000-000000000000"


class Row(NamedTuple):
    """A call of a method of `one`."""

    method: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = MappingProxyType({})
    modes: str = "local remote"


class Made(NamedTuple):
    """A row with its placeholders replaced."""

    row: Row
    call: list[Any]
    over: str
    example: dict[str, Any]


def fill(value: Any, example: dict[str, Any]) -> Any:
    """Replace placeholders by an example's values."""
    if isinstance(value, str) and value.startswith("$") and value[1:] in example:
        return example[value[1:]]
    if isinstance(value, str) and ",$" in value:
        head, _, name = value.partition("$")
        return head + str(example[name])
    if isinstance(value, list | tuple):
        return [fill(item, example) for item in value]
    if isinstance(value, Mapping):
        return {key: fill(item, example) for key, item in value.items()}
    return value


# ---- searches: one example a world and seed ----

SEARCHES = [
    Row("search"),
    Row("search", kwargs={"details": True}),
    Row("search", kwargs={"subject": "$subject"}),
    Row("search", kwargs={"subject": "$subject", "details": True}),
    Row("search", kwargs={"subj": "$subject"}),
    Row("search", kwargs={"nickname": "$subject"}, modes="remote"),
    Row("search", kwargs={"lab": "$lab"}),
    Row("search", kwargs={"laboratory": "$lab"}),
    Row("search", kwargs={"lab": "$lab", "number": 1}),
    Row("search", kwargs={"number": 2}),
    Row("search", kwargs={"number": "$number", "subject": "$subject"}),
    Row("search", kwargs={"num": 1, "subject": "$subject"}),
    Row("search", kwargs={"date_range": "$span"}),
    Row("search", kwargs={"date_range": "$span", "details": True}),
    Row("search", kwargs={"date": "$day"}),
    Row("search", kwargs={"date_range": "$day"}),
    Row("search", kwargs={"date_range": ["$day", None]}),
    Row("search", kwargs={"date_range": [None, "$day"]}),
    Row("search", kwargs={"date": {"$date": "$day"}}),
    Row("search", kwargs={"task_protocol": "$task"}),
    Row("search", kwargs={"task": "training"}),
    Row("search", kwargs={"task": "$task", "lab": "$lab"}),
    Row("search", kwargs={"project": "$project"}),
    Row("search", kwargs={"projects": "$project", "lab": "$lab"}),
    Row("search", kwargs={"proj": "$project", "subject": "$subject"}),
    Row("search", kwargs={"dataset": "$dataset"}, modes="local"),
    Row("search", kwargs={"datasets": "$dataset"}),
    Row("search", kwargs={"datasets": ["$dataset", "$dataset2"]}),
    Row("search", kwargs={"datasets": "$dataset", "lab": "$lab", "details": True}),
    Row("search", kwargs={"datasets": "$dataset", "dataset_qc_lte": "PASS"}),
    Row("search", kwargs={"datasets": "$dataset", "dataset_qc_lte": "WARNING"}),
    Row("search", kwargs={"datasets": "$dataset", "dataset_qc_lte": "CRITICAL", "subject": "$subject"}),
    Row("search", kwargs={"dataset_types": "$type"}, modes="remote"),
    Row("search", kwargs={"dataset_types": ["$type", "$type2"]}, modes="remote"),
    Row("search", kwargs={"dataset_type": "$type", "lab": "$lab"}, modes="remote"),
    Row("search", kwargs={"performance_gte": 70}, modes="remote"),
    Row("search", kwargs={"performance_lte": 60}, modes="remote"),
    Row("search", kwargs={"performance_gte": "$percent", "task": "$task"}, modes="remote"),
    Row("search", kwargs={"users": "$user"}, modes="remote"),
    Row("search", kwargs={"users": ["$user", "$user2"]}, modes="remote"),
    Row("search", kwargs={"location": "$location"}, modes="remote"),
    Row("search", kwargs={"qc": "PASS"}, modes="remote"),
    Row("search", kwargs={"qc": "critical"}, modes="remote"),
    Row("search", kwargs={"procedures": "$procedure"}, modes="remote"),
    Row("search", kwargs={"narrative": "a"}, modes="remote"),
    Row("search", kwargs={"tag": "$tag"}, modes="remote"),
    Row("search", kwargs={"atlas_acronym": "$acronym"}, modes="remote"),
    Row("search", kwargs={"atlas_name": "$region"}, modes="remote"),
    Row("search", kwargs={"atlas_id": "$region_id"}, modes="remote"),
    Row("search", kwargs={"atlas": "$acronym"}, modes="remote"),
    Row("search", kwargs={"histology": True}, modes="remote"),
    Row("search", kwargs={"id": "$eid"}, modes="remote"),
    Row("search", kwargs={"n_trials": 740}, modes="remote"),
    Row("search", kwargs={"django": "subject__nickname,$subject"}, modes="remote"),
    Row("search", kwargs={"django": "$django_subject"}, modes="remote"),
    Row("search", kwargs={"django": "n_trials__gte,300"}, modes="remote"),
    Row("search", kwargs={"django": "n_trials__gte,300,n_trials__lt,600"}, modes="remote"),
    Row("search", kwargs={"django": ["n_trials__gte", "300"]}, modes="remote"),
    Row("search", kwargs={"django": "~task_protocol__icontains,training"}, modes="remote"),
    Row("search", kwargs={"django": "$django_tag"}, modes="remote"),
    Row("search", kwargs={"django": "start_time__date__gte,2020-01-01", "lab": "$lab"}, modes="remote"),
    Row("search", kwargs={"subject": "no such subject"}),
    Row("search", kwargs={"lab": "no such lab"}),
    Row("search", kwargs={"datasets": "no.such.npy"}),
    Row("search", kwargs={"subject": "$subject", "query_type": "local"}, modes="local"),
    Row("search", kwargs={"subject": ["$subject", "$subject2"]}),
    Row("search", kwargs={"lab": ["$lab", "$lab2"]}),
    Row("search", kwargs={"number": [1, 2]}),
    Row("search", kwargs={"task_protocol": ["biased", "ephys"]}),
    Row("search", kwargs={"project": ["$project", "$project2"]}),
    Row("search", kwargs={"nonsense": 1}),
    Row("search", kwargs={"d": "ambiguous"}),
    Row("search", kwargs={"da": "ambiguous"}),
    Row("search", kwargs={"date_range": "no date"}),
    Row("search", kwargs={"date_range": ["2020-01-01", "2020-01-02", "2020-01-03"]}),
    Row("search", kwargs={"number": "x"}),
    Row("search", kwargs={"subject": "$subject", "query_type": "wrong"}, modes="remote"),
    Row("search", kwargs={"dataset_qc_lte": "nonsense", "datasets": "$dataset"}),
    Row("list_subjects"),
    Row("search", kwargs={"subject": "$subject_regex"}, modes="local"),
    Row("search", kwargs={"datasets": "$dataset_regex"}, modes="local"),
    Row("search", kwargs={"datasets": ".*Camera.*"}, modes="local"),
    Row("search", kwargs={"task": "^_iblrig.*[0-9]$"}, modes="local"),
    Row("search_terms"),
    Row("search_terms", ["local"], modes="remote"),
]

INSERTION_SEARCHES = [
    Row("search_insertions", kwargs=kwargs, modes="remote")
    for kwargs in [
        {}, {"details": True}, {"subject": "$subject"}, {"lab": "$lab"}, {"name": "probe00"}, {"name": "probe01", "lab": "$lab"},
        {"project": "$project"}, {"projects": "$project"}, {"task_protocol": "ephys"}, {"task": "ephys", "details": True},
        {"date_range": "$span"}, {"date": "$day"}, {"number": 1}, {"datasets": "spikes.times.npy"},
        {"datasets": ["spikes.times.npy", "clusters.channels.npy"]}, {"datasets": "spikes.times.npy", "dataset_qc_lte": "PASS"},
        {"dataset_types": "spikes.times"}, {"atlas_acronym": "$acronym"}, {"atlas_acronym": ["$acronym", "$acronym2"]},
        {"atlas_name": "$region"}, {"atlas_id": "$region_id"}, {"tag": "$tag"}, {"model": "$model"}, {"session": "$eid"},
        {"django": "session__subject__nickname,$subject"}, {"django": "json__extended_qc__alignment_resolved,True"},
        {"django": "session__task_protocol__icontains,ephys"}, {"dataset": "spikes.times"}, {"nonsense": 1}, {"subject": "nobody"},
        {"subject": ["$subject", "$subject2"]}, {"lab": ["$lab", "$lab2"]}, {"name": ["probe00", "probe01"]}, {"date_range": "no date"},
        {"atlas_acronym": "NOREGION"}, {"name": "probe00", "query_type": "remote", "details": True}, {"lab": "$lab", "number": 1},
    ]
]  # fmt: skip

# ---- sessions ----

SESSION_NAMES = [
    "$eid",
    "$uuid",
    "$short_path",
    "$ref",
    "$url",
    "$ref_dict",
    "$local_path",
    "$posix_path",
    "$session_url",
]
IDENTIFIERS = [
    *(Row("to_eid", [name]) for name in [*SESSION_NAMES, "$record"]),
    Row("to_eid", [["$eid", "$ref", "$short_path"]]),
    Row("to_eid", [], {"id": "$ref"}),
    *(Row("eid2path", [name]) for name in SESSION_NAMES),
    Row("eid2path", [["$eid", "$uuid"]]),
    *(Row("path2eid", [name]) for name in ["$short_path", "$local_path", "$posix_path", "$file_path", "$url_path"]),
    Row("path2eid", [["$short_path", "$file_path"]]),
    *(Row("eid2ref", [name]) for name in ["$eid", "$uuid", "$short_path", "$ref", "$ref_dict"]),
    *(Row("eid2ref", ["$eid"], kwargs) for kwargs in [{"as_dict": False}, {"parse": False}, {"as_dict": False, "parse": False}]),
    Row("eid2ref", [["$eid", "$uuid"]]),
    Row("eid2ref", [["$eid", "$eid"]], {"as_dict": False}),
    *(Row("ref2eid", [name]) for name in ["$ref", "$ref_padded", "$ref_dict", "$ref_date"]),
    Row("ref2eid", [["$ref", "$ref_dict"]]),
    *(Row("ref2path", [name]) for name in ["$ref", "$ref_padded", "$ref_dict"]),
    Row("ref2path", [["$ref", "$ref"]]),
    *(Row("path2ref", [name]) for name in ["$short_path", "$local_path", "$posix_path", "$file_path", "$url_path"]),
    *(Row("path2ref", ["$short_path"], kwargs) for kwargs in [{"as_dict": False}, {"parse": False}, {"as_dict": False, "parse": False}]),
    Row("path2ref", [["$short_path", "$local_path"]]),
    *(Row("is_exp_ref", [name]) for name in ["$ref", "$ref_padded", "$ref_dict", "$eid", "$short_path"]),
    Row("is_exp_ref", [["$ref", "$eid"]]),
    *(Row("ref2dict", [name]) for name in ["$ref", "$ref_padded"]),
    Row("ref2dict", ["$ref"], {"parse": False}),
    Row("ref2dict", [["$ref", "$ref_padded"]]),
    *(Row("dict2ref", [name]) for name in ["$ref_dict", "$ref_date"]),
    Row("dict2ref", [["$ref_dict", "$ref_date"]]),
]  # fmt: skip
DETAILS = [
    *(Row("get_details", [name]) for name in ["$eid", "$uuid", "$short_path", "$ref", "$local_path"]),
    Row("get_details", ["$eid"], {"full": True}),
    Row("get_details", [["$eid", "$eid"]], modes="remote"),
    Row("get_details", [["$eid"]], {"full": True}, modes="remote"),
    Row("get_details", ["$eid"], {"query_type": "local"}, modes="local"),
    Row("eid2pid", ["$eid"], modes="remote"),
    Row("eid2pid", ["$ref"], modes="remote"),
    Row("eid2pid", ["$eid"], {"details": True}, modes="remote"),
    Row("eid2pid", ["$eid"], {"name": "probe00"}, modes="remote"),
]
LISTS = [
    *(Row("list_datasets", [name]) for name in ["$eid", "$uuid", "$short_path", "$ref", "$local_path"]),
    *(
        Row("list_datasets", ["$eid"], kwargs)
        for kwargs in [
            {"details": True}, {"details": True, "keep_eid_index": True}, {"collection": "alf"}, {"collection": "alf/probe*"},
            {"collection": "*probe*"}, {"collection": ""}, {"collection": "raw*"}, {"collection": ["alf", "raw_behavior_data"]},
            {"filename": "*spikes*"}, {"filename": "*trials*", "collection": "alf"}, {"filename": "*.npy", "details": True},
            {"filename": ["*spikes*", "*clusters*"]}, {"filename": {"attribute": ["timestamps", "intervals"], "extension": "npy"}},
            {"filename": {"object": "trials"}}, {"filename": {"object": "wheel*", "attribute": "*"}, "details": True},
            {"revision": ""}, {"revision": "202*"}, {"revision": "2024-02-15"}, {"qc": "PASS"}, {"qc": "WARNING"}, {"qc": 40},
            {"qc": "CRITICAL"}, {"qc": "WARNING", "ignore_qc_not_set": True}, {"ignore_qc_not_set": True},
            {"default_revisions_only": True}, {"default_revisions_only": True, "details": True, "collection": "alf*"},
            {"filename": "no.such.npy"}, {"collection": "nothing"}, {"filename": "*raw*"}, {"qc": "nonsense"},
        ]
    ),
    Row("list_datasets", ["$eid", "*spikes*", "alf/probe00*"]),
    Row("list_datasets", ["$eid", "spikes.times.npy"]),
    Row("list_datasets", ["$eid", "$some_name"]),
    Row("list_datasets", ["$eid", "$some_name"], {"details": True}),
    *(
        Row(method, ["$eid"], kwargs)
        for method in ("list_collections", "list_revisions")
        for kwargs in [
            {}, {"filename": "*spikes*"}, {"filename": "*trials*"}, {"collection": "alf*"}, {"collection": "*probe*"}, {"revision": "202*"},
            {"collection": "raw*", "revision": "2020-01-01"}, {"filename": {"object": "spikes"}}, {"details": True}, {"revision": "202[01]*"},
        ]
    ),
    Row("list_collections", ["$ref"]),
    Row("list_revisions", ["$short_path"]),
]  # fmt: skip

# ---- loads ----

LOADS = [
    Row("load_dataset", ["$eid", "$loadable"]),
    Row("load_dataset", ["$eid", "$loadable"], {"collection": "$loadable_collection"}),
    Row("load_dataset", ["$eid", "$loadable_path"]),
    Row("load_dataset", ["$eid", "$loadable_stem"], {"collection": "$loadable_collection"}),
    Row("load_dataset", ["$eid", "$loadable"], {"download_only": True}),
    Row("load_dataset", ["$ref", "$loadable"], {"collection": "$loadable_collection", "download_only": True}),
    Row("load_dataset", ["$short_path", "$loadable"], {"collection": "$loadable_collection"}),
    Row("load_dataset", ["$eid", "no.such.npy"]),
    Row("load_dataset", ["$eid", "*"]),
    Row("load_dataset", ["$eid", "*.npy"], {"collection": "alf"}),
    Row("load_dataset", ["$eid", {"object": "$loadable_object", "attribute": "$loadable_attribute"}], {"collection": "$loadable_collection"}),
    Row("load_dataset", ["$eid", "$loadable"], {"collection": "$loadable_collection", "revision": "2030-01-01"}),
    Row("load_dataset", ["$eid", "$loadable"], {"collection": "$loadable_collection", "revision": "2001-01-01"}),
    Row("load_datasets", ["$eid", ["$loadable_path"]]),
    Row("load_datasets", ["$eid", ["$loadable"]], {"collections": "$loadable_collection"}),
    Row("load_datasets", ["$eid", ["$loadable"]], {"collections": ["$loadable_collection"], "download_only": True}),
    Row("load_datasets", ["$eid", ["$loadable_path", "no.such.npy"]], {"assert_present": False, "download_only": True}),
    Row("load_datasets", ["$eid", ["$loadable_path", "no.such.npy"]]),
    Row("load_datasets", ["$eid", "text"]),
    Row("load_object", ["$eid", "$loadable_object"]),
    Row("load_object", ["$eid", "$loadable_object"], {"collection": "$loadable_collection"}),
    Row("load_object", ["$eid", "$loadable_object"], {"collection": "$loadable_collection", "download_only": True}),
    Row("load_object", ["$eid", "$loadable_object"], {"collection": "$loadable_collection", "attribute": ["$loadable_attribute"]}),
    Row("load_object", ["$eid", "$loadable_object"], {"collection": "$loadable_collection", "extension": "npy"}),
    Row("load_object", ["$eid", "$loadable_object"], {"collection": "nothing"}),
    Row("load_object", ["$eid", "nosuchobject"]),
    Row("load_object", ["$eid", "*"]),
    Row("load_object", ["$eid", "wheel", "alf"]),
    Row("load_object", ["$eid", "wheelMoves", "alf"]),
    Row("load_object", ["$eid", "licks"]),
    Row("load_object", ["$eid", "trials", "alf"], {"attribute": ["choice", "feedbackType"]}),
    Row("load_collection", ["$eid", "$loadable_collection"], {"object": "$loadable_object"}),
    Row("load_collection", ["$eid", "$loadable_collection"], {"object": "$loadable_object", "download_only": True}),
    Row("load_collection", ["$eid", "$loadable_collection"], {"object": "$loadable_object", "revision": "2030-01-01"}),
    Row("load_collection", ["$eid", "nothing"]),
    Row("load_dataset_from_id", ["$did"]),
    Row("load_dataset_from_id", ["$did"], {"download_only": True}),
    Row("load_dataset_from_id", ["$did"], {"details": True, "download_only": True}),
]  # fmt: skip
FILES = [
    Row("path2url", ["$loadable_file"]),
    Row("path2record", ["$loadable_file"]),
    Row("path2record", ["$local_path"]),
    Row("dataset2type", ["$did"], modes="remote"),
    Row("dataset2type", ["$did_uuid"], modes="remote"),
    Row("describe_dataset", ["$some_name"], modes="remote"),
    Row("type2datasets", ["$eid", "$its_type"], modes="remote"),
    Row("type2datasets", ["$eid", ["$its_type", "spikes.times"]], modes="remote"),
    Row("type2datasets", ["$eid", "$its_type"], {"details": True}, modes="remote"),
    Row("type2datasets", ["$ref", "spikes.clusters"], modes="remote"),
]
INSERTIONS = [
    Row("pid2eid", ["$pid"], modes="remote"),
    Row("pid2eid", ["$pid_uuid"], modes="remote"),
    Row("alyx.rest", ["insertions", "read"], {"id": "$pid"}, modes="remote"),
    Row("search_insertions", kwargs={"session": "$eid"}, modes="remote"),
]
UNKNOWNS = [
    *(Row(method, [UNKNOWN]) for method in ["to_eid", "eid2path", "eid2ref", "get_details", "list_datasets", "list_collections"]),
    *(Row(method, ["2001-01-01_1_nobody"]) for method in ["to_eid", "ref2eid", "ref2path", "list_datasets", "get_details"]),
    *(Row(method, ["nobody/2001-01-01/001"]) for method in ["to_eid", "path2eid", "list_datasets"]),
    *(Row(method, ["nonsense"]) for method in ["to_eid", "eid2path", "eid2ref", "ref2eid", "path2ref", "path2eid", "get_details",
                                               "list_datasets", "ref2dict", "is_exp_ref"]),
    *(Row(method, [5]) for method in ["to_eid", "eid2path", "list_datasets", "get_details", "load_dataset_from_id"]),
    *(Row(method, [None]) for method in ["to_eid", "is_exp_ref"]),
    Row("load_object", [UNKNOWN, "trials"]),
    Row("load_dataset", [UNKNOWN, "trials.choice.npy"]),
    Row("load_dataset_from_id", [UNKNOWN]),
    Row("pid2eid", [UNKNOWN], modes="remote"),
    Row("pid2eid", ["nonsense"], modes="remote"),
    Row("eid2pid", [UNKNOWN], modes="remote"),
    Row("dataset2type", [UNKNOWN], modes="remote"),
    Row("dataset2type", ["no.such.npy"], modes="remote"),
    Row("describe_dataset", ["no.such.npy"], modes="remote"),
    Row("describe_dataset", modes="remote"),
    Row("describe_revision", ["no-such"], modes="remote"),
]  # fmt: skip
REST = [
    Row("alyx.list_endpoints", modes="remote"),
    *(Row("alyx.rest", [endpoint, "list"], modes="remote") for endpoint in [
        "subjects", "labs", "projects", "users", "dataset-types", "data-formats", "tags", "revisions", "data-repository", "procedures",
        "insertions", "trajectories", "brain-regions", "notes", "weighings", "water-administrations", "sessions"]),
    *(Row("alyx.rest", ["sessions", "list"], kwargs, modes="remote") for kwargs in [
        {"lab": "$lab"}, {"subject": "$subject"}, {"limit": 5}, {"limit": 5, "offset": 3}, {"performance_gte": 70, "task_protocol": "ephys"},
        {"django": "n_trials__gte,300"}, {"no_cache": True}, {"expires": {"$timedelta": 3600}}, {"date_range": "$span"}, {"qc": "PASS"}]),
    *(Row("alyx.rest", ["subjects", "list"], kwargs, modes="remote") for kwargs in [{"lab": "$lab"}, {"sex": "F"}, {"alive": True}]),
    Row("alyx.rest", ["subjects", "read", "$subject"], modes="remote"),
    Row("alyx.rest", ["subjects", "read"], {"id": "$subject"}, modes="remote"),
    Row("alyx.rest", ["labs", "read", "$lab"], modes="remote"),
    Row("alyx.rest", ["dataset-types", "read", "spikes.times"], modes="remote"),
    Row("alyx.rest", ["datasets", "list"], {"subject": "$subject"}, modes="remote"),
    Row("alyx.rest", ["datasets", "list"], {"name": "$dataset"}, modes="remote"),
    Row("alyx.rest", ["trajectories", "list"], {"provenance": "Planned"}, modes="remote"),
    Row("alyx.rest", ["insertions", "list"], {"name": "probe00"}, modes="remote"),
    Row("alyx.rest", ["nonsense", "list"], modes="remote"),
    Row("alyx.rest", ["sessions", "nonsense"], modes="remote"),
    Row("alyx.rest", ["sessions", "read", UNKNOWN], modes="remote"),
    Row("alyx.rest", ["sessions", "list"], {"number": "x"}, modes="remote"),
    Row("alyx.get", ["/labs"], modes="remote"),
    Row("alyx.get", ["/sessions?limit=3"], modes="remote"),
    Row("alyx.is_logged_in", modes="remote"),
    Row("alyx.user", modes="remote"),
    Row("describe_dataset", ["spikes.times"], modes="remote"),
    Row("describe_dataset", ["$type"], modes="remote"),
    Row("dataset2type", ["$dataset"], modes="remote"),
    Row("describe_revision", ["2024-02-15"], modes="remote"),
    Row("describe_revision", ["2024-02-15"], {"full": True}, modes="remote"),
    *(Row("list_aggregates", args, modes="remote") for args in [["subjects"], ["subjects", "$aggregate"], ["tags"], ["projects"], ["Subjects"]]),
    Row("list_aggregates", ["subjects", "$aggregate", "*trials*"], modes="remote"),
    Row("list_aggregates", ["subjects"], {"dataset": "*.pqt"}, modes="remote"),
    Row("load_aggregate", ["subjects", "$aggregate", "no.such"], modes="remote"),
    Row("load_aggregate", ["subjects", "$aggregate", "_ibl_subjectTraining.table"], modes="remote"),
    Row("load_aggregate", ["subjects", "$aggregate", "_ibl_subjectTraining.table.pqt"], {"download_only": True}, modes="remote"),
    Row("load_aggregate", ["subjects", "$aggregate", "_ibl_subjectTrials.table"], {"download_only": True}, modes="remote"),
    Row("load_aggregate", ["subjects", "$aggregate", "_ibl_subjectTrials.table"], {"revision": "2024-02-15", "download_only": True}, modes="remote"),
    Row("load_aggregate", ["subjects", "$aggregate"], {"download_only": True}, modes="remote"),
    Row("list_aggregates", ["subjects", "$aggregate"], {"assert_unique": True}, modes="remote"),
    Row("list_aggregates", ["subjects", "$aggregate"], {"revision": "2024-02-15"}, modes="remote"),
    Row("load_aggregate", ["subjects", "nobody", "trials.table"], modes="remote"),
    Row("search_terms", ["remote"], modes="remote"),
    Row("search_terms", ["remote", "insertions"], modes="remote"),
    *(Row(method, modes="local") for method in ["list_datasets", "list_collections", "list_revisions"]),
    *(Row(method, [None], {"details": True}, modes="local") for method in ["list_datasets", "list_collections", "list_revisions"]),
    Row("list_datasets", [None, "spikes.times.npy"], modes="local"),
    Row("list_collections", [None, "*spikes*"], modes="local"),
    Row("offline", modes="local remote"),
    Row("mode", modes="local remote"),
    Row("cache_dir", modes="local remote"),
    Row("wildcards", modes="local remote"),
]  # fmt: skip


def _named(session: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """Return the identifiers of a session, and one of its datasets."""
    day, number, subject = str(session["date"]), session["number"], session["subject"]
    short = f"{subject}/{day}/{number:03d}"
    long = f"{session['lab']}/Subjects/{short}"
    example: dict[str, Any] = {
        "eid": session["eid"], "uuid": {"$uuid": session["eid"]}, "short_path": short, "ref": f"{day}_{number}_{subject}",
        "ref_padded": f"{day}_{number:03d}_{subject}", "ref_dict": {"subject": subject, "date": day, "sequence": number},
        "ref_date": {"subject": subject, "date": {"$date": day}, "sequence": number}, "local_path": {"$path": f"/somewhere/{long}"},
        "posix_path": f"/somewhere/{long}", "file_path": f"/somewhere/{long}/alf/spikes.times.npy",
        "url_path": f"https://data.test/{long}/alf/spikes.times.npy", "url": f"https://alyx.test/sessions/{session['eid']}",
        "session_url": f"https://data.test/{long}",
        "record": {"subject": subject, "start_time": f"{day}T10:00:00", "number": number, "lab": session["lab"]},
        "lab": session["lab"], "subject": subject,
    }  # fmt: skip
    paths = facts.paths(session["eid"])
    if paths:
        example |= {"some_path": paths[0], "some_name": paths[0].rpartition("/")[2]}
    return example


def loadable(session: dict[str, Any], facts: Facts, rng: random.Random) -> dict[str, Any] | None:
    """Choose a small dataset of a session that can be downloaded and read."""
    rows = facts.datasets.filter(facts.datasets["eid"] == session["eid"])
    found = [
        row
        for row in rows.iter_rows(named=True)
        if row["rel_path"].endswith(".npy") and (row["file_size"] or 0) < 300_000
    ]
    if not found:
        return None
    row = rng.choice(found)
    folder, _, name = row["rel_path"].rpartition("/")
    folder = folder.rpartition("/#")[0] if "#" in folder else folder
    stem = name.removesuffix(".npy")
    namespace_object, attribute = stem.split(".")[:2]
    return {
        "loadable": name, "loadable_path": row["rel_path"], "loadable_collection": folder, "loadable_stem": stem,
        "loadable_object": namespace_object.rpartition("_")[2], "loadable_attribute": attribute, "did": row["did"],
        "did_uuid": {"$uuid": row["did"]},
        "loadable_file": f"$CACHE/{session['lab']}/Subjects/{session['subject']}/{session['date']}/{session['number']:03d}/{row['rel_path']}",
    }  # fmt: skip


def aggregated(facts: Facts) -> str:
    """Return a subject that has aggregated datasets."""
    addresses = [
        one["data_url"]
        for row in facts.records["datasets"]["list"]
        if not row["session"]
        for one in row["file_records"]
    ]
    named = [url.split("/")[-2] for url in addresses if url and "subjectTraining" in url]
    return str(min(named))


def search_example(facts: Facts, seed: int) -> dict[str, Any]:
    """Choose values to search for."""
    rng = random.Random(seed)
    one, other = rng.sample([session for session in facts.sessions if session["task_protocol"]], 2)
    days = sorted({str(session["date"]) for session in facts.sessions})
    start = rng.randrange(len(days) - 3)
    names = sorted({path.rpartition("/")[2] for path in facts.datasets["rel_path"].to_list()})
    regions = [row for row in facts.records["brain-regions"]["list"] if row["id"] > 0]
    types = sorted({row["dataset_type"] for row in facts.records["datasets"]["list"]})
    users = [row["username"] for row in facts.records["users"]["list"]]
    users = users if len(users) > 1 else users * 2
    tags = [row["name"] for row in facts.records["tags"]["list"]]
    details = facts.records["sessions"]["detail"].values()
    region, region2 = rng.sample(regions, 2)
    subject = one["subject"]
    two = rng.sample(names, 2)
    projects = sorted({name for session in facts.sessions for name in session["projects"].split(",") if name})
    tag = rng.choice(tags)
    return {
        "subject": subject, "subject2": other["subject"], "lab": one["lab"], "lab2": other["lab"], "number": one["number"],
        "eid": one["eid"], "day": rng.choice(days), "span": [days[start], days[min(start + 12, len(days) - 1)]],
        "task": one["task_protocol"], "project": rng.choice(projects), "project2": rng.choice(projects),
        "dataset": two[0], "dataset2": two[1], "type": rng.choice(types), "type2": rng.choice(types), "percent": rng.randrange(40, 90),
        "user": rng.choice(users), "user2": rng.choice(users), "tag": tag,
        "location": rng.choice(sorted({row["location"] for row in details if row["location"]})),
        "procedure": rng.choice(sorted({name for row in details for name in row["procedures"]} or {"Ephys"})),
        "acronym": region["acronym"], "acronym2": region2["acronym"], "region": region["name"], "region_id": region["id"],
        "model": rng.choice(sorted({row["model"] for row in facts.insertions})),
        "django_subject": f"subject__nickname__in,['{subject}','{other['subject']}']",
        "django_tag": f"data_dataset_session_related__tags__name,{tag}",
        "subject_regex": f"^{subject[:3]}.*$", "dataset_regex": f"{two[0]}|{two[1]}", "aggregate": aggregated(facts),
    }  # fmt: skip


def examples(facts: Facts, sessions: int, searches: int) -> list[tuple[str, list[Row], dict[str, Any]]]:
    """Return groups of rows, each with the example that its placeholders stand for."""
    groups = [
        ("search", SEARCHES + INSERTION_SEARCHES, search_example(facts, seed)) for seed in range(searches)
    ]
    groups.append(("rest", REST, search_example(facts, 100)))
    groups.append(("unknown", UNKNOWNS, {}))
    rng = random.Random(7)
    for session in facts.pick(sessions):
        example = _named(session, facts)
        groups.append(("session", IDENTIFIERS + DETAILS + LISTS, example))
        data = loadable(session, facts, rng)
        if data is not None:
            types = {row["url"][-36:]: row["dataset_type"] for row in facts.records["datasets"]["list"]}
            groups.append(("load", LOADS + FILES, {**example, **data, "its_type": types.get(data["did"])}))
    groups.extend(
        ("insertion", INSERTIONS, {"pid": row["id"], "pid_uuid": {"$uuid": row["id"]}, "eid": row["session"]})
        for row in facts.insertions[:sessions]
    )
    return groups


def made(facts: Facts, mode: str, sessions: int = 4, searches: int = 3) -> list[Made]:
    """Return the calls of a world and mode without duplicates."""
    seen: set[str] = set()
    calls: list[Made] = []
    for over, rows, example in examples(facts, sessions, searches):
        for row in rows:
            call = [row.method, fill(row.args, example), fill(row.kwargs, example)]
            if mode in row.modes.split() and not _unfilled(call) and repr(call) not in seen:
                seen.add(repr(call))
                calls.append(Made(row, call, over, example))
    return calls


def _unfilled(value: Any) -> bool:
    """Return whether a placeholder is left because the example has no value for it."""
    if isinstance(value, str):
        return value.startswith("$") and not value.startswith("$CACHE")
    if isinstance(value, list):
        return any(map(_unfilled, value))
    return isinstance(value, dict) and any(map(_unfilled, value.values()))
