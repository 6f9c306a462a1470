"""Whatever a file claims or hides, the answer is a read or one sentence, at once, and nothing stays in memory."""

from __future__ import annotations

import gc
import json
import pickle
import struct
import time
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.checkpoint import read, read_shapes
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.weights_file import read_any
from tests.model.test_convert import diffusers_state
from tests.models import tiny_adapter

LOOKS = [read, read_shapes]


def safetensors(path: Path, header: object, body: bytes = b"") -> Path:
    """A file of this header, true or not."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


LIES = {
    "terabytes": {"image_proj.a": entry([1 << 40], 0, 4 << 40)},
    "a shape that overflows": {"image_proj.a": entry([1 << 40, 1 << 40], 0, 16)},
    "a shape larger than its bytes": {"image_proj.a": entry([100], 0, 16)},
    "an end before its beginning": {"image_proj.a": entry([4], 16, 0)},
    "bytes beyond the end": {"image_proj.a": entry([4], 16, 32)},
    "two tensors in one place": {"image_proj.a": entry([4], 0, 16), "ip_adapter.b": entry([4], 0, 16)},
    "a gap": {"image_proj.a": entry([2], 0, 8), "ip_adapter.b": entry([1], 12, 16)},
    "an unknown dtype": {"image_proj.a": entry([4], 0, 16, "F9")},
    "a negative shape": {"image_proj.a": entry([-4], 0, 16)},
    "no offsets": {"image_proj.a": {"dtype": "F32", "shape": [4]}},
    "a list": [1, 2],
    "numbers": {"image_proj.a": 3},
}


def resident() -> int:
    """Kilobytes of memory in use, where the system tells."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        pytest.skip("this system does not tell")
    return int(text.split("VmRSS:")[1].split()[0])


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("look", LOOKS)
def test_a_header_that_lies_is_refused_at_once_and_nothing_of_its_claim_is_allocated(
    lie: str, look: Callable[[Path], object], tmp_path: Path
) -> None:
    path = safetensors(tmp_path / "liar.safetensors", LIES[lie], bytes(16))
    before, begun = resident(), time.process_time()
    with pytest.raises(CheckpointError, match=r"liar\.safetensors"):
        look(path)
    assert time.process_time() - begun < 1
    assert resident() - before < 50_000


SIZES = st.one_of(st.integers(-2, 20), st.sampled_from([1 << 31, 1 << 40, (1 << 63) - 1, 1 << 64]))
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "U8", "BOOL", "F64", "F4", ""]),
        "shape": st.lists(SIZES, max_size=3),
        "data_offsets": st.one_of(st.lists(SIZES, max_size=3), st.tuples(st.just(0), st.just(16))),
    }
)
KEYS = st.sampled_from(["image_proj.a", "ip_adapter.1.b", "ip_adapter.", "x", "", "__metadata__", "unet.a", "vae.a"])
HEADERS = st.dictionaries(KEYS, st.one_of(ENTRIES, ENTRIES, ENTRIES, st.integers(), st.text(max_size=3)), max_size=4)


@settings(max_examples=200)
@given(header=HEADERS, body=st.sampled_from([0, 1, 16, 32]), shift=st.sampled_from([0, 0, 0, -1, 1, 9, 1 << 30]))
def test_any_header_is_read_or_refused_in_a_sentence(
    header: object, body: int, shift: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = safetensors(tmp_path_factory.getbasetemp() / "any.safetensors", header, bytes(body))
    content = path.read_bytes()
    length = max(0, int.from_bytes(content[:8], "little") + shift)
    path.write_bytes(struct.pack("<Q", length) + content[8:])
    for look in (*LOOKS, read_any):
        check_one_sentence(look, path)


WORDS = st.binary(max_size=60)
PICKLES = st.one_of(
    WORDS.map(lambda junk: b"\x80\x02" + junk),
    st.recursive(
        st.one_of(st.integers(), st.text(max_size=5), st.floats(), st.none()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
        max_leaves=6,
    ).map(lambda value: pickle.dumps(value, protocol=2)),
)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=100)
@given(content=PICKLES, zipped=st.booleans(), places=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255))))
def test_any_pickle_is_read_or_refused_in_a_sentence(
    content: bytes, zipped: bool, places: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.bin"
    damaged = bytearray(content)
    for place, value in places:
        if 2 <= place < len(damaged):
            damaged[place] = value
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("any/data.pkl", bytes(damaged))
            archive.writestr("any/version", b"3\n")
    else:
        path.write_bytes(damaged)
    for look in LOOKS:
        check_one_sentence(look, path)


def check_one_sentence(look: Callable[[Path], object], path: Path) -> None:
    try:
        look(path)
    except CheckpointError as refusal:
        said = str(refusal)
        assert path.name in said
        assert "\n" not in said


OTHERS = {
    "unet.down_blocks.0.weight": "a raw training checkpoint without K/V maps",
    "encoder_hid_proj.image_projection_layers.0.weight": "an adapter in diffusers' in-UNet layout without K/V maps",
    "lora_unet_down_blocks_0.alpha": "a LoRA",
    "lora_unet_mid_block.lora_up.weight": "a LoRA",
    "unet_blocks.attn.to_q.lora_A.weight": "a LoRA",
    "base_model.x.to_k.lora_down.weight": "a LoRA",
    "control_model.input_blocks.0.weight": "a ControlNet",
    "controlnet_cond_embedding.conv_in.weight": "a ControlNet",
    "input_hint_block.0.weight": "a ControlNet",
    "body.0.block1.weight": "a T2I-Adapter",
    "model.diffusion_model.input_blocks.0.0.weight": "a whole Stable Diffusion checkpoint",
    "conditioner.embedders.0.weight": "a whole Stable Diffusion checkpoint",
    "first_stage_model.encoder.conv_in.weight": "a whole Stable Diffusion checkpoint",
    "decoder.conv_in.weight": "a VAE",
    "encoder.down.0.block.0.norm1.weight": "a VAE",
    "post_quant_conv.weight": "a VAE",
    "emb_params": "a textual inversion",
    "string_to_param.*": "a textual inversion",
    "clip_g": "a textual inversion",
    "vision_model.embeddings.class_embedding": "an image encoder",
    "visual.conv1.weight": "an image encoder",
    "text_model.encoder.layers.0.mlp.fc1.weight": "a text encoder",
    "down_blocks.0.resnets.0.norm1.weight": "a UNet alone",
    "double_blocks.0.img_attn.qkv.weight": "a Flux or SD3 model",
    "params_ema.conv_first.weight": "an upscaler",
    "uncond": "a saved image prompt, which goes by its name into the field embeds",
    "face": "a saved face, which goes by its name into the field face",
}


@pytest.mark.parametrize("key", OTHERS)
def test_another_model_is_called_by_its_name_and_the_sentence_says_what_to_choose(key: str, tmp_path: Path) -> None:
    save_file({key: torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError) as refusal:
        read_shapes(tmp_path / "other.safetensors")
    assert f"other.safetensors is not an IP-Adapter: it looks like {OTHERS[key]}; choose an adapter" in str(
        refusal.value
    )


def test_dictionaries_in_dictionaries_without_end_take_no_time(tmp_path: Path) -> None:
    """Forty dictionaries, each twice in the next: as a tree, a million millions of them."""
    inner: dict[str, object] = {"x": torch.ones(1)}
    for _ in range(40):
        inner = {"a": inner, "b": inner}
    for path, new in ((tmp_path / "new.bin", True), (tmp_path / "old.bin", False)):
        torch.save(inner, path, _use_new_zipfile_serialization=new)
        begun = time.process_time()
        assert [t.shape for t in read_any(path).values()] == [(1,)]
        assert time.process_time() - begun < 2


def test_a_dictionary_inside_itself_ends(tmp_path: Path) -> None:
    round_and_round: dict[str, object] = {"x": torch.ones(1)}
    round_and_round["again"] = round_and_round
    torch.save(round_and_round, tmp_path / "round.bin")
    assert read_any(tmp_path / "round.bin").keys() == {"x"}


def test_an_archive_that_unpacks_to_more_than_it_is_never_is_unpacked(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1 << 22)}, tmp_path / "plain.bin")
    with (
        zipfile.ZipFile(tmp_path / "plain.bin") as plain,
        zipfile.ZipFile(tmp_path / "bomb.bin", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    assert (tmp_path / "bomb.bin").stat().st_size < 1 << 17
    for look in LOOKS:
        with pytest.raises(CheckpointError, match=r"bomb\.bin is damaged: it claims more weights than the file holds"):
            look(tmp_path / "bomb.bin")


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("look", [*LOOKS, read_any])
def test_one_value_that_claims_to_be_many_is_refused(new: bool, look: Callable[[Path], object], tmp_path: Path) -> None:
    content = {**tiny_adapter(Kind.PLUS).state_dict(), "image_proj.latents": torch.zeros(1).expand(1, 2**31, 768)}
    torch.save(content, tmp_path / "bomb.bin", _use_new_zipfile_serialization=new)
    with pytest.raises(CheckpointError, match=r"bomb\.bin is damaged: image_proj\.latents claims more values than"):
        look(tmp_path / "bomb.bin")


WRONG: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "a map is missing": (lambda t: t.pop("ip_adapter.31.to_v_ip.weight"), "is incomplete"),
    "a map of another size": (lambda t: t.update({"ip_adapter.31.to_v_ip.weight": torch.ones(3)}), "contradicts"),
    "whole numbers": (
        lambda t: t.update({k: v.to(torch.int32) for k, v in t.items() if k.endswith("31.to_v_ip.weight")}),
        r"holds torch\.int32, not floating point",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_of_an_adapter_that_is_refused_no_tensor_stays_in_memory(
    wrong: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, words = WRONG[wrong]
    tensors = dict(tiny_adapter(Kind.BASE).state_dict())
    change(tensors)
    path = tmp_path / f"wrong.{suffix}"
    torch.save(tensors, path) if suffix == "bin" else save_file(tensors, path)
    held: list[weakref.ref[torch.Tensor]] = []

    def watched(where: Path) -> dict[str, torch.Tensor]:
        found = read(where)
        held.extend(map(weakref.ref, found.values()))
        return found

    monkeypatch.setattr("lib_ipadapter.model.adapter.read", watched)
    with pytest.raises(CheckpointError, match=words) as refusal:
        IPAdapter.read(path)
    assert len(held) > 30
    del refusal
    gc.collect()
    assert [ref for ref in held if ref() is not None] == []


def numbers_for_maps() -> dict[str, Tensor]:
    state = diffusers_state(tiny_adapter(Kind.PLUS))
    return {key: torch.tensor(1.0) if key.endswith(".to_k.weight") else tensor for key, tensor in state.items()}


def a_layer_of_thousands_of_digits() -> dict[str, Tensor]:
    return {"unet." + "9" * 5000 + ".to_k_ip.weight": torch.ones(4, 4), "adapter_modules." + "9" * 5000: torch.ones(1)}


@pytest.mark.parametrize("make", [numbers_for_maps, a_layer_of_thousands_of_digits])
@pytest.mark.parametrize("look", LOOKS)
def test_what_nobody_has_thought_of_is_damaged(
    look: Any, make: Callable[[], dict[str, Tensor]], tmp_path: Path
) -> None:
    save_file(make(), tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        look(tmp_path / "a.safetensors")


DEEP = b")" + b"\x85" * 300_000
"""What ends Python where it is compared, or only let go."""
TWICE = b")" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
"""What takes centuries to be compared."""
UNKNOWN = b"c__builtin__\nset\n]\x85R0"
"""Something for which torch's own reader is asked."""


@pytest.mark.parametrize("before", [b"", UNKNOWN], ids=["plain", "left to torch"])
@pytest.mark.parametrize("key", [DEEP, TWICE], ids=["deep", "wide"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("look", LOOKS)
def test_a_key_without_end_is_a_sentence(look: Any, key: bytes, before: bytes, zipped: bool, tmp_path: Path) -> None:
    path, header = tmp_path / "a.bin", b"\x80\x02" + before + b"}" + key + b"Ns."
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", header)
            archive.writestr("archive/version", "3\n")
    else:
        parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts) + header + b"\x80\x02].")
    with pytest.raises(CheckpointError, match="nested as deep"):
        look(path)
