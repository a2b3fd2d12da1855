"""What ONE-api's clients of other ways to files have in common."""

from one_async.compat.absent import absent

__all__ = ["DownloadClient", "load_client_params", "save_client_params"]

DownloadClient = absent("one.remote.base.DownloadClient", "ONE.download fetches files over HTTP or from S3")
load_client_params = absent("one.remote.base.load_client_params", "one_async.settings.resolve reads settings")
save_client_params = absent("one.remote.base.save_client_params", "one_async.settings.setup saves settings")
