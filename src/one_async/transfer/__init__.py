"""Downloads from data servers and S3 into a cache folder: planned, concurrent, resumable and verified."""
