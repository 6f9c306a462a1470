"""The noise levels of a single-file checkpoint."""

from __future__ import annotations

from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

from lib_ipadapter.hosts.diffusers_single_file.config import dig
from lib_ipadapter.hosts.diffusers_single_file.parts import Original

V_PREDICTION, ZERO_SNR = "v_pred", "ztsnr"
"""Empty tensors by which fine-tunes of SDXL say what their YAML would: no WebUI asks for one."""


def read_scheduler(original: Original) -> EulerDiscreteScheduler:
    """Euler over the noise levels that configuration and file say."""
    params = original.params
    sgm = dig(params, "denoiser_config", "params") or {}
    betas = dig(sgm, "discretization_config", "params") or params
    zero_snr = ZERO_SNR in original.tensors
    return EulerDiscreteScheduler(
        num_train_timesteps=sgm.get("num_idx") or params.get("timesteps", 1000),
        beta_start=betas.get("linear_start", 0.00085),
        beta_end=betas.get("linear_end", 0.012),
        beta_schedule="scaled_linear",
        prediction_type="v_prediction" if predicts_v(original) else "epsilon",
        # Only from the very last timestep is zero signal of any use, and "leading" never goes there.
        timestep_spacing="trailing" if zero_snr else "leading",
        rescale_betas_zero_snr=zero_snr,
        steps_offset=1,
    )


def predicts_v(original: Original) -> bool:
    """As ldm's YAML, sgm's, or the file itself says."""
    scaling = dig(original.params, "denoiser_config", "params", "scaling_config", "target")
    said = original.params.get("parameterization") == "v" or str(scaling).endswith("VScaling")
    return said or V_PREDICTION in original.tensors
