"""What each feature does, as examples: a table for each topic. `pocket.features` draws and writes them."""

from __future__ import annotations

from pocket.examples.everyday import EVERYDAY
from pocket.examples.example import Example

EXAMPLES: tuple[Example, ...] = (*EVERYDAY,)
