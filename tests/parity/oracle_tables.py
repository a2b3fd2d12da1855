"""Answer calls on folders of tables as ONE-api does in local mode; runs in ONE-api's own environment.

Reads ``[[folder, wildcards, method, args, kwargs], …]`` from standard input and writes a list of answers, each a plain value or
``{"error": name}``. Dates are written as ``{"$date": "2020-01-01"}``, datetimes as ``{"$datetime": …}``.
"""

from __future__ import annotations

import datetime
import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")


def revive(value):
    if isinstance(value, dict) and set(value) == {"$date"}:
        return datetime.date.fromisoformat(value["$date"])
    if isinstance(value, dict) and set(value) == {"$datetime"}:
        return datetime.datetime.fromisoformat(value["$datetime"])
    if isinstance(value, dict):
        return {key: revive(item) for key, item in value.items()}
    if isinstance(value, list):
        return [revive(item) for item in value]
    return value


def plain(value):
    import numpy as np
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        frame = value.reset_index()
        columns = [c for c in ("id", "rel_path", "lab", "subject", "qc", "exists") if c in frame]
        return {"frame": [[plain(item) for item in row] for row in frame[columns].values.tolist()]}
    if isinstance(value, pd.Series):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    return str(value)


def main() -> None:
    from one.api import One

    instances = {}
    answers = []
    for folder, wildcards, method, args, kwargs in json.load(sys.stdin):
        if folder not in instances:
            instances[folder] = One(folder, mode="local")
        one = instances[folder]
        one.wildcards = wildcards
        try:
            answer = plain(getattr(one, method)(*revive(args), **revive(kwargs)))
            if method == "eid2path" and isinstance(answer, str):
                answer = Path(answer).relative_to(folder).as_posix()
            answers.append(answer)
        except Exception as error:
            answers.append({"error": type(error).__name__})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
