"""The package's texts: Hub metadata that is true, tables that render, the notice in both languages."""

from __future__ import annotations

from pathlib import Path

import yaml

from packager import card
from packager.artifacts import Adapter, Answer, Check, Checkpoint, Dataset, GgufFile, Ggufs, Proof
from packager.recipe import Base, Data, Recipe

HERE = Path()
CHECK = Check(
    id="data.end_of_turn", stage="data", measured=0, threshold=0, unit="rows", passed=True, says="Ends in <|im_end|>."
)
ANSWER = Answer(
    file="m.gguf", ask="E?", answer="Sim.", tokens=2, stopped=True, seconds_to_first_token=0.1, tokens_per_second=9
)


def facts(source: str, revision: str = "", licence: str = "mit", recipe_name: str = "meu") -> card.Facts:
    file = GgufFile(
        name="m.gguf", type="Q4_K_M", size=5 << 20, sha256="0" * 64, bits_per_weight=4.9, tensor_types={"Q4_K": 1}
    )
    return card.Facts(
        recipe=Recipe(name=recipe_name, description="Um modelo.", base=Base(model="x"), data=Data(source="y")),
        base=Checkpoint(
            folder=HERE,
            source=source,
            revision=revision,
            architecture="LlamaForCausalLM",
            parameters=1_000_000,
            licence=licence,
        ),
        data=Dataset(
            folder=HERE,
            train_rows=90,
            heldout_rows=10,
            train_tokens=1,
            heldout_tokens=1,
            topics=0,
            too_long=0,
            system=None,
            source_sha256="a" * 64,
            data_sha256="b" * 64,
            end_of_turn="<|im_end|>",
            leaked=0,
            unterminated=0,
        ),
        adapter=Adapter(
            folder=HERE,
            method="qlora",
            trainable_parameters=1000,
            total_parameters=1_000_000,
            steps=3,
            tokens_per_second=1,
            heldout_loss_before=4.0,
            heldout_loss_after=3.0,
            final_train_loss=3.1,
        ),
        ggufs=Ggufs(folder=HERE, files=(file,)),
        proof=Proof(folder=HERE, passed=True, checks=(CHECK,), answers=(ANSWER,)),
    )


def test_metadata_is_yaml_and_names_a_base_of_the_hub_only() -> None:
    _, front, body = card.model_card(facts("microsoft/Phi-3-mini-4k-instruct", "abc")).split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["base_model"] == "microsoft/Phi-3-mini-4k-instruct"
    assert metadata["base_model_relation"] == "quantized"
    assert (metadata["library_name"], metadata["license"], metadata["language"]) == ("gguf", "mit", "pt")
    assert "**not a medical device**" in body
    local = yaml.safe_load(card.model_card(facts("pypi:a==1/b.gguf")).split("---\n")[1])
    assert "base_model" not in local


def test_tables_keep_their_columns() -> None:
    rows = [line for line in card.model_card(facts("x")).splitlines() if line.startswith("| ✓")]
    assert rows == ["| ✓ | data.end_of_turn | 0 | 0 | rows | Ends in <\\|im_end\\|>. |"]


def test_the_losses_and_the_answer_are_told() -> None:
    text = card.model_card(facts("x"))
    assert "4.000 before, 3.000 after (25% lower" in text
    assert "**E?**\n\nSim." in text


def test_leia_me_is_in_portuguese_with_the_notice() -> None:
    text = card.leia_me(facts("x"))
    assert "não é um dispositivo médico" in text
    assert "sha256sum --strict -c SHA256SUMS" in text
    assert "meu-Q4_K_M.gguf" in text
