"""What a file is that is no adapter, by its keys: for the one sentence that refuses it."""

from __future__ import annotations

import re
from collections.abc import Iterable

OTHERS = {
    "a saved image prompt, which goes by its name into the field embeds": r"uncond$",
    "a saved face, which goes by its name into the field face": r"face$",
    "a raw training checkpoint without K/V maps": r"unet\.",
    "an adapter in diffusers' in-UNet layout without K/V maps": r"encoder_hid_proj\.",
    "a LoRA": r"lora_(unet|te)|.*\.(lora_(up|down|A|B|mid)\b|hada_w1|lokr_w|oft_blocks|diff_b?$)",
    "a ControlNet": r"(control_model|controlnet_\w+|control_net|input_hint_block)\.",
    "a ControlNet-LLLite": r"lllite_",
    "a T2I-Adapter": r"(adapter\.)?body\.\d+\.(block|resnets)|(adapter\.)?conv_in\.\w+$",
    "a whole Stable Diffusion checkpoint": r"(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner)\.",
    "a motion module": r".*\.motion_modules\.",
    "a VAE": r"(vae\.)?((en|de)coder\.(conv_in|mid|down|up)|(post_)?quant_conv)",
    "a textual inversion": r"(emb_params|string_to_param|string_to_token|clip_[lg])(\.|$)",
    "an image encoder": r"(.*\.)?(vision_model\.|visual\.(conv1|transformer|trunk)\b)",
    "a text encoder": r"(.*\.)?text_model\.|(t5\.|encoder\.)?(block\.\d+\.layer|shared\.weight)",
    "a UNet alone": r"(down_blocks|up_blocks|mid_block|input_blocks|output_blocks|time_embedding?)\.",
    "a Flux or SD3 model": r"(transformer\.)?(double_blocks|single_blocks|joint_blocks|transformer_blocks)\.",
    "a hypernetwork": r"(320|640|768|1024|1280)(\.|$)",
    "an upscaler": r"(params(_ema)?\.|model\.0\.weight$|conv_first\.|body\.\d+\.rdb)",
    "the state of a training run": r"(optimizer|state|param_groups|lr_schedulers?)(\.|$)",
}
"""What it is -> how one of its keys begins. The first that is met is the answer."""


def name_of(keys: Iterable[str]) -> str | None:
    """What a file with these keys is; None for what nobody here has seen."""
    known = list(keys)
    return next((what for what, form in OTHERS.items() if any(map(re.compile(form).match, known))), None)
