"""``python -m lib_ipadapter``."""

import sys

try:
    from lib_ipadapter.cli.app import app
except ModuleNotFoundError as error:
    sys.exit(
        f"The command line needs the package {error.name}, which this Python does not have;"
        " run `make demo` once and take .venv/bin/python, or install requirements/cli.txt."
    )

if __name__ == "__main__":
    app(prog_name="python -m lib_ipadapter")
