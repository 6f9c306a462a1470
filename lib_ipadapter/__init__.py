"""IP-Adapter: a picture as a prompt, by decoupled cross-attention (Ye et al. 2023, arXiv:2308.06721).

The floors, lowest first; each imports only those above it in this list:
``maths`` (torch only), ``model`` (files and encoders), ``patch`` (hooks on a UNet),
``session`` (what the user asked), ``hosts`` (A1111, diffusers), ``training``, and the doors ``webui`` and ``cli``.
"""

import pkgutil

# Forge ships a package of this name: look for submodules in both.
__path__ = pkgutil.extend_path(__path__, __name__)
__version__ = "0.1.0"
