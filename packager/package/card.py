"""The texts of a package: its model card (README.md), those of the adapter and of the merged model, and the
clinic's LEIA-ME.txt.

Facts of the build -> Markdown whose head the Hub reads, plain pt-BR text for the technician.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from packager.artifacts.checks import tally
from packager.artifacts.evaluation import Evaluation
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Ggufs, Merged, Proof
from packager.package import licence, material, model_index
from packager.prompt.ollama.modelfile import REQUIRES, kv_note
from packager.recipe.recipe import Recipe

FILE = "README.md"
MEBIBYTE = 1 << 20

NOTICE = (
    "This model informs; it does not diagnose and it is **not a medical device**. It can be wrong. "
    "Decisions about a person's health belong to a health professional."
)


@dataclass(frozen=True)
class CardFacts:
    """What the texts are written from."""

    recipe: Recipe
    base: Checkpoint
    data: Dataset
    adapter: Adapter | None
    ggufs: Ggufs
    proof: Proof
    evaluation: Evaluation | None = None
    merged: Merged | None = None
    unproven: tuple[str, ...] = ()
    """What is not proven, a sentence each."""
    probes_failed: tuple[str, ...] = ()
    """Clinical probes that the default file failed in the evaluation."""


def model_card(facts: CardFacts) -> str:
    """The package's README.md, with the metadata block that the Hub reads."""
    recipe, base = facts.recipe, facts.base
    lines = [
        *_head(facts, "quantized", "gguf", ["gguf", "llama.cpp", "ollama"]),
        *_opening(facts, f"{_public_name(base)}, packaged for offline use."),
        "## Files",
        "",
        "| file | type | bits per weight | size |",
        "|---|---|---|---|",
        *(
            f"| `{recipe.name}-{f.type}.gguf` | {f.type} | {f.bits_per_weight:.2f} | {f.size / MEBIBYTE:,.0f} MiB |"
            for f in facts.ggufs.files
        ),
        "",
        *_running(recipe),
        *material.section(facts.proof),
        "## How it was made",
        "",
        *_origin(facts),
        *_training(facts),
        "- The whole lineage, with every hyperparameter, is in `manifest.json`; `report.html` shows what was",
        "  measured, and `metrics.json` has its figures.",
        "",
        *(model_index.table(facts.evaluation) if facts.evaluation else ()),
        "## Proof",
        "",
        f"{tally(facts.proof.checks)}.",
        "",
        *_not_proven(facts),
        "| | check | measured | limit | unit | |",
        "|---|---|---|---|---|---|",
        *(
            f"| {'✓' if c.passed else 'waived' if c.waived else '✗'} | {c.id} | {_cell(c.measured)}"
            f" | {_cell(c.threshold)} | {c.unit} | {_cell(f'{c.says} {c.waived}'.strip())} |"
            for c in facts.proof.checks
        ),
        *_recorded(facts),
        "",
        "## Answers it gave",
        "",
        *_answers(facts),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _running(recipe: Recipe) -> list[str]:
    """How to run it, and to check it first."""
    return [
        "Run it with Ollama: `ollama create "
        f"{recipe.name} -f Modelfile`, then `ollama run {recipe.name}` (Ollama {REQUIRES} or newer; 0.30 or "
        "newer where the weights are in parts, as on a stick).",
        "On the Hub, *Use this model* offers the same: `template`, `system` and `params` say there what the",
        "Modelfile says here.",
        *kv_note(recipe.serve.kv).replace("# ", "").splitlines(),
        "Check the files first, here or, in a clinic's folder, one folder up: `packager verify .`, or",
        "`sha256sum --strict -c SHA256SUMS`.",
        "",
    ]


def adapter_card(facts: CardFacts, repo: str, package: str) -> str:
    """The README.md of the adapter's own repo; `package` is the repo of the GGUF files made with it."""
    base = facts.base
    lines = [
        *_head(facts, "adapter", "peft", ["lora", "peft"]),
        *_opening(facts, f"The LoRA adapter of [{package}](https://huggingface.co/{package})."),
        "## Use",
        "",
        "```python",
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'base = AutoModelForCausalLM.from_pretrained("{_public_name(base)}")',
        f'model = PeftModel.from_pretrained(base, "{repo}")',
        f'tokenizer = AutoTokenizer.from_pretrained("{repo}")  # with the prompt that was trained',
        "```",
        "",
        *_lineage(facts, package),
    ]
    return "\n".join(lines).rstrip() + "\n"


def merged_card(facts: CardFacts, package: str) -> str:
    """The README.md of the merged model's own repo; `package` is the repo of the GGUF files made from it."""
    lines = [
        *_head(facts, "finetune", "transformers", ["safetensors"]),
        *_opening(facts, f"The FP16 weights behind [{package}](https://huggingface.co/{package})."),
        *_lineage(facts, package),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _head(facts: CardFacts, relation: str, library: str, tags: list[str]) -> list[str]:
    """The metadata that the Hub reads (huggingface.co/docs/hub/model-cards).

    `relation` is how the repo came from its base: quantized, adapter or finetune. A base that is not on
    the Hub is not named, because the Hub would look for it there.
    """
    recipe, base = facts.recipe, facts.base
    data: dict[str, Any] = {}
    if base.revision:
        data |= {"base_model": _public_name(base), "base_model_relation": relation}
    data |= {"library_name": library, "language": recipe.language.partition("-")[0]}
    if base.licence:
        terms = licence.known(base.licence)
        data["license"] = base.licence.lower()  # as the Hub spells them
        if terms and terms.listed:
            data["license_link"] = terms.url
        elif link := terms.url if terms else base.licence_link:
            data |= {"license": "other", "license_name": base.licence, "license_link": link}
    if recipe.data.source.startswith("hf:"):
        data["datasets"] = [recipe.data.source.removeprefix("hf:")]
    packaged = facts.ggufs.files if relation == "quantized" else ()
    data |= {"pipeline_tag": "text-generation", "tags": [*tags, "health", "offline"]}
    if results := model_index.results(recipe.data.source, facts.data, facts.adapter, packaged, facts.evaluation):
        data["model-index"] = [{"name": recipe.name, "results": results}]
    return ["---", yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120).rstrip(), "---", ""]


def _opening(facts: CardFacts, otherwise: str) -> list[str]:
    """Title, what it is, the medical notice, and what the base's licence must have shown."""
    recipe, base = facts.recipe, facts.base
    terms = licence.known(base.licence)
    shown = []
    if terms and terms.shows:
        shown = [f"**{terms.shows}.** {terms.attribution} [Licence]({terms.url}), [rules of use]({terms.policy}).", ""]
    title = licence.titled(base.licence, recipe.name)
    return [f"# {title}", "", recipe.description or otherwise, "", *shown, f"> {NOTICE}", ""]


def _lineage(facts: CardFacts, package: str) -> list[str]:
    return [
        "## How it was made",
        "",
        *_origin(facts),
        *_training(facts),
        f"- Proven in its packaged form, [{package}](https://huggingface.co/{package}):"
        f" {tally(facts.proof.checks)}. The whole lineage is in `manifest.json`.",
        "- Check the files: `packager verify .`, or `sha256sum --strict -c SHA256SUMS`.",
    ]


def _origin(facts: CardFacts) -> list[str]:
    base, data = facts.base, facts.data
    return [
        f"- Base: {_public_name(base)}{f' at {base.revision}' if base.revision else ''},"
        f" {base.parameters:,} parameters, licence {base.licence or 'unknown'}."
        f"{f' It reads text only: left out is {base.left_out}.' if base.left_out else ''}",
        f"- Data: {data.train_rows} questions and answers trained, {data.heldout_rows} held out"
        f" (sha256 of the rows {data.data_sha256[:16]}…).",
    ]


def _training(facts: CardFacts) -> list[str]:
    adapter, train = facts.adapter, facts.recipe.train
    if adapter is None:
        return ["- Not fine-tuned: the base as it is."]
    return [
        f"- Fine-tuning: {adapter.method}, rank {train.lora.rank}, alpha {train.lora.alpha:g},"
        f" {adapter.trainable_parameters:,} trained parameters"
        f" ({adapter.trainable_parameters / adapter.total_parameters:.2%}), {adapter.steps} steps,"
        f" learning rate {train.learning_rate:g}.",
        *_losses(adapter, facts.merged),
    ]


def _losses(adapter: Adapter, merged: Merged | None) -> list[str]:
    """What a user would otherwise run against what was merged; and what training saw, on its own base."""
    before, after = adapter.heldout_loss_before, adapter.heldout_loss_after
    on = "the base rounded to NF4" if adapter.method == "qlora" else "its base"
    trained = f"in training, on {on}: {before:.3f} before, {after:.3f} after"
    if merged is None or merged.heldout_loss_base is None or merged.heldout_loss is None:
        return [f"- Loss on held-out answers {trained} (nats per token)."]
    base, loss = merged.heldout_loss_base, merged.heldout_loss
    change = f"{abs(base - loss) / base:.0%} {'lower' if loss < base else 'higher'}; " if base and base != loss else ""
    return [
        f"- Loss on {merged.heldout_tokens} held-out answer tokens: {base:.3f} for the base (16 bits), {loss:.3f}"
        f" for this model ({change}nats per token).",
        f"  Over all held-out answers {trained}.",
    ]


def _not_proven(facts: CardFacts) -> list[str]:
    """What a reader must not take from so many passed checks."""
    failed = [f"- Failed: the probe “{ask}”" for ask in facts.probes_failed]
    unproven = [f"- {one}" for one in facts.unproven]
    return [*failed, *([""] if failed else []), *(["Not proven:", "", *unproven, ""] if unproven else [])]


def _recorded(facts: CardFacts) -> list[str]:
    """What is not judged, beside the checks."""
    if not facts.proof.figures:
        return []
    rows = [f"| {f.id} | {_cell(f.measured)} | {f.unit} | {_cell(f.says)} |" for f in facts.proof.figures]
    return [
        "",
        "Recorded beside the checks, and not judged:",
        "",
        "| figure | measured | unit | |",
        "|---|---|---|---|",
        *rows,
    ]


def _answers(facts: CardFacts) -> list[str]:
    return [
        line
        for answer in facts.proof.answers
        if answer.file == facts.ggufs.files[0].name
        for line in (f"**{_plain(answer.ask)}**", "", _plain(answer.answer), "")
    ]


def _plain(text: str) -> str:
    """One line of text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _cell(value: float | str) -> str:
    """Text for a cell of a Markdown table."""
    return value.replace("|", r"\|") if isinstance(value, str) else f"{value:.5g}"


def _public_name(base: Checkpoint) -> str:
    return base.source.removeprefix("hf:").removeprefix("pypi:")
