"""A merged checkpoint, the recipe and the data -> the `general.*` metadata of the GGUF file made of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from packager.artifacts.kinds import Checkpoint, Dataset, Merged
from packager.llamacpp.gguf_file import PHI3
from packager.package import licence

SAMPLING = ("sequence", "top_k", "top_p", "min_p", "xtc_probability", "xtc_threshold", "temp",
            "penalty_last_n", "penalty_repeat", "mirostat", "mirostat_tau", "mirostat_eta")  # fmt: skip
_QUANTIZED = re.compile(r"[.-](I?Q\d\w*|BF16|F16|F32)$", re.IGNORECASE)


def described(checkpoint: Checkpoint) -> dict[str, Any]:
    """The `general.*` metadata of a base or of what was merged, in place of what the converter derives from folder
    names.

    The base's sampling advice is dropped: what the package serves with is the recipe's.
    """
    source = checkpoint.source.removeprefix("hf:")
    name = _QUANTIZED.sub("", source.rstrip("/").rpartition("/")[2].removesuffix(".gguf"))
    base = {"name": name}
    if _strips(checkpoint.folder) != bool(PHI3.search(name)):
        name = PHI3.sub("Phi 3", name) if PHI3.search(name) else f"{name} (Phi-3)"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        base |= {"organization": source.partition("/")[0], "repo_url": f"https://huggingface.co/{source}"}
    if checkpoint.revision:
        base["version"] = checkpoint.revision
    derived = ("basename", "finetune", "version", "organization", "size_label", "author", "description")
    tuned = isinstance(checkpoint, Merged) and bool(checkpoint.pairs_total)
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
