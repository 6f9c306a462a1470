"""``python -m lib_ipadapter``."""

import sys

from lib_ipadapter.cli.missing import missing

try:
    from lib_ipadapter.cli.app import app
except ModuleNotFoundError as error:
    sys.exit(missing(error))

if __name__ == "__main__":
    app(prog_name="python -m lib_ipadapter")
