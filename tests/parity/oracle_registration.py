"""Register a session with ONE-api's own client: ``python oracle_registration.py`` in ONE-api's own environment.

Reads one JSON object from standard input (home, cache_dir, server, session: the folder of a session, times) and writes
what was registered each time.
"""

from __future__ import annotations

import json
import os
import sys
import warnings


def main():
    spec = json.load(sys.stdin)
    os.environ.update(HOME=spec["home"], USERPROFILE=spec["home"], APPDATA=spec["home"], TQDM_DISABLE="1")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    from one.registration import RegistrationClient
    from oracle import make

    client = RegistrationClient(make({**spec, "mode": "remote"}))
    json.dump([client.register_session(spec["session"]) for _ in range(spec["times"])], out)
    out.flush()


if __name__ == "__main__":
    main()
