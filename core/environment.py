"""The machine and the versions that a run was made with, for environment.json and for a bug report."""

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "unsloth", "bitsandbytes", "polars")


def environment() -> dict:
    """Return versions, machine and commit, for environment.json.

    The device is that of torch. What runs without torch, whose import takes seconds, runs on the CPU.
    """
    torch = sys.modules.get("torch")
    device = f"cpu, {torch.get_num_threads()} threads" if torch else "cpu"
    if torch and torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "commit": _git("rev-parse", "--short", "HEAD") + (" with changes" if changed else ""),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def describe_environment() -> str:
    """Return the machine and the versions in a sentence, for a bug report."""
    import torch  # noqa: F401  # so that `environment` sees a GPU

    found = environment()
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    return f"Python {found['python']} on {found['system']}, {found['device']}; {packages}."


def peak_memory_gb() -> float:
    """Return the most memory in GB (1e9 bytes) that this process has held: of its CUDA device, or else its own."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e9
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str:
    """Return output of git about this file's folder; "unknown" outside a checkout."""
    try:
        ran = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent, check=True)
        return ran.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
