"""Floor 1: adapter files and image encoders. Adds safetensors and transformers; knows no UNet."""
