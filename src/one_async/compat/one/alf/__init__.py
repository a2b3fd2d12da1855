"""Names, paths and files of the ALF standard."""
