"""Register a session with ONE-api's own client: ``python oracle_registration.py`` in ONE-api's own environment.

Reads one JSON object from standard input: home, cache_dir, server, and either ``session``, the folder of a session, with
``times``; or ``calls``, each ``[method, args, kwargs]``, where the method ``write`` writes a file. Writes the registered
records of each time, or the error of each call (None without one).
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import warnings


def call(client, method, args, kwargs):
    """Make one call and return the name of its error, or None."""
    try:
        if method == "write":
            path = pathlib.Path(args[0])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(args[1])
        else:
            getattr(client, method)(*args, **kwargs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def main():
    spec = json.load(sys.stdin)
    os.environ.update(HOME=spec["home"], USERPROFILE=spec["home"], APPDATA=spec["home"], TQDM_DISABLE="1")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    from one.registration import RegistrationClient
    from oracle import make

    client = RegistrationClient(make({**spec, "mode": "remote"}))
    if "calls" in spec:
        json.dump([call(client, *given) for given in spec["calls"]], out)
        out.flush()
        return
    json.dump([client.register_session(spec["session"]) for _ in range(spec["times"])], out)
    out.flush()


if __name__ == "__main__":
    main()
