"""Raw recordings that are read by the slice, from servers or from the disk."""
