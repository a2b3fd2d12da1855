"""Rows of software that is only on GitHub, from the folder that the environment variable ``ONE_CLIENTS`` names.

A row runs if its repository is in that folder under its own name: ``paper-brain-wide-map``, ``iblapps``,
``IBL-to-nwb``, and ``ibllib`` for its notebooks.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from pypi_rows import Steps, sorted_probes

FOLDER = Path(os.environ.get("ONE_CLIENTS", ""))
#: The repository of each row, and its folder for the module path.
REPOSITORIES = {
    "bwm": ("paper-brain-wide-map", ""),
    "gui": ("iblapps", ""),
    "nwb": ("IBL-to-nwb", "src"),
    "notebooks": ("ibllib", ""),
}


def is_there(row: str) -> bool:
    """Return whether the repository of a row is in the folder of clients."""
    return bool(os.environ.get("ONE_CLIENTS")) and (FOLDER / REPOSITORIES[row][0]).is_dir()


def add_to_path(row: str) -> Path:
    """Make a row's modules importable and return its repository's folder."""
    name, inner = REPOSITORIES[row]
    sys.path.insert(0, str(FOLDER / name / inner))
    return FOLDER / name


def brainwidemap(one: Any) -> Steps:
    """brainwidemap's queries, loaders and filters."""
    add_to_path("bwm")
    from brainwidemap import bwm_loading as bwm

    first, second = sorted_probes(one)[:2]
    eid = str(one.pid2eid(first)[0])
    good = partial(bwm.load_good_units, one)
    trials = partial(bwm.load_trials_and_mask, one, eid, truncate_to_pass=False)

    def merged() -> Any:
        return bwm.merge_probes(*zip(*map(good, (first, second)), strict=True))

    def video() -> Any:
        one.load_cache()
        rows = one.alyx.rest(
            "sessions",
            "list",
            django="extended_qc__behavior,1,procedures__name,Ephys recording with acute probe(s)",
        )
        eids = [str(row["id"]) for row in rows]
        return [sorted(bwm.filter_video_data(one, eids, camera=view)) for view in ("left", "right", "body")]

    yield "bwm_query", bwm.bwm_query
    yield "bwm_query of the database", lambda: bwm.bwm_query(one=one, freeze=None)
    yield (
        "bwm_query alignment_resolved=False",
        lambda: bwm.bwm_query(one=one, freeze=None, alignment_resolved=False),
    )
    yield "load_good_units", lambda: good(first)
    yield "load_good_units qc=0", lambda: good(first, qc=0.0)
    yield "merge_probes", lambda: merged()
    yield "load_trials_and_mask", trials
    yield (
        "load_trials_and_mask of blocks",
        partial(trials, exclude_unbiased=True, min_trial_len=0, max_trial_len=100),
    )
    yield "filter_video_data", video
    yield "download_aggregate_tables", lambda: bwm.download_aggregate_tables(one, type="trials").name


def alignment(one: Any) -> Steps:
    """The loaders of iblapps' GUI for aligning probes with the atlas."""
    add_to_path("gui")
    from atlaselectrophysiology.load_data import LoadData

    pid = sorted_probes(one)[0]
    loader = LoadData(one=one, brain_atlas=object(), testing=True)

    def sessions() -> Any:
        subjects = loader.get_subjects()
        return [subjects, [loader.get_sessions(number) for number in range(len(subjects))]]

    def info() -> Any:
        loader.sess = [row for row in loader.sess_ins if row["id"] == pid]
        aligned, traced = loader.get_info(0)
        return [aligned, traced, [loader.get_starting_alignment(n) for n in range(len(aligned))]]

    def data() -> Any:
        path, depths, notes, found = loader.get_data()
        return [path.name, depths, notes, found]

    yield "get_subjects and get_sessions", sessions
    yield "get_info and get_starting_alignment", info
    yield "get_data", data
    yield "get_xyzpicks", loader.get_xyzpicks


def nwb(one: Any) -> Steps:
    """IBL-to-nwb's interfaces."""
    add_to_path("nwb")
    import nwb_rows

    return nwb_rows.steps(one)


def notebooks(one: Any) -> Steps:
    """The cells of ibllib's notebooks."""
    import notebook_rows

    return notebook_rows.steps(one, FOLDER / REPOSITORIES["notebooks"][0])


ROWS = {"bwm": brainwidemap, "gui": alignment, "nwb": nwb, "notebooks": notebooks}
