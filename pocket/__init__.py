"""A Stable Diffusion small enough to ship: its pictures, its judge, how it is trained, and its weights."""
