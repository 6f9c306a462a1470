"""Jobs as other extensions make them: inside the picture's own job as a detailer does, and over a folder of files.

Works only where a request asks for it: ``{"alwayson_scripts": {"probe jobs": {"args": [{...}]}}}`` with

- ``hires``: units that take the place of the request's when the hires pass begins;
- ``boxes``: ``[left, top, right, bottom]`` of each face; what is made there is made by a job inside the job;
- ``stems``: file names of the scripts that have a part in that one, as a detailer's setting has them;
- ``inner``: units that take the place of the request's in there.
"""

import base64
import copy
import io
from pathlib import Path

import gradio as gr
from modules import img2img, processing, script_callbacks, scripts, shared
from PIL import Image

ROUTE = "/ip-adapter-probe/batch"
STEM = "ip_adapter"


class ProbeJobs(scripts.Script):
    def title(self):
        return "Probe jobs"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.JSON(visible=False)]

    def before_hr(self, p, asked):
        if asked and "hires" in asked:
            p.script_args = with_units(p, asked["hires"])

    def postprocess_image(self, p, made, asked):
        """One mask after the other, each on what the one before has left; all from one job that is copied.

        Before the first picture of a batch every script is told that the job has ended, after the last that it begins.
        """
        if not (asked and asked.get("boxes")):
            return
        if p.batch_index == 0:
            p.scripts.postprocess(copy.copy(p), processing.Processed(p, [], p.seed, ""))
        template = inner_job(p, made.image, asked)
        for box in asked["boxes"]:
            job = copy.copy(template)
            job.init_images = [made.image]
            job.image_mask = Image.new("L", made.image.size)
            job.image_mask.paste(255, tuple(box))
            made.image = processing.process_images(job).images[0]
        if p.batch_index == p.batch_size - 1:
            begin_again(p)


def begin_again(p):
    prompts = p.all_prompts, p.all_negative_prompts
    job = copy.copy(p)
    p.scripts.before_process(job)
    p.scripts.process(job)
    p.all_prompts, p.all_negative_prompts = prompts


def inner_job(p, image, asked):
    """Only-masked inpainting with a filtered runner of scripts and a shallow copy of their arguments."""
    job = processing.StableDiffusionProcessingImg2Img(
        init_images=[image],
        resize_mode=0,
        denoising_strength=0.7,
        mask=None,
        mask_blur=2,
        inpainting_fill=1,
        inpaint_full_res=True,
        inpaint_full_res_padding=4,
        inpainting_mask_invert=0,
        sd_model=p.sd_model,
        outpath_samples=p.outpath_samples,
        outpath_grids=p.outpath_grids,
        prompt=p.prompts[p.batch_index],
        negative_prompt=p.negative_prompts[p.batch_index],
        seed=p.seeds[p.batch_index],
        subseed=p.subseeds[p.batch_index],
        sampler_name=p.sampler_name,
        scheduler=p.scheduler,
        batch_size=1,
        n_iter=1,
        steps=4,
        cfg_scale=p.cfg_scale,
        width=p.width,
        height=p.height,
        extra_generation_params=dict(p.extra_generation_params),
        do_not_save_samples=True,
        do_not_save_grid=True,
        override_settings={},
    )
    job.cached_c, job.cached_uc = [None, None], [None, None]
    runner = copy.copy(p.scripts)
    chosen = asked.get("stems", [])
    runner.alwayson_scripts = [one for one in runner.alwayson_scripts if Path(one.filename).stem in chosen]
    job.scripts = runner
    job.script_args = copy.copy(with_units(p, asked["inner"]) if "inner" in asked else p.script_args)
    return job


def with_units(p, units):
    """The arguments of all scripts, with `units` for the extension's."""
    own = next(one for one in p.scripts.alwayson_scripts if Path(one.filename).stem == STEM)
    args = list(p.script_args)
    rest = [None] * (own.args_to - own.args_from - len(units))
    args[own.args_from : own.args_to] = [*units, *rest]
    return tuple(args)


def make_batch(folder, units):
    """As the page's Batch tab does it, from a folder."""
    runner = scripts.scripts_img2img
    job = processing.StableDiffusionProcessingImg2Img(
        sd_model=shared.sd_model,
        prompt="a cat",
        negative_prompt="a dog",
        seed=1,
        sampler_name="Euler",
        scheduler="Automatic",
        steps=4,
        width=64,
        height=64,
        denoising_strength=0.7,
        init_images=[None],
        mask=None,
        do_not_save_samples=True,
        do_not_save_grid=True,
    )
    job.is_api = True
    job.scripts = runner
    job.script_args = (0, *[None] * (max(one.args_to for one in runner.scripts) - 1))
    job.script_args = with_units(job, units)
    shared.state.begin(job="probe batch")
    try:
        return img2img.process_batch(job, folder, "", "", job.script_args)
    finally:
        shared.state.end()


def encode(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def serve(demo, app):
    def batch(request: dict):
        made = make_batch(request["folder"], request["units"])
        return {"images": [encode(image) for image in made.images], "infotexts": made.infotexts}

    app.post(ROUTE)(batch)


script_callbacks.on_app_started(serve)
