"""Files of buckets."""

from one_async.compat.adapters import absent
from one_async.remote import aws
from one_async.remote.aws import *  # noqa: F403

__all__ = list(aws.__all__)
__getattr__ = absent(
    __name__,
    {
        "UNSIGNED": "public buckets are read unsigned",
        "get_aws_access_keys": "get_s3_from_alyx returns access to the bucket, with its keys",
        "is_folder": "s3_download_folder takes a folder's key",
    },
)
