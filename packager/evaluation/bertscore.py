"""BERTScore: how near the contextual vectors of an answer's tokens are to those of its reference.

Texts and an encoder (a folder, or one of the Hub) -> precision, recall, F1 per pair. Precision is
the mean, over the answer's tokens, of the greatest cosine with any token of the reference; recall
the same the other way round; special tokens are left out; neither idf weights nor rescaling. Without
the encoder BERTScore is left out, which is said beforehand.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.evaluation import LeftOut
from packager.errors import InputError, Interrupted, PackagerError
from packager.evaluation import availability
from packager.evaluation.items import ValidationRow
from packager.evaluation.measures import Outcome
from packager.process import child, progress
from packager.prompt.template import TOKENIZER_FILES
from packager.recipe.evaluation import BertScore, Evaluate

if TYPE_CHECKING:
    from torch import Tensor

FILES = ("config.json", *TOKENIZER_FILES, "vocab.txt", "*.model")
BATCH = 16
"""Texts encoded at once."""

Scores = dict[str, float]


def unreachable(wanted: Evaluate) -> list[LeftOut]:
    """Why BERTScore cannot be had, if that is known beforehand."""
    if "bertscore" not in wanted.metrics:
        return []
    if wanted.bertscore is None:
        fix = "set evaluate.bertscore.encoder: a folder, or hf:org/name"
        return [LeftOut(what="bertscore", why="the recipe names no encoder", fix=fix)]
    encoder = wanted.bertscore.encoder
    if encoder.startswith("hf:"):
        missing = availability.model(encoder.removeprefix("hf:"), wanted.bertscore.revision, FILES)
        fix = "connect to the network, or set evaluate.bertscore.encoder to a folder"
        return [] if missing is None else [LeftOut(what="bertscore", why=missing.message, fix=fix)]
    if not (Path(encoder).expanduser() / "config.json").is_file():
        fix = "put an encoder (config.json, tokenizer, weights) there, or name one of the Hub with hf:org/name"
        return [LeftOut(what="bertscore", why=f"no encoder is in {encoder}", fix=fix)]
    return []


def fingerprint(wanted: Evaluate) -> list[object]:
    """The files of an encoder that is a folder, known as those of a base are."""
    encoder = wanted.bertscore.encoder if wanted.bertscore and "bertscore" in wanted.metrics else "hf:"
    folder = Path(encoder).expanduser()
    files = sorted(p for p in folder.iterdir() if p.is_file()) if encoder[:3] != "hf:" and folder.is_dir() else []
    return [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]


def added(
    wanted: Evaluate,
    outcomes: dict[str, dict[str, list[Outcome]]],
    sets: Mapping[str, Sequence[ValidationRow]],
    left: list[LeftOut],
) -> dict[str, dict[str, list[Outcome]]]:
    """The outcomes with BERTScore among their scores, if the recipe asks for it and the encoder is here."""
    if missing := unreachable(wanted):
        left += missing
    if missing or "bertscore" not in wanted.metrics:
        return outcomes
    assert wanted.bertscore is not None
    places = [(m, s, i) for m, found in outcomes.items() for s in found for i, o in enumerate(found[s]) if o.answer]
    pairs = [(str((outcomes[m][s][i].answer or {})["text"]), sets[s][i].reference) for m, s, i in places]
    try:
        found = child.call(scores, folder_of(wanted.bertscore), pairs, wanted.bertscore.layer).value
    except Interrupted:
        raise
    except PackagerError as error:
        left.append(LeftOut(what="bertscore", why=error.message, fix=error.fix, failed=True))
        return outcomes
    for (m, s, i), score in zip(places, found, strict=True):
        outcomes[m][s][i] = replace(outcomes[m][s][i], scores={**outcomes[m][s][i].scores, **score})
    return outcomes


def folder_of(wanted: BertScore) -> Path:
    """Where the encoder lies, fetched from the Hub if need be."""
    if not wanted.encoder.startswith("hf:"):
        return Path(wanted.encoder).expanduser()
    from packager.hub.reading import fetch_small, fetch_weights

    repo, _ = fetch_small(wanted.encoder.removeprefix("hf:"), wanted.revision, FILES)
    if not repo.weights:
        raise InputError(f"{wanted.encoder} has no safetensors weights.", "name another encoder")
    return fetch_weights(repo)


def scores(folder: Path, pairs: Sequence[tuple[str, str]], layer: int | None) -> list[Scores]:
    """BERTScore of (answer, reference) pairs, in their order."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(child.physical_cores())
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False).float().eval()
    except (OSError, ValueError) as error:
        raise InputError(f"The encoder {folder.name} cannot be loaded: {error}", "name another encoder") from error
    depth = model.config.num_hidden_layers
    if layer is not None and not 1 <= layer <= depth:
        raise InputError(f"evaluate.bertscore.layer is {layer}; the encoder has {depth}.", f"give 1 to {depth}")
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    vectors: dict[str, Tensor] = {}
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        vectors |= zip(batch, _vectors(tokenizer, model, batch, layer or depth), strict=True)
        progress.update(len(vectors), len(texts), "texts encoded")
    return [greedy(vectors[answer], vectors[reference]) for answer, reference in pairs]


def greedy(answer: Tensor, reference: Tensor) -> Scores:
    """Greedy matching of unit vectors [tokens, hidden]. A text without tokens scores 0."""
    if not len(answer) or not len(reference):
        return {"bertscore.f1": 0.0, "bertscore.precision": 0.0, "bertscore.recall": 0.0}
    cosines = answer @ reference.T
    precision, recall = float(cosines.max(dim=1).values.mean()), float(cosines.max(dim=0).values.mean())
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"bertscore.f1": f1, "bertscore.precision": precision, "bertscore.recall": recall}


def _vectors(tokenizer: Any, model: Any, texts: Sequence[str], layer: int) -> list[Tensor]:
    """Unit vectors [tokens, hidden] of each text, without its special tokens."""
    import torch

    most = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512) - 2)
    batch = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True, max_length=most,
                      return_special_tokens_mask=True)  # fmt: skip
    specials = batch.pop("special_tokens_mask").bool()
    with torch.inference_mode():
        hidden = model(**batch, output_hidden_states=True).hidden_states[layer]
    unit = torch.nn.functional.normalize(hidden, dim=-1)
    wanted = batch["attention_mask"].bool() & ~specials
    return [row[mask] for row, mask in zip(unit, wanted, strict=True)]
