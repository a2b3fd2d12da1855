"""The query that begins every analysis of the brain-wide map: good insertions, each once, with their session, as one frame.

Run it against any database: set ONE_BASE_URL, ONE_USERNAME and ONE_PASSWORD. `one-async emulator` starts a small one.
"""

from one_async import ONE

one = ONE(mode="remote")

# Sessions of the project that passed their checks, and insertions that are traced in histology, with spikes sorted.
good = (
    "session__projects__name__icontains,ibl_neuropixel_brainwide_01,"
    "session__qc__lt,50,"
    "~json__qc,CRITICAL,"
    "json__extended_qc__tracing_exists,True"
)
insertions = (
    one.alyx.frame("insertions", django=good)
    .rename({"id": "pid", "session": "eid"})
    .drop("json", "datasets")
    .unnest("session_info", separator="_")
    .unique("pid", maintain_order=True)
)
print(
    insertions.select(
        "pid", "eid", "name", "session_info_subject", "session_info_lab", "session_info_start_time"
    )
)
print(f"{insertions.height} insertions in {insertions['eid'].n_unique()} sessions")
