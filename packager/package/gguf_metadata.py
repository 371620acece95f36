"""A merged checkpoint, the recipe and the data -> the `general.*` metadata of the GGUF file made of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from packager.artifacts.kinds import Dataset, Merged
from packager.package import licence

SAMPLING = ("sequence", "top_k", "top_p", "min_p", "xtc_probability", "xtc_threshold", "temp",
            "penalty_last_n", "penalty_repeat", "mirostat", "mirostat_tau", "mirostat_eta")  # fmt: skip
_PHI3 = re.compile(r"phi-?3", re.IGNORECASE)
_QUANTIZED = re.compile(r"[.-](I?Q\d\w*|BF16|F16|F32)$", re.IGNORECASE)


def described(merged: Merged) -> dict[str, Any]:
    """The `general.*` metadata, in place of what the converter derives from folder names.

    The base's sampling advice is dropped: what the package serves with is the recipe's.
    """
    source = merged.source.removeprefix("hf:")
    name = _QUANTIZED.sub("", source.rstrip("/").rpartition("/")[2].removesuffix(".gguf"))
    base = {"name": name}
    if _strips(merged.folder) != bool(_PHI3.search(name)):
        # llama.cpp drops white space after special tokens if, and only if, the name says Phi-3.
        name = _PHI3.sub("Phi 3", name) if _PHI3.search(name) else f"{name} (Phi-3)"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        base |= {"organization": source.partition("/")[0], "repo_url": f"https://huggingface.co/{source}"}
    if merged.revision:
        base["version"] = merged.revision
    derived = ("basename", "finetune", "version", "organization", "size_label", "author", "description")
    tuned = bool(merged.pairs_total)
    return {
        "general.name": f"{name} (fine-tuned)" if tuned else name,
        **{f"general.{key}": None for key in derived},
        **{f"general.sampling.{key}": None for key in SAMPLING},
        "general.base_models": [base] if tuned else None,
    }


def lineage(recipe: str, language: str, merged: Merged, data: Dataset) -> dict[str, Any]:
    """The `general.*` metadata that says what the model was made from and with."""
    terms = licence.known(merged.licence)
    rows = {"name": f"{data.train_rows} training rows", "version": f"sha256:{data.data_sha256}"}
    return {
        "general.finetune": recipe,
        "general.languages": [language.partition("-")[0]],
        "general.license.name": (terms.title if terms else merged.licence) or None,
        "general.license.link": terms.url if terms else None,
        "general.datasets": [rows] if merged.pairs_total else None,
    }


def _strips(folder: Path) -> bool:
    """Does the checkpoint's tokenizer drop white space after its special tokens, as Phi-3's does?"""
    path = folder / "tokenizer.json"
    added = json.loads(path.read_text(encoding="utf-8"))["added_tokens"] if path.is_file() else []
    return any(token["special"] and token["rstrip"] for token in added)
