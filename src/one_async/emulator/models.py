"""The tables of Alyx: which fields each has, how they point at one another, and what each endpoint filters by.

A field is written ``name``, ``name:type``, ``name>model.key`` (a foreign key that holds the other row's ``key``),
``name*model.key`` (many to many) or ``name<model.field`` (the other side of either). ``name=source`` takes the
value from another key of the record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["MODELS", "PROVENANCE", "QC", "Field", "Model", "table_name"]

# In the order in which Alyx names them in its complaints
QC = {"CRITICAL": 50, "FAIL": 40, "WARNING": 30, "NOT_SET": 0, "PASS": 10}
PROVENANCE = {
    "Ephys aligned histology track": 70,
    "Histology track": 50,
    "Micro-manipulator": 30,
    "Planned": 10,
}
STATUS = {
    "Waiting": 20,
    "Held": 25,
    "Started": 30,
    "Errored": 40,
    "Empty": 45,
    "Complete": 50,
    "Incomplete": 55,
    "Abandoned": 60,
}
FOV_PROVENANCE = {"Estimate": "E", "Functional": "F", "Landmark": "L", "Histology": "H"}
CHOICES: dict[str, dict[str, int]] = {"qc": QC, "provenance": PROVENANCE, "status": STATUS}

FIELD = re.compile(r"(?P<name>\w+)(?:=(?P<source>\w+))?(?:(?P<kind>[:>*<])(?P<target>[\w-]+)(?:\.(?P<key>\w+))?)?$")


@dataclass(frozen=True)
class Field:
    """One field of a model; ``kind`` is ``:`` (a value of ``type``), ``>``, ``*`` or ``<``."""

    name: str
    source: str
    kind: str = ":"
    target: str = "text"
    key: str = ""


@dataclass(frozen=True)
class Model:
    """One table; ``filters`` maps a query key to ``path lookup`` or to ``!name`` of a filter with rules of its own."""

    name: str
    fields: dict[str, Field]
    order: tuple[str, ...]
    filters: dict[str, str]
    exact: bool
    singular: str
    columns: tuple[Field, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Sort the fields that are columns from those that are tables of their own."""
        object.__setattr__(self, "columns", tuple(f for f in self.fields.values() if f.kind in ":>"))

    @property
    def links(self) -> tuple[Field, ...]:
        """Many-to-many fields that this model owns."""
        return tuple(f for f in self.fields.values() if f.kind == "*")


def table_name(model: str, link: str = "") -> str:
    """Name the SQL table of a model, or of one of its many-to-many fields."""
    return f'"{model}{"." + link if link else ""}"'


def _model(name: str, singular: str, fields: str, order: str = "", filters: str = "", exact: bool = True) -> Model:
    parsed: dict[str, Field] = {}
    for token in fields.split():
        match = FIELD.match(token)
        assert match, token
        field_name, source, kind, target, key = match.group("name", "source", "kind", "target", "key")
        parsed[field_name] = Field(field_name, source or field_name, kind or ":", target or "text", key or "")
    rules = dict(line.strip().split(" ", 1) for line in filters.splitlines() if line.strip())
    return Model(name, parsed, tuple(order.split()), rules, exact, singular)


ATLAS = """
atlas_name !atlas
atlas_acronym !atlas
atlas_id !atlas number
"""
FILES_OF = """
dataset_types !dataset_types
datasets !datasets
dataset_qc_lte !dataset_qc_lte
"""

_ALL = (
    _model(
        "sessions",
        "Session",
        "id:uuid subject>subjects.nickname lab>labs.name location>locations.name start_time:time end_time:time"
        " number:int type task_protocol narrative parent_session>sessions.id n_trials:int n_correct_trials:int qc:qc"
        " extended_qc:json json:json name auto_datetime:time users*users.username projects*projects.name"
        " procedures*procedures.name data_dataset_session_related<datasets.session"
        " probe_insertion<insertions.session wateradmin_session_related<water-administrations.session"
        " field_of_view<fields-of-view.session tasks<tasks.session session<sessions.parent_session",
        "-start_time",
        """
subject subject__nickname__iexact
number number number
date_range !date_range
nickname subject__nickname__iexact
lab lab__name__iexact
users !users
location location__name__icontains
qc !choice
json !json
extended_qc !json
performance_gte !performance number
performance_lte !performance number
procedures procedures__name__icontains
project projects__name__icontains
projects projects__name__icontains
tag !tag
task_protocol task_protocol__icontains
type type__iexact
histology !flag text subject__actions_sessions__procedures__name=Histology
django !django
"""
        + FILES_OF
        + ATLAS,
    ),
    _model(
        "datasets",
        "Dataset",
        "id=url:uuid name created_by>users.username created_datetime:time dataset_type>dataset-types.name"
        " data_format>data-formats.name collection session>sessions.id file_size:int hash version"
        " auto_datetime:time revision>revisions.name default_dataset:bool qc:qc json:json tags*tags.name"
        " content_type>content-types.label object_id:uuid generating_software file_records<files.dataset"
        " probe_insertion<insertions.datasets data_notices<data-notices.datasets downloads<downloads.dataset"
        " field_of_view<fields-of-view.datasets",
        "",
        """
subject session__subject__nickname
lab session__lab__name
created_date !day text created_datetime
date !day text created_datetime
created_by created_by__username
dataset_type dataset_type__name
experiment_number session__number number
created_date_gte created_datetime__date__gte datetime
created_date_lte created_datetime__date__lte datetime
exists !exists
probe_insertion !of_insertion uuid
public !flag text tags__public=True
protected !flag text tags__protected=True
tag tags__name
revision revision__name
qc !choice
django !django
""",
    ),
    _model(
        "files",
        "FileRecord",
        "id=url:uuid dataset>datasets.id data_repository>data-repository.name relative_path exists:bool json:json name",
        "",
        """
lab dataset__session__lab__name
data_repository data_repository__name
globus_is_personal data_repository__globus_is_personal bool
django !django
""",
    ),
    _model(
        "insertions",
        "ProbeInsertion",
        "id:uuid session>sessions.id model>probe_models.probe_model name serial auto_datetime:time json:json"
        " chronic_insertion>chronic-insertions.id datasets*datasets.id trajectory_estimate<trajectories.probe_insertion",
        "-session__start_time name",
        """
subject session__subject__nickname
date !day text session__start_time
experiment_number session__number number
name name
model model__name
lab session__lab__name__iexact
project session__projects__name__icontains
task_protocol session__task_protocol__icontains
tag !tag
django !django
"""
        + FILES_OF
        + ATLAS,
    ),
    _model(
        "chronic-insertions",
        "ChronicInsertion",
        "id:uuid name subject>subjects.nickname lab>labs.name model>probe_models.probe_model start_time:time serial"
        " json:json probe_insertion<insertions.chronic_insertion trajectory_estimate<trajectories.chronic_insertion",
        "",
        """
subject subject__nickname
lab lab__name__iexact
model model__name
probe probe_insertion__id uuid
session probe_insertion__session__id uuid
django !django
"""
        + ATLAS,
    ),
    _model(
        "trajectories",
        "TrajectoryEstimate",
        "id:uuid probe_insertion>insertions.id x:float y:float z:float depth:float theta:float phi:float roll:float"
        " provenance:provenance coordinate_system>coordinate_systems.name datetime:time json:json"
        " chronic_insertion>chronic-insertions.id channels<channels.trajectory_estimate",
        "",
        """
provenance !choice
subject probe_insertion__session__subject__nickname
project probe_insertion__session__projects__name
date !day text probe_insertion__session__start_time
experiment_number probe_insertion__session__number number
session probe_insertion__session__id uuid
probe probe_insertion__name
django !django
""",
    ),
    _model(
        "channels",
        "Channel",
        "id:uuid trajectory_estimate>trajectories.id brain_region>brain-regions.id name json:json axial:float"
        " lateral:float x:float y:float z:float",
        "",
        """
session trajectory_estimate__probe_insertion__session__id uuid
probe_insertion trajectory_estimate__probe_insertion__id uuid
subject trajectory_estimate__probe_insertion__session__subject__nickname
lab trajectory_estimate__probe_insertion__session__lab__name
django !django
""",
    ),
    _model(
        "brain-regions",
        "BrainRegion",
        "id:int acronym name description parent>brain-regions.id level:int lft:int rght:int ontology:int"
        " channels<channels.brain_region",
        "lft",
        """
acronym acronym__iexact
description description__icontains
name name__icontains
ancestors !ancestors
parent parent__id number
django !django
""",
    ),
    _model(
        "subjects",
        "Subject",
        "id:uuid nickname responsible_user>users.username birth_date:date death_date:date species>species.nickname sex"
        " litter>litters.name strain>strains.name source>sources.name line>lines.nickname projects*projects.name"
        " lab>labs.name description json:json protocol_number cage ear_mark alive:bool reference_weight:float"
        " actions_sessions<sessions.subject weighings<weighings.subject"
        " water_administrations<water-administrations.subject actions_surgerys<surgeries.subject"
        " actions_waterrestrictions<water-restriction.subject zygosity<zygosities.subject",
        "nickname",
        """
alive !flag text death_date__isnull=True
responsible_user responsible_user__username
stock !flag text responsible_user__is_stock_manager=True
water_restricted !water_restricted
lab lab__name
project projects__name
json !nothing
django !django
""",
    ),
    _model(
        "users",
        "User",
        "id:uuid username email is_superuser:bool is_staff:bool is_active:bool is_public_user:bool"
        " is_stock_manager:bool allowed_users*users.username actions_sessions<sessions.users"
        " subjects_responsible<subjects.responsible_user",
        "username",
        "django !django",
    ),
    _model(
        "labs",
        "Lab",
        "id:uuid name institution address timezone reference_weight_pct:float zscore_weight_pct:float json:json"
        " repositories*data-repository.name",
        "",
        "django !django",
    ),
    _model("projects", "Project", "id:uuid name description json:json users*users.username", exact=False),
    _model("locations", "LabLocation", "id:uuid name lab>labs.name json:json", exact=False),
    _model("procedures", "ProcedureType", "id:uuid name description json:json", exact=False),
    _model(
        "data-repository",
        "DataRepository",
        "id:uuid name timezone globus_path hostname data_url repository_type>data-repository-type.name"
        " globus_endpoint_id globus_is_personal:bool json:json",
        "name",
        """
name name
globus_is_personal globus_is_personal bool
globus_endpoint_id globus_endpoint_id uuid
""",
        exact=False,
    ),
    _model("data-repository-type", "DataRepositoryType", "name json:json", "name", exact=False),
    _model("data-formats", "DataFormat", "id:uuid name description file_extension json:json", "name", exact=False),
    _model("dataset-types", "DatasetType", "id:uuid name description filename_pattern", "name", exact=False),
    _model("revisions", "Revision", "id:uuid name description created_datetime:time", "name", "name name", exact=False),
    _model(
        "tags",
        "Tag",
        "id:uuid name description protected:bool public:bool hash json:json datasets<datasets.tags",
        "name",
        "name name",
        exact=False,
    ),
    _model(
        "data-notices",
        "DataNotice",
        "id:uuid created_by>users.username name description importance:int created_datetime:time version_affected"
        " affected_date_start:date affected_date_end:date json:json datasets*datasets.id",
        "-importance -created_datetime",
        """
dataset_tag datasets__tags__name distinct
datasets !any_dataset
django !django
""",
    ),
    _model(
        "downloads",
        "Download",
        "id:uuid user>users.username dataset>datasets.id count:int json:json projects*projects.name",
        "",
        """
json json__icontains
dataset dataset__name__icontains
user user__username
dataset_type dataset__dataset_type__name__icontains
django !django
""",
    ),
    _model(
        "notes",
        "Note",
        "id:uuid user>users.username date_time:time content_type>content-types.label object_id:uuid text json:json"
        " image",
        "",
        "django !django",
        exact=False,
    ),
    _model(
        "tasks",
        "Task",
        "id:uuid session>sessions.id data_repository>data-repository.name status:status name priority:int io_charge:int"
        " level:int gpu:int cpu:int ram:int time_out_secs:int time_elapsed_secs:float executable graph log version"
        " datetime:time arguments:json parents*tasks.id children<tasks.parents",
        "level -priority -session__start_time",
        """
lab session__lab__name
status !choice
django !django
""",
    ),
    _model(
        "water-administrations",
        "WaterAdministration",
        "id=url:uuid subject>subjects.nickname date_time:time water_administered:float water_type>water-type.name"
        " user>users.username session>sessions.id adlib:bool name json:json",
        "",
        """
nickname subject__nickname__iexact
subject subject__nickname__iexact
date_range !no_start_time text adlib,date_time,hydrogel,id,json,name,session,session_id,subject,subject_id,user,user_id,water_administered,water_type,water_type_id
django !django
""",
    ),
    _model(
        "weighings",
        "Weighing",
        "id=url:uuid subject>subjects.nickname date_time:time weight:float user>users.username name json:json",
        "",
        """
nickname subject__nickname__iexact
subject subject__nickname__iexact
date_range !no_start_time text date_time,id,json,name,subject,subject_id,user,user_id,weight
django !django
""",
    ),
    _model(
        "water-restriction",
        "WaterRestriction",
        "id:uuid subject>subjects.nickname start_time:time end_time:time water_type>water-type.name"
        " reference_weight:float",
        "-end_time -start_time",
        """
nickname subject__nickname__iexact
subject subject__nickname__iexact
date_range !date_range
django !django
""",
    ),
    _model("water-type", "WaterType", "id:uuid name json:json", exact=False),
    _model("water-restricted-subjects", "Subject", "nickname", exact=False),
    _model(
        "surgeries",
        "Surgery",
        "id:uuid subject>subjects.nickname name narrative start_time:time end_time:time outcome_type"
        " implant_weight:float lab>labs.id location>locations.id json:json users*users.id procedures*procedures.id",
        "-start_time",
        """
subject subject__nickname__iexact
nickname subject__nickname__iexact
lab lab__name__iexact
location location__name__icontains
date_range !date_range
django !django
""",
    ),
    _model(
        "fields-of-view",
        "FOV",
        "id:uuid name imaging_type>imaging_types.name session>sessions.id stack>imaging-stack.id json:json"
        " datasets*datasets.id location<fov-location.field_of_view",
        "-session__start_time name",
        """
subject session__subject__nickname
date !day text session__start_time
experiment_number session__number number
lab session__lab__name__iexact
project session__projects__name__icontains
tag !tag
django !django
"""
        + FILES_OF
        + ATLAS,
    ),
    _model(
        "fov-location",
        "FOVLocation",
        "id:uuid field_of_view>fields-of-view.id coordinate_system>coordinate_systems.name provenance"
        " default_provenance:bool auto_datetime:time json:json brain_region*brain-regions.id",
        "-default_provenance",
        """
provenance !fov_provenance
django !django
""",
    ),
    _model("imaging-stack", "ImagingStack", "id:uuid name json:json slices<fields-of-view.stack", filters=ATLAS + "django !django", exact=False),
    # What no endpoint shows, but filters reach through
    _model("probe_models", "ProbeModel", "id:uuid name probe_manufacturer probe_model"),
    _model("coordinate_systems", "CoordinateSystem", "id:uuid name"),
    _model("imaging_types", "ImagingType", "id:uuid name"),
    _model("species", "Species", "id:uuid name nickname"),
    _model("strains", "Strain", "id:uuid name"),
    _model("sources", "Source", "id:uuid name"),
    _model("lines", "Line", "id:uuid name nickname"),
    _model("litters", "Litter", "id:uuid name birth_date:date"),
    _model("alleles", "Allele", "id:uuid name nickname"),
    _model("zygosities", "Zygosity", "subject>subjects.nickname allele>alleles.name zygosity:int"),
    _model("content-types", "ContentType", "label app_label model"),
)
MODELS: dict[str, Model] = {model.name: model for model in _ALL}
