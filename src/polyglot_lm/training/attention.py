"""Which attention kernel a model gets on a device, and why when it is not the fastest.

On Hopper, cuDNN's causal attention runs at 442 (head width 128) and 544 TFLOP/s (256) forward against FlashAttention-2's 246 and
280 (H100, torch 2.11), and a run without it loses a tenth of its speed in silence: a cuDNN of the system on the library path, a
head width or a sequence length it does not take. So the kernel is asked for by name before training starts.
"""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from polyglot_lm.model.config import ModelConfig

OLDEST_CUDNN = 91500  # older ones are not torch's first choice on Hopper
HOPPER = (9, 0)


def attention_backend(model: ModelConfig, device: torch.device) -> str:
    """Return the kernel that training will use, e.g. `cudnn`, or another and the reason in one sentence."""
    if device.type != "cuda":
        return f"torch's own on {device.type}"
    if torch.cuda.get_device_capability(device) < HOPPER:
        return f"torch's choice: {torch.cuda.get_device_name(device)} is older than Hopper"
    if model.context % 128:
        return f"torch's choice: context {model.context} is no multiple of 128, which cuDNN's backward needs to be safe"
    if torch.are_deterministic_algorithms_enabled():
        return "flash: deterministic algorithms are asked for, and cuDNN's backward is not"
    if (cudnn := torch.backends.cudnn.version() or 0) < OLDEST_CUDNN:  # type: ignore[no-untyped-call]
        return f"torch's choice: cuDNN {cudnn} is loaded, older than {OLDEST_CUDNN}; check LD_LIBRARY_PATH"
    try:
        run_once(model, device)
    except RuntimeError as error:
        return f"torch's choice: cuDNN refused heads of {model.head_width} ({error})"
    return "cudnn"


def run_once(model: ModelConfig, device: torch.device) -> None:
    """Differentiate one sequence through cuDNN's kernel alone; raises RuntimeError where it has none for the shape."""
    query, key, value = (
        torch.randn(1, model.context, 1, model.head_width, device=device, dtype=torch.bfloat16).transpose(1, 2).requires_grad_()
        for _ in range(3)
    )
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
        scaled_dot_product_attention(query, key, value, is_causal=True).sum().backward()  # type: ignore[no-untyped-call]
