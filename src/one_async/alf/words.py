"""Descriptions of the parts of an ALF path."""

from __future__ import annotations

from typing import Final

PART_DESCRIPTIONS: Final[dict[str, str]] = {
    "lab": "The lab that made the recording. Optional; where it is given, a folder `Subjects` follows it.",
    "Subjects": "A fixed folder name between the lab and its subjects. It tells a lab from a subject.",
    "subject": "The animal's nickname: letters, digits, underscores, hyphens and periods.",
    "date": "The day of the session, year-month-day (ISO 8601), for example 2024-05-06.",
    "number": "Which session of that day it is, from 1, usually padded to three digits: 001.",
    "collection": (
        "The folder, or folders, under the session that group data of one device or analysis, such as "
        "`alf/probe00` or `raw_video_data`. Needed where a session has several recordings of the same kind. "
        "Optional."
    ),
    "revision": (
        "A folder between two `#` signs that holds a later version of datasets, for example `#2024-05-06#`. "
        "Revisions are ordered as texts; a request for one that is absent gets the last one before it. "
        "Optional."
    ),
    "namespace": (
        "A prefix between underscores, such as `_ibl_` or `_phy_`, for data that follow the conventions of "
        "one lab, program or device rather than everybody's. Optional."
    ),
    "object": (
        "The thing described, in camel case and the plural: `spikes`, `trials`, `wheelMoves`. All files of "
        "an object have as many rows, so together they are a table whose columns are the attributes. An "
        "attribute that has the name of another object, as in `spikes.clusters`, holds row numbers of that "
        "object, counted from 0."
    ),
    "attribute": (
        "The column of the object's table that the file holds, in camel case. Some have a fixed meaning: "
        "`times` are events in seconds of the session's common clock; `intervals` have two columns, start "
        "and end; `timestamps` are the times of a continuous recording, one a sample or a few rows of "
        "(sample number, seconds) between which times are interpolated. An attribute may end in `_times` or "
        "`_intervals`, as in `goCue_times`."
    ),
    "timescale": (
        "The clock of the times, after an underscore, if it is not the common one: `times_ephysClock`, "
        "`timestamps_bpod`. Optional."
    ),
    "extra": (
        "Any further parts between the attribute and the extension, separated by periods: a part number, a "
        "hash, the dataset's UUID. Files that differ in them alone are pieces, to be joined in the order of "
        "the texts. Optional."
    ),
    "extension": (
        "The file format: `npy` for arrays is preferred, `pqt` for tables, `tsv` for tables as text, `json` "
        "for metadata; `bin` for flat binary, described by a `.metadata.json` of the same name."
    ),
}
