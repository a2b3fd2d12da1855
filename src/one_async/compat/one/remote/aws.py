"""Files of buckets."""

from one_async.compat.absent import absent
from one_async.remote import aws
from one_async.remote.aws import *  # noqa: F403

__all__ = [*aws.__all__, "UNSIGNED", "get_aws_access_keys", "is_folder"]

UNSIGNED = absent("one.remote.aws.UNSIGNED", "public buckets are read unsigned")
get_aws_access_keys = absent(
    "one.remote.aws.get_aws_access_keys", "get_s3_from_alyx returns access to the bucket, with its keys"
)
is_folder = absent("one.remote.aws.is_folder", "s3_download_folder takes a folder's key")
