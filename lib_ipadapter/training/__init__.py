"""A door: trains adapters on a frozen Stable Diffusion, through the modules and hooks that inference uses."""
