"""What each feature does, as examples: a table for each topic of a unit. `pocket.features` draws and writes them."""

from __future__ import annotations

from collections.abc import Mapping

from pocket.examples.everyday import EVERYDAY
from pocket.examples.example import Example
from pocket.examples.layers import LAYERS
from pocket.examples.others import FACES, NEGATIVE, PASSES, SAVED
from pocket.examples.references import REFERENCES
from pocket.examples.seen import SEEN
from pocket.examples.where import WHERE

EXAMPLES: Mapping[str, tuple[Example, ...]] = {
    "": EVERYDAY,
    "Several pictures": REFERENCES,
    "How the picture is seen": SEEN,
    "Where": WHERE,
    "Layers and steps": LAYERS,
    "Passes": PASSES,
    "Negative picture": NEGATIVE,
    "Saved image prompt": SAVED,
    "Face (FaceID files)": FACES,
}
"""Topic, as in `lib_ipadapter.session.unit.TOPICS` -> its examples."""
