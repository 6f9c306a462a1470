"""``python -m pocket.page``: the extension's panel on the pocket model, in a browser, without any WebUI."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
import typer

from lib_ipadapter.errors import IPAdapterError
from lib_ipadapter.webui import models, panel, paste, saved_prompts
from lib_ipadapter.webui.api import parse_units
from lib_ipadapter.webui.lists import Lists
from pocket import parameters
from pocket.parameters import LIMITS, Settings
from pocket.studio import GUIDANCE, SAMPLER, STEPS, Studio

ROOT = Path(__file__).resolve().parents[1]
SAVED = ROOT / "outputs" / "page"
"""Where presets and image prompts are put."""
TAB, UNITS = "txt2img", 3
ABOUT = """# IP-Adapter

The panel of the extension for the Stable Diffusion WebUI, on a model of 28 MB whose world is coloured shapes.
Unfold *IP-Adapter*, drop a picture, choose a model, tick *Enable*, and generate."""
PROMPTS = ("a star", "a small cross on the left", "a triangle on mint background", "a purple striped ring")
CSS = ".gradio-container #ip_adapter_page { margin: 0 auto; max-width: 1280px; }"


def build(studio: Studio) -> gr.Blocks:
    """Prompt, panel and result; elements are called as in the WebUI, so that the panel's script finds them."""
    lists = lists_of(studio)
    with gr.Blocks(title="IP-Adapter", analytics_enabled=False) as page, gr.Column(elem_id="ip_adapter_page"):
        gr.Markdown(ABOUT)
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                asked = _asked()
                controls = panel.build(TAB, UNITS, lists, None)
            with gr.Column(scale=2, min_width=320):
                generate = gr.Button("Generate", variant="primary", elem_id=f"{TAB}_generate")
                # PNG: anything else would change the picture.
                gallery = gr.Gallery(
                    label="Result", format="png", columns=1, object_fit="contain", height=420, elem_id=f"{TAB}_gallery"
                )
                infotext = gr.Textbox(label="Parameters", lines=4, max_lines=12, elem_id=f"{TAB}_infotext")
                with gr.Row(elem_id=f"image_buttons_{TAB}"):
                    take = gr.Button("Use these parameters", size="sm", elem_id="paste")
        components = [*asked, *panel.components(controls)]
        drawn = drawer(studio)
        gr.on([generate.click, asked[0].submit], drawn, components, [gallery, infotext], api_name="generate")
        _paste_on(take, infotext, asked, paste.paste_fields(controls, lists))
    return page


def drawer(studio: Studio) -> Callable[..., tuple[Any, str]]:
    """What *Generate* does: values of `Settings`, then every field of every unit -> the picture and its infotext."""
    count = len(fields(Settings))

    def draw(*values: Any) -> tuple[Any, str]:
        asked = Settings(*values[:count])
        asked = replace(asked, seed=int(asked.seed) if asked.seed >= 0 else random.randrange(1 << 32))
        options = {"num_inference_steps": int(asked.steps), "guidance_scale": asked.guidance}
        try:
            units = parse_units(values[count:])
            for one in (unit for unit in units if unit.active):
                one.check_alone()
            picture = studio.draw(asked.prompt, asked.seed, *units, negative_prompt=asked.negative or None, **options)
        except IPAdapterError as error:
            raise gr.Error(str(error), print_exception=False) from error
        text = parameters.write(asked, units, SAMPLER, studio.host.adapter_folders())
        return gr.Gallery([picture], selected_index=0), text

    return draw


def lists_of(studio: Studio) -> Lists:
    """What there is to choose from: the files that ship with the project, and what was saved in the page."""
    host, unet = studio.host, studio.pipeline.unet
    folders = host.adapter_folders()
    return Lists(
        models=lambda: models.choices(folders, unet),
        resolve=lambda name: models.choice(name, folders, unet),
        encoders=lambda model: models.encoder_names(host.encoder_folders(), model, folders),
        faces=lambda: models.faces(folders),
        prompts=lambda: saved_prompts.choices(folders),
        save_prompt=lambda name, values: saved_prompts.save(name, values, host),
        presets=models.presets(folders[0] / "presets", host.adapter_folders),
    )


def launch(page: gr.Blocks, **more: Any) -> str:
    """Serves `page` with the extension's scripts, after the little of the WebUI that they ask for; its address."""
    scripts = [Path(__file__).with_name("page.js"), *sorted((ROOT / "javascript").glob("*.js"))]
    head = "".join(f"<script>\n{script.read_text(encoding='utf-8')}</script>\n" for script in scripts)
    files = {"css": CSS, "css_paths": [ROOT / "style.css"], "head": head}
    return page.launch(server_name="127.0.0.1", footer_links=[], ssr_mode=False, **files, **more)[1]


def _asked() -> list[Any]:
    """Components for `Settings`, in its order."""
    prompt = gr.Textbox(PROMPTS[0], label="Prompt", lines=2, max_lines=6, elem_id=f"{TAB}_prompt")
    gr.Examples([[one] for one in PROMPTS], [prompt], label="Words that it knows", elem_id=f"{TAB}_examples")
    negative = gr.Textbox("", label="Negative prompt", elem_id=f"{TAB}_neg_prompt")
    with gr.Row():
        seed = gr.Number(-1, label="Seed (-1: by lot)", precision=0, min_width=120, elem_id=f"{TAB}_seed")
        steps = gr.Slider(*LIMITS["steps"], value=STEPS, step=1, label="Steps", min_width=120, elem_id=f"{TAB}_steps")
        guidance = gr.Slider(
            *LIMITS["guidance"], value=GUIDANCE, step=0.5, label="CFG scale", min_width=120, elem_id=f"{TAB}_cfg_scale"
        )
    return [prompt, negative, seed, steps, guidance]


def _paste_on(button: gr.Button, infotext: gr.Textbox, asked: list[Any], pasted: list[tuple[Any, Any]]) -> None:
    """As the WebUI pastes: what a field's function answers with None stays as it is."""

    def values(text: str) -> list[Any]:
        settings, pairs = parameters.read(text)
        found = [reading(pairs) for _, reading in pasted]
        return [*astuple(settings), *(gr.skip() if value is None else value for value in found)]

    button.click(values, [infotext], [*asked, *(component for component, _ in pasted)], show_progress="hidden")


def main(
    port: Annotated[int | None, typer.Option(help="Where to serve; else the first that is free from 7860 on.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page at once.")] = True,
) -> None:
    """Try the extension in a browser, without a WebUI and without a download."""
    launch(build(Studio(SAVED)), server_port=port, inbrowser=browser)


if __name__ == "__main__":
    typer.run(main)
