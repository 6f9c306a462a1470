"""As much of a page as the panel's scripts look at, and what tests do on it."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from lib_ipadapter.session.unit import Unit

ROOT = Path(__file__).parents[2]
SCRIPTS = [ROOT / "pocket" / "page.js", *sorted((ROOT / "javascript").glob("*.js"))]
ABOUT = {"curve": 'Weights over the steps, as "0:1, 1:0".'}

UNIT = """
<div id="{unit}_enabled"><label><input type="checkbox">Enable</label></div>
<div id="{unit}_image"><label>Reference picture</label>
  <div data-testid="image"><div class="place">Drop<input type="file" hidden></div></div></div>
<div id="{unit}_note"><div class="prose"></div></div>
<button id="{unit}_refresh">refresh</button><button id="{unit}_view_again" class="ip-adapter-hidden"></button>
<div id="{unit}_curve_panel"><div class="label-wrap">When</div>
  <div id="{unit}_curve" class="block"><label>Curve<textarea></textarea></label></div></div>
<div id="{unit}_weight_type_panel"><div class="label-wrap">Layers</div><div style="display: none">
  <div id="{unit}_composition_image"><div class="place"><input type="file" hidden></div></div></div></div>
<div id="{unit}_mask"><div data-testid="image"><div class="place">Drop<input type="file" hidden></div></div></div>
<div id="{unit}_image_mask"><div data-testid="image"><div class="place">Drop<input type="file" hidden></div></div></div>
<div id="{unit}_preset" class="ip-adapter-written"><label>Preset<input></label></div>
<div id="{unit}_grid" class="block"><label>Grid<textarea></textarea></label></div>
<div id="{unit}_images_panel"><div id="{unit}_images" class="files"><label>Further pictures</label>
    <div class="place"><input type="file" multiple hidden></div><button aria-label="Löschen"></button>
    <div class="list"></div></div>
  <div id="{unit}_weights" class="block"><label>Weights<textarea></textarea></label></div></div>
"""
PAGE = """<!DOCTYPE html><html><head><style>{style}</style></head><body>
<div id="txt2img_prompt"><textarea></textarea></div>
<div id="txt2img_width"><input type="number" value="96"></div>
<div id="txt2img_height"><input type="number" value="160"></div>
<div id="txt2img_gallery"><img src="{picture}" width="60" height="60"></div>
<div id="image_buttons_txt2img"><button class="tool">x</button></div>
<div id="ip_adapter_txt2img" class="ip-adapter"><div class="label-wrap"><span>IP-Adapter</span></div>
<div id="content" style="display: none"><div id="ip_adapter_txt2img_tabs"><div class="tab-nav">
<button class="selected">1</button><button>2</button></div></div>{units}
<div data-about="{about}" hidden></div></div></div>
<script>
const outer = document.querySelector("#ip_adapter_txt2img > .label-wrap");
outer.onclick = () => {{ content.style.display = outer.classList.toggle("open") ? "block" : "none"; }};
for (const field of document.querySelectorAll(".files")) {{
    const list = field.querySelector(".list");
    const href = file => URL.createObjectURL(file);
    const link = file => Object.assign(document.createElement("a"), {{download: file.name, href: href(file)}});
    field.querySelector("input").onchange = event => list.replaceChildren(...[...event.target.files].map(link));
    field.querySelector("button").onclick = () => list.replaceChildren();
}}
window.taken = {{}};
document.addEventListener("change", event => {{
    if (event.target.type !== "file") return;
    const [file] = event.target.files;
    window.taken[event.target.closest("[id]").id] = file.type;
    createImageBitmap(file).then(image => {{ window.size = [image.width, image.height]; }}, () => null);
}});
</script>
{scripts}</body></html>"""


def picture(width: int = 8, height: int = 8) -> str:
    """As an address."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def page_text() -> str:
    units = "".join(
        f'<div class="unit">{UNIT.format(unit=f"ip_adapter_txt2img_unit_{number}")}</div>' for number in (1, 2)
    )
    return PAGE.format(
        style=(ROOT / "style.css").read_text(encoding="utf-8"),
        picture=picture(),
        units=units,
        about=html.escape(json.dumps(ABOUT)),
        scripts="".join(f"<script>{script.read_text(encoding='utf-8')}</script>" for script in SCRIPTS),
    )


def field(page: Any, name: str, unit: int = 1) -> Any:
    return page.locator(f"#ip_adapter_txt2img_unit_{unit}_{name}")


def choose(page: Any, name: str, content: bytes, file: str, kind: str) -> None:
    """A file, as its dialog hands it to the first unit's field."""
    field(page, name).locator("input").set_input_files({"name": file, "mimeType": kind, "buffer": content})


def unfold(page: Any) -> None:
    page.locator("#ip_adapter_txt2img > .label-wrap").click()


def text(page: Any, name: str) -> str:
    return field(page, name).locator("textarea").input_value()


def drawn(page: Any, name: str) -> str:
    """What an editor has written, which every job must take."""
    return getattr(Unit.parse({name: text(page, name)}), name)


def type_into(page: Any, name: str, value: str) -> None:
    field(page, name).locator("textarea").fill(value)
