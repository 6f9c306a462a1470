"""The loss is Stable Diffusion's, and the picture acts in it exactly as it does in inference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from PIL import ExifTags, Image

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import PICTURE_KINDS, Feature, Kind
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from lib_ipadapter.training.adapters import check_usable, fresh
from lib_ipadapter.training.cache import NOTHING, Cache, text_key
from lib_ipadapter.training.check import Example
from lib_ipadapter.training.config import Weighting
from lib_ipadapter.training.entries import Entry
from lib_ipadapter.training.evaluate import others_of, spread
from lib_ipadapter.training.frozen import Frozen, read_picture, square, to_pixels
from lib_ipadapter.training.inject import Conditioner, Injection
from lib_ipadapter.training.objective import Batches, noised, row_weights, target
from lib_ipadapter.training.samples import Samples, scaled
from lib_ipadapter.training.store import Store
from lib_ipadapter.training.stream import Drop, Stream
from tests.hooks import hook_count
from tests.models import TEXT_WIDTH, even, tiny_adapter, tiny_encoder, tiny_pipeline, tiny_unet, variant
from tests.training.world import COLOURS, config


@pytest.fixture
def frozen() -> Frozen:
    return Frozen(tiny_pipeline(), ImageEncoder(tiny_encoder()), torch.device("cpu"), torch.float32)


def inputs(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(rows, 4, 8, 8, generator=generator)
    return latents, torch.arange(rows) * 100, torch.randn(rows, 7, TEXT_WIDTH, generator=generator)


def features(kind: Kind, rows: int) -> torch.Tensor:
    shape = (rows, variant(kind).features) if kind is Kind.BASE else (rows, 17, variant(kind).features)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_noise_and_target_are_diffusers(prediction: str) -> None:
    scheduler = DDPMScheduler()
    clean, noise = torch.randn(2, 5, 4, 3, 3)
    steps = torch.tensor([0, 10, 400, 700, 999])
    alphas = scheduler.alphas_cumprod[steps][:, None, None, None]
    torch.testing.assert_close(noised(clean, noise, alphas), scheduler.add_noise(clean, noise, steps))
    wanted = noise if prediction == "epsilon" else scheduler.get_velocity(clean, noise, steps)
    torch.testing.assert_close(target(prediction, clean, noise, alphas), wanted)


@pytest.mark.parametrize("kind", PICTURE_KINDS)
@torch.no_grad()
def test_each_row_of_a_batch_sees_its_own_picture_as_inference_would(kind: Kind) -> None:
    unet, adapter = tiny_unet(), tiny_adapter(kind)
    latents, steps, text = inputs(3)
    with Injection(unet) as injection:
        injection.set(Conditioner(adapter)(features(kind, 3)))
        together = unet(latents, steps, text).sample
    for row in range(3):
        tokens = adapter.project(features(kind, 3)[row : row + 1])
        key_values = adapter.key_values(torch.cat([tokens, tokens]))
        branch = ImageBranch(key_values)
        moment = Moment()
        with attach(unet, [branch], moment):
            moment.begin_step(0.0, [Role.CONDITIONAL])
            alone = unet(latents[row : row + 1], steps[row : row + 1], text[row : row + 1]).sample
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_scaled_value_is_a_scaled_branch_and_scale_0_is_none() -> None:
    unet, adapter = tiny_unet(), tiny_adapter(Kind.BASE)
    latents, steps, text = inputs(2)
    key_values = Conditioner(adapter)(features(Kind.BASE, 2))
    plain = unet(latents, steps, text).sample
    found = {}
    for scale in (0.0, 0.5):
        with Injection(unet) as injection:
            injection.set(scaled(key_values, scale))
            found[scale] = unet(latents, steps, text).sample
    assert torch.equal(found[0.0], plain)
    moment = Moment()
    with attach(unet, [ImageBranch(key_values, layers=even(key_values, 0.5))], moment):
        moment.begin_step(0.0, list(Role))
        torch.testing.assert_close(found[0.5], unet(latents, steps, text).sample, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_gradients_reach_all_that_is_trained_and_nothing_else(kind: Kind, frozen: Frozen) -> None:
    adapter = tiny_adapter(kind).requires_grad_(True)
    latents, steps, text = inputs(2)
    with Injection(frozen.unet) as injection:
        injection.set(Conditioner(adapter)(features(kind, 2)))
        frozen.predict(latents, steps, {"text": text}).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in adapter.parameters())
    assert all(p.grad is None for p in frozen.unet.parameters())


def test_the_unet_is_left_as_it_was() -> None:
    unet = tiny_unet()
    with pytest.raises(RuntimeError), Injection(unet):  # noqa: PT012
        assert hook_count(unet) > 0
        raise RuntimeError
    assert hook_count(unet) == 0


def test_what_nobody_could_use_is_refused_before_it_is_trained() -> None:
    check_usable(tiny_adapter(Kind.PLUS))
    second = IPAdapter(replace(variant(Kind.BASE), width=1024))
    with pytest.raises(TrainingError, match=r"cannot be used anywhere: .* Stable Diffusion 2"):
        check_usable(second)


def test_fresh_maps_begin_as_those_of_the_text(tmp_path: Path) -> None:
    unet, encoder = tiny_unet(), ImageEncoder(tiny_encoder())
    adapter = fresh(unet, encoder.sizes, config(tmp_path, tmp_path, kind=Kind.PLUS))
    again = fresh(unet, encoder.sizes, config(tmp_path, tmp_path, kind=Kind.PLUS))
    for layer, maps in zip(cross_attentions(unet), adapter.ip_adapter.values(), strict=True):
        attention = unet.get_submodule(layer.name)
        assert torch.equal(maps.to_k_ip.weight, attention.to_k.weight)
        assert torch.equal(maps.to_v_ip.weight, attention.to_v.weight)
    mine, theirs = adapter.state_dict(), again.state_dict()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in mine.items())


@pytest.mark.parametrize("feature", list(Feature))
def test_features_in_batches_are_those_of_inference(feature: Feature, frozen: Frozen) -> None:
    pictures = [Image.new("RGB", (70, 50 + 10 * i), colour) for i, colour in enumerate(COLOURS[:3])]
    found = frozen.encode_features([*pictures, None], feature)
    place = (torch.device("cpu"), torch.float32)
    wanted = [frozen.encoder.encode(picture, *place) for picture in pictures] + [frozen.encoder.encode_zeros(*place)]
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine["features"], theirs.get(feature)[0])


def test_on_the_cpu_an_encoder_stored_in_half_precision_computes_in_full() -> None:
    encoder = ImageEncoder(tiny_encoder().half())
    made = Frozen(tiny_pipeline(), encoder, torch.device("cpu"), torch.float32)
    assert {parameter.dtype for parameter in made.encoder.model.parameters()} == {torch.float32}


def test_no_picture_is_what_inference_takes_for_none(frozen: Frozen) -> None:
    assert not frozen.nothing(Feature.IMAGE_EMBEDS)["features"].any()
    zeros = frozen.encoder.encode_zeros(torch.device("cpu"), torch.float32).hidden_states[0]
    torch.testing.assert_close(frozen.nothing(Feature.HIDDEN_STATES)["features"], zeros)


@pytest.mark.parametrize("drop", Drop)
def test_what_is_dropped_is_the_empty_text_and_no_picture(drop: Drop, tmp_path: Path) -> None:
    nothing, picture = {"features": torch.zeros(2)}, {"features": torch.ones(2)}
    silence, words = {"text": torch.zeros(3)}, {"text": torch.ones(3)}
    cache = Cache(*(Store(None, 1e9) for _ in range(3)))
    for shelf, items in (
        (cache.latents, {"image": {"moments": torch.zeros(8, 2, 2), "size": torch.zeros(6)}}),
        (cache.features, {NOTHING: nothing, "reference": picture}),
        (cache.texts, {text_key(""): silence, text_key("a thing"): words}),
    ):
        for key, item in items.items():
            shelf.put(key, item)
    example = Example(Entry("a.png", tmp_path, "a thing"), "image", "reference")
    chances = {} if drop is Drop.NONE else {f"drop_{drop.value}": 1.0}
    asked = config(tmp_path, tmp_path, **{"drop_text": 0.0, "drop_image": 0.0, "drop_both": 0.0, **chances})
    stream = Stream.of(asked, 1, 10)
    frozen: Any = SimpleNamespace(device=torch.device("cpu"), alphas=torch.linspace(0.9, 0.1, 10), prediction="epsilon")
    given = Batches([example], cache, stream, frozen).make([stream.draw(number) for number in range(3)]).given
    text = silence if drop in (Drop.TEXT, Drop.BOTH) else words
    features = nothing if drop in (Drop.IMAGE, Drop.BOTH) else picture
    assert torch.equal(given["text"], text["text"].expand(3, -1))
    assert torch.equal(given["features"], features["features"].expand(3, -1))


def test_latents_are_drawn_from_the_autoencoders_distribution(frozen: Frozen) -> None:
    picture = Image.effect_noise((64, 64), 80).convert("RGB")
    moments = frozen.encode_latents([picture], 64)[0]["moments"]
    with torch.no_grad():
        wanted = frozen.vae.encode(to_pixels(picture)).latent_dist
    torch.testing.assert_close(moments[:4], wanted.mean[0] * frozen.vae.config.scaling_factor)
    torch.testing.assert_close(moments[4:], wanted.std[0] * frozen.vae.config.scaling_factor)


def test_the_sizes_that_sdxl_is_told_are_not_rounded(frozen: Frozen, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[torch.Tensor] = []

    def unet(latents: torch.Tensor, *_: object, added_cond_kwargs: Any, **__: object) -> tuple[torch.Tensor]:
        told.append(added_cond_kwargs["time_ids"])
        return (latents,)

    for name, value in (("pooled", True), ("dtype", torch.bfloat16), ("unet", unet)):
        monkeypatch.setattr(frozen, name, value)
    sizes = torch.tensor([[2250.0, 1365.0, 0.0, 341.0, 1024.0, 1024.0]])
    frozen.predict(torch.zeros(1, 4, 8, 8), torch.zeros(1), {"pooled": sizes, "size": sizes, "text": sizes})
    assert torch.equal(told[0].float(), sizes)


@pytest.mark.parametrize(("asked", "drawn"), [(None, "a cat"), ("", ""), ("a dog", "a dog")])
def test_samples_are_of_the_prompt_that_was_given_even_of_an_empty_one(
    asked: str | None, drawn: str, tmp_path: Path
) -> None:
    cache: Any = SimpleNamespace(of=lambda *_, **__: {}, texts=SimpleNamespace(get=lambda key: {"text": key}))
    example = Example(Entry("a", tmp_path, "a cat"), "", "")
    samples = Samples([example], cache, cache, config(tmp_path, tmp_path, sample_prompt=asked))
    assert samples._something(example) == {"text": text_key(drawn)}


def test_the_square_is_the_middle_and_its_place_is_told() -> None:
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (100, 0, 200, 100))
    cut, conditioning = square(image, 64)
    assert cut.size == (64, 64)
    assert min(cut.getchannel("B").crop((2, 0, 62, 64)).getextrema()) > 250, "blue from side to side"
    assert conditioning.tolist() == [100, 300, 0, 64, 64, 64]
    assert to_pixels(cut).shape == (1, 3, 64, 64)
    assert float(to_pixels(cut)[0, 2, 32, 32]) == 1.0


def test_a_thread_is_not_scaled_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, resize = [], Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda *given: (sizes.append(given[1]), resize(*given))[1])
    thread = Image.new("RGB", (10000, 1), "red")
    thread.paste("blue", (4990, 0, 5010, 1))
    cut, conditioning = square(thread, 64)
    assert sizes == [[256 * 64, 64]]
    assert cut.getpixel((32, 32)) == (0, 0, 255)
    assert conditioning.tolist() == [1, 10000, 0, (640_000 - 64) // 2, 64, 64]


def test_pictures_are_read_turned_and_on_white(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (20, 10), (255, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 10, 10))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a quarter to the right
    picture.save(tmp_path / "a.png", exif=exif)
    found = read_picture(tmp_path / "a.png")
    assert (found.mode, found.size) == ("RGB", (10, 20))
    assert [found.getpixel((5, y)) for y in (4, 15)] == [(255, 255, 255), (255, 0, 0)]


def test_shuffled_references_are_never_ones_own() -> None:
    assert others_of(["a", "a", "b", "c"], "1234") == ["b", "b", "c", "a"]
    assert others_of(["a"], "1") == ["a"]


def test_another_caption_is_of_another_picture_if_there_is_one() -> None:
    assert others_of(["cat", "pet", "car", "toy"], "1122") == ["car", "car", "cat", "cat"]
    assert others_of(["cat", "pet"], "11") == ["pet", "cat"]


def test_evaluation_covers_all_timesteps_evenly() -> None:
    assert [draw.timestep for draw in spread(4, 1000)] == [125, 375, 625, 875]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_rows_count_by_their_signal(prediction: str) -> None:
    alphas = torch.tensor([0.999, 0.9, 0.5, 0.1, 0.005])
    signal = alphas / (1 - alphas)
    assert torch.equal(row_weights(Weighting.NONE, prediction, alphas), torch.ones(5))
    published = signal.clamp(max=5) / (signal if prediction == "epsilon" else signal + 1)
    torch.testing.assert_close(row_weights(Weighting.MIN_SNR, prediction, alphas), published)
    early = row_weights(Weighting.EARLY, prediction, alphas)
    torch.testing.assert_close(early[:3], published[:3])
    torch.testing.assert_close(early[3:], published[3:] * signal[3:].rsqrt())


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("weighting", list(Weighting))
def test_pure_noise_of_zero_terminal_snr_has_a_weight(weighting: Weighting, prediction: str) -> None:
    found = row_weights(weighting, prediction, torch.tensor([0.0, 1e-9, 1e-7]))
    assert found.isfinite().all()
    assert (found >= 0).all()


def test_an_error_of_the_noise_counts_the_same_as_velocity() -> None:
    alphas, clean, noise = torch.tensor([0.2]), torch.randn(1, 4), torch.randn(1, 4)
    noisy, guess = noised(clean, noise, alphas), noise + 0.1
    believed = (noisy - (1 - alphas).sqrt() * guess) / alphas.sqrt()
    off = {
        kind: (target(kind, believed, guess, alphas) - target(kind, clean, noise, alphas)).square().mean()
        * row_weights(Weighting.MIN_SNR, kind, alphas)
        for kind in ("epsilon", "v_prediction")
    }
    torch.testing.assert_close(off["epsilon"], off["v_prediction"])
