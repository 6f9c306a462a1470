"""Options for the WebUI's command line; it runs this before anything of the extension is loaded."""

from argparse import ArgumentParser


def preload(parser: ArgumentParser) -> None:
    """Called by the WebUI with its parser."""
    parser.add_argument("--ip-adapter-dir", help="folder with IP-Adapter models", default=None)
    parser.add_argument("--ip-adapter-encoder-dir", help="folder with IP-Adapter image encoders", default=None)
