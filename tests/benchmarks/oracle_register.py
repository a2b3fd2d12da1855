"""ONE-api's part of bench_register.py: register sessions one after the other; runs in ONE-api's own environment."""

from __future__ import annotations

import json
import sys
import time
import warnings


def main() -> None:
    task = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    import one.params
    from one.api import ONE
    from one.registration import RegistrationClient
    from one.webclient import AlyxClient

    one.params.setup(
        client=task["url"], silent=True, username="alice", make_default=True, cache_dir=task["cache_dir"]
    )
    AlyxClient.silent = True
    client = RegistrationClient(ONE(
        base_url=task["url"], username="alice", password="alice", silent=True, cache_dir=task["cache_dir"], mode="remote",
        cache_rest=None,
    ))  # fmt: skip
    client.one.alyx.rest_schemes  # noqa: B018 - asked once, as ours is
    started = time.perf_counter()
    files = 0
    for path in task["paths"]:
        if task["hashes"]:
            _, records = client.register_session(path)
        else:
            client.register_session(path, file_list=False)
            records = client.register_files(list(client.find_files(path)), max_md5_size=0)
        files += len(records)
    print("RESULT " + json.dumps({"seconds": time.perf_counter() - started, "files": files}))


if __name__ == "__main__":
    main()
