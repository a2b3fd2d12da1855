"""Every public name of ONE-api 3.6.1, its place here, and why it differs; `docs/parity.md` is made from this table.

`WHERE` has the place of a module or class, by the longest prefix that matches; `NAMES` has that of single names. A verdict is
`same`; `better`, with the improvement; `elsewhere`, with the other name; `internal` for names that only ONE-api itself uses;
`writing` for names that write; or `not here`.
"""

# ruff: noqa: E501 - rows of tables

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

MODULES = (
    "one.api", "one.webclient", "one.converters", "one.alf.io", "one.alf.path", "one.alf.spec", "one.alf.cache",
    "one.alf.exceptions", "one.params", "one.util", "one.registration", "one.remote.aws", "one.remote.base",
)  # fmt: skip
TITLES = {
    "one.api": "ONE: search, list, load", "one.converters": "Identifiers", "one.webclient": "REST", "one.alf.io": "ALF files",
    "one.alf.path": "ALF paths", "one.alf.spec": "ALF grammar", "one.alf.cache": "Cache tables", "one.alf.exceptions": "Errors",
    "one.params": "Parameters", "one.util": "Filters and helpers", "one.registration": "Registration", "one.remote.aws": "Files on S3", "one.remote.base": "Other ways to files", "ONE 2": "Names of ONE 2 and of the mode documentation",
}  # fmt: skip

WHERE = {
    "one.api.": "one_async.api.",
    "one.api.One.": "one_async.ONE.",
    "one.api.OneAlyx.": "one_async.ONE.",
    "one.converters.ConversionMixin.": "one_async.ONE.",
    "one.webclient.": "one_async.webclient.",
    "one.webclient.AlyxClient.": "one_async.AlyxClient.",
    "one.alf.io.AlfBunch.": "one_async.ALFObject.",
    "one.alf.path.": "one_async.alf.path.",
    "one.alf.spec.": "one_async.alf.spec.",
    "one.alf.exceptions.": "one_async.errors.",
    "one.remote.aws.": "one_async.remote.aws.",
}

FRAMES = "tables are Polars frames with columns `eid`, `did`, not pandas frames with an index of UUIDs"
#: Single names: theirs -> (ours or None, verdict, why).
NAMES: dict[str, tuple[str | None, str, str]] = {
    # one.api
    "one.api.One": ("one_async.api.One", "same", "`ONE` with this class's constructor; every `ONE` is an instance of it"),
    "one.api.OneAlyx": ("one_async.api.OneAlyx", "same", "`ONE` with this class's constructor; every `ONE` that has a database is an instance of it"),
    "one.api.ONE": ("one_async.api.ONE", "better", "a class, so it can be annotated, pickled and subclassed; `AsyncONE` beside it; every method that takes a session takes it as `id=` or by its own name"),
    "one.api.SAVE_ON_DELETE": ("one_async.ONE.save_cache", "elsewhere", "nothing is written when an object is dropped; `save_cache()` writes"),
    "one.api.REVISION_LAST_BEFORE": ("one_async.ONE.load_dataset", "elsewhere", "the environment variable ONE_REVISION_LAST_BEFORE is read at each load"),
    "one.api.One.search": ("one_async.ONE.search", "better", "`details` are a frame; None means that a term is not given"),
    "one.api.OneAlyx.search": ("one_async.ONE.search", "better", "a full list rather than a lazy one; lists mean any of; a frame for `details`"),
    "one.api.OneAlyx.search_insertions": ("one_async.ONE.search_insertions", "better", "a full list; lists mean any of; also `date_range`, `number`, `projects`, and from tables that have insertions"),
    "one.api.OneAlyx.describe_revision": ("one_async.ONE.describe_revision", "better", "gives the description; ONE-api prints it and gives None"),
    "one.api.OneAlyx.dataset2type": ("one_async.ONE.dataset2type", "better", "asks the database also for names that were not seen before"),
    "one.api.OneAlyx.describe_dataset": ("one_async.ONE.describe_dataset", "better", "asks the database also for names that were not seen before"),
    "one.api.One.load_object": ("one_async.ONE.load_object", "better", "of a list of sessions, a list; tables of pandas, by `one_async.ONE` of Polars"),
    "one.api.One.load_datasets": ("one_async.ONE.load_datasets", "better", "records are dictionaries"),
    "one.api.One.list_subjects": ("one_async.ONE.list_subjects", "better", "remotely all subjects of the database, not those of the sessions seen so far"),
    "one.api.One.load_cache": ("one_async.ONE.load_cache", "same", "`clobber` asks the server; in local mode tables are read anew from disk in any case"),
    "one.api.One.setup": ("one_async.api.One.setup", "better", "asks nothing: without a folder, an error"),
    "one.api.OneAlyx.setup": ("one_async.api.OneAlyx.setup", "better", "asks nothing; `one-async setup` asks on a terminal. `ONE.setup` gives the `Settings` rather than a client"),
    # one.webclient
    "one.webclient.N_THREADS": ("one_async.ONE", "elsewhere", "`max_connections=` of the constructor"),
    "one.webclient.update_url_params": ("one_async.AlyxClient.rest", "elsewhere", "filters are keywords of `rest`, or parameters of the address given to `get`"),
    "one.webclient.http_download_file": ("one_async.AlyxClient.download_file", "elsewhere", "`fetch` of one_async.transfer checks size and hash, too"),
    "one.webclient.http_download_file_list": ("one_async.AlyxClient.download_file", "elsewhere", "takes a list"),
    "one.webclient.file_record_to_url": ("one_async.transfer.plan.make_plan", "elsewhere", "a plan has the address of each file"),
    "one.webclient.dataset_record_to_url": ("one_async.ONE.record2url", "elsewhere", ""),
    "one.webclient.RestScheme": ("one_async.alyx.schema.Schema", "elsewhere", ""),
    "one.webclient.RestScheme.EXCLUDE": ("one_async.alyx.schema.HIDDEN", "elsewhere", ""),
    "one.webclient.RestSchemeOpenApi": ("one_async.alyx.schema.Schema", "elsewhere", ""),
    "one.webclient.RestSchemeOpenApi.backend": (None, "internal", "one schema format is spoken: OpenAPI"),
    "one.webclient.RestScheme.endpoints": ("one_async.alyx.schema.Schema.endpoints", "same", ""),
    "one.webclient.RestScheme.actions": ("one_async.alyx.schema.Schema.describe", "elsewhere", "`.actions` of the description"),
    "one.webclient.RestScheme.fields": ("one_async.alyx.schema.Schema.fields", "same", ""),
    "one.webclient.RestScheme.field_names": ("one_async.alyx.schema.Schema.fields", "elsewhere", "gives names"),
    "one.webclient.RestScheme.url": ("one_async.alyx.schema.ActionDescription.url", "elsewhere", ""),
    "one.webclient.RestScheme.print_endpoint_info": ("one_async.AlyxClient.describe_endpoint", "elsewhere", "print what it gives; the library itself prints nothing"),
    "one.webclient.validate_endpoint_action": (None, "internal", "a decorator of the REST schemes"),
    "one.webclient.AlyxClient.max_retry_attempts": ("one_async.alyx.retrying", "elsewhere", "every read is tried again, with a limit"),
    "one.webclient.AlyxClient.max_retry_wait_seconds": ("one_async.alyx.retrying", "elsewhere", "as long as the server's Retry-After says, with a limit"),
    "one.webclient.AlyxClient.token_verify_timeout": ("one_async.alyx.retrying.Timeouts", "elsewhere", "`timeout=` of the client"),
    "one.webclient.AlyxClient": ("one_async.webclient.AlyxClient", "same", "the same settings, stored tokens and environment variables as `ONE`; the first request logs in, constructing does not"),
    "one.webclient.AlyxClient.rest_schemes": ("one_async.AlyxClient.schema", "elsewhere", "`describe_endpoint(endpoint, action)` for one"),
    "one.webclient.AlyxClient.print_endpoint_info": ("one_async.AlyxClient.describe_endpoint", "elsewhere", "print what it gives; the library itself prints nothing"),
    "one.webclient.AlyxClient.list_endpoints": ("one_async.AlyxClient.list_endpoints", "same", ""),
    "one.webclient.AlyxClient.download_cache_tables": ("one_async.ONE.refresh_cache", "elsewhere", "downloads only what is newer, and puts it in place whole"),
    "one.webclient.AlyxClient.download_file": ("one_async.AlyxClient.download_file", "better", "a file appears whole or not at all, and a broken connection is continued; also files of other servers, which get no login"),
    "one.webclient.AlyxClient.rel_path2url": ("one_async.ONE.path2url", "elsewhere", "the database's own address of the file, where it has one"),
    "one.webclient.AlyxClient.rest": ("one_async.AlyxClient.rest", "better", "unknown filters are refused (Alyx ignores them and gives every row)"),
    "one.webclient.AlyxClient.get": ("one_async.AlyxClient.get", "better", "full lists, each row once"),
    "one.webclient.AlyxClient.is_logged_in": ("one_async.AlyxClient.is_logged_in", "same", "after the first request: constructing makes none"),
    "one.webclient.AlyxClient.user": ("one_async.AlyxClient.user", "same", ""),
    **{f"one.webclient.AlyxClient.{name}": (f"one_async.AlyxClient.{name}", "writing", "") for name in ("post", "put", "patch", "delete")},
    **{
        f"one.webclient.AlyxClient.json_field_{name}": (f"one_async.AlyxClient.json_field_{name}", "writing", why)
        for name, why in {
            "write": "",
            "update": "content without keys is an error; `atomic=True` notices that another client changed the field",
            "remove_key": "a key whose value is null is removed, too",
            "delete": "",
        }.items()
    },
    # one.registration
    "one.registration.RegistrationClient": ("one_async.registration.RegistrationClient", "writing", "`one.registration` of a client; nothing is registered twice"),
    "one.registration.ONE": ("one_async.api.ONE", "internal", "imported there"),
    "one.registration.get_dataset_type": ("one_async.registration.get_dataset_type", "writing", ""),
    **{
        f"one.registration.RegistrationClient.{name}": (f"one_async.registration.RegistrationClient.{name}", "writing", why)
        for name, why in {
            "create_new_session": "", "create_sessions": "", "find_files": "", "assert_exists": "", "prepare_files": "", "ensure_ISO8601": "",
            "check_protected_files": "", "register_water_administration": "", "register_weight": "",
            "register_session": "lists of folders at once; `dry_run=True` gives a frame",
            "register_files": "lists of files at once; all that is refused is in one error, before anything is sent",
        }.items()
    },
    # one.converters
    "one.converters.EMPTY_DATASETS_FRAME": ("one_async.tables.schema.DATASETS", "elsewhere", FRAMES),
    "one.converters.recurse": (None, "internal", "a decorator; every method takes lists and nested lists"),
    "one.converters.parse_values": (None, "internal", "a decorator; the `parse=` of the methods"),
    "one.converters.ConversionMixin": ("one_async.ONE", "elsewhere", "the methods are those of `ONE`"),
    "one.converters.one_path_from_dataset": ("one_async.ONE.record2path", "elsewhere", ""),
    "one.converters.path_from_dataset": ("one_async.ONE.record2path", "elsewhere", ""),
    "one.converters.path_from_filerecord": ("one_async.transfer.plan.make_plan", "elsewhere", "a plan has the target of each file"),
    "one.converters.session_record2path": ("one_async.alf.session_paths.session_folder", "elsewhere", ""),
    "one.converters.ses2records": ("one_async.queries.records.datasets_frame", "elsewhere", FRAMES),
    "one.converters.datasets2records": ("one_async.queries.records.DatasetRecord", "elsewhere", FRAMES),
    # one.alf.io
    "one.alf.io.FILE_SPEC": ("one_async.alf.spec.FILE_SPEC", "elsewhere", ""),
    "one.alf.io.AlfBunch": ("one_async.ALFObject", "elsewhere", "`dir()` and `del` know its attributes"),
    "one.alf.io.AlfBunch.from_df": ("one_async.ALFObject.from_frame", "elsewhere", "of Polars or pandas"),
    "one.alf.io.AlfBunch.to_df": ("one_async.ALFObject.to_df", "same", "pandas; `to_frame()` gives Polars"),
    "one.alf.io.dataframe": ("one_async.ALFObject.to_df", "elsewhere", ""),
    "one.alf.io.read_ts": ("one_async.files.timestamps.read_ts", "elsewhere", ""),
    "one.alf.io.ts2vec": ("one_async.files.timestamps.ts2vec", "elsewhere", ""),
    "one.alf.io.check_dimensions": ("one_async.files.frames.check_dimensions", "elsewhere", ""),
    "one.alf.io.load_file_content": ("one_async.files.read.read_file", "elsewhere", "damaged files raise FileDamaged; pickled arrays are not read"),
    "one.alf.io.iter_sessions": ("one_async.files.find.iter_sessions", "elsewhere", ""),
    "one.alf.io.iter_datasets": ("one_async.files.find.iter_datasets", "elsewhere", ""),
    "one.alf.io.exists": ("one_async.files.find.exists", "elsewhere", ""),
    "one.alf.io.load_object": ("one_async.files.objects.load_object", "elsewhere", ""),
    "one.alf.io.save_object_npy": ("one_async.files.write.save_object_npy", "writing", ""),
    "one.alf.io.save_metadata": ("one_async.files.write.save_metadata", "writing", ""),
    "one.alf.io.next_num_folder": ("one_async.files.find.next_num_folder", "elsewhere", ""),
    "one.alf.io.remove_empty_folders": (None, "writing", "deletes folders"),
    "one.alf.io.filter_by": ("one_async.files.find.filter_by", "elsewhere", ""),
    "one.alf.io.find_variants": ("one_async.files.find.find_variants", "elsewhere", ""),
    "one.alf.io.AlfBunch.load": ("one_async.files.objects.load_object", "elsewhere", "of ALF files; of an `.npz` file, `ALFObject(numpy.load(file))`"),
    "one.alf.io.AlfBunch.save": ("one_async.files.write.save_object_npy", "writing", "to ALF files; to an `.npz` file, `numpy.savez(file, **object)`"),
    # one.alf.path: only the module of the grammar has the grammar's constants
    **{f"one.alf.path.{name}": (f"one_async.alf.spec.{name}", "elsewhere", "") for name in ("SESSION_SPEC", "COLLECTION_SPEC", "FILE_SPEC", "REL_PATH_SPEC")},
    # one.alf.cache
    "one.alf.cache.QC_TYPE": ("one_async.tables.schema.QC_LEVELS", "elsewhere", ""),
    "one.alf.cache.SESSIONS_COLUMNS": ("one_async.tables.schema.SESSIONS", "elsewhere", FRAMES),
    "one.alf.cache.DATASETS_COLUMNS": ("one_async.tables.schema.DATASETS", "elsewhere", FRAMES),
    "one.alf.cache.EMPTY_DATASETS_FRAME": ("one_async.tables.schema.DATASETS", "elsewhere", FRAMES),
    "one.alf.cache.EMPTY_SESSIONS_FRAME": ("one_async.tables.schema.SESSIONS", "elsewhere", FRAMES),
    "one.alf.cache.default_cache": ("one_async.tables.catalogue.Catalogue", "elsewhere", ""),
    "one.alf.cache.make_parquet_db": ("one_async.tables.build.make_parquet_db", "elsewhere", ""),
    "one.alf.cache.cast_index_object": ("one_async.tables.schema.canonical", "elsewhere", "ids of any form become text"),
    "one.alf.cache.load_tables": ("one_async.tables.catalogue.Catalogue.open", "elsewhere", "tables are memory-mapped"),
    "one.alf.cache.merge_tables": ("one_async.tables.merge.merge", "elsewhere", "gives a new catalogue; the old one stays as it was"),
    "one.alf.cache.remove_missing_datasets": ("one_async.tables.build.remove_missing_datasets", "elsewhere", ""),
    "one.alf.cache.remove_table_files": ("one_async.tables.disk.remove_tables", "elsewhere", ""),
    "one.alf.cache.patch_tables": ("one_async.tables.schema.canonical", "elsewhere", "tables of older forms are read as they are"),
    # one.alf.exceptions
    "one.alf.exceptions.AlyxSubjectNotFound": ("one_async.errors.RegistrationError", "elsewhere", "names all that registration refuses, an unknown subject among it"),
    "one.alf.exceptions.ALFError": ("one_async.errors.ALFError", "same", "for catching; it is made with one text and attributes, where ONE-api's makes its text of several parts and `terse`"),
    # one.remote
    "one.remote.aws.get_s3_public": ("one_async.remote.aws.get_s3_public", "same", "gives a `Bucket` rather than a boto3 resource, for `s3_download_file` and `s3_download_folder`"),
    "one.remote.aws.get_s3_allen": ("one_async.remote.aws.get_s3_allen", "same", "gives a `Bucket` rather than a boto3 resource"),
    "one.remote.aws.get_s3_from_alyx": ("one_async.remote.aws.get_s3_from_alyx", "same", "gives a `Bucket` rather than a boto3 resource"),
    "one.remote.aws.get_aws_access_keys": ("one_async.remote.aws.get_s3_from_alyx", "elsewhere", "keys are not given away; what holds them does not show them"),
    "one.remote.aws.s3_download_file": ("one_async.remote.aws.s3_download_file", "better", "goes on where it stopped; an error where ONE-api gives None"),
    "one.remote.aws.s3_download_folder": ("one_async.remote.aws.s3_download_folder", "better", "several files at once; goes on where it stopped"),
    "one.remote.aws.is_folder": (None, "internal", "of boto3's summaries of objects"),
    "one.remote.aws.UNSIGNED": (None, "internal", "botocore's own; public buckets are read unsigned"),
    "one.remote.base.PROC_PRECEDENCE": ("one_async.transfer.plan.make_plan", "elsewhere", "`prefer=`, http or s3"),
    "one.remote.base.ALYX_JSON": (None, "internal", "an example of a repository's record"),
    "one.remote.base.PAR_ID_STR": (None, "internal", "the name of a file of parameters"),
    "one.remote.base.load_client_params": ("one_async.settings.resolve", "elsewhere", "data servers have settings (`data_server_login`, …), buckets the database's own record"),
    "one.remote.base.save_client_params": ("one_async.settings.save", "writing", "secrets are never written"),
    "one.remote.base.DownloadClient": (None, "internal", "a base class without methods that do anything; files are fetched by `ONE.download` and the loads, over HTTP or from S3"),
    **{
        f"one.remote.base.DownloadClient.{name}": (None, "internal", "of a base class: not implemented in ONE-api either")
        for name in ("to_address", "download_file", "setup")
    },
    "one.remote.base.DownloadClient.repo_from_alyx": ("one_async.AlyxClient.rest", "elsewhere", "`rest('data-repository', 'read', id=name)`"),
    # one.params
    "one.params.CACHE_DIR_DEFAULT": ("one_async.settings.get_cache_dir", "elsewhere", ""),
    "one.params.default": ("one_async.Settings", "elsewhere", "the defaults of the model"),
    "one.params.setup": ("one_async.settings.setup", "elsewhere", "asks only through the function that it is given"),
    "one.params.get": ("one_async.settings.resolve", "elsewhere", "defaults, ONE-api's and our own files, environment, arguments"),
    "one.params.get_default_client": ("one_async.settings.default_database", "elsewhere", ""),
    "one.params.save": ("one_async.settings.save", "elsewhere", "secrets are never written"),
    "one.params.get_cache_dir": ("one_async.settings.get_cache_dir", "elsewhere", ""),
    "one.params.get_params_dir": ("one_async.settings.get_params_dir", "elsewhere", ""),
    "one.params.check_cache_conflict": ("one_async.settings.databases", "elsewhere", "`setup` warns of a shared folder"),
    "one.params.delete_params": ("one_async.settings.delete", "elsewhere", ""),
    # one.util
    "one.util.FILE_SPEC": ("one_async.alf.spec.FILE_SPEC", "elsewhere", ""),
    "one.util.parse_id": (None, "internal", "a decorator; every method takes any name of a session"),
    "one.util.validate_date_range": ("one_async.queries.terms.date_range", "elsewhere", "gives two dates"),
    "one.util.filter_datasets": ("one_async.alf.match.resolve", "elsewhere", FRAMES),
    "one.util.filter_revision_last_before": ("one_async.alf.revisions.last_before", "elsewhere", FRAMES),
    "one.util.index_last_before": ("one_async.alf.revisions.last_before", "elsewhere", ""),
    "one.util.autocomplete": ("one_async.queries.terms.complete", "elsewhere", ""),
    "one.util.LazyId": ("one_async.ONE.search", "elsewhere", "searches give full lists"),
    "one.util.LazyId.ses2eid": ("one_async.ONE.to_eid", "elsewhere", "takes records"),
    # ONE 2, and the documentation of modes
    "ONE 2.ONE.refresh_cache": ("one_async.ONE.refresh_cache", "same", "gives the loaded time; downloads only what is newer"),
    "ONE 2.ONE.cache_expiry": ("one_async.ONE.cache_expiry", "same", "counts at once"),
    "ONE 2.ONE._cache._meta": ("one_async.client.tables.CacheTwin", "same", "expired, created_time, loaded_time, modified_time, saved_time, raw"),
    "ONE 2.mode='auto'": ("one_async.types.Mode", "better", "readers never wait for a refresh; REST for what tables cannot answer"),
    "ONE 2.mode='refresh'": ("one_async.types.Mode", "same", ""),
    "ONE 2.mode='local'": ("one_async.types.Mode", "same", ""),
    "ONE 2.mode='remote'": ("one_async.types.Mode", "same", ""),
    "ONE 2.query_type=": ("one_async.ONE.search", "same", "on every method that asks; all four modes"),
}  # fmt: skip


#: Verdicts of names that exist here.
HERE = ("same", "better", "elsewhere")


class Place(NamedTuple):
    """The place of a name of ONE-api here."""

    theirs: str
    ours: str | None
    verdict: str
    why: str


def place(name: str) -> Place:
    """Return the place of a name. Names without an entry have the same name where their module or class is."""
    if name in NAMES:
        return Place(name, *NAMES[name])
    if name.startswith("one.webclient.RestSchemeCoreApi"):
        return Place(name, None, "internal", "for servers older than Alyx 3, which had another schema format")
    if name.startswith("one.webclient.RestSchemeOpenApi."):
        return place(name.replace("RestSchemeOpenApi", "RestScheme"))._replace(theirs=name)
    if name.endswith(".explanation"):
        return Place(
            name,
            "one_async.errors.OneError",
            "elsewhere",
            "what went wrong is in the error's text, about the case at hand",
        )
    fitting = max((start for start in WHERE if name.startswith(start)), key=len, default=None)
    if fitting is None:
        raise LookupError(f"{name} is not in the table")
    return Place(name, WHERE[fitting] + name[len(fitting) :], "same", "")


def is_here(dotted: str | None) -> bool:
    """Return whether a dotted name can be imported or reached."""
    parts = (dotted or "").split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except (ImportError, ValueError):
            continue
        for part in parts[end:]:
            known = getattr(found, "__dataclass_fields__", {}) | getattr(found, "__annotations__", {})
            if not hasattr(found, part) and part not in known:
                return False
            found = getattr(found, part, None)
        return True
    return False


ORACLE = """
import importlib, inspect, json, sys
names = []
for title in sys.argv[1:]:
    module = importlib.import_module(title)
    for name, value in vars(module).items():
        mine = getattr(value, "__module__", None) == title
        borrowed = inspect.isclass(value) or inspect.ismodule(value)
        if name.startswith("_") or not (mine or (name.isupper() and not borrowed)):
            continue
        names.append(f"{title}.{name}")
        if inspect.isclass(value):
            known = {one: owner for owner in reversed(value.__mro__) for one in vars(owner) if not one.startswith("_")}
            theirs = {one for one, owner in known.items() if owner.__module__.startswith(("one.", "iblutil."))}
            inherited = {one for owner in value.__mro__[1:] if owner.__module__.startswith("one.") for one in vars(owner)}
            names += [f"{title}.{name}.{one}" for one in sorted(theirs) if one in vars(value) or one not in inherited]
print(json.dumps(names))
"""


def names_of_one_api(python: str) -> list[str]:
    """Return the public names of ONE-api, read by its own interpreter."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [python, "-c", ORACLE, *MODULES], capture_output=True, text=True, check=True, env={"HOME": home}, cwd=Path(home)
        )  # fmt: skip
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found + [name for name in NAMES if name.startswith("ONE 2.")]


SIGNATURES = """
import importlib, inspect, json, sys
found = {}
for dotted in json.loads(sys.stdin.read()):
    parts = dotted.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            value = getattr(value, part)
        break
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        continue
    found[dotted] = [
        (one.name, one.kind.name, None if one.default is one.empty else repr(one.default))
        for one in parameters if one.name != "self"
    ]
print(json.dumps(found))
"""
#: Name, kind, and default as text or None where there is none.
Parameter = tuple[str, str, str | None]


def signatures_of_one_api(python: str, names: list[str]) -> dict[str, list[Parameter]]:
    """Return the parameters of ONE-api's functions and classes, read by its own interpreter."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [python, "-c", SIGNATURES],
            input=json.dumps(names), capture_output=True, text=True, check=True, env={"HOME": home}, cwd=Path(home),
        )  # fmt: skip
    found: dict[str, list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return {name: [tuple(one) for one in parameters] for name, parameters in found.items()}


def signature_here(dotted: str) -> list[Parameter]:
    """Return the parameters of our function or class of a dotted name."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return [
            (one.name, one.kind.name, None if one.default is one.empty else repr(one.default))
            for one in inspect.signature(found).parameters.values()
            if one.name not in ("self", "cls")
        ]
    raise LookupError(dotted)
