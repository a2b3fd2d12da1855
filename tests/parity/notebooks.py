"""The statements of ONE-api's documented notebooks, as lines that run in either package.

The names and paths are those of the seeded world: `eid` stands for ``'KS023/2019-12-10/001'`` and its like, `subject` and `lab` for those
of that session. Where a line has another form here, `ours` is that form; `docs/moving-from-one-api.md` has the reason.
"""

# ruff: noqa: E501 - rows of tables

from __future__ import annotations

from typing import Any, NamedTuple

from calls import aggregated
from worlds import Facts


class Lines(NamedTuple):
    """Lines of a notebook; the value of the last is compared."""

    notebook: str
    theirs: str
    ours: str | None = None
    mode: str = "remote"


NO_CACHE = "with webclient.no_cache(one.alyx):\n    eids, det = one.search(lab=lab, query_type='remote', details=True)\nsorted(map(str, eids))"
HEAD = "trials = one.load_object(eid, 'trials', collection='alf')\nframe = trials.to_df()\n"
READ_TS = "files = one.load_object(eid, 'wheel', collection='alf', download_only=True)\n"
PROBE = "collection = one.list_collections(eid, filename='clusters*')[0]\n"

FOLDER = """import tempfile
folder = Path(tempfile.mkdtemp())
for file in ('probes.description.json', 'alf/probe00/spikes.times.npy', 'alf/probe01/spikes.times.npy', 'alf/probe01/#2021-07-05#/spikes.times.npy'):
    file_path = folder / 'subject/2021-06-01/001' / file
    file_path.parent.mkdir(parents=True, exist_ok=True)
    file_path.touch()
"""
OFFLINE = """
local = ONE(cache_dir=folder)
session = 'subject/2021-06-01/001'
(local.offline, local.list_datasets(session), local.list_datasets(session, collection='alf/probe01'), local.list_datasets(session, collection=''),
 sorted(local.list_revisions(session)), sorted(local.list_collections(session)), [str(one)[-1] for one in local.search(subject='subj')] != [])"""
OURS_OFFLINE = (
    "from one_async.tables.build import make_parquet_db\nfrom one_async.api import ONE\nmake_parquet_db(folder)"
    + OFFLINE
)

SAVED = """import tempfile
folder = Path(tempfile.mkdtemp())
one.list_datasets(eid)
one.save_cache(folder, clobber=True)
"""
SAVED_AGAIN = """
local = ONE(mode='local', cache_dir=folder)
(local.list_datasets(eid), [str(one) for one in local.search(subject='^' + subject + '$', date=day)])"""

NOTEBOOKS = [
    # one_quickstart
    Lines("one_quickstart", "isinstance(one.search_terms(), (tuple, list)) and 'date_range' in one.search_terms()"),
    Lines("one_quickstart", "eids, info = one.search(date_range=span, datasets='spikes.times.npy', details=True)\nsorted(map(str, eids))"),
    Lines("one_quickstart", "one.list_datasets(eid, collection='alf/probe00*')"),
    Lines("one_quickstart", "one.list_datasets(eid, collection='alf')"),
    Lines("one_quickstart", "cam = one.load_object(eid, 'leftCamera', collection='alf')\nsorted(cam.keys())"),
    Lines("one_quickstart", "cam = one.load_object(eid, 'leftCamera', collection='alf', attribute=['times', 'dlc'])\nsorted(cam.keys())"),
    # one_search
    Lines("one_search", "sorted(map(str, one.search(date_range=[day, day])))"),
    Lines("one_search", "sorted(one.search(date_range=[day, day])) == sorted(one.search(date_range=day))"),
    Lines("one_search", "eids, details = one.search(date_range=[day, day], details=True)\n(sorted(map(str, eids)), len(details))"),
    Lines("one_search", "sorted(one.search(subject=subject, datasets=['spikes.times.npy', 'spikes.clusters.npy']))"),
    Lines("one_search", "'performance_gte' in one.search_terms('remote')"),
    Lines("one_search", "sorted(one.search(performance_gte=70, query_type='remote'))"),
    Lines("one_search", "sorted(one.search(task_protocol='training', date_range=day)) == sorted(one.search(task='training', date=day))"),
    Lines("one_search", "list(one.search(subject=subject[1:], query_type='local'))", mode="local"),
    Lines("one_search", "one.wildcards is True"),
    Lines("one_search", "list(one.search(subject='^' + subject + '$', query_type='local'))", mode="local"),
    Lines("one_search", "list(one.search(project='brainwide', datasets='_ibl_leftCamera.times.npy|_ibl_rightCamera.times.npy', query_type='local'))", mode="local"),
    Lines("one_search", "list(one.search(project='brainwide', datasets='(_ibl_leftCamera.times.npy|_ibl_rightCamera.times.npy){1}', query_type='local'))", mode="local"),
    Lines("one_search", "list(one.search(subject=re.escape(subject), query_type='local'))", mode="local"),
    Lines("one_search", "sorted((tag['name'], tag['description']) for tag in one.alyx.rest('tags', 'list'))"),
    Lines("one_search", "sorted(one.search(django='data_dataset_session_related__tags__name,' + tag, query_type='remote'))"),
    Lines("one_search", "'atlas_acronym' in one.search_terms('remote', 'insertions')"),
    Lines("one_search", "sorted(one.search_insertions(atlas_acronym='CA1', query_type='remote'))"),
    # one_list
    Lines("one_list", "list(one.list_datasets())[:50]", mode="local"),
    Lines("one_list", "one.list_datasets(eid)"),
    Lines("one_list", "sorted(one.list_collections())", mode="local"),
    Lines("one_list", "sorted(one.list_collections(eid))"),
    Lines("one_list", "sorted(one.list_revisions())", mode="local"),
    Lines("one_list", "sorted(one.list_revisions(eid))"),
    Lines("one_list", "one.list_subjects()", mode="local"),
    Lines("one_list", "one.list_datasets(eid, collection='alf/probe01')"),
    Lines("one_list", "one.list_datasets(eid, collection='*probe*')"),
    Lines("one_list", "sorted(one.list_collections(eid, filename='*spikes*'))"),
    Lines("one_list", "one.list_datasets(eid, '*raw*')"),
    Lines("one_list", "one.list_datasets(eid, qc='WARNING')"),
    Lines("one_list", "one.list_datasets(eid, qc='WARNING', ignore_qc_not_set=True)"),
    Lines("one_list", "sorted(one.list_collections(eid, collection='raw*', revision='2020-01-01'))"),
    Lines("one_list", "sorted(one.list_revisions(eid, revision='202[01]'))"),
    Lines("one_list", "one.list_datasets(eid, ['*wheel*', '*trials*'])"),
    Lines("one_list", "one.list_datasets(eid, filename={'attribute': ['timestamps', 'intervals'], 'extension': 'npy'})"),
    Lines("one_list", "datasets = one.list_datasets(eid, '*wheelMoves*', qc='PASS', ignore_qc_not_set=False)\ndata, records = one.load_datasets(eid, datasets)\ndata"),
    Lines("one_list", "collections = one.list_collections(eid, collection='alf')\ndata = {key: one.load_collection(eid, key, object='wheelMoves') for key in collections}\n{key: sorted(value.keys()) for key, value in data.items()}"),
    Lines("one_list", PROBE + "spikes = one.load_object(eid, 'spikes', collection=collection)\nsorted(spikes.keys())"),
    Lines("one_list", "len(one.list_aggregates('subjects', subject))"),
    # one_load
    Lines("one_load", "trials = one.load_object(eid, 'trials', collection='alf')\nsorted(trials.keys())"),
    Lines("one_load", "trials = one.load_object(eid, 'trials', collection='alf')\ntrials.rewardVolume[:5]"),
    Lines("one_load", "trials = one.load_object(eid, 'trials', collection='alf')\ntrials['rewardVolume'][:5]"),
    Lines("one_load", HEAD + "sorted(frame.columns)"),
    Lines("one_load", HEAD + "frame[['choice', 'rewardVolume']].head()"),
    Lines("one_load", "trials = one.load_object(eid, 'trials', collection='alf')\ntrials.check_dimensions == 0"),
    Lines("one_load", "wheel = one.load_object(eid, 'wheel', attribute=['position', 'timestamps'])\nwheel"),
    Lines("one_load", "one.load_dataset(eid, '_ibl_wheel.position.npy')"),
    Lines("one_load", "data, info = one.load_datasets(eid, datasets=['_ibl_wheel.position.npy', '_ibl_wheel.timestamps.npy'])\n(data, [row['rel_path'] for row in info])"),
    Lines("one_load", PROBE + "one.load_dataset(eid, 'spikes.times.npy', collection=collection)"),
    Lines("one_load", PROBE + "data, info = one.load_datasets(eid, datasets=['_ibl_wheel.position.npy', 'clusters.channels.npy'], collections=['alf', collection])\ndata"),
    Lines("one_load", "files = one.load_object(eid, 'wheel', collection='alf', download_only=True)\nsorted(files)"),
    Lines("one_load", READ_TS + "one.load_object(files[0], 'wheel')"),
    Lines("one_load", READ_TS + "file = sorted(files)[0]\none.load_dataset(file, file.name)"),
    Lines("one_load", PROBE + "spikes = one.load_object(eid, 'spikes', collection=collection, attribute=['time*', 'clusters'])\n(sorted(spikes.keys()), 'amps' not in spikes)"),
    Lines("one_load", PROBE + "dataset = dict(object='spikes', attribute='times', extension=['npy', 'bin'])\none.load_dataset(eid, dataset, collection=collection)"),
    Lines("one_load", READ_TS + "alfio.read_ts(sorted(files)[0])", READ_TS + "from one_async.files.timestamps import read_ts\nread_ts(sorted(files)[0])"),
    Lines("one_load", PROBE + "found = one.load_collection(eid, collection, object=['spikes', 'clusters'])\nfound['spikes'].times[:5]"),
    Lines("one_load", "len(one.load_dataset.__doc__) > 100"),
    # one_modes
    Lines("one_modes", "(str(one).startswith('One (online, http://127.0.0.1'), one.mode, one.offline)"),
    Lines("one_modes", "(str(one).startswith('One (offline, '), one.mode, one.offline)", mode="local"),
    Lines("one_modes", "sorted(one.search(lab=lab, query_type='remote'))"),
    Lines("one_modes", "one.alyx.default_expiry = timedelta(days=20)\none.alyx.default_expiry"),
    Lines("one_modes", "sorted(row['nickname'] for row in one.alyx.rest('subjects', 'list', expires=timedelta(days=1)))"),
    Lines("one_modes", NO_CACHE),
    Lines("one_modes", "sorted(row['id'] for row in one.alyx.rest('sessions', 'list', lab=lab, no_cache=True))"),
    # experiment_ids
    Lines("experiment_ids", "eids = one.search(datasets='spikes.times.npy', date=span)\nspec.is_uuid(eids[0])"),
    Lines("experiment_ids", "session_path = one.eid2path(uuid)\n(session_path, spec.is_session_path(session_path))"),
    Lines("experiment_ids", "spec.is_uuid_string(str(uuid))"),
    Lines("experiment_ids", "eids = one.search(subject=subject)\nref_dict = one.eid2ref(eids)\n(len(ref_dict) == len(eids), sorted(str(ref['date']) for ref in ref_dict))"),
    Lines("experiment_ids", "ref_dict = one.eid2ref(one.search(subject=subject))\nsorted(one.dict2ref(ref_dict))"),
    Lines("experiment_ids", "one.path2eid(one.ref2path(one.dict2ref(one.eid2ref(uuid)))) == uuid"),
    Lines("experiment_ids", "one.to_eid([ref, str(uuid), eid])"),
    Lines("experiment_ids", "one.load_dataset(eid, '_ibl_wheel.position.npy', download_only=True)"),
    Lines("experiment_ids", "one.load_dataset(one.eid2path(uuid), '_ibl_wheel.position.npy')"),
    Lines("experiment_ids", "filepath = one.load_dataset(eid, '_ibl_wheel.position.npy', download_only=True)\none.load_dataset(filepath, '_ibl_wheel.position.npy')"),
    Lines("experiment_ids", "session_path = one.eid2path(uuid)\none.load_dataset('/'.join(session_path.parts[-3:]), '_ibl_wheel.position.npy')"),
    Lines("experiment_ids", "filepath = one.load_dataset(eid, '_ibl_wheel.position.npy', download_only=True)\none.path2url(filepath)"),
    Lines("experiment_ids", "filepath = one.load_dataset(eid, '_ibl_wheel.position.npy', download_only=True)\none.load_dataset(one.path2url(filepath), '_ibl_wheel.position.npy')"),
    Lines("experiment_ids", "one.load_dataset(one.eid2ref(uuid), '_ibl_wheel.position.npy')"),
    Lines("experiment_ids", "one.load_dataset(ref, '_ibl_wheel.position.npy')"),
    Lines("experiment_ids", PROBE + "sorted(one.load_object(eid, 'channels', attribute='localCoordinates', collection=collection))"),
    Lines("experiment_ids", "sorted(one.get_details(uuid))"),
    Lines("experiment_ids", "info = one.get_details(uuid, full=True)\nsorted(info.keys())"),
    # one_advanced
    Lines("one_advanced", "{'sessions', 'subjects', 'insertions'} <= set(one.alyx.list_endpoints())"),
    Lines("one_advanced", "sess_info = one.alyx.rest('sessions', 'list', performance_gte=70, task_protocol='ephys')\nsorted(row['id'] for row in sess_info)"),
    Lines("one_advanced", "sess_info = one.alyx.rest('sessions', 'list', id=str(uuid))\none.to_eid(sess_info[0])"),
    Lines("one_advanced", "sorted(one.search(performance_gte=70, task_protocol='ephys', query_type='remote'))"),
    Lines("one_advanced", "trajs = one.alyx.rest('trajectories', 'list', provenance='Planned')\nsorted(row['session']['id'] for row in trajs)"),
    Lines("one_advanced", "subj_info = one.alyx.rest('subjects', 'list', lab=lab, sex='F', alive=True)\nsorted(subj['nickname'] for subj in subj_info)"),
    # datasets_and_types
    Lines("datasets_and_types", "spec.is_valid('spikes.times.npy')"),
    Lines("datasets_and_types", "spec.to_alf('spikes', 'times', 'npy', namespace='ibl', timescale='ephys clock', extra='raw')"),
    Lines("datasets_and_types", "ALFPath('_ibl_spikes.times_ephysClock.raw.npy').parse_alf_name()"),
    Lines("datasets_and_types", "spec.describe('object') or True", "bool(spec.describe('object'))"),
    Lines("datasets_and_types", "one.describe_dataset('spikes.times')"),
    Lines("datasets_and_types", "one.list_datasets(eid)\none.dataset2type('_ibl_leftCamera.times.npy')"),
    Lines("datasets_and_types", "list(one.type2datasets(eid, 'camera.times'))"),
    # useful_alyx_queries
    Lines("useful_alyx_queries", "len(one.alyx.rest()) if False else len(one.alyx.list_endpoints()) > 20"),
    Lines("useful_alyx_queries", "len(one.alyx.rest_schemes.actions('sessions')) > 2", "len(one.alyx.describe_endpoint('sessions').actions) > 2"),
    Lines("useful_alyx_queries", "one.alyx.print_endpoint_info('sessions', action='list') or True", "len(str(one.alyx.describe_endpoint('sessions', action='list'))) > 100"),
    Lines("useful_alyx_queries", "ses = one.alyx.rest('sessions', 'read', id=str(uuid))\nses['extended_qc']"),
    # recording_data_access
    Lines("recording_data_access", "one.record_loaded = True\none.load_dataset(eid, '_ibl_wheel.position.npy')\nids, filename = one.save_loaded_ids(clear_list=False)\n(list(map(str, ids)), 'loaded_dataset_uuids.csv' in filename.name)"),
    Lines("recording_data_access", "one.record_loaded = True\none.load_dataset(eid, '_ibl_wheel.position.npy')\nids, filename = one.save_loaded_ids(sessions_only=True)\n(list(map(str, ids)), filename.exists())"),
    Lines("one_load", "len(one.list_aggregates('subjects')['rel_path']) > 0"),
    Lines("one_load", "one.load_aggregate('subjects', aggregate, '_ibl_subjectTraining.table', download_only=True)"),
    Lines("one_load", "len(one.load_aggregate('subjects', aggregate, '_ibl_subjectTraining.table')) > 0"),
    # alf_paths
    *(
        Lines("alf_paths", f"path = ALFPath('/data/cortexlab/Subjects/NYU-001/2019-10-01/001/alf/task_00/#2020-01-01#/_ibl_trials.table.pqt')\n{line}")
        for line in (
            "(path.lab, path.subject, path.date, path.sequence, path.collection, path.revision)",
            "(path.name, path.object, path.attribute, path.suffix, path.namespace, path.extra)",
            "(path.parts, path.alf_parts, path.session_parts, path.dataset_name_parts)", "(path.parse_alf_path(), path.parse_alf_name())",
            "path.with_subject('new_subject')", "path.with_sequence(5)", "path.with_revision('2025-03-03')", "path.with_object('new_object')",
            "path.with_lab('mainenlab')", "path.without_lab()", "path.without_lab().with_lab('mainenlab')",
            "ALFPath('NYU-001/2019-10-01/1').with_padded_sequence()", "path.with_uuid('87f60a7c-581c-4fc6-b304-183ac423312c').name",
            "path.with_uuid('87f60a7c-581c-4fc6-b304-183ac423312c').without_lab().without_revision().without_uuid()",
            "(path.session_path(), path.session_path_short(), path.relative_to_lab(), path.relative_to_session())",
            "path = path.relative_to_lab()\n(path.is_session_path(), path.session_path().is_session_path(), path.is_valid_alf(), path.parent.is_dataset(), path.is_dataset())",
        )
    ),
    # alyx_files, data_sharing
    Lines("alyx_files", FOLDER + "from one.api import ONE\ncache.make_parquet_db(folder)" + OFFLINE, FOLDER + OURS_OFFLINE, mode="local"),
    Lines("data_sharing", FOLDER + "from one.api import One as ONE\nONE.setup(folder, hash_files=False)" + OFFLINE, FOLDER + OURS_OFFLINE, mode="local"),
    Lines("alyx_files", "spec.path_pattern()"),
    Lines("alyx_files", "one.list_datasets(eid, collection='')", mode="local"),
    Lines("alyx_files", "[x or None for x in one.list_revisions(eid)]", mode="local"),
    Lines("alyx_files", "[x or None for x in one.list_collections(eid)]", mode="local"),
    Lines("data_sharing", "all(spec.is_valid(path.rpartition('/')[2]) for path in one.list_datasets(eid, collection='alf'))"),
    Lines("data_sharing", "list(one.search(subject=subject, datasets=['_ibl_wheel.position.npy', '_ibl_wheel.timestamps.npy']))", mode="local"),
    # last: ONE-api cannot list datasets after it has saved its tables
    Lines("recording_data_access", SAVED + "from one.api import ONE" + SAVED_AGAIN, SAVED + "from one_async.api import ONE" + SAVED_AGAIN),
]  # fmt: skip


def names(facts: Facts) -> dict[str, Any]:
    """Return the names that the lines use, of a session that has trials, wheel, cameras and spikes."""
    has = ("alf/_ibl_trials.table.pqt", "alf/_ibl_wheel.position.npy", "alf/_ibl_leftCamera.times.npy")
    with_probes = {row["session"] for row in facts.insertions}
    for session in facts.sessions:
        paths = facts.paths(session["eid"])
        if (
            session["eid"] in with_probes
            and all(path in paths for path in has)
            and any("spikes.times" in path for path in paths)
        ):
            break
    else:
        raise LookupError("no session has all that the notebooks use")
    day, number, subject = str(session["date"]), session["number"], session["subject"]
    return {
        "eid": f"{subject}/{day}/{number:03d}", "uuid": {"$uuid": session["eid"]}, "ref": f"{day}_{number}_{subject}", "subject": subject,
        "lab": session["lab"], "day": day, "span": [f"{day[:4]}-01-01", f"{day[:4]}-12-31"],
        "aggregate": aggregated(facts), "tag": facts.records["tags"]["list"][0]["name"],
    }  # fmt: skip
