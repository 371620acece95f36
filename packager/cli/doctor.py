"""What this machine can train and run: versions, processor, memory, disk, GPU, tools."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from packager.errors import PackagerError
from packager.llamacpp import vendored
from packager.llamacpp.processor_check import check_runs
from packager.pipeline import preflight
from packager.process import child, machine
from packager.process.memory import GIGABYTE

DISTRIBUTIONS = ("torch", "transformers", "peft", "bitsandbytes", "llama_cpp_python", "gguf", "huggingface_hub")
# What a llama.cpp build for ordinary CPUs relies on.
WANTED_FLAGS = ("avx", "avx2", "fma", "f16c")


def examine() -> dict[str, Any]:
    """Facts about this machine, as JSON-ready values."""
    ram = machine.available_ram()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "physical_cores": child.physical_cores(),
        "cpu_features_missing": _missing_flags(),
        "ram_available_gb": round(ram / GIGABYTE, 1),
        "disk_free_gb": round(machine.free_disk(Path.cwd()) / GIGABYTE, 1),
        "gpus": _gpus(),
        "packages": {name: _version(name) for name in DISTRIBUTIONS},
        "compiler": shutil.which("c++") or shutil.which("g++") or "",
        "converter": _converter(),
        "llamacpp_fault": _llamacpp_fault(),
        "largest_trainable": _largest(ram),
    }


def render_report(report: dict[str, Any]) -> str:
    """The report for people, with what to do about what is missing."""
    rows = [
        f"Python {report['python']} on {report['system']}, {report['physical_cores']} physical cores",
        f"{report['ram_available_gb']} GB of memory available, {report['disk_free_gb']} GB of disk free",
        f"GPU: {', '.join(report['gpus']) or 'none (training runs on the CPU)'}",
        f"llama.cpp converter: {report['converter'] or 'not fetched -> make setup'}",
    ]
    if report["cpu_features_missing"]:
        rows.append(f"This CPU lacks {', '.join(report['cpu_features_missing'])}: models run, but slowly.")
    if report["llamacpp_fault"]:
        rows.append(report["llamacpp_fault"])
    absent = [name for name, version in report["packages"].items() if not version]
    rows.append(
        f"Not installed: {', '.join(absent)} -> make setup"
        if absent
        else "Installed: " + ", ".join(f"{n} {v}" for n, v in report["packages"].items())
    )
    if not report["compiler"]:
        rows.append("No C++ compiler -> install g++ (Debian: apt install build-essential)")
    rows.append(f"Without a GPU, this machine can train with QLoRA up to about {report['largest_trainable']}.")
    return "\n".join(rows)


def _largest(ram: int) -> str:
    parameters = (ram - preflight.LIBRARIES_BYTES) / preflight.NF4_BYTES
    return f"{max(0.0, parameters) / 1e9:.1f}B parameters (by memory alone)"


def _missing_flags() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    flags = next((row.split(":")[1].split() for row in text.splitlines() if row.startswith("flags")), None)
    return [] if flags is None else [flag for flag in WANTED_FLAGS if flag not in flags]


def _gpus() -> list[str]:
    try:
        out = child.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"], timeout=20)
    except PackagerError:
        return []
    return [line.strip() for line in out.splitlines() if line.strip()]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _converter() -> str:
    try:
        vendored.converter()
    except PackagerError:
        return ""
    return vendored.commit()


def _llamacpp_fault() -> str:
    try:
        check_runs()
    except PackagerError as error:
        return error.format_message()
    return ""
