"""Every layout that trainers leave becomes a loadable adapter and comes back; what lacks something is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.checkpoint import read, read_shapes
from lib_ipadapter.model.convert import WEIGHTS, convert_file, read_foreign
from lib_ipadapter.model.dialect_rules import DIALECTS, places
from lib_ipadapter.model.dialects import Dialect
from lib_ipadapter.model.identity import identify
from lib_ipadapter.model.layouts import WRAPPERS, unwrapped_key
from lib_ipadapter.model.variant import Base, Kind
from lib_ipadapter.model.weights_file import read_any, read_metadata
from lib_ipadapter.patch.layers import cross_attentions
from tests.models import tiny_adapter, tiny_unet

KINDS = list(Kind)


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


def diffusers_state(*adapters: IPAdapter) -> dict[str, Tensor]:
    unet: Any = tiny_unet()
    states = [{"image_proj": a.image_proj.state_dict(), "ip_adapter": a.ip_adapter.state_dict()} for a in adapters]
    unet._load_ip_adapter_weights(states, low_cpu_mem_usage=False)
    return unet.state_dict()


class Processor(nn.Module):
    def __init__(self, maps: nn.Module) -> None:
        super().__init__()
        self.to_k_ip, self.to_v_ip = maps.to_k_ip, maps.to_v_ip


class ReferenceTrainer(nn.Module):
    """What the reference implementation hands to accelerate: the maps are in it twice, as the same tensors."""

    def __init__(self, adapter: IPAdapter) -> None:
        super().__init__()
        self.unet = tiny_unet()
        processors = []
        for layer, maps in zip(cross_attentions(self.unet), adapter.ip_adapter.values(), strict=True):
            attention: Any = self.unet.get_submodule(layer.name)
            del attention.processor
            attention.processor = Processor(maps)
            processors += [nn.Identity(), attention.processor]
        self.image_proj_model = adapter.image_proj
        self.adapter_modules = nn.ModuleList(processors)


def test_numbering_is_that_of_diffusers_processors() -> None:
    names = [name.removesuffix(".processor") for name in tiny_unet().attn_processors]
    assert places(Base.SD15) == names


def test_numbering_of_sdxl_is_that_of_diffusers_processors() -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        block_out_channels=(8, 8, 8), norm_num_groups=4, attention_head_dim=4, cross_attention_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
    )  # fmt: skip
    assert places(Base.SDXL) == [name.removesuffix(".processor") for name in unet.attn_processors]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_to_every_layout_and_back_is_the_same_file(kind: Kind, dialect: str, suffix: str, tmp_path: Path) -> None:
    wanted = tiny_adapter(kind).tensors()
    save_file(wanted, tmp_path / "in.safetensors")
    convert_file(tmp_path / "in.safetensors", tmp_path / f"there{suffix}", to=dialect, choice=kind)
    found, variant = convert_file(tmp_path / f"there{suffix}", tmp_path / "back.safetensors", choice=kind)
    assert (found, variant.kind) == (dialect, kind)
    assert same(read(tmp_path / "back.safetensors"), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_unet_of_diffusers_with_an_adapter_gives_the_adapter_back(kind: Kind, tmp_path: Path) -> None:
    adapter = tiny_adapter(kind)
    save_file(diffusers_state(adapter), tmp_path / "unet.safetensors")
    assert convert_file(tmp_path / "unet.safetensors", tmp_path / "out.safetensors", choice=kind)[0] == "diffusers"
    assert same(read(tmp_path / "out.safetensors"), adapter.state_dict())
    assert read_metadata(tmp_path / "out.safetensors")["variant"] == kind.value


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_for_diffusers_are_the_keys_of_diffusers_own_unet(kind: Kind) -> None:
    adapter = tiny_adapter(kind)
    state = diffusers_state(adapter)
    written = Dialect("diffusers", Base.SD15).write(adapter.state_dict())
    assert written.keys() == state.keys() - tiny_unet().state_dict().keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in written.items())


@pytest.mark.parametrize("wrappers", [order for n in (1, 2, 3) for order in permutations(WRAPPERS, n)])
def test_wrappers_around_each_other_come_off_in_whatever_order(wrappers: tuple[str, ...]) -> None:
    assert unwrapped_key("".join((*wrappers, "image_proj.module.x"))) == "image_proj.module.x"


def test_of_several_adapters_in_one_unet_one_must_be_said(tmp_path: Path) -> None:
    adapters = [tiny_adapter(kind, seed) for seed, kind in enumerate(Kind)]
    save_file(diffusers_state(*adapters), tmp_path / "unet.safetensors")
    with pytest.raises(
        CheckpointError,
        match=r"holds 7 adapters; .* convert unet\.safetensors OUT\.safetensors --adapter N`, N from 0 to 6",
    ):
        read_foreign(tmp_path / "unet.safetensors")
    for number, adapter in enumerate(adapters):
        assert same(read_foreign(tmp_path / "unet.safetensors", number)[0], adapter.state_dict())
    with pytest.raises(CheckpointError, match="no adapter 7; it has 0, 1, 2"):
        read_foreign(tmp_path / "unet.safetensors", 7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_unet_of_diffusers_with_an_adapter_opens_as_it_is(kind: Kind, tmp_path: Path) -> None:
    adapter = tiny_adapter(kind)
    save_file(diffusers_state(adapter), tmp_path / "unet.safetensors")
    assert same(read(tmp_path / "unet.safetensors"), adapter.state_dict())
    assert read_shapes(tmp_path / "unet.safetensors") == {k: tuple(t.shape) for k, t in adapter.state_dict().items()}
    assert replace(IPAdapter.read(tmp_path / "unet.safetensors", kind).variant, lora_rank=0) == replace(
        adapter.variant, lora_rank=0
    )


def test_what_a_converted_file_was_is_written_into_it(tmp_path: Path) -> None:
    save_file(tiny_adapter(Kind.FACEID_PLUS).tensors(), tmp_path / "in.safetensors")
    convert_file(tmp_path / "in.safetensors", tmp_path / "out.safetensors", choice=Kind.FACEID_PLUS)
    assert identify(tmp_path / "out.safetensors").kind is Kind.FACEID_PLUS


@pytest.mark.parametrize("wrapper", ["", "module."])
@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_trainers_pickle_becomes_an_adapter(kind: Kind, wrapper: str, tmp_path: Path) -> None:
    adapter = tiny_adapter(kind)
    state = {wrapper + key: tensor for key, tensor in ReferenceTrainer(adapter).state_dict().items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert convert_file(tmp_path, tmp_path / "out.safetensors", choice=kind)[0] == "raw"
    assert same(read(tmp_path / "out.safetensors"), adapter.state_dict())
    assert same(read(tmp_path / "pytorch_model.bin"), adapter.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_trainers_safetensors_lost_names_and_become_an_adapter(kind: Kind, tmp_path: Path) -> None:
    accelerate = pytest.importorskip("accelerate")  # not among the WebUI's pins
    accelerate.PartialState(cpu=True)  # it logs which names it drops
    adapter = tiny_adapter(kind)
    left = accelerate.utils.other.clean_state_dict_for_safetensors(ReferenceTrainer(adapter).state_dict())
    assert not any(key.startswith("adapter_modules.") for key in left)
    save_file(left, tmp_path / "model.safetensors")
    assert same(read(tmp_path / "model.safetensors"), adapter.state_dict())
    assert convert_file(tmp_path, tmp_path / "out.safetensors", choice=kind)[0] == "raw-unet"
    assert same(read(tmp_path / "out.safetensors"), adapter.state_dict())


@pytest.mark.parametrize("name", [name for name in WEIGHTS if "*" in name])
def test_shards_of_one_checkpoint_are_read_together(name: str, tmp_path: Path) -> None:
    wanted = tiny_adapter(Kind.BASE).state_dict()
    raw = list(Dialect("raw-unet", Base.SD15).write(wanted).items())
    write = save_file if name.endswith(".safetensors") else torch.save
    for number, part in enumerate((raw[:20], raw[20:]), 1):
        write(dict(part), tmp_path / name.replace("*-of-*", f"{number:05d}-of-00002"))
    assert same(read_foreign(tmp_path)[0], wanted)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_k_ip", r"no to_k_ip of layer 31 \(mid"),
        ("unet.down_blocks.0.attentions.1.transformer_blocks.0.attn2.processor.to_v_ip", "no to_v_ip of layer 3 "),
        ("image_proj_model.", "no image projection"),
        ("image_proj_model.norm.bias", "image_proj.norm.bias is missing"),
        ("unet.", "no K/V maps"),
    ],
)
def test_what_is_missing_is_named(lost: str, message: str, tmp_path: Path) -> None:
    raw = Dialect("raw-unet", Base.SD15).write(tiny_adapter(Kind.BASE).state_dict())
    save_file({key: t for key, t in raw.items() if not key.startswith(lost)}, tmp_path / "in.safetensors")
    with pytest.raises(CheckpointError, match=message) as refusal:
        convert_file(tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_every_name_that_accelerate_and_diffusers_give_to_shards_is_known() -> None:
    assert {name for name in WEIGHTS if "*" in name} == {
        f"{stem}-*-of-*.{suffix}"
        for stem, suffix in (
            ("model", "safetensors"),
            ("pytorch_model", "bin"),
            ("diffusion_pytorch_model", "safetensors"),
            ("diffusion_pytorch_model", "bin"),
        )
    }


def test_what_a_file_says_of_its_training_is_carried_over(tmp_path: Path) -> None:
    said = {"steps": "5", "data_hash": "x", "encoder": "e", "variant": "wrong", "sshs_model_hash": "of other bytes"}
    save_file(tiny_adapter(Kind.BASE).state_dict(), tmp_path / "in.safetensors", said)
    convert_file(tmp_path / "in.safetensors", tmp_path / "out.safetensors", dtype="fp16")
    assert read_metadata(tmp_path / "out.safetensors") == {
        "format": "pt", "base": "sd15", "variant": "base", "converted_from": "published",
        "steps": "5", "data_hash": "x", "encoder": "e",
    }  # fmt: skip


def test_precision_is_kept_unless_asked_for(tmp_path: Path) -> None:
    save_file(tiny_adapter(Kind.BASE).state_dict(), tmp_path / "in.safetensors")
    convert_file(tmp_path / "in.safetensors", tmp_path / "half.safetensors", dtype="fp16")
    convert_file(tmp_path / "half.safetensors", tmp_path / "kept.bin")
    assert {t.dtype for t in read_any(tmp_path / "kept.bin").values()} == {torch.float16}


def test_values_that_half_precision_cannot_hold_are_not_written(tmp_path: Path) -> None:
    adapter = tiny_adapter(Kind.BASE)
    adapter.ip_adapter["5"].to_k_ip.weight.data[3, 3] = 1e6  # pyright: ignore
    save_file(adapter.state_dict(), tmp_path / "in.safetensors")
    with pytest.raises(CheckpointError, match=r"holds values that fp16 cannot, in ip_adapter\.5\.to_k_ip\.weight"):
        convert_file(tmp_path / "in.safetensors", tmp_path / "out.safetensors", dtype="fp16")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_where_nothing_can_be_written_is_a_sentence_and_a_missing_folder_is_made(suffix: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.safetensors", tmp_path / "made" / f"out{suffix}"
    save_file(tiny_adapter(Kind.BASE).state_dict(), source)
    convert_file(source, target)
    assert [file.name for file in target.parent.iterdir()] == [target.name]
    for nowhere in (source / f"a{suffix}", Path("/proc") / f"a{suffix}"):
        with pytest.raises(CheckpointError, match=r" cannot be written \(.*\); choose another place"):
            convert_file(source, nowhere)


def test_a_pickle_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    save_file(tiny_adapter(Kind.BASE).state_dict(), tmp_path / "in.safetensors")
    monkeypatch.setattr("torch.save", broken)
    with pytest.raises(CheckpointError, match=r"cannot be written \(PytorchStreamWriter"):
        convert_file(tmp_path / "in.safetensors", tmp_path / "out.bin")
    assert [file.name for file in tmp_path.iterdir()] == ["in.safetensors"]


def test_a_file_that_is_there_is_written_over_only_when_asked(tmp_path: Path) -> None:
    save_file(tiny_adapter(Kind.BASE).state_dict(), tmp_path / "in.safetensors")
    (tmp_path / "out.safetensors").write_text("precious")
    with pytest.raises(CheckpointError, match="there already"):
        convert_file(tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    convert_file(tmp_path / "in.safetensors", tmp_path / "out.safetensors", force=True)
    assert read_shapes(tmp_path / "out.safetensors")
    with pytest.raises(CheckpointError, match=r"must end in \.safetensors or \.bin"):
        convert_file(tmp_path / "in.safetensors", tmp_path / "out.gguf")


def test_an_empty_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no training checkpoint"):
        read_foreign(tmp_path)


def test_a_file_that_is_interrupted_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_ipadapter.model import weights_file

    weights_file.write(tmp_path / "a.safetensors", {"x": torch.ones(2)}, {"steps": "1"})

    def broken(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_file", broken)
    with pytest.raises(CheckpointError, match=r"a\.safetensors cannot be written \(disk full\); choose"):
        weights_file.write(tmp_path / "a.safetensors", {"x": torch.zeros(2)})
    assert torch.equal(read_any(tmp_path / "a.safetensors")["x"], torch.ones(2))
    assert read_metadata(tmp_path / "a.safetensors") == {"format": "pt", "steps": "1"}
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
