"""Makes small Stable Diffusion checkpoints with random weights. Run by the WebUI's own Python, which has ldm and sgm.

``python make_checkpoints.py WEBUI_DIR OUT_DIR RECIPES``, RECIPES a JSON object: file name -> fields of `Recipe`.
Each checkpoint gets a ``.yaml`` beside it, one of the WebUI's own configurations with smaller numbers; where two
checkpoints differ in the suffix only, they share it, and the WebUI loads one into the model of the other.
"""

import gzip
import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
WEBUI, OUT = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
sys.path[:0] = [str(WEBUI / "repositories" / name) for name in ("stable-diffusion-stability-ai", "generative-models")]

import torch  # noqa: E402
from ldm.util import instantiate_from_config  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer  # noqa: E402
from transformers.models.clip.tokenization_clip import bytes_to_unicode  # noqa: E402

OPEN_CLIP, OPEN_CLIP_WIDTH = "ViT-S-32-alt", 256
"""The narrowest text tower that open_clip has a configuration of, and as wide what it is pooled to."""

TEXT_LAYERS = 2

WORDS = 49408
"""Of CLIP: each byte at the end of a word and elsewhere, the merges, and two that begin and end a text."""

SIZE_WIDTH = 16
"""SDXL's embedding of one number (height, width, place of the crop, aesthetic score); 256 in the published ones."""


@dataclass(frozen=True)
class Recipe:
    """What one checkpoint is like."""

    config: str
    """File below the WebUI's folder."""
    text_width: int
    """Of CLIP-L's text; SDXL's OpenCLIP has its own width, `OPEN_CLIP_WIDTH`."""
    seed: int
    latents: int = 4
    """Channels that go into the UNet; more than 4 when it is conditioned on a picture."""
    channels: int = 32
    """Width of the UNet's and the autoencoder's outermost blocks; 320 and 128 in the published ones."""


def make(name: str, recipe: Recipe) -> None:
    """One checkpoint and its configuration."""
    torch.manual_seed(recipe.seed)
    path = OUT / name
    text = path.with_name(f"{path.stem}-text")
    if not text.exists():
        make_text_encoder(text, recipe.text_width)
    config = small_config(recipe, text)
    OmegaConf.save(config, path.with_suffix(".yaml"))

    if not of_sgm(config):
        # The WebUI's own class for InstructPix2Pix lives in the WebUI; its tensors are those of the plain one.
        config.model.target = "ldm.models.diffusion.ddpm.LatentDiffusion"
    model = instantiate_from_config(config.model)
    enliven(model)
    save({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, path)


def of_sgm(config: OmegaConf) -> bool:
    """Whether the model is SDXL's."""
    return config.model.target.startswith("sgm.")


def small_config(recipe: Recipe, text: Path) -> OmegaConf:
    """The WebUI's configuration, narrow, and with the text encoder in the folder `text`."""
    config = OmegaConf.load(WEBUI / recipe.config)
    params = config.model.params
    params.first_stage_config.params.ddconfig.ch = recipe.channels
    params.first_stage_config.params.ddconfig.num_res_blocks = 1
    if of_sgm(config):
        width, vector = narrow_conditioner(params.conditioner_config.params.emb_models, recipe, text)
        unet = params.network_config.params
        unet.adm_in_channels = vector
        unet.num_head_channels = recipe.channels // 2
        # The refiner's configuration has one width for each of the transformers in a block.
        unet.context_dim = width if isinstance(unet.context_dim, int) else [width] * len(unet.context_dim)
    else:
        params.cond_stage_config.params = {"version": str(text)}
        unet = params.unet_config.params
        unet.context_dim = recipe.text_width
        unet.in_channels = recipe.latents
    unet.model_channels = recipe.channels
    return config


def narrow_conditioner(embedders: list, recipe: Recipe, text: Path) -> tuple[int, int]:
    """Makes SDXL's embedders small; what they give together: the width of the text, and of the vector."""
    width, vector = 0, 0
    for embedder in embedders:
        params, kind = embedder.params, embedder.target.rsplit(".", 1)[1]
        if kind == "FrozenCLIPEmbedder":
            params.version, params.layer_idx = str(text), TEXT_LAYERS - 1
            width += recipe.text_width
        elif kind == "FrozenOpenCLIPEmbedder2":
            params.arch, params.version = OPEN_CLIP, None
            width += OPEN_CLIP_WIDTH
            vector += OPEN_CLIP_WIDTH
        else:
            params.outdim = SIZE_WIDTH
            vector += SIZE_WIDTH * (1 if embedder.input_key == "aesthetic_score" else 2)
    return width, vector


def make_text_encoder(folder: Path, width: int) -> None:
    """CLIP's text tower, two layers deep, with CLIP's real vocabulary."""
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=4,
        projection_dim=width,
    )
    CLIPTextModel(config).save_pretrained(folder)
    make_tokenizer(folder)


def make_tokenizer(folder: Path) -> None:
    """CLIP's tokenizer from the list of merges that open_clip brings."""
    home = importlib.util.find_spec("open_clip").submodule_search_locations[0]
    with gzip.open(Path(home, "bpe_simple_vocab_16e6.txt.gz"), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")
    symbols = list(bytes_to_unicode().values())
    merges = lines[1 : 1 + WORDS - 2 * len(symbols) - 2]
    words = [*symbols, *(s + "</w>" for s in symbols), *("".join(m.split()) for m in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary, merged = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: i for i, word in enumerate(words)}), encoding="utf-8")
    merged.write_text("\n".join(["#version: 0.2", *merges]), encoding="utf-8")
    CLIPTokenizer(str(vocabulary), str(merged)).save_pretrained(folder)


@torch.no_grad()
def enliven(model: torch.nn.Module) -> None:
    """Makes the layers count that training starts from zero, and gives the text a mean.

    The WebUI's emphasis divides by the mean of the text embedding, which a fresh LayerNorm makes zero.
    """
    for parameter in model.parameters():
        if parameter.ndim > 1 and not parameter.any():
            parameter.normal_(std=0.5 * parameter[0].numel() ** -0.5)
    if not hasattr(model, "cond_stage_model"):
        return  # SDXL takes its text before the last norm, and that has a mean
    norm = model.cond_stage_model.transformer.text_model.final_layer_norm
    norm.weight.normal_(1.0, 0.1)
    norm.bias.normal_(-0.1, 0.1)


def save(tensors: dict, path: Path) -> None:
    """In the format of the suffix; the old pickle layout, because the WebUI refuses what today's torch writes."""
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for name, fields in json.loads(sys.argv[3]).items():
        make(name, Recipe(**fields))
