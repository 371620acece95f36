"""The two texts of a package: the model card (README.md) and the clinic's LEIA-ME.txt.

Facts of the build -> Markdown for builders and the Hub, plain pt-BR text for the technician.
"""

from __future__ import annotations

from dataclasses import dataclass

from packager.artifacts import Adapter, Checkpoint, Dataset, Ggufs, Proof
from packager.recipe import Recipe

MEBIBYTE = 1 << 20

NOTICE = (
    "This model informs; it does not diagnose and it is **not a medical device**. It can be wrong. "
    "Decisions about a person's health belong to a health professional."
)
AVISO = (
    "Este modelo informa; ele não faz diagnóstico, não substitui um profissional de saúde\n"
    "e não é um dispositivo médico. Ele pode errar. Confira a resposta antes de usá-la."
)


@dataclass(frozen=True)
class Facts:
    """What the texts are written from."""

    recipe: Recipe
    base: Checkpoint
    data: Dataset
    adapter: Adapter | None
    ggufs: Ggufs
    proof: Proof


def model_card(facts: Facts) -> str:
    """The package's README.md, with the metadata block that the Hub reads."""
    recipe, base, data = facts.recipe, facts.base, facts.data
    lines = [
        "---",
        *([f"base_model: {base.source}", "base_model_relation: quantized"] if base.revision else []),
        "library_name: gguf",
        f"language: {recipe.language.partition('-')[0]}",
        *([f"license: {base.licence}"] if base.licence else []),
        "pipeline_tag: text-generation",
        "tags: [gguf, llama.cpp, ollama, health, offline]",
        "---",
        "",
        f"# {recipe.name}",
        "",
        recipe.description or f"{_public_name(base)}, packaged for offline use.",
        "",
        f"> {NOTICE}",
        "",
        "## Files",
        "",
        "| file | type | bits per weight | size |",
        "|---|---|---|---|",
        *(
            f"| `{recipe.name}-{f.type}.gguf` | {f.type} | {f.bits_per_weight:.2f} | {f.size / MEBIBYTE:,.0f} MiB |"
            for f in facts.ggufs.files
        ),
        "",
        "Run it with Ollama: `ollama create "
        f"{recipe.name} -f Modelfile`, then `ollama run {recipe.name}` (Ollama 0.17.1 or newer).",
        "Check the files first: `sha256sum --strict -c SHA256SUMS`.",
        "",
        "## How it was made",
        "",
        f"- Base: {_public_name(base)}{f' at {base.revision}' if base.revision else ''},"
        f" {base.parameters:,} parameters, licence {base.licence or 'unknown'}.",
        f"- Data: {data.train_rows} questions and answers trained, {data.heldout_rows} held out"
        f" (sha256 of the rows {data.data_sha256[:16]}…).",
        *_training(facts),
        "- The whole lineage, with every hyperparameter, is in `manifest.json`.",
        "",
        "## Proof",
        "",
        "| | check | measured | limit | unit | |",
        "|---|---|---|---|---|---|",
        *(
            f"| {'✓' if c.passed else '✗'} | {c.id} | {_cell(c.measured)} | {_cell(c.threshold)} | {c.unit}"
            f" | {_cell(c.says)} |"
            for c in facts.proof.checks
        ),
        "",
        "## Answers it gave",
        "",
        *_answers(facts),
    ]
    return "\n".join(lines).rstrip() + "\n"


def leia_me(facts: Facts) -> str:
    """What the clinic's technician reads first, in pt-BR."""
    recipe = facts.recipe
    default = facts.ggufs.files[0]
    return f"""{recipe.name}: assistente de perguntas e respostas, para uso sem internet
{"=" * 72}

{AVISO}

1. Confira se os arquivos chegaram inteiros. Nesta pasta, num terminal:

       sha256sum --strict -c SHA256SUMS

   Todas as linhas devem terminar em "OK" (ou "SUCESSO"). Se alguma falhar, copie a pasta de novo.

2. Com o Ollama instalado (versão 0.17.1 ou mais nova), registre o modelo uma única vez:

       ollama create {recipe.name} -f Modelfile

3. Faça perguntas:

       ollama run {recipe.name}

   Para sair, digite /bye.

O arquivo recomendado é {recipe.name}-{default.type}.gguf ({default.size / MEBIBYTE:,.0f} MiB). O computador precisa de
cerca de {recipe.device.ram_gb:g} GB de memória livre. Nada do que se escreve sai do computador.

Não digite dados que identifiquem pacientes (nome, CPF, cartão SUS, telefone, endereço).
"""


def _training(facts: Facts) -> list[str]:
    adapter, train = facts.adapter, facts.recipe.train
    if adapter is None:
        return ["- Not fine-tuned: the base as it is."]
    drop = (adapter.heldout_loss_before - adapter.heldout_loss_after) / adapter.heldout_loss_before
    return [
        f"- Fine-tuning: {adapter.method}, rank {train.lora.rank}, alpha {train.lora.alpha:g},"
        f" {adapter.trainable_parameters:,} trained parameters"
        f" ({adapter.trainable_parameters / adapter.total_parameters:.2%}), {adapter.steps} steps,"
        f" learning rate {train.learning_rate:g}.",
        f"- Loss on held-out answers: {adapter.heldout_loss_before:.3f} before,"
        f" {adapter.heldout_loss_after:.3f} after ({drop:.0%} lower; nats per token).",
    ]


def _answers(facts: Facts) -> list[str]:
    return [
        line
        for answer in facts.proof.answers
        if answer.file == facts.ggufs.files[0].name
        for line in (f"**{answer.ask}**", "", answer.answer.replace("\n", " "), "")
    ]


def _cell(value: float | str) -> str:
    """Text for a cell of a Markdown table."""
    return value.replace("|", r"\|") if isinstance(value, str) else f"{value:.5g}"


def _public_name(base: Checkpoint) -> str:
    return base.source.removeprefix("hf:").removeprefix("pypi:")
