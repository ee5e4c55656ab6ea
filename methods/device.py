"""The `device` parameter of methods that run on a CPU or a GPU."""

from __future__ import annotations

from cdnbench.errors import InvalidParameter


def check_device(name: str, device: str) -> None:
    """Check, before work starts, that a method can compute there.

    Raises
    ------
    InvalidParameter: the device is not cpu or cuda, or torch sees no CUDA device.
    """
    if device not in ("cpu", "cuda"):
        raise InvalidParameter(f"{name}: device takes cpu or cuda; got {device!r}.")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise InvalidParameter(
                f"{name}: device=cuda, but torch sees no CUDA device. Use device=cpu."
            )
