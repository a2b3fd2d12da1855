"""Searches in local and in remote mode, and the intended differences, which `docs/modes.md` also lists."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

Terms = dict[str, Any]

#: Searches of each world that must find the same sessions in the same order in the tables and on the server.
SAME: dict[str, list[Terms]] = {
    "recorded": [
        {},
        {"subject": "KS014"},
        {"subject": "RV_1085"},
        {"subject": ["KS014", "RV_1085"]},
        {"subject": ("KS023", "ibl_summit_07", "RV_2240")},
        {"subject": np.array(["KS014", "KS023"])},
        {"subject": pl.Series(["KS014", "KS023"])},
        {"subject": "nobody"},
        {"lab": "cortexlab"},
        {"laboratory": "riverlab"},
        {"lab": ["riverlab", "summitlab"]},
        {"lab": "nolab"},
        {"number": 1},
        {"number": 2},
        {"number": "002"},
        {"number": [2, 3]},
        {"number": 77},
        {"date": "2020-01-09"},
        {"date_range": date(2020, 1, 9)},
        {"date_range": datetime(2020, 1, 9, 15)},
        {"date_range": np.datetime64("2024-02-29")},
        {"date_range": ["2020-01-09", "2020-07-22"]},
        {"date_range": ("2020-01-09", date(2020, 7, 22))},
        {"date_range": np.array(["2020-01-09", "2020-07-22"], "datetime64[D]")},
        {"date_range": pl.Series([date(2020, 1, 9), date(2020, 7, 22)])},
        {"date_range": ["2022-01-01", None]},
        {"date_range": [None, datetime(2019, 12, 3)]},
        {"date_range": ["2030-01-01", None]},
        {"task_protocol": "ephysChoiceWorld"},
        {"task_protocol": "biased"},
        {"task_protocol": ["biased", "passive"]},
        {"projects": "brainwide"},
        {"projects": "ibl_neuropixel_brainwide_01"},
        {"project": ["practice", "summit_learning_dop"]},
        {"datasets": "_ibl_trials.table.pqt"},
        {"datasets": ["_ibl_trials.table.pqt", "_ibl_wheel.position.npy"]},
        {"datasets": "no.such.npy"},
        {"datasets": "_ibl_trials.table.pqt", "dataset_qc_lte": "PASS"},
        {"datasets": "_ibl_trials.table.pqt", "dataset_qc_lte": "CRITICAL"},
        {"datasets": "_ibl_wheel.position.npy", "dataset_qc_lte": 30},
        {"dataset_qc_lte": "FAIL", "subject": "KS014"},
        {"lab": "cortexlab", "number": 1, "task_protocol": "ephys"},
        {"lab": "cortexlab", "date_range": ["2019-12-01", "2020-03-01"]},
        {"subject": ["KS014", "KS023"], "number": [2, 3], "lab": "cortexlab"},
        {"lab": "riverlab", "datasets": "_ibl_trials.table.pqt", "date_range": ["2020-01-01", None]},
        {"subject": "KS014", "lab": None, "number": None},
    ],
    "seeded": [
        {},
        {"subject": "CX_001"},
        {"subject": ["CX_001", "HB_001"]},
        {"lab": "cortexlab"},
        {"lab": ["harbourlab", "valleylab"]},
        {"number": 1},
        {"number": [1, 2]},
        {"number": 2, "lab": "cortexlab"},
        {"date_range": "2023-06-09"},
        {"date_range": ["2023-06-01", "2023-06-30"]},
        {"date_range": ["2023-06-09", None], "lab": "summitlab"},
        {"task_protocol": "biased"},
        {"task_protocol": "trainingChoiceWorld"},
        {"datasets": "spikes.times.npy"},
        {"datasets": ["spikes.times.npy", "clusters.channels.npy"]},
        {"datasets": "_ibl_trials.table.pqt", "lab": "valleylab"},
        {"datasets": "_ibl_trials.table.pqt", "dataset_qc_lte": "PASS"},
        {"subject": "CX_001", "date_range": [None, "2023-06-09"], "number": 1},
        {"projects": "practice"},
    ],
}  # fmt: skip

#: Searches of the recorded world that differ: the terms, how many sessions local and remote mode find, and why.
KEPT: list[tuple[Terms, int, int, str]] = [
    ({"subject": "ks014"}, 0, 8, "case"),
    ({"lab": "CORTEXLAB"}, 0, 18, "case"),
    ({"task_protocol": "EPHYSchoice"}, 0, 8, "case"),
    ({"projects": "BRAINWIDE"}, 0, 22, "case"),
    ({"subject": "KS0"}, 18, 0, "part"),
    ({"lab": "cortex"}, 18, 0, "part"),
    ({"subject": "KS01[45]"}, 8, 0, "pattern"),
    ({"subject": "KS014|KS023"}, 14, 0, "pattern"),
    ({"task_protocol": "ephys.*World"}, 8, 0, "pattern"),
    ({"datasets": "spikes.times.*"}, 8, 0, "pattern"),
    ({"projects": "ibl_neuropixel_brainwide_01,practice"}, 2, 0, "joined"),
]
#: The rows of the table in `docs/modes.md` that explain them.
REASONS = {"case", "part", "pattern", "joined"}
#: Terms that every mode refuses before any request.
EMPTY: list[Terms] = [
    {"subject": "", "lab": "cortexlab"},
    {"task_protocol": ""},
    {"projects": ["practice", ""]},
    {"subject": []},
    {"datasets": []},
    {"number": []},
    {"subject": 3},
    {"datasets": [b"spikes.times.npy"]},
]
