"""Call `AlyxClient.download_file` in either package. Run as a script, it calls ONE-api: JSON in, JSON out."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import warnings
from pathlib import Path


def calls(alyx, base, names, folder):
    """Return the result of each call: paths below the folder with the MD5 of the file, or the status of an error."""
    a, b = names
    made = [
        (base + a, {}),
        (a, {"target_dir": folder / "path"}),
        ("/" + a, {"target_dir": str(folder / "text"), "return_md5": True}),
        ([base + a, b], {"target_dir": folder / "list"}),
        ([a, b], {"target_dir": folder / "md5s", "return_md5": True}),
        ([a, b], {"target_dir": [folder / "one", folder / "other"]}),
        ((name for name in [a]), {"target_dir": folder / "generator"}),
        ([], {}),
        (a, {"chunks": (0, 128), "target_dir": folder / "chunk"}),
        (a, {"chunks": (100, 50), "target_dir": folder / "chunk"}),
        (a, {"chunks": (100, 50), "target_dir": folder / "chunk", "clobber": True, "silent": True}),
        (a, {"chunks": (100, 10**9), "target_dir": folder / "rest"}),
        (a, {"chunks": (10**9, 5), "target_dir": folder / "beyond"}),
        (a + "x", {"target_dir": folder / "missing"}),
        (a, {"target_dir": folder / "headers", "headers": {"X-Nothing": "1"}}),
    ]
    answers = []
    for url, options in made:
        try:
            answers.append(_described(alyx.download_file(url, **options), folder))
        except Exception as error:
            answers.append(["error", getattr(error, "code", None) or getattr(error, "status", None)])
    return answers


def _described(answer, folder):
    if isinstance(answer, list | tuple):
        return [type(answer).__name__, *(_described(one, folder) for one in answer)]
    if isinstance(answer, Path):
        return [str(answer.relative_to(folder)), hashlib.md5(answer.read_bytes()).hexdigest()]
    return answer


def main():
    """Call ONE-api and write the answers."""
    task = json.loads(sys.stdin.read())
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    from one.api import ONE

    folder = Path(task["folder"])
    alyx = ONE(base_url=task["url"], username="demo", password="demo", cache_dir=folder, silent=True).alyx
    alyx._par = alyx._par.set("HTTP_DATA_SERVER", task["base"].rstrip("/")).set("CACHE_DIR", str(folder))
    alyx.silent = True
    print("RESULT " + json.dumps(calls(alyx, task["base"], task["names"], folder)))


if __name__ == "__main__":
    main()
