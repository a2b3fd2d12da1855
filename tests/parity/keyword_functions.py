"""Lines that call functions of the modules of `one` by keyword alone. ONE-api and its stand-in both run them.

Each line may use `root`, a folder with the files of a few sessions, `place`, the folder of one of them, and the records `dset` and `ses`.
"""

# ruff: noqa: E501 - rows of tables

from __future__ import annotations

import ast
from collections.abc import Iterator

UUID4 = "a976e418-c8b8-4d24-be47-d05120b18341"
FILE = f"lab/Subjects/KS1/2024-01-02/001/alf/probe00/#2024-02-02#/_ibl_spikes.times_bpod.raw.{UUID4}.npy"
#: The value of each name at the beginning of a line.
MODULES = {
    "one": "one.api.OneAlyx",
    "alfio": "one.alf.io", "alfpath": "one.alf.path", "spec": "one.alf.spec", "spec.QC": "one.alf.spec.QC", "cache": "one.alf.cache", "converters": "one.converters",
    "webclient": "one.webclient", "util": "one.util", "params": "one.params", "registration": "one.registration", "aws": "one.remote.aws",
    "ALFPath": "one.alf.path.PureALFPath", "AlfBunch": "one.alf.io.AlfBunch", "client": "one.registration.RegistrationClient",
}  # fmt: skip
FRAME = 'pd.DataFrame({"rel_path": ["alf/#2020-01-01#/spikes.times.npy", "alf/#2021-01-01#/spikes.times.npy", "alf/a.b.npy"], "qc": pd.Categorical(["PASS", "FAIL", "NOT_SET"], categories=["NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"], ordered=True), "default_revision": [False, True, True]}, index=["x", "y", "z"])'
CACHED = "import one.alf.cache as cache\n"
LINES = [
    # one.alf.spec
    'spec.is_session_path(path_object="KS1/2024-01-02/001")',
    f'spec.is_uuid(uuid="{UUID4}", versions=(4,))', f'spec.is_uuid(uuid="{UUID4}", versions=(1,))',
    f'spec.is_uuid_string(string="{UUID4}")', 'spec.is_valid(filename="spikes.times.npy")',
    'spec.readableALF(name="spikeTimes", capitalize=True)', 'spec.regex(spec="{object}.{attribute}", object="x|y").pattern',
    'spec.to_alf(object="spikes", attribute="times", extension="npy", namespace="ibl", timescale="bpod", extra="raw")',
    'spec.QC.validate(v="PASS").name', 'spec.describe(part="lab", width=60) is not True',
    # one.alf.path
    f'alfpath.add_uuid_string(file_path="a/spikes.times.npy", uuid="{UUID4}", strict=True)',
    'alfpath.ensure_alf_path(path="a/b")',
    'alfpath.filename_parts(filename="_ibl_spikes.times.npy", as_dict=True, assert_valid=True)', 'alfpath.filename_parts(filename="nonsense", as_dict=True, assert_valid=False)',
    'alfpath.folder_parts(folder_path="lab/Subjects/KS1/2024-01-02/001/alf", as_dict=True, assert_valid=False)',
    f'alfpath.full_path_parts(path="{FILE}", as_dict=True, assert_valid=True)', f'alfpath.get_alf_path(path="/x/{FILE}")',
    f'alfpath.get_session_path(path="/x/{FILE}")', 'alfpath.padded_sequence(file_path="KS1/2024-01-02/1/alf")',
    'alfpath.rel_path_parts(rel_path="alf/#r#/spikes.times.npy", as_dict=True, assert_valid=True)', f'alfpath.remove_uuid_string(file_path="{FILE}")',
    'alfpath.session_path_parts(session_path="lab/Subjects/KS1/2024-01-02/001", as_dict=True, assert_valid=True)',
    f'alfpath.without_revision(file_path="{FILE}")',
    f'ALFPath("{FILE}").parse_alf_name(as_dict=True)', f'ALFPath("{FILE}").parse_alf_path(as_dict=True)', f'ALFPath("{FILE}").session_path_short(include_lab=True)',
    f'ALFPath("{FILE}").with_attribute(attr="amps")', f'ALFPath("{FILE}").with_collection(collection="raw")', f'ALFPath("{FILE}").with_date(date="2024-03-03")',
    f'ALFPath("{FILE}").with_extension(ext="pqt")', f'ALFPath("{FILE}").with_extra(extra="more", append=True)',
    f'ALFPath("{FILE}").with_lab(lab="other", strict=True)', f'ALFPath("{FILE}").with_namespace(ns="x")', f'ALFPath("{FILE}").with_object(obj="clusters")',
    f'ALFPath("{FILE}").with_revision(revision="2025-01-01")', f'ALFPath("{FILE}").with_sequence(number=7)', f'ALFPath("{FILE}").with_subject(subject="S")',
    f'ALFPath("{FILE}").with_timescale(timescale="clock")', f'ALFPath("{FILE}").with_uuid(uuid="{UUID4}", strict=False)',
    'sorted(ALFPath(place).iter_datasets(recursive=True))',
    # one.alf.io
    'AlfBunch = alfio.AlfBunch\nAlfBunch(a=np.arange(3)).append(b={"a": np.arange(2)}, inplace=False)', 'AlfBunch = alfio.AlfBunch\nAlfBunch.from_df(df=pd.DataFrame({"a": [1], "b_0": [1], "b_1": [2]}))',
    'alfio.check_dimensions(dico={"a": np.zeros(3), "b": np.zeros((3, 2))})', 'alfio.check_dimensions(dico={"a": np.zeros(3), "b": np.zeros(2)})',
    'alfio.dataframe(adict=alfio.AlfBunch(a=np.arange(3), b=np.zeros((3, 2))))',
    'alfio.exists(alfpath=Path(place, "made"), object="things", attributes=["times", "amps"])', 'alfio.exists(alfpath=Path(place, "made"), object="things", attributes=["none"])',
    'alfio.filter_by(alf_path=Path(place, "made"), wildcards=True, object="thing*")[0]',
    'list(alfio.find_variants(file_list=[Path(place, "made", "things.times.npy")], namespace=True, timescale=True, extra=True, extension=True).values())',
    'sorted(alfio.iter_datasets(session_path=place))', 'sorted(alfio.iter_sessions(root_dir=root, pattern="*/Subjects/*/*/*"))',
    'alfio.load_file_content(fil=Path(place, "made", "things.times.npy"))',
    'alfio.load_object(alfpath=Path(place, "made"), object="things", short_keys=True)',
    'alfio.next_num_folder(session_date_folder=Path(place).parent)',
    'np.save(str(Path(place, "made", "clock.timestamps.npy")), np.array([[0, 1.0], [9, 10.0]]))\nalfio.read_ts(filename=Path(place, "made", "clock.timestamps.npy"))',
    'alfio.save_metadata(file_alf=Path(place, "made", "things.times.npy"), dico={"unit": "s"})',
    'alfio.save_object_npy(alfpath=Path(place, "made"), dico={"times": np.arange(3)}, object="other", parts="part", namespace="ns", timescale="clock")',
    'alfio.ts2vec(ts=np.array([[0, 1.0], [9, 10.0]]), n_samples=10)',
    'Path(root, "empty", "deeper").mkdir(parents=True)\nalfio.remove_empty_folders(folder=Path(root, "empty"))\nsorted(Path(root, "empty").iterdir())',
    # one.converters
    'converters.datasets2records(datasets=[dset], additional=["name"])[["rel_path", "file_size", "hash", "exists", "qc", "default_revision", "name"]]',
    'converters.datasets2records(datasets=one.alyx.rest("datasets", "list", django="session__isnull,True"))[["rel_path", "hash"]].sort_values("hash").reset_index(drop=True)["hash"]',
    'converters.one_path_from_dataset(dset=dset, one_cache="/data")', 'converters.path_from_dataset(dset=dset, root_path="/data", repository=dset["file_records"][0]["data_repository"], uuid=True)',
    f'converters.path_from_filerecord(fr=dset["file_records"][0], root_path=Path("/data"), uuid="{UUID4}")',
    'converters.ses2records(ses=ses)[1][["rel_path", "file_size", "hash", "exists", "qc"]]', 'converters.ses2records(ses=ses)[0][["subject", "lab", "number", "projects", "date", "task_protocol"]]',
    'converters.session_record2path(session={"subject": "KS1", "date": "2024-01-02", "number": 1, "lab": "x"}, root_dir="/data")',
    *(
        f'rows = one.list_datasets(eid=ses["url"][-36:], details=True, keep_eid_index=True)\none.{call}=rows.iloc[0])'
        for call in ("record2path(dataset", "record2url(record")
    ),
    # one.webclient
    'webclient.dataset_record_to_url(dataset_record=[dset])', 'webclient.file_record_to_url(file_records=dset["file_records"])',
    'webclient.update_url_params(url="https://a.test/b?c=1&d=", params={"c": 2, "e": ["x", "y"]})',
    'path, md5 = webclient.http_download_file(full_link_to_file=dset["file_records"][0]["data_url"], chunks=(0, 64), clobber=True, silent=True, username="demo", password="demo", target_dir=root, return_md5=True, headers={"X-Y": "z"})\n(path.name, path.stat().st_size, md5)',
    '[path.name for path in webclient.http_download_file_list(links_to_file_list=[dset["file_records"][0]["data_url"]], target_dir=[root], silent=True)]',
    'with webclient.no_cache(ac=one.alyx):\n    found = one.alyx.rest("labs", "list")\nlen(found)',
    # one.util
    'util.autocomplete(term="subj", search_terms=("subject", "lab"))', 'util.index_last_before(revisions=["a", "b"], revision="a")',
    '[str(day.date()) for day in util.validate_date_range(date_range=["2024-01-01", "2024-02-01"])]',
    *(
        f'list(util.filter_datasets(all_datasets={FRAME}, {rest}).index)'
        for rest in (
            'filename="spikes.*", collection="alf", revision="2020-06-01", revision_last_before=True, qc="FAIL", ignore_qc_not_set=False, assert_unique=True, wildcards=True',
            'filename="spikes.*", revision="2020.*", revision_last_before=False, assert_unique=False', 'filename=".*", qc="PASS", ignore_qc_not_set=True, assert_unique=False',
        )
    ),
    f'list(util.filter_revision_last_before(datasets={FRAME}, revision="2020-06-01", assert_unique=True, assert_consistent=False).index)',
    # one.alf.cache
    CACHED + '[path.name for path in cache.make_parquet_db(root_dir=Path(root, "built"), out_dir=Path(root, "built"), hash_ids=True, hash_files=True, lab="some_lab")]',
    CACHED + 'pd.read_parquet(Path(root, "built", "datasets.pqt"))[["rel_path", "file_size", "hash"]].sort_values("rel_path").reset_index(drop=True)',
    CACHED + 'sorted(path.name for path in cache.remove_table_files(folder=Path(root, "built"), tables=("datasets",)))',
    # one.params
    'params.get(client=one.alyx.base_url, silent=True, username="someone").ALYX_LOGIN', 'params.default().ALYX_URL',
    'params.setup(client="https://other.test", silent=True, make_default=False, username="someone", cache_dir=Path(root, "other")) is not None',
    'params.get_cache_dir(client="https://other.test")', 'params.get(client="https://other.test", silent=True).ALYX_LOGIN', 'params.get_default_client(include_schema=False) != ""',
    'params.check_cache_conflict(cache_dir=Path(root, "other"))', 'params.check_cache_conflict(cache_dir=Path(root, "nobody"))', 'params.delete_params(base_url="https://other.test")',
    # one.registration
    'import one.registration as registration\nclient = registration.RegistrationClient(one=one)\n(client.ensure_ISO8601(date="2024-01-02"), client.assert_exists(member=ses["subject"], endpoint="subjects")["nickname"])',
    'import one.registration as registration\nclient = registration.RegistrationClient(one=one)\nsorted(client.find_files(session_path=place))',
    'import one.registration as registration\nclient = registration.RegistrationClient(one=one)\nclient.prepare_files(file_list=[Path(place, "alf", "_ibl_wheel.timestamps.npy")], versions="1")[2:]',
    'import one.registration as registration\nclient = registration.RegistrationClient(one=one)\n(path, eid) = client.create_new_session(subject=ses["subject"], session_root=Path(root, "made_here"), date="2030-01-02", register=False)\n(path.parts[-3:], eid)',
    'import one.registration as registration\nclient = registration.RegistrationClient(one=one)\nclient.create_sessions(root_data_folder=Path(root, "built"), glob_pattern="**/create_me.flag", register_files=False, dry=True)',
    'import one.registration as registration\nclient = registration.RegistrationClient(one=one)\nclient.check_protected_files(file_list=[Path(place, "alf", "_ibl_wheel.timestamps.npy")], created_by="demo")[0]["status_code"]',
    'import one.registration as registration\nclient = registration.RegistrationClient(one=one)\nsorted(client.register_files(file_list=[Path(place, "alf", "_ibl_wheel.timestamps.npy")], versions="1", default=True, created_by="demo", server_only=False, repository=None, exists=True, dry=True, max_md5_size=None)[0])',
    'import one.registration as registration\nregistration.get_dataset_type(filename="spikes.times.npy", dtypes=one.alyx.rest("dataset-types", "list"))["name"]',
    # one.remote.aws
    'import one.remote.aws as aws\naws.get_s3_virtual_host(uri="s3://bucket/a/b.npy", region="eu-west-1")', 'import one.remote.aws as aws\naws.url2uri(data_path="https://bucket.s3.eu-west-1.amazonaws.com/a/b.npy", return_location=True)',
]  # fmt: skip
#: Lines that prepare folders; both sides run them first.
BEFORE = """
made = Path(place, "made")
made.mkdir(parents=True, exist_ok=True)
for name in ("things.times", "things.amps"):
    np.save(str(made / f"{name}.npy"), np.arange(4.0))
other = Path(root, "built", "KS1", "2024-01-02", "001", "alf")
other.mkdir(parents=True)
np.save(str(other / "spikes.times.npy"), np.arange(4.0))
"""
#: Functions that no line calls, or after a colon a keyword that no line uses, with the reason.
NOT_CALLED = {
    "one.alf.spec.QC": "made by its members' values",
    "one.alf.cache.remove_missing_datasets": "ONE-api looks paths up among ids, so that it removes files of the tables",
    "one.registration.RegistrationClient.prepare_files:content_type": "see REASONS of test_keywords.py",
    "one.registration.RegistrationClient.register_session": "writes: test_registration.py",
    "one.registration.RegistrationClient.register_water_administration": "writes: test_registration.py",
    "one.registration.RegistrationClient.register_weight": "writes: test_registration.py",
    "one.remote.aws.get_s3_from_alyx": "needs a bucket",
    "one.remote.aws.s3_download_file": "needs a bucket",
    "one.remote.aws.s3_download_folder": "needs a bucket",
    **{f"one.alf.path.PureALFPath.{name}:path": "see REASONS of test_keywords.py" for name in ("is_session_path", "is_valid_alf", "with_padded_sequence")},
}  # fmt: skip


#: Lines that raise errors in both.
FAILING = ['params.check_cache_conflict(cache_dir=Path(root, "other"))']


def called() -> Iterator[tuple[str, str]]:
    """Return each function that lines call, with the keywords of the calls."""
    for line in LINES:
        for node in ast.walk(ast.parse(line)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            root = node.func.value
            root = root.func if isinstance(root, ast.Call) else root
            name = ast.unparse(root)
            if name in MODULES:
                dotted = f"{MODULES[name]}.{node.func.attr}"
                yield dotted, ""
                yield from ((dotted, keyword.arg or "**") for keyword in node.keywords)
