"""The limits of fields that writes may set: patterns of texts, with Alyx's complaints, and ranges of numbers."""

from __future__ import annotations

__all__ = ["BOUNDS", "PATTERNS"]

#: Fields whose text must match a pattern, with Alyx's complaint.
PATTERNS = {
    ("labs", "name"): (r"\w+", "Lab name must only contain letters, numbers, and underscores."),
    ("subjects", "nickname"): (
        r"[\w.-]+",
        "Nicknames must only contain letters, numbers, hyphens and underscores. "
        "Dots are reserved for breeding subjects.",
    ),
    ("revisions", "name"): (
        r"[\w.-]+",
        "Revisions must only contain letters, numbers, hyphens, underscores and forward slashes.",
    ),
    ("data-repository", "hostname"): (r"[a-zA-Z0-9._-]+", "Invalid hostname"),
    ("data-formats", "file_extension"): (
        r"\.[^.]+",
        "Invalid file extension, should start with a dot",
    ),
    ("users", "username"): (
        r"[\w.@+-]+",
        "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters.",
    ),
    ("files", "relative_path"): (r"[a-zA-Z0-9_][^\\:]+", "Invalid path"),
}
#: One more than the largest number that a column holds; a size in bytes is checked by the database alone.
BOUNDS = {"int": 2**31, "positive": 2**31, "small": 2**15}
