"""Read parts of raw recordings: half a second of a probe, waveforms at the times of spikes, and video frames at trials.

Only the needed parts are downloaded. Run it against any database: set ONE_BASE_URL, ONE_USERNAME and ONE_PASSWORD.
`one-async emulator` starts a small one. Videos need the extra `one-async[video]`.
"""

import numpy as np

from one_async import ONE

one = ONE(mode="remote")

# A probe with spike sorting and a raw recording.
pid = one.search_insertions(datasets="spikes.times.npy")[0]
raw = one.raw_ephys(pid, band="ap")
print(raw)

# Half a second of all channels, in volts. Seconds are on the probe's own clock.
volts = raw[1.0:1.5, raw.channels] * raw.sample2volts[raw.channels]
print(f"{volts.shape[0]} samples of {volts.shape[1]} channels, standard deviation {volts.std() * 1e6:.1f} µV")

# One millisecond before and two after each spike of the cluster with the most spikes. Spike times are on the session's
# clock; two columns, samples and such times, relate it to the probe's.
eid, probe = one.pid2eid(pid)
clock = one.load_dataset(eid, "*ephysData*.timestamps.npy", collection=f"raw_ephys_data/{probe}")
spikes = one.load_spike_sorting(pid).spikes
cluster = spikes["clusters"].mode().sort()[0]
times = spikes.filter(spikes["clusters"] == cluster)["times"].to_numpy()
samples = np.round(np.interp(times, clock[:, 1], clock[:, 0], left=-1)).astype(int)
samples = samples[(samples >= 30) & (samples < len(raw) - 60)][:1000]
waveforms = raw.snippets(samples, before=30, after=60, channels=raw.channels)
mean = waveforms.mean(axis=0) * raw.sample2volts[raw.channels]
peak = int(np.ptp(mean, axis=0).argmax())
print(f"{len(waveforms)} spikes of cluster {cluster}: {np.ptp(mean[:, peak]) * 1e6:.0f} µV on channel {peak}")

# The frames of a camera that are nearest to the first stimuli.
video = one.video(eid, "left", pixels="gray")
print(video)
trials = one.load_object(eid, "trials")
frames = video.at(trials.stimOn_times[:5])
print(
    f"{len(frames)} frames of {frames.shape[2]} × {frames.shape[1]} pixels, mean brightness {frames.mean():.0f}"
)
