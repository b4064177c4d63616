"""The commands, one a file: only they parse arguments, rewrite configs, print, and exit."""
