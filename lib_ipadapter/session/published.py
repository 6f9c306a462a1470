"""The published adapters and encoders: where each lies, how large it is, what it must hash to."""

from __future__ import annotations

from pathlib import Path

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.identity import KNOWN
from lib_ipadapter.session.remote import Licence, Published, Remote, Repository, Shelf

H94 = Repository("h94/IP-Adapter", "018e402774aeeddd60609b4ecdb7e298259dc729", Licence.APACHE)
FACEID = Repository("h94/IP-Adapter-FaceID", "43907e6f44d079bf1a9102d9a6e56aef7a219bae", Licence.RESEARCH)
OSTRIS = Repository("ostris/ip-composition-adapter", None, Licence.APACHE)

VIT_H, VIT_BIGG = "vit-h", "vit-bigg"


def _encoder(name: str, home: str, *, hidden: int, size: int, sha256: str) -> Published:
    """A folder that transformers could load. The configuration comes first: alone it is no encoder to anybody."""
    config, weights = (Path(name, file) for file in ("config.json", "model.safetensors"))
    files = (Remote(f"{home}/config.json", config), Remote(f"{home}/model.safetensors", weights, size, sha256))
    about = f"image encoder, {hidden} wide"
    return Published(name, about, H94, Shelf.ENCODERS, files, hidden_size=hidden)


def _adapter(
    path: str, about: str, encoder: str, size: int | None, sha256: str | None, *, of: Repository = H94
) -> Published:
    name = Path(path).name
    return Published(name, about, of, Shelf.ADAPTERS, (Remote(path, Path(name), size, sha256),), encoder)


def _twin(name: str, about: str, encoder: str) -> Published:
    """One with the shapes of another, which is told from that by its content."""
    known = KNOWN[name]
    return _adapter(name, about, encoder, known.size, known.sha256, of=FACEID)


PUBLISHED: tuple[Published, ...] = (
    _encoder(
        VIT_H,
        "models/image_encoder",
        hidden=1280,
        size=2528373448,
        sha256="6ca9667da1ca9e0b0f75e46bb030f7e011f44f86cbfb8d5a36590fcd7507b030",
    ),
    _encoder(
        VIT_BIGG,
        "sdxl_models/image_encoder",
        hidden=1664,
        size=3689912664,
        sha256="657723e09f46a7c3957df651601029f66b1748afb12b419816330f16ed45d64d",
    ),
    _adapter(
        "models/ip-adapter_sd15.safetensors",
        "SD1.5, the place to start",
        VIT_H,
        44642768,
        "289b45f16d043d0bf542e45831f971dcdaabe18b656f11e86d9dfba7e9ee3369",
    ),
    _adapter(
        "models/ip-adapter_sd15_light_v11.bin",
        "SD1.5, leaves more to the text",
        VIT_H,
        44642977,
        "350b63a57847c163e2e984b01090f85ffe60eaae20f32b2b2c9e1ccc7ddd972b",
    ),
    _adapter(
        "models/ip-adapter-plus_sd15.safetensors",
        "SD1.5, closer to the picture",
        VIT_H,
        98183288,
        "a1c250be40455cc61a43da1201ec3f1edaea71214865fb47f57927e06cbe4996",
    ),
    _adapter(
        "models/ip-adapter-plus-face_sd15.safetensors",
        "SD1.5, a face cut out of its picture",
        VIT_H,
        98183288,
        "1c9edc21af6f737dc1d6e0e734190e976cfacf802d6b024b77aa3be922f7569b",
    ),
    _adapter(
        "models/ip-adapter-full-face_sd15.safetensors",
        "SD1.5, such a face, with the encoder's whole grid",
        VIT_H,
        43592352,
        "f4a17fb643bf876235a45a0e87a49da2855be6584b28ca04c62a97ab5ff1c6f3",
    ),
    _adapter(
        "models/ip-adapter_sd15_vit-G.safetensors",
        "SD1.5, with the larger encoder",
        VIT_BIGG,
        46215640,
        "a26f736af07bb341a83dfea23713531d0575760e8ed947c68cb31a4c62d9c90b",
    ),
    _adapter(
        "ip_plus_composition_sd15.safetensors",
        "SD1.5, the picture's composition alone",
        VIT_H,
        None,
        None,
        of=OSTRIS,
    ),
    _adapter(
        "sdxl_models/ip-adapter_sdxl_vit-h.safetensors",
        "SDXL, with the smaller encoder",
        VIT_H,
        698391064,
        "ebf05d918348aec7abb02a5e9ecef77e0aaea6914a5c4ea13f50d45eb1681831",
    ),
    _adapter(
        "sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors",
        "SDXL, closer to the picture",
        VIT_H,
        847517512,
        "3f5062b8400c94b7159665b21ba5c62acdcd7682262743d7f2aefedef00e6581",
    ),
    _adapter(
        "sdxl_models/ip-adapter-plus-face_sdxl_vit-h.safetensors",
        "SDXL, a face cut out of its picture",
        VIT_H,
        847517512,
        "677ad8860204f7d0bfba12d29e6c31ded9beefdf3e4bbd102518357d31a292c1",
    ),
    _adapter(
        "sdxl_models/ip-adapter_sdxl.safetensors",
        "SDXL, with the larger encoder",
        VIT_BIGG,
        702585376,
        "ba1002529e783604c5f326d49f0122025392d1d20ac8d573b3eeb3e6dea4ebb6",
    ),
    _adapter(
        "ip_plus_composition_sdxl.safetensors",
        "SDXL, the picture's composition alone",
        VIT_H,
        None,
        None,
        of=OSTRIS,
    ),
    _adapter(
        "ip-adapter-faceid_sd15.bin",
        "SD1.5, FaceID",
        "",
        96740574,
        "201344e22e6f55849cf07ca7a6e53d8c3b001327c66cb9710d69fd5da48a8da7",
        of=FACEID,
    ),
    _twin("ip-adapter-faceid-plus_sd15.bin", "SD1.5, FaceID with the face's picture, the first version", VIT_H),
    _twin("ip-adapter-faceid-plusv2_sd15.bin", "SD1.5, FaceID with the face's picture", VIT_H),
    _adapter(
        "ip-adapter-faceid-portrait-v11_sd15.bin",
        "SD1.5, FaceID of several pictures",
        "",
        64586623,
        "a48cb4f89ed18e02c6000f65aa9efec452e87eaed4a1bc9fcf4a460c8d0e3bc6",
        of=FACEID,
    ),
    _adapter(
        "ip-adapter-faceid_sdxl.bin",
        "SDXL, FaceID",
        "",
        None,
        "f455fed24e207c878ec1e0466b34a969d37bab857c5faa4e8d259a0b4ff63d7e",
        of=FACEID,
    ),
    _twin("ip-adapter-faceid-plusv2_sdxl.bin", "SDXL, FaceID with the face's picture", VIT_H),
    _adapter(
        "ip-adapter-faceid-portrait_sdxl.bin",
        "SDXL, FaceID of several pictures",
        "",
        749822515,
        "5631ce7824cdafd2db37c5e85b985730a95ff59c5b4fc80c2b79b0bee5711512",
        of=FACEID,
    ),
    _twin("ip-adapter-faceid-portrait_sdxl_unnorm.bin", "SDXL, FaceID of several pictures, not normalised", ""),
)
"""Encoders, then adapters. Hashes and sizes are those of public lists of these files: the encoders' of several, seven
adapters' sizes (light_v11, full-face, plus-face_sd15 and others) of one."""


def find_published(name: str) -> Published:
    """The entry called `name`, with or without suffix, upper or lower case. Raises `UnitError`."""
    wanted = name.strip().casefold()
    for item in PUBLISHED:
        if wanted in (item.name.casefold(), item.name.rsplit(".", maxsplit=1)[0].casefold()):
            return item
    names = ", ".join(item.name for item in PUBLISHED)
    raise UnitError(f"There is no published file called {name!r}; take one of these: {names}.")
