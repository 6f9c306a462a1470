"""An adapter is its file: the same keys, computed where and in what precision the features are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.checkpoint import read
from lib_ipadapter.model.variant import Kind
from tests.models import TEXT_WIDTH, WIDTHS, save_adapter, tiny_adapter, tiny_features, variant


def features(kind: Kind) -> tuple[Tensor, ...]:
    torch.manual_seed(3)
    return tiny_features(variant(kind))


def named(kind: Kind) -> str:
    """A file name that tells kinds with the same shapes apart."""
    return f"ip-adapter-{kind.value}.safetensors"


def write(tensors: dict[str, Tensor], folder: Path) -> Path:
    save_file(tensors, folder / "adapter.safetensors")
    return folder / "adapter.safetensors"


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_an_adapter_read_back_has_the_same_state_dict(kind: Kind, dtype: torch.dtype, tmp_path: Path) -> None:
    stored = {key: tensor.to(dtype) for key, tensor in tiny_adapter(kind).tensors().items()}
    again = IPAdapter.read(write(stored, tmp_path), kind).tensors()
    assert again.keys() == stored.keys()
    assert all(torch.equal(again[key].float(), stored[key].float()) for key in stored)
    assert {tensor.dtype for tensor in again.values()} == {dtype}


@pytest.mark.parametrize("kind", Kind)
def test_reading_tells_the_variant_and_trains_nothing(kind: Kind, tmp_path: Path) -> None:
    adapter = IPAdapter.read(save_adapter(tiny_adapter(kind), tmp_path / named(kind)))
    assert adapter.variant == variant(kind)
    assert not adapter.training
    assert not any(p.requires_grad or p.is_meta for p in adapter.parameters())


@pytest.mark.parametrize("kind", Kind)
def test_half_precision_weights_compute_float32_for_float32_features_and_stay_as_they_are(kind: Kind) -> None:
    half, full = tiny_adapter(kind).half(), tiny_adapter(kind).half().float()
    before = {key: tensor.clone() for key, tensor in half.state_dict().items()}
    tokens = half.project(*features(kind))
    assert torch.equal(tokens, full.project(*features(kind)))
    for ours, exact in zip(half.key_values(tokens), full.key_values(tokens), strict=True):
        assert torch.equal(ours.key, exact.key)
        assert torch.equal(ours.value, exact.value)
        assert ours.key.dtype == torch.float32
    assert all(torch.equal(half.state_dict()[key], before[key]) for key in before)
    assert {p.dtype for p in half.parameters()} == {torch.float16}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_features_decide_the_precision(kind: Kind, dtype: torch.dtype) -> None:
    adapter = tiny_adapter(kind)
    layers = adapter.key_values(adapter.project(*(part.to(dtype) for part in features(kind))))
    assert {kv.key.dtype for kv in layers} == {kv.value.dtype for kv in layers} == {dtype}


def test_keys_and_values_are_the_two_products_of_each_layer_in_checkpoint_order() -> None:
    adapter, tokens = tiny_adapter(Kind.BASE), torch.randn(2, 4, TEXT_WIDTH)
    state, layers = adapter.state_dict(), adapter.key_values(tokens)
    assert len(layers) == 16
    for index, kv in enumerate(layers):
        number = f"ip_adapter.{2 * index + 1}"
        torch.testing.assert_close(kv.key, tokens @ state[f"{number}.to_k_ip.weight"].T)
        torch.testing.assert_close(kv.value, tokens @ state[f"{number}.to_v_ip.weight"].T)
    assert tuple(kv.key.shape[-1] for kv in layers) == WIDTHS


@pytest.mark.parametrize("kind", Kind)
def test_gradients_reach_every_weight_in_training(kind: Kind) -> None:
    adapter = tiny_adapter(kind).requires_grad_(True)

    def weighted(kv: KeyValue) -> Tensor:
        return (kv.key * torch.randn_like(kv.key)).sum() + (kv.value * torch.randn_like(kv.value)).sum()

    sum(weighted(kv) for kv in adapter.key_values(adapter.project(*features(kind)))).backward()
    assert [name for name, p in adapter.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_shortcut_scale_is_heard_by_version_2_alone() -> None:
    def moved(kind: Kind) -> bool:
        adapter, given = tiny_adapter(kind), features(kind)
        return not torch.equal(adapter.project(*given), adapter.project(*given, shortcut_scale=0.5))

    assert [kind for kind in Kind if moved(kind)] == [Kind.FACEID_PLUS_V2]


@pytest.mark.parametrize("kind", [Kind.PLUS, Kind.FACEID])
def test_nbytes_is_what_the_file_takes(kind: Kind, tmp_path: Path) -> None:
    adapter = tiny_adapter(kind).half()
    tensors = read(save_adapter(adapter, tmp_path / "a.safetensors"))
    assert adapter.nbytes == sum(t.nbytes for t in tensors.values())


@pytest.mark.parametrize("lost", ["up", "down"])
def test_a_lora_without_one_of_its_halves_is_a_sentence_that_names_the_key(lost: str, tmp_path: Path) -> None:
    key = f"ip_adapter.4.to_out_lora.{lost}.weight"
    tensors = {k: t for k, t in tiny_adapter(Kind.FACEID).tensors().items() if k != key}
    with pytest.raises(CheckpointError, match=rf"is incomplete: {key} is missing"):
        IPAdapter.read(write(tensors, tmp_path))


def spoiled(key: str, tensor: Tensor | None) -> dict[str, Tensor]:
    tensors = dict(tiny_adapter(Kind.PLUS).state_dict())
    if tensor is None:
        del tensors[key]
    else:
        tensors[key] = tensor
    return tensors


@pytest.mark.parametrize(
    ("key", "tensor", "words"),
    [
        ("image_proj.norm_out.bias", None, r"is incomplete: image_proj\.norm_out\.bias is missing"),
        ("ip_adapter.7.to_v_ip.weight", None, r"is incomplete: ip_adapter\.7\.to_v_ip\.weight is missing"),
        ("ip_adapter.7.to_v_ip.weight", torch.ones(3, 5), r"contradicts itself: .* \[64, 48\] and is \[3, 5\]"),
        ("image_proj.norm_out.bias", torch.ones(48, dtype=torch.int64), "is damaged: .* holds torch.int64"),
        ("image_proj.latents", torch.ones(()), "damaged"),
    ],
)  # fmt: skip
def test_a_spoiled_file_is_one_sentence_that_names_the_key(
    key: str, tensor: Tensor | None, words: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=words) as refusal:
        IPAdapter.read(write(spoiled(key, tensor), tmp_path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", Kind)
def test_a_projection_that_has_more_than_a_known_one_is_refused_and_what_is_more_is_named(kind: Kind) -> None:
    adapter = tiny_adapter(kind)
    tensors = adapter.tensors() | {"image_proj.pos_emb.weight": torch.ones(2, 2)}
    with pytest.raises(CheckpointError, match=r"^x was .* it has image_proj\.pos_emb\.weight as well; without that"):
        adapter.load(tensors, "x")


def test_layers_may_be_numbered_only_as_published(tmp_path: Path) -> None:
    tensors = tiny_adapter(Kind.BASE).state_dict()
    shifted = {k.replace("ip_adapter.31.", "ip_adapter.33."): t for k, t in tensors.items()}
    with pytest.raises(CheckpointError, match=r"ip_adapter\.31\.to_k_ip\.weight is missing"):
        IPAdapter.read(write(shifted, tmp_path))


def test_other_parts_of_the_file_are_left_out(tmp_path: Path) -> None:
    tensors = tiny_adapter(Kind.BASE).state_dict()
    extra = {"ip_adapter.1.norm.weight": torch.ones(2), "image_encoder.x": torch.ones(1)}
    assert IPAdapter.read(write(tensors | extra, tmp_path)).state_dict().keys() == tensors.keys()
