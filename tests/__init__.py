"""A package, so that a process that is started anew finds functions of these files."""
