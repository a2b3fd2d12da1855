"""A call of every public method, for tests that check each method; `test_is_complete` fails for a method without one."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from one_async import ONE, AlyxClient, AsyncAlyxClient, AsyncONE

#: Methods that make a client, close one, or prompt the user.
NOT_CALLED = {"setup", "from_frozen", "aclose", "close"}
#: Methods of the class, which need no client and use no Polars.
PLAIN = {"is_exp_ref", "ref2dict", "dict2ref", "path2ref"}


@dataclass
class Facts:
    """The names from which calls are made, of records of the seeded world's server."""

    eid: str
    pid: str
    did: str
    path: str
    ref: str
    record: dict[str, Any]
    row: dict[str, Any]
    folder: Path
    url: str = ""


@dataclass
class Example:
    """A call of a method."""

    method: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None


class Table:
    """A minimal stand-in for a pandas frame."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.columns, self._rows = list(rows[0]), rows

    def to_dict(self, _: str) -> list[dict[str, Any]]:
        return self._rows


def facts_of(one: ONE, folder: Path) -> Facts:
    """Look up the names from which calls are made."""
    eids = one.search(datasets="_ibl_trials.table.pqt", query_type="remote")
    pids = one.search_insertions(query_type="remote")
    frame = one.list_datasets(eids[0], details=True, keep_eid_index=True, query_type="remote")
    trials = frame.filter(frame["rel_path"].str.contains("trials.table")).to_dicts()[0]
    path = one.eid2path(eids[0], query_type="remote")
    assert path is not None
    row = {name: value for name, value in trials.items() if name != "data_url"}
    ref = one.eid2ref(eids[0], as_dict=False, query_type="remote")
    record = {"subject": path.parts[-3], "date": path.parts[-2], "number": int(path.parts[-1])}
    return Facts(
        str(eids[0]), str(pids[0]), trials["did"], str(path), ref, record, row, folder, trials["data_url"]
    )


def examples(facts: Facts) -> list[Example]:
    """Return a call of each method of `AsyncONE`, and of its ``alyx`` with that prefix in the name."""
    trials = (facts.eid, "_ibl_trials.table.pqt")
    target = str(facts.folder / "frozen.json")
    table = Table([{"eid": facts.eid, "did": facts.did, "dataset": "x", "status": "failed", "path": None,
                    "bytes": 0, "error": "x"}])  # fmt: skip
    made = [
        ("search", (), {"subject": facts.record["subject"]}), ("search", (True,), {}),
        ("search_terms", (), {}), ("search_insertions", (), {}),
        ("watch", (), {"every": None, "datasets": "_ibl_trials.table.pqt"}),
        ("watch_folder", (), {"every": None}),
        ("list_subjects", (), {}), ("list_datasets", (facts.eid,), {}),
        ("list_datasets", (facts.eid,), {"details": True}), ("list_collections", (facts.eid,), {}),
        ("list_revisions", (facts.eid,), {}), ("get_details", (facts.eid,), {}),
        ("get_details", (facts.eid, True), {}), ("describe_dataset", ("_ibl_trials.table.pqt",), {}),
        ("describe_revision", ("2024-05-06",), {}), ("dataset2type", ("_ibl_trials.table.pqt",), {}),
        ("type2datasets", (facts.eid, "trials.table"), {}), ("list_aggregates", ("subjects",), {}),
        ("brain_regions", (), {}), ("trajectories", (), {}), ("quality", (), {"alignment_resolved": True}),
        ("to_eid", (facts.ref,), {}), ("to_eid", ([facts.path, facts.record],), {}),
        ("eid2path", (facts.eid,), {}), ("path2eid", (facts.path,), {}), ("eid2ref", (facts.eid,), {}),
        ("ref2eid", (facts.ref,), {}), ("ref2path", (facts.ref,), {}), ("eid2pid", (facts.eid,), {}),
        ("pid2eid", (facts.pid,), {}), ("path2record", (f"{facts.path}/{facts.row['rel_path']}",), {}),
        ("record2path", (facts.row,), {}), ("record2url", (facts.row,), {}),
        ("path2url", (f"{facts.path}/{facts.row['rel_path']}",), {}),
        ("load_dataset", trials, {}), ("load_datasets", (facts.eid, ["_ibl_trials.table.pqt"]), {}),
        ("load_object", (facts.eid, "trials"), {}), ("load_collection", (facts.eid, "alf", "trials"), {}),
        ("load_dataset_from_id", (facts.did,), {}), ("load_aggregate", ("subjects", "x"), {}),
        ("load_many", ([facts.eid], "trials"), {}), ("load_spike_sorting", (facts.pid,), {"on_error": "collect"}),
        ("iter_objects", ([facts.eid], "trials"), {}), ("raw_ephys", (facts.pid,), {}),
        ("video", (facts.eid, "left"), {}),
        ("download", (facts.eid, "_ibl_trials.table.pqt"), {}), ("retry", (table,), {}),
        ("freeze", (facts.eid, target, "_ibl_trials.table.pqt"), {}),
        ("harvest", ("labs",), {}), ("load_cache", (), {}), ("refresh_cache", (), {}), ("save_cache", (), {}),
        ("register_session", (facts.path,), {"dry_run": True, "file_list": False}),
        ("register_files", (f"{facts.path}/{facts.row['rel_path']}",), {"dry_run": True}),
        ("save_loaded_ids", (), {}), ("sessions", (), {}), ("datasets", (), {}), ("insertions", (), {}),
        ("sql", ("SELECT count(*) FROM sessions",), {}), ("browse", (), {}),
        ("alyx.authenticate", (), {}), ("alyx.rest", ("labs", "list"), {}), ("alyx.get", ("/labs",), {}),
        ("alyx.post", ("/no-such-endpoint", {}), {}), ("alyx.put", ("/no-such-endpoint/1", {}), {}),
        ("alyx.patch", ("/no-such-endpoint/1", {}), {}), ("alyx.delete", ("/no-such-endpoint/1",), {}),
        ("alyx.json_field_write", ("sessions", facts.pid, "json", {}), {}),
        ("alyx.json_field_update", ("sessions", facts.pid, "json", {}), {}),
        ("alyx.json_field_remove_key", ("sessions", facts.pid, "json", "no such key"), {}),
        ("alyx.json_field_delete", ("sessions", facts.pid, "json"), {}),
        ("alyx.download_file", (facts.url,), {"target_dir": str(facts.folder), "return_md5": True}),
        ("alyx.pages", ("labs",), {}), ("alyx.page", ("labs", 1, 0), {}), ("alyx.frame", ("datasets",), {}),
        ("alyx.schema", (), {}), ("alyx.list_endpoints", (), {}), ("alyx.describe_endpoint", ("sessions",), {}),
        ("alyx.clear_rest_cache", (), {}), ("alyx.logout", (), {}),
    ]  # fmt: skip
    return [Example(*one) for one in made]


def is_iterator(example: Example) -> bool:
    """Return whether the async method is a generator."""
    owner, _, name = example.method.rpartition(".")
    return inspect.isasyncgenfunction(getattr(AsyncAlyxClient if owner else AsyncONE, name))


def names_of(kind: type, prefix: str = "") -> set[str]:
    """Return the public methods of a class."""
    return {
        prefix + name
        for name, value in inspect.getmembers(kind, callable)
        if not name.startswith("_") and name not in NOT_CALLED | PLAIN and not isinstance(value, type)
    }


def missing(facts: Facts) -> set[str]:
    """Return the public methods that have no example."""
    has = {example.method for example in examples(facts)}
    wanted = names_of(AsyncONE) | names_of(AsyncAlyxClient, "alyx.")
    return (wanted | names_of(ONE) | names_of(AlyxClient, "alyx.")) ^ has
