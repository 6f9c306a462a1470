"""The door on the command line: ``python -m lib_ipadapter``. One file per command."""
