"""The AlwaysOn script. Its file name is public: ADetailer and others refer to it."""

from modules import script_callbacks, scripts

from lib_ipadapter.hosts import a1111
from lib_ipadapter.hosts.a1111_folders import adapter_folders, cache_folder, encoder_folders, preset_folder
from lib_ipadapter.session.remote import Shelf
from lib_ipadapter.webui import arguments, axes, models, panel, paste, references, routes, saved_prompts, settings
from lib_ipadapter.webui.door import Door
from lib_ipadapter.webui.lists import Lists


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
        def here():
            return adapter_folders(), a1111.loaded_unet()

        def folders(shelf):
            return encoder_folders() if shelf is Shelf.ENCODERS else adapter_folders()

        def clear_cache():
            return models.clear_cache(cache_folder())

        def unload():
            with a1111.alone():
                return models.unload()

        def save_prompt(name, values):
            with a1111.alone():
                return saved_prompts.save(name, values, a1111.A1111Host())

        lists = Lists(
            models=lambda: models.choices(*here()),
            resolve=lambda name: models.choice(name, *here()),
            encoders=lambda model: models.encoder_names(encoder_folders(), model, adapter_folders()),
            faces=lambda: models.faces(adapter_folders()),
            prompts=lambda: saved_prompts.choices(adapter_folders()),
            save_prompt=save_prompt,
            folders=references.folders,
            presets=models.presets(preset_folder(), adapter_folders),
            wait=a1111.wait_for_checkpoint,
        )
        tab = "img2img" if is_img2img else "txt2img"
        controls = panel.build(tab, settings.number_of_units(), lists, folders, clear_cache=clear_cache, unload=unload)
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
