"""Run by the WebUI before it starts. Installs nothing: all that is needed is there, and torch is never touched."""

from importlib.util import find_spec

NEEDED = ("torch", "transformers", "safetensors", "PIL", "numpy")

if missing := [name for name in NEEDED if find_spec(name) is None]:
    print(
        f"IP-Adapter: the WebUI's environment lacks {', '.join(missing)}; start the WebUI once without --skip-install."
    )
