"""Floor 2: the image branch on a UNet, by hooks. Knows UNets (ldm, sgm, diffusers) by structure, knows no host."""
