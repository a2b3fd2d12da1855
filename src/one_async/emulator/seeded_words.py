"""The fixed vocabularies of the seeded world: brain regions, dataset types, formats, people, labs."""

from __future__ import annotations

__all__ = [
    "DATASET_TYPES",
    "FORMATS",
    "LABS",
    "PROBE_MODELS",
    "PROCEDURES",
    "PROJECTS",
    "REGIONS",
    "REVISIONS",
    "SUBJECTS",
    "TAGS",
    "TRACKS",
    "USERS",
    "WATER_TYPES",
]

# Allen Mouse Common Coordinate Framework (2017): id, acronym, name, parent's acronym; depth-first.
REGIONS: list[tuple[int, str, str, str | None]] = [
    (0, "void", "void", None),
    (997, "root", "root", "void"),
    (8, "grey", "Basic cell groups and regions", "root"),
    (567, "CH", "Cerebrum", "grey"),
    (688, "CTX", "Cerebral cortex", "CH"),
    (695, "CTXpl", "Cortical plate", "CTX"),
    (315, "Isocortex", "Isocortex", "CTXpl"),
    (500, "MO", "Somatomotor areas", "Isocortex"),
    (993, "MOs", "Secondary motor area", "MO"),
    (767, "MOs5", "Secondary motor area layer 5", "MOs"),
    (1021, "MOs6a", "Secondary motor area layer 6a", "MOs"),
    (669, "VIS", "Visual areas", "Isocortex"),
    (385, "VISp", "Primary visual area", "VIS"),
    (721, "VISp4", "Primary visual area layer 4", "VISp"),
    (778, "VISp5", "Primary visual area layer 5", "VISp"),
    (33, "VISp6a", "Primary visual area layer 6a", "VISp"),
    (22, "PTLp", "Posterior parietal association areas", "Isocortex"),
    (312782546, "VISa", "Anterior area", "PTLp"),
    (312782562, "VISa5", "Anterior area layer 5", "VISa"),
    (1089, "HPF", "Hippocampal formation", "CTXpl"),
    (1080, "HIP", "Hippocampal region", "HPF"),
    (375, "CA", "Ammon's horn", "HIP"),
    (382, "CA1", "Field CA1", "CA"),
    (463, "CA3", "Field CA3", "CA"),
    (726, "DG", "Dentate gyrus", "HIP"),
    (10703, "DG-mo", "Dentate gyrus molecular layer", "DG"),
    (632, "DG-sg", "Dentate gyrus granule cell layer", "DG"),
    (623, "CNU", "Cerebral nuclei", "CH"),
    (477, "STR", "Striatum", "CNU"),
    (672, "CP", "Caudoputamen", "STR"),
    (343, "BS", "Brain stem", "grey"),
    (1129, "IB", "Interbrain", "BS"),
    (549, "TH", "Thalamus", "IB"),
    (733, "VPM", "Ventral posteromedial nucleus of the thalamus", "TH"),
    (218, "LP", "Lateral posterior nucleus of the thalamus", "TH"),
    (1020, "PO", "Posterior complex of the thalamus", "TH"),
    (313, "MB", "Midbrain", "BS"),
    (128, "MRN", "Midbrain reticular nucleus", "MB"),
    (294, "SCm", "Superior colliculus motor related", "MB"),
    (1009, "fiber tracts", "fiber tracts", "root"),
    (776, "cc", "corpus callosum", "fiber tracts"),
    (73, "VS", "ventricular systems", "root"),
]

# The regions that probes pass, from the tip up.
TRACKS: list[list[str]] = [
    ["PO", "LP", "DG-mo", "DG-sg", "CA1", "VISa5"],
    ["MRN", "SCm", "CA3", "CA1", "VISp6a", "VISp5", "VISp4"],
    ["CP", "CP", "cc", "MOs6a", "MOs5"],
]

# name: description. The file pattern follows from the name.
DATASET_TYPES: dict[str, str] = {
    "_ibl_experiment.description": "What was recorded, with which devices",
    "_iblqc_ephysSpectralDensityAP.freqs": "Frequencies of the power of the action potential band (Hz)",
    "_iblqc_ephysSpectralDensityAP.power": "Power of each channel of the action potential band (V²/Hz)",
    "_iblqc_ephysSpectralDensityLF.freqs": "Frequencies of the power of the local field band (Hz)",
    "_iblqc_ephysSpectralDensityLF.power": "Power of each channel of the local field band (V²/Hz)",
    "_iblqc_ephysTimeRmsAP.rms": "Root mean square of each channel of the action potential band, in time (V)",
    "_iblqc_ephysTimeRmsAP.timestamps": "Times of the root mean squares of the action potential band (s)",
    "_iblqc_ephysTimeRmsLF.rms": "Root mean square of each channel of the local field band, in time (V)",
    "_iblqc_ephysTimeRmsLF.timestamps": "Times of the root mean squares of the local field band (s)",
    "_iblrig_Camera.raw": "Video of a camera",
    "_iblrig_Camera.timestamps": "Times of a camera's frames on its own clock",
    "_iblrig_RFMapStim.raw": "Images for the mapping of receptive fields",
    "_iblrig_ambientSensorData.raw": "Temperature and pressure in the rig",
    "_iblrig_encoderEvents.raw": "Events of the rotary encoder",
    "_iblrig_encoderPositions.raw": "Positions of the rotary encoder",
    "_iblrig_taskData.raw": "One line a trial, as the task wrote it",
    "_iblrig_taskSettings.raw": "Settings of the task",
    "camera.ROIMotionEnergy": "Mean change of the pixels between frames",
    "camera.dlc": "Pose estimated by DeepLabCut: place and likelihood of each point",
    "camera.features": "Features of a camera's video: the pupil's diameter",
    "camera.lightningPose": "Pose estimated by Lightning Pose: place and likelihood of each point",
    "camera.times": "Times of a camera's frames on the session's clock",
    "channels.brainLocationIds_ccf_2017": "Allen id of the region of each channel",
    "channels.localCoordinates": "Place of each channel on the shank (µm)",
    "channels.mlapdv": "Place of each channel from bregma (µm)",
    "channels.rawInd": "Row of each channel in the raw file",
    "clusters.amps": "Mean amplitude of each cluster (V)",
    "clusters.channels": "Channel on which each cluster is largest",
    "clusters.depths": "Depth of each cluster from the tip (µm)",
    "clusters.metrics": "Quality of each cluster",
    "clusters.peakToTrough": "Length of each cluster's waveform (ms)",
    "clusters.uuids": "Identifier of each cluster",
    "electrodeSites.brainLocationIds_ccf_2017": "Allen id of the region of each electrode site",
    "electrodeSites.localCoordinates": "Place of each electrode site on the shank (µm)",
    "electrodeSites.mlapdv": "Place of each electrode site from bregma (µm)",
    "ephysData.raw.ap": "Action potential band, compressed",
    "ephysData.raw.ch": "Header of a compressed band",
    "ephysData.raw.lf": "Local field band, compressed",
    "ephysData.raw.meta": "Settings of the acquisition",
    "ephysData.raw.sync": "Pulses for the synchronisation of probes",
    "ephysData.raw.timestamps": "Sample numbers and session times",
    "kilosortLabels.group": "Label that the spike sorter gave each cluster",
    "licks.times": "Times of licks",
    "passiveGabor.table": "Gratings of the passive protocol",
    "passivePeriods.intervalsTable": "Start and end of each part of the passive protocol",
    "passiveRFM.times": "Times of the images for the mapping of receptive fields",
    "passiveStims.table": "Sounds and rewards of the passive protocol",
    "probes.description": "Name, model and serial number of each probe",
    "spikes.amps": "Amplitude of each spike (V)",
    "spikes.clusters": "Cluster of each spike",
    "spikes.depths": "Depth of each spike from the tip (µm)",
    "spikes.times": "Time of each spike (s)",
    "subjectTraining.table": "Progress of a subject, one row a session",
    "subjectTrials.table": "All trials of a subject, one row each",
    "trials.goCueTrigger_times": "When the go cue was asked for",
    "trials.quiescencePeriod": "How long the wheel had to be still",
    "trials.stimOffTrigger_times": "When the end of the stimulus was asked for",
    "trials.stimOff_times": "When the stimulus went off",
    "trials.stimOnTrigger_times": "When the stimulus was asked for",
    "trials.table": "One row a trial: stimulus, choice, feedback and their times",
    "wheel.position": "Position of the wheel (radians)",
    "wheel.timestamps": "Times of the wheel's positions",
    "wheelMoves.intervals": "Start and end of the wheel's movements",
    "wheelMoves.peakAmplitude": "Size of the wheel's movements (radians)",
}

# name: extension, Python loader
FORMATS: dict[str, tuple[str, str]] = {
    "bin": (".bin", "unknown"),
    "cbin": (".cbin", "unknown"),
    "ch": (".ch", "unknown"),
    "csv": (".csv", "polars.read_csv"),
    "json": (".json", "json.load"),
    "jsonable": (".jsonable", ""),
    "meta": (".meta", ""),
    "mp4": (".mp4", ""),
    "npy": (".npy", "numpy.load"),
    "parquet": (".pqt", "polars.read_parquet"),
    "ssv": (".ssv", "polars.read_csv"),
    "tsv": (".tsv", "polars.read_csv"),
    "unknown": ("", ""),
    "yaml": (".yaml", ""),
}

PROCEDURES = [
    "Behavior training/tasks",
    "Ephys recording with acute probe(s)",
    "Headplate implant",
    "Craniotomy",
    "Histology",
    "Water restriction",
    "handling_habituation",
]
WATER_TYPES = ["Water", "Water 10% Sucrose", "Hydrogel"]
REVISIONS = {"2024-02-15": "trials extracted again", "2025-03-03": "reaction times corrected"}
PROJECTS = {
    "ibl_neuropixel_brainwide_01": "Brain-wide map of a decision task",
    "harbour_learning": "How learning begins",
    "summit_dopamine": "Reward and expectation",
    "practice": "Trial runs",
}
TAGS = {
    # name: description, protected, public
    "2024_Q1_Behaviour": ("Behaviour release", True, True),
    "Brainwidemap": ("Brain-wide map release", False, True),
    "practice-tag": ("Not for use", False, False),
}
PROBE_MODELS = [("Neuropixel 3B2", "3B2"), ("Neuropixel 2.0 single shank", "NP2.1"), ("Neuropixel 3A", "3A")]

# name: time zone, weight limit, user who does most of the work
LABS: dict[str, tuple[str, float, str]] = {
    "cortexlab": ("Europe/London", 0.85, "anna"),
    "harbourlab": ("Europe/Lisbon", 0.8, "boris"),
    "summitlab": ("America/New_York", 0.85, "carla"),
    "valleylab": ("Europe/Berlin", 0.8, "dario"),
}
# nickname: lab, sex, number of sessions with probes
SUBJECTS: dict[str, tuple[str, str, int]] = {
    "CX_001": ("cortexlab", "F", 3),
    "CX_002": ("cortexlab", "M", 2),
    "CX_003": ("cortexlab", "F", 0),
    "CX_004": ("cortexlab", "M", 1),
    "HB_011": ("harbourlab", "M", 2),
    "HB_012": ("harbourlab", "F", 0),
    "HB_013": ("harbourlab", "F", 0),
    "SU_101": ("summitlab", "F", 2),
    "SU_102": ("summitlab", "M", 0),
    "SU_103": ("summitlab", "M", 0),
    "VA_07": ("valleylab", "F", 1),
    "VA_08": ("valleylab", "M", 0),
    "VA_09": ("valleylab", "F", 0),
}
# name: is superuser, is staff, reads only
USERS: dict[str, tuple[bool, bool, bool]] = {
    "admin": (True, True, False),
    "anna": (False, True, False),
    "boris": (False, True, False),
    "carla": (False, True, False),
    "dario": (False, True, False),
    "demo": (False, True, False),
    "intbrainlab": (False, False, True),
    "reader": (False, False, True),
}
