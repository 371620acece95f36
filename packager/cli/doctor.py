"""What this machine can train and run: versions, processor, memory, disk, GPU, tools."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from packager.artifacts.files import cache_folder
from packager.errors import PackagerError
from packager.llamacpp import vendored
from packager.llamacpp.processor_check import check_runs
from packager.pipeline import room
from packager.process import cgroup, child, machine
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
        "container": _container(child.physical_cores()),
        "folder_faults": _folders(),
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
        *([f"This container allows {report['container']}"] if report["container"] else []),
        *report["folder_faults"],
        f"GPU: {', '.join(report['gpus']) or 'none that torch as installed can use (training runs on the CPU)'}",
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
    parameters = (ram - room.LIBRARIES_BYTES) / room.NF4_BYTES
    return f"{max(0.0, parameters) / 1e9:.1f}B parameters (by memory alone)"


def _container(cores: int) -> str:
    """What a container allows this process, in words; '' without limits."""
    memory, processors = cgroup.memory_limit(), cgroup.processors()
    parts = [f"{memory / GIGABYTE:.1f} GB of memory"] if memory else []
    parts += [f"{processors:g} processors ({cores} used)"] if processors else []
    return " and ".join(parts)


def _folders() -> list[str]:
    """What is wrong with the folders that a build writes to beside its own."""
    faults = []
    for check in (cache_folder, machine.check_temporary):
        try:
            check()
        except PackagerError as error:
            faults.append(error.format_message())
    return faults


def _missing_flags() -> list[str]:
    flags = machine.processor_flags()
    return [flag for flag in WANTED_FLAGS if flag not in flags] if flags else []


def _gpus() -> list[str]:
    return [f"{gpu.name}, {gpu.memory / GIGABYTE:.0f} GB" for gpu in machine.gpus()]


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
