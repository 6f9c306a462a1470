"""Adapters that are known, cannot be used, and must not be mistaken for one that can.

Key names and shapes: Mikubill/sd-webui-controlnet@56cec5b scripts/ipadapter/image_proj_models.py (PuLID),
cubiq/ComfyUI_IPAdapter_plus@9d076a3 IPAdapterPlus.py (Kolors), diffusers' loaders/transformer_sd3.py (SD3), and
InstantX/FLUX.1-dev-IP-Adapter infer_flux_ipa_siglip.py (Flux).
"""

from __future__ import annotations

from collections.abc import Callable

from lib_ipadapter.model.variant import Shapes

REFUSED: dict[str, Callable[[Shapes, Shapes], bool]] = {
    "a PuLID adapter, which needs an encoder of its own,": (
        lambda p, _: any(k.startswith(("mapping_0.", "mapping_patch_", "id_embedding_mapping.")) for k in p)
    ),
    "an IP-Adapter for Stable Diffusion 3, which has no cross-attention,": (
        lambda p, s: any(k.startswith("time_embedding.") for k in p) or "ip_adapter.0.norm_ip.linear.weight" in s
    ),
    # A UNet's layer 0 attends to itself and has no image branch; in a transformer every layer has one.
    "an IP-Adapter for Flux, which has no cross-attention,": lambda _, s: "ip_adapter.0.to_k_ip.weight" in s,
    "a FaceID adapter for Kolors, whose text encoder the WebUI does not have,": (
        lambda p, _: any(k.startswith("perceiver_resampler.") for k in p) and p.get("norm.weight") == (4096,)
    ),
    "an IP-Adapter for Kolors, whose text encoder the WebUI does not have,": (
        lambda p, _: p.get("proj_in.weight") == (2048, 1024) and p.get("layers.0.0.to_q.weight") == (768, 2048)
    ),
    "an IP-Adapter for Stable Diffusion 2": (
        lambda _, s: s.get("ip_adapter.1.to_k_ip.weight", ())[1:] == (1024,) and "ip_adapter.33.to_k_ip.weight" not in s
    ),
}
"""What it is -> how it is known, by the projection's keys without prefix, and by all keys."""
