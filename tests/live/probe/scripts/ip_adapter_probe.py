"""An extension of the live suite's own: sees, from inside the WebUI, what each UNet call was given.

It makes no difference to a picture unless it is asked to stop one. Whether a row is conditional it learns from the
text that the row is given, and nothing from the extension under test.
"""

import gc
import hashlib
import importlib
import json
import os
import sys
import time
import weakref
from functools import partial

import torch
from modules import script_callbacks, sd_models, shared

ROUTE = "/ip-adapter-probe"
SDXL_LAYERS = 70
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Recorder:
    """What the UNet and the image branches were given, call by call."""

    def __init__(self):
        self.calls = []
        self.watching = False
        self.trip = None
        self._handles = []
        self._unet = None
        self._layer = None
        self._step = None
        self._raise = False
        self._windowed = None

    def start(self):
        self.stop()
        self.calls = []
        self.watching = True

    def stop(self):
        self.watching = False
        self.trip = None
        self._step = None
        self._unwatch()
        if self._windowed:
            del self._windowed.forward
            self._windowed = None

    def on_step(self, params):
        """Before the UNet calls of a denoiser step."""
        if not self.watching:
            return
        self._step = params
        self._watch(live_unet())
        if self.trip and self.trip["what"] == "windows" and not self._windowed:
            self._windowed = in_windows(params.denoiser.inner_model, self.trip["size"])
        if self.trip and self.trip.get("step") == params.denoiser.step:
            what, self.trip = self.trip["what"], None
            self._raise = what == "raise"
            if what == "interrupt":
                shared.state.interrupt()
            elif what == "skip":
                shared.state.skip()

    def on_denoised(self, params):
        """As Self-Attention Guidance does: the rows with the negative prompt once more."""
        if self.watching and self.trip and self.trip["what"] == "negative again":
            step, rows = self._step, len(self._step.text_uncond)
            cond = {"c_crossattn": [step.text_uncond], "c_concat": [step.image_cond[-rows:]]}
            params.inner_model(step.x[-rows:], step.sigma[-rows:], cond=cond)

    def on_text(self, module, args):
        """The first cross-attention layer is given its text: a UNet call begins."""
        if self._raise:
            self._raise = False
            raise RuntimeError("raised by the probe")
        denoiser = self._step.denoiser
        self.calls.append(
            {
                "step": denoiser.step,
                "of": denoiser.total_steps,
                "tokens": args[0].shape[1],
                "text": "".join(self._text_role(row) for row in args[0]),
                "image": [],
                "outputs": 0,
                "layers": [],
                "silent": [],
                "seconds": time.process_time(),
            }
        )

    def on_image(self, branch, layer, kv):
        """An image branch computes with these keys and values."""
        if not self.calls:
            return
        call, source = self.calls[-1], branch.key_values[layer.index]
        roles = "".join(image_role(source, kv, row) for row in range(len(kv.key)))
        call["outputs"] += 1
        call["layers"].append([self._layer, float(kv.key.mean()), float(kv.value.mean())])
        if roles not in call["image"]:
            call["image"].append(roles)

    def on_output(self, output):
        """An image branch has computed this for a layer."""
        if self.watching and self.calls:
            self.calls[-1]["silent"].append(float((output == 0).all(dim=-1).float().mean()))

    def _text_role(self, row):
        given = {"c": crossattn(self._step.text_cond), "u": crossattn(self._step.text_uncond)}
        found = [role for role, rows in given.items() if any(same_text(row, other) for other in rows)]
        return found[0] if len(found) == 1 else "?"

    def _watch(self, unet):
        if unet is not self._unet:
            self._unwatch()
            layers = {name: m for name, m in unet.named_modules() if name.endswith(".attn2")}
            for name, layer in layers.items():
                self._handles.append(layer.register_forward_pre_hook(partial(self._enter, name)))
            self._handles.append(next(iter(layers.values())).to_k.register_forward_pre_hook(self.on_text))
            self._unet = unet

    def _enter(self, name, *_):
        self._layer = name

    def _unwatch(self):
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._unet = None


def crossattn(text):
    """SDXL's text comes with the vector that conditions it."""
    return text["crossattn"] if isinstance(text, dict) else text


def in_windows(model, size):
    """As AnimateDiff does: of so many pictures at once, all rows."""
    whole = model.forward

    def forward(x, sigma, cond):
        pictures, out = len(x) // 2, torch.zeros_like(x)
        for first in range(0, pictures, size):
            window = [*range(first, min(first + size, pictures))]
            rows = window + [pictures + picture for picture in window]
            out[rows] = whole(x[rows], sigma[rows], cond={name: [given[0][rows]] for name, given in cond.items()})
        return out

    model.forward = forward
    return model


CHUNK = 77
"""Tokens of one chunk of text."""


def same_text(row, other):
    """Whether a row's text begins with `other`: a prompt may have been padded.

    ControlNet puts a token before each text, and takes it off inside the UNet.
    """
    other = other[len(other) % CHUNK :]
    length = min(len(row), len(other))
    return torch.equal(row[:length], other[:length])


def image_role(source, kv, row):
    """Which of the two rows of K and V a UNet row was given."""
    found = [
        role
        for role, index in (("u", 0), ("c", 1))
        if torch.equal(kv.key[row], source.key[index].to(kv.key))
        and torch.equal(kv.value[row], source.value[index].to(kv.value))
    ]
    return found[0] if len(found) == 1 else "?"


RECORDER = Recorder()
REMEMBERED = []


def live_unet():
    return shared.sd_model.model.diffusion_model


def loaded_unets():
    """Of every checkpoint that the WebUI keeps, the live one too."""
    return [model.model.diffusion_model for model in sd_models.model_data.loaded_sd_models]


def state():
    """What is on the UNets, and in the extension's cache.

    After an exception the job's frames hold each other until Python collects them, which it does when it likes.
    """
    RECORDER.stop()
    gc.collect()
    unets = loaded_unets()
    every = [(name, m) for unet in unets for name, m in unet.named_modules()]
    modules = dict(live_unet().named_modules())
    library = sys.modules["lib_ipadapter.session.library"].LIBRARY
    return {
        "unets": len(unets),
        "hooks": [f"{name}.{kind}" for name, m in every for kind in HOOKS for _ in getattr(m, kind)],
        "attributes": {name: sorted(vars(m)) for name, m in modules.items()},
        "encoders": len(library.encoders),
        "adapters": len(library.adapters),
        "features": len(library.features),
        "callbacks": sum(
            "ipadapter" in c.callback.__module__ for c in script_callbacks.callback_map["callbacks_cfg_denoiser"]
        ),
    }


def digest():
    """Of the live UNet's weights."""
    total = hashlib.sha256()
    for name, tensor in live_unet().state_dict().items():
        total.update(name.encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()


def remember():
    """Keeps a weak reference to the live UNet."""
    REMEMBERED[:] = [weakref.ref(live_unet())]


def remembered():
    """Whether that UNet is still there; null when it still is the live one."""
    gc.collect()
    unet = REMEMBERED[0]()
    return unet is not None if unet is not live_unet() else None


def look_into_branches():
    """Wraps the one function through which an image branch goes; harmless when done again."""
    branch = sys.modules["lib_ipadapter.patch.branch"]
    compute = getattr(branch.scaled_attention, "plain", branch.scaled_attention)
    output = getattr(branch.ImageBranch.output, "plain", branch.ImageBranch.output)
    now = []

    def watched_output(self, query, layer, moment):
        now[:] = [(self, layer)]
        out = output(self, query, layer, moment)
        RECORDER.on_output(out)
        return out

    def watched_compute(query, kv, *more):
        if RECORDER.watching:
            RECORDER.on_image(*now[0], kv)
        now.clear()
        return compute(query, kv, *more)

    watched_compute.plain, watched_output.plain = compute, output
    branch.scaled_attention = watched_compute
    branch.ImageBranch.output = watched_output


def shrink_controlnet_encoder():
    """ControlNet knows its encoder's sizes by heart; the suite's is smaller."""
    sizes = os.environ.get("IP_ADAPTER_PROBE_CLIP")
    if sizes:
        importlib.import_module("annotator.clipvision").configs["clip_h"].update(json.loads(sizes))


def tell_controlnet_sdxl_by_layers():
    """ControlNet takes an adapter for SDXL's when its text is 2048 wide; the suite's is narrower."""
    module = sys.modules.get("scripts.ipadapter.ipadapter_model")
    if not module:
        return
    load = module.IPAdapterModel.load

    def by_layers(state_dict, name):
        model = load(state_dict, name)
        model.is_sdxl = len(state_dict["ip_adapter"]) == 2 * SDXL_LAYERS
        return model

    module.IPAdapterModel.load = staticmethod(by_layers)


def serve(demo, app):
    look_into_branches()
    shrink_controlnet_encoder()
    tell_controlnet_sdxl_by_layers()

    def record(trip: dict | None = None):
        RECORDER.start()
        RECORDER.trip = trip or None

    def calls():
        RECORDER.stop()
        return RECORDER.calls

    def forget():
        sys.modules["lib_ipadapter.session.library"].LIBRARY.unload()

    def reload_ui():
        shared.state.request_restart()

    for get in (state, calls, remembered, digest):
        app.get(f"{ROUTE}/{get.__name__}")(get)
    for post in (record, remember, forget, reload_ui):
        app.post(f"{ROUTE}/{post.__name__}")(post)


script_callbacks.on_cfg_denoiser(RECORDER.on_step)
script_callbacks.on_cfg_denoised(RECORDER.on_denoised)
script_callbacks.on_app_started(serve)
