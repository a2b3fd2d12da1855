"""Answer calls with ONE-api: ``python oracle.py`` in ONE-api's own environment.

With ``compat`` in its input, our stand-in for ONE-api answers in our environment.

Reads one JSON object from standard input: ``home`` (an empty folder), ``cache_dir``, ``mode``, ``server`` (base_url, username,
password, data_server; absent for an instance without database), ``tables_dir``, ``wildcards`` and ``calls``, each ``[method,
args, kwargs]`` or ``{"code": expression}``. Writes one JSON answer a line.
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import sys
import uuid
import warnings


def make(spec):
    """Return the instance, with its own home folder."""
    if spec.get("compat"):
        import one_async.compat

        one_async.compat.install()
        from one.api import ONE

        return ONE(cache_dir=spec["cache_dir"], mode=spec["mode"], **spec.get("server") or {})
    import one.params
    from one.api import ONE
    from one.webclient import AlyxClient

    server = spec.get("server")
    options = {"wildcards": spec.get("wildcards", True), "cache_dir": spec["cache_dir"]}
    if spec.get("tables_dir"):
        options["tables_dir"] = spec["tables_dir"]
    if server is None:
        return ONE(mode="local", **options)
    one.params.setup(client=server["base_url"], silent=True, username=server["username"], make_default=True,
                     cache_dir=spec["cache_dir"])  # fmt: skip
    par = one.params.get(server["base_url"], silent=True)
    one.params.save(par.set("HTTP_DATA_SERVER", server["data_server"]), server["base_url"])
    AlyxClient.silent = True
    return ONE(base_url=server["base_url"], username=server["username"], password=server["password"], silent=True,
               mode=spec["mode"], **options)  # fmt: skip


def names(one):
    """Return what expressions may use besides `one`."""
    import numpy as np
    import one.alf.io as alfio
    from one import converters, params, util, webclient
    from one.alf import cache, exceptions, spec
    from one.alf import path as alfpath
    from one.alf.path import ALFPath

    return {"one": one, "np": np, "alfio": alfio, "converters": converters, "params": params, "util": util,
            "webclient": webclient, "cache": cache, "exceptions": exceptions, "spec": spec,
            "alfpath": alfpath, "ALFPath": ALFPath, "Path": pathlib.Path,
            "UUID": uuid.UUID, "re": re, "timedelta": datetime.timedelta, "date": datetime.date}  # fmt: skip


def main():
    spec = json.load(sys.stdin)
    os.environ.update(HOME=spec["home"], USERPROFILE=spec["home"], APPDATA=spec["home"], TQDM_DISABLE="1")
    out = os.fdopen(
        os.dup(1), "w", encoding="utf-8"
    )  # ONE-api prints; standard output must contain only answers
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    import logging

    import numpy as np
    import pandas as pd
    from protocol import Writer, follow, revive
    from scripts import run

    logging.disable(logging.CRITICAL)
    one = make(spec)
    writer, scope = Writer(spec["cache_dir"]), names(one) | {"pd": pd, "np": np}

    def call(item):
        if isinstance(item, dict):
            return run(item["code"], scope, revive(item.get("names", {}), spec["cache_dir"]))
        method, args, kwargs = item
        found = follow(one, method)
        return (
            found(*revive(args, spec["cache_dir"]), **revive(kwargs, spec["cache_dir"]))
            if callable(found)
            else found
        )

    for item in spec["calls"]:
        out.write(writer.answer(lambda item=item: call(item)) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
