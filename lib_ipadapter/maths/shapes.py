"""Tensor shapes as types: ``Float[Tensor, "rows tokens width"]``.

The tests check them at every call (jaxtyping and beartype);
the WebUI has neither, and there an annotation is the plain tensor type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
else:
    try:
        from jaxtyping import Float
    except ImportError:

        class Float:
            """Stands in: ``Float[Tensor, shape]`` is ``Tensor``."""

            def __class_getitem__(cls, item):
                return item[0]


__all__ = ["Float"]
