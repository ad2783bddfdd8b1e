"""A torchvision that does not load → empty modules with the names that MosaicML Streaming imports.

It uses them for images alone; the wheel for CUDA does not load beside torch's for CPUs.
"""

import importlib.machinery
import sys
import types


def pretend() -> None:
    """Put the modules where an import finds them."""
    for name in ("", ".datasets", ".transforms", ".transforms.functional"):
        module = types.ModuleType(f"torchvision{name}")
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        sys.modules[module.__name__] = module
    sys.modules["torchvision.datasets"].VisionDataset = object  # type: ignore[attr-defined]
    sys.modules["torchvision.transforms.functional"].to_tensor = None  # type: ignore[attr-defined]
