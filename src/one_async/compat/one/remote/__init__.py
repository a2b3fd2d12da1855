"""Files that are not datasets."""
