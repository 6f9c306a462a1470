"""The AlwaysOn script. Its file name is public: ADetailer and others refer to it."""

import torch
from modules import script_callbacks, scripts

if not hasattr(scripts.Script, "process_before_every_sampling"):
    raise ImportError("IP-Adapter needs version 1.10 of the WebUI or a newer one, and this is older; update the WebUI.")
if not hasattr(torch.Tensor, "nbytes"):
    raise ImportError(f"IP-Adapter needs torch 2.1 or newer, and this is {torch.__version__}; update it.")

from lib_ipadapter.webui import arguments, axes, host_panel, panel, paste, routes, settings
from lib_ipadapter.webui.door import Door


class IPAdapterScript(scripts.Script):
    """One instance per tab; the WebUI calls its methods by name."""

    door = Door()
    """One for both tabs: an img2img job also closes what a broken txt2img job left open."""

    def title(self):
        return arguments.TITLE

    def show(self, is_img2img):
        axes.register()  # here, because with --nowebui the other scripts' ui comes before any callback
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        lists = host_panel.lists()
        controls = host_panel.build("img2img" if is_img2img else "txt2img", lists)
        self.infotext_fields = paste.paste_fields(controls, lists)
        self.paste_field_names = []
        return panel.components(controls)

    def process(self, p, *args):
        self.door.process(p, args)

    def process_before_every_sampling(self, p, *args, **kwargs):
        self.door.before_sampling(p, args)

    def post_sample(self, p, ps, *args):
        self.door.close()

    def postprocess(self, p, processed, *args):
        self.door.end(p, processed, args)


script_callbacks.on_app_started(routes.mount, name="ip_adapter")
script_callbacks.on_ui_settings(settings.register, name="ip_adapter")
script_callbacks.on_script_unloaded(IPAdapterScript.door.close, name="ip_adapter")
