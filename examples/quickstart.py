"""From login to loaded trials with the blocking client, as in a notebook.

Run it against any database: set ONE_BASE_URL, ONE_USERNAME and ONE_PASSWORD. `one-async emulator` starts a small one.
"""

from one_async import ONE

one = ONE(mode="remote")
print(one)

# Terms are checked before any request; a list means "any of", for datasets "all of".
eids, sessions = one.search(lab=["cortexlab", "harbourlab"], datasets=["spikes.times.npy"], details=True)
print(f"{len(eids)} sessions with spikes")
print(sessions.select("subject", "date", "number", "task_protocol"))

eid = eids[0]
print(one.eid2ref(eid, as_dict=False), one.eid2path(eid).name)
print(one.list_collections(eid))

trials = one.load_object(eid, "trials")
print(f"{len(trials.choice)} trials, {(trials.feedbackType == 1).mean():.0%} rewarded")

# One call for many sessions: they are downloaded concurrently, and returned as one frame with an eid column.
print(one.load_many(eids, "trials").group_by("eid", maintain_order=True).len("trials"))

# Spikes and clusters with the brain regions of their channels.
pids = one.search_insertions(datasets=["spikes.times.npy", "spikes.clusters.npy"])
sorting = one.load_spike_sorting(pids[:2])
print(sorting.clusters.select("pid", "cluster_id", "acronym", "depths"))
