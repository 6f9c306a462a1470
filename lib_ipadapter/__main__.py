"""``python -m lib_ipadapter``."""

from lib_ipadapter.cli.app import app

if __name__ == "__main__":
    app(prog_name="python -m lib_ipadapter")
