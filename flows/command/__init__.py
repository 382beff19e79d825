"""The ``otzyv`` command: one file for a group of commands, each imported when it is asked for."""
