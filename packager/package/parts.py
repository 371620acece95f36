"""A manifest and the adapter's hash -> what the package's weights were made of and with, for its bill of materials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from packager.package.bom import Part

MADE_WITH = ("torch", "transformers", "peft", "bitsandbytes", "gguf", "llama_cpp_python", "numpy")
"""Distributions whose version decides what the weights are."""
LIMITS = "It informs and can be wrong; it does not diagnose or prescribe, and is not a medical device."


def parts_of(manifest: Mapping[str, Any], adapter_sha256: str, data_licence: str, home: str = "") -> list[Part]:
    """Base, data, adapter, approved material, tools, fonts, and every GGUF file, which lies in the folder `home` ("" or
    with a slash at its end)."""
    return [*_origin(manifest, adapter_sha256, data_licence), *_tools(manifest), *_weights(manifest, home)]


def _origin(manifest: Mapping[str, Any], adapter_sha256: str, data_licence: str) -> Iterator[Part]:
    recipe, base, data, adapter = (manifest[name] for name in ("recipe", "base", "data", "adapter"))
    source = str(base["source"])
    hub = source.removeprefix("hf:") if source.startswith("hf:") else ""
    yield Part(
        "base",
        "model",
        source,
        base["revision"],
        manifest["licence"],
        recipe["base"]["sha256"] or base["weights_sha256"],
        "The base model.",
        {"architecture": base["architecture"], "parameters": str(base["parameters"])},
        url=f"https://huggingface.co/{hub}" if hub else "",
    )
    rows = {"rows.trained": str(data["train_rows"]), "rows.heldout": str(data["heldout_rows"]),
            "rows.sha256": data["data_sha256"], "identifiers.left": str(data["identifiers"])}  # fmt: skip
    yield Part("data", "data", recipe["data"]["source"], data["source_revision"], data_licence, data["source_sha256"],
               "The questions and answers that it was trained on and proven with; they are not in the package.",
               rows)  # fmt: skip
    if adapter:
        facts = {"method": adapter["method"], "steps": str(adapter["steps"]),
                 "parameters": str(adapter["trainable_parameters"]), "seed": str(recipe["train"]["seed"])}  # fmt: skip
        yield Part("adapter", "model", f"{manifest['name']}-adapter", sha256=adapter_sha256, facts=facts,
                   says="The LoRA adapter, merged into the weights; it is not in the package.",
                   made_of=("base", "data"))  # fmt: skip
    if knowledge := manifest.get("knowledge"):
        facts = {"passages": str(knowledge["passages"]), "sources": str(len(knowledge["sources"]))}
        yield Part("knowledge", "data", f"{manifest['name']}-knowledge", facts=facts, says="The approved material.")
        yield Part("embedding", "model", "e5-small-enpt", licence="mit", says="Finds the passages of the material.")


def _tools(manifest: Mapping[str, Any]) -> Iterator[Part]:
    yield Part("llama.cpp", "library", "llama.cpp", manifest["llama.cpp"], "mit",
               says="Converted and quantized the weights, and runs them.",
               url="https://github.com/ggml-org/llama.cpp")  # fmt: skip
    for name in MADE_WITH:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        yield Part(f"tool:{name}", "library", name, version, says="Made the weights; it is not in the package.")
    yield Part("font:vera", "library", "Bitstream Vera", licence="Bitstream-Vera", says="The font in dossie.pdf.")


def _weights(manifest: Mapping[str, Any], home: str) -> Iterator[Part]:
    made_of = ("base", *(("adapter",) if manifest["adapter"] else ()), "data", "llama.cpp")
    for file in manifest["files"]:
        name = home + str(file["name"])
        facts = {"type": file["type"], "bits_per_weight": f"{file['bits_per_weight']:g}", "size": str(file["size"]),
                 "default": str(file["default"]).lower()}  # fmt: skip
        if "part_of" in file:
            facts["part_of"] = file["part_of"]["name"]
        yield Part(f"file:{name}", "model", name, licence=manifest["licence"], sha256=file["sha256"],
                   facts=facts, made_of=made_of, card=_card(manifest, file))  # fmt: skip


def _card(manifest: Mapping[str, Any], file: Mapping[str, Any]) -> dict[str, Any]:
    """CycloneDX's model card of one file."""
    recipe, merged, divergence = manifest["recipe"], manifest["merged"], file["divergence"]
    metrics = []
    if merged.get("heldout_loss") is not None:
        metrics.append({"type": "loss of the merged model, nats per token", "value": f"{merged['heldout_loss']:.4f}",
                        "slice": "held-out answers"})  # fmt: skip
    if divergence:
        for kind, key in (("KL divergence from F16, nats per token", "kl_mean"),
                          ("share of tokens with the likeliest of F16", "same_top"),
                          ("perplexity over that of F16", "perplexity_ratio")):  # fmt: skip
            on = "held-out answers and the corpus" if divergence["of_corpus"] else "held-out answers"
            metrics.append({"type": kind, "value": f"{divergence[key]:.5g}", "slice": on})
    said = recipe.get("dossier") or {}
    considerations: dict[str, Any] = {"technicalLimitations": [LIMITS]}
    for key, name in (("users", "users"), ("useCases", "purpose")):
        if said.get(name):
            considerations[key] = [said[name]]
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "text-generation",
            "modelArchitecture": manifest["base"]["architecture"],
            "datasets": [{"ref": "data"}],
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "text"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": considerations,
    }
