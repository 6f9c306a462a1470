"""Another extension, as docs/for-extensions.md says how to write one: sets every unit's scale when asked to."""

from dataclasses import replace

import gradio as gr
from modules import scripts


class Neighbour(scripts.Script):
    """Does nothing below zero."""

    def title(self):
        return "IP-Adapter neighbour"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Number(value=-1, visible=False)]

    def before_process(self, p, scale, *args):
        if scale is None or scale < 0:
            return
        from lib_ipadapter import external

        external.set_units(p, [replace(unit, scale=scale) for unit in external.get_units(p)])
