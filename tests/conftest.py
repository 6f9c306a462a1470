"""Shapes written in `lib_ipadapter.maths` are checked at every call while tests run."""

import hypothesis
import torch
from jaxtyping import install_import_hook

with install_import_hook("lib_ipadapter.maths", "beartype.beartype"):
    import lib_ipadapter.maths.attention
    import lib_ipadapter.maths.embeds
    import lib_ipadapter.maths.face_projections
    import lib_ipadapter.maths.projections  # noqa: F401

# Small models gain nothing from threads, and a second busy process makes every parallel operation wait.
torch.set_num_threads(1)

# No deadline: a busy machine is no failure. Derandomized: a failure is the same for everybody.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("suite")
