"""Seeded ALF paths and names, valid and corrupted, and the calls to make on each."""

from __future__ import annotations

import random
from typing import Any

UUID4 = "a976e418-c8b8-4d24-be47-d05120b18341"
UUIDS = [UUID4, "0b9b4a4c-1f3f-4a35-8b07-3c7a2c9a1b11", UUID4.upper(), UUID4.replace("-", ""), "nonsense", ""]
NAMESPACES = ["", "", "_ibl_", "_ns1_", "_a_b_", "__", "_", "ibl_"]
OBJECTS = [
    "spikes",
    "trials",
    "wheelMoves",
    "ephysData_g0_t0",
    "a",
    "o2",
    "Trials",
    "sp-ikes",
    "mpciROIs",
    "",
]
ATTRIBUTES = [
    "times",
    "goCue_times",
    "intervals",
    "stimOn_intervals",
    "timestamps",
    "_phy_ids",
    "imec0",
    "a_b",
    "",
    "x y",
]
TIMESCALES = ["", "", "", "_bpod", "_ephysClock_minutes", "_times", "_", "_ä"]
EXTRAS = ["", "", "", ".raw", ".raw.v12", f".{UUID4}", f".raw.{UUID4}", ".metadata", "..", ".a-b", ".x y"]
EXTENSIONS = [".npy", ".npy", ".pqt", ".json", ".tar.gz", ".mp4", "", ".", ".n-y"]
ROOTS = [
    "",
    "",
    "",
    "/",
    "/data/",
    "etc/",
    "https://data.test/",
    "we ird/",
    "//server/share/",
    "./",
    "../",
    "1/",
]
LABS = ["", "", "lab/Subjects/", "cortex_lab/Subjects/", "my-lab/Subjects/", "Subjects/", "lab/subjects/"]
SUBJECTS = ["subj", "KS022", "a.b-c_d", "ZM_1150", "s", "sub ject", "1", "2020-01-01"]
DATES = [
    "2020-01-01",
    "2020-01-01",
    "2024-02-29",
    "2023-02-29",
    "2020-13-01",
    "2020-1-1",
    "20200101",
    "0001-01-01",
]
NUMBERS = ["1", "001", "001", "12", "999", "1000", "0", "x", "²", "01a"]
COLLECTIONS = [
    "",
    "",
    "alf",
    "alf/probe00",
    "alf/probe00/pykilosort",
    "raw_video_data",
    "we ird",
    "a.b.c",
    "..",
    "a-b",
]
REVISIONS = ["", "", "", "#2024-01-01#", "#v1.0.0#", "##", "#a b#", "#open", "#r#/more"]
WORDS = [
    "x",
    "newPart",
    "with_underscore",
    "with.period",
    "with space",
    "",
    "ünï",
    "a/b",
    "line\n",
    "#r#",
    "2021-02-03",
    "7",
]
LETTERS = "._#/- \\é\n0aA1"


def name(rng: random.Random) -> str:
    return (
        "".join(map(rng.choice, (NAMESPACES, OBJECTS)))
        + "."
        + "".join(map(rng.choice, (ATTRIBUTES, TIMESCALES, EXTRAS, EXTENSIONS)))
    )


def path(rng: random.Random) -> str:
    session = [rng.choice(SUBJECTS[:5] if rng.random() < 0.8 else SUBJECTS)]
    session += [rng.choice(DATES[:3] if rng.random() < 0.8 else DATES)]
    session += [rng.choice(NUMBERS[:5] if rng.random() < 0.8 else NUMBERS)]
    folders = [part for part in (rng.choice(COLLECTIONS), rng.choice(REVISIONS)) if part]
    pieces = (session if rng.random() < 0.85 else []) + folders
    if rng.random() < 0.6:
        pieces.append(name(rng))
    return rng.choice(ROOTS) + rng.choice(LABS) + "/".join(pieces) + rng.choice(["", "", "", "/"])


def corrupted(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 2)):
        place = rng.randint(0, len(text))
        text = text[:place] + rng.choice(["", rng.choice(LETTERS)]) + text[place + rng.randint(0, 1) :]
    return text


def texts(count: int, seed: int) -> list[str]:
    """Return ``count`` different paths and names; a quarter of them contain stray characters."""
    rng = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        text = name(rng) if rng.random() < 0.3 else path(rng)
        made[corrupted(rng, text) if rng.random() < 0.25 else text] = None
    return list(made)


def calls(rng: random.Random, text: str) -> list[dict[str, Any]]:
    """Return every call to make about one text."""
    last = text.rstrip("/").rsplit("/", 1)[-1]
    word, other = rng.choice(WORDS), rng.choice(WORDS)
    windows = text.replace("/", "\\") if text[:1] not in "/." else "C:" + text.replace("/", "\\")
    cases: list[dict[str, Any]] = [
        {"call": "spec.is_valid", "args": [last]},
        {"call": "spec.is_session_path", "args": [text]},
        {"call": "spec.is_uuid", "args": [rng.choice([word, *UUIDS, rng.getrandbits(128), {"make": "UUID", "text": UUID4}])]},
        {"call": "spec.is_uuid", "args": [{"make": "bytes", "text": rng.randbytes(rng.choice([16, 16, 3])).hex()}]},
        {"call": "spec.is_uuid_string", "args": [rng.choice([word, *UUIDS])]},
        {"call": "spec.readableALF", "args": [rng.choice([last, word or "a"])], "kwargs": {"capitalize": rng.random() < 0.5}},
        {"call": "spec.path_pattern"},
        {"call": "spec.regex", "args": [rng.choice(["{lab}/x", "{object}.{attribute}", "({revision})?", "{colour}"])],
         "kwargs": rng.choice([{}, {"object": "x|y"}, {"lab": None}, {"colour": "red"}])},
        {"call": "spec.to_alf", "args": [rng.choice([*OBJECTS, word, "two words"]), rng.choice([*ATTRIBUTES, other]),
                                         rng.choice(["npy", ".npy", "", None, word])],
         "kwargs": {"namespace": rng.choice([None, "ibl", "", word]),
                    "timescale": rng.choice([None, "bpod", "ephys clock", ["ephys clock", "minutes"], other]),
                    "extra": rng.choice([None, "raw", "raw.v12", ["raw", "v12"]])}},
        {"call": "spec.QC.validate", "args": [rng.choice([10, 11, "10", "pass", "NOT_SET", "Critical", word, 40.0, None])]},
        {"call": "path.get_alf_path", "args": [text]},
        {"call": "path.ensure_alf_path", "args": [rng.choice([text, [text], {"make": "PureWindowsPath", "text": text}, 5])]},
    ]  # fmt: skip
    keywords = {"as_dict": rng.random() < 0.5, "assert_valid": rng.random() < 0.7}
    for parser in (
        "session_path_parts",
        "rel_path_parts",
        "filename_parts",
        "full_path_parts",
        "folder_parts",
    ):
        made = rng.choice([text, {"make": "PurePosixPath", "text": text}])
        cases.append(
            {
                "call": f"path.{parser}",
                "args": [last if parser == "filename_parts" else made],
                "kwargs": keywords,
            }
        )
    for function in ("get_session_path", "padded_sequence", "without_revision", "remove_uuid_string"):
        kind = rng.choice(["str", "PurePosixPath", "Path", "PurePosixALFPath", "PureWindowsPath"])
        made = (
            text if kind == "str" else {"make": kind, "text": windows if kind == "PureWindowsPath" else text}
        )
        cases.append({"call": f"path.{function}", "args": [made]})
    cases.append(
        {
            "call": "path.add_uuid_string",
            "args": [text, rng.choice(UUIDS)],
            "kwargs": {"strict": rng.random() < 0.5},
        }
    )
    kind = rng.choice(
        ["PurePosixALFPath", "PurePosixALFPath", "PureWindowsALFPath", "ALFPath", "PureALFPath"]
    )
    self = {"make": kind, "text": windows if kind == "PureWindowsALFPath" else text}
    return cases + [{**case, "args": [self, *case.get("args", [])]} for case in methods(rng, word)]


def methods(rng: random.Random, word: str) -> list[dict[str, Any]]:
    plain = (
        "is_dataset is_valid_alf is_session_path session_path without_lab relative_to_lab relative_to_session "
        "dataset_name_parts session_parts alf_parts lab subject date sequence collection revision namespace object "
        "attribute timescale extra with_padded_sequence without_revision without_uuid"
    )
    flag = rng.random() < 0.5
    return [
        *({"call": f"method.{name}"} for name in plain.split()),
        {"call": "method.session_path_short", "kwargs": {"include_lab": flag}},
        {"call": "method.parse_alf_path", "kwargs": {"as_dict": flag}},
        {"call": "method.parse_alf_name", "kwargs": {"as_dict": flag}},
        {"call": "method.with_lab", "args": [word], "kwargs": {"strict": flag}},
        {"call": "method.with_date", "args": [rng.choice(["2021-02-03", word])]},
        {"call": "method.with_sequence", "args": [rng.choice([1, 12, 1000, -1, "7", " 03 ", "+4", word])]},
        *(
            {"call": f"method.with_{part}", "args": [word]}
            for part in [
                "subject",
                "collection",
                "revision",
                "object",
                "namespace",
                "attribute",
                "timescale",
                "extension",
            ]
        ),
        {
            "call": "method.with_extra",
            "args": [rng.choice([word, "a.b", ["a", "b"]])],
            "kwargs": {"append": flag},
        },
        {"call": "method.with_uuid", "args": [rng.choice(UUIDS)], "kwargs": {"strict": flag}},
    ]
