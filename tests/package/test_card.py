"""The package's texts: Hub metadata that is true, tables that render, the notice in both languages."""

from __future__ import annotations

from dataclasses import replace

import yaml
from cards import card_facts

from packager.artifacts.kinds import Merged
from packager.package import card


def test_metadata_is_yaml_and_names_a_base_of_the_hub_only() -> None:
    _, front, body = card.model_card(card_facts("microsoft/Phi-3-mini-4k-instruct", "abc")).split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["base_model"] == "microsoft/Phi-3-mini-4k-instruct"
    assert metadata["base_model_relation"] == "quantized"
    assert (metadata["library_name"], metadata["license"], metadata["language"]) == ("gguf", "mit", "pt")
    assert "**not a medical device**" in body
    local = yaml.safe_load(card.model_card(card_facts("pypi:a==1/b.gguf")).split("---\n")[1])
    assert "base_model" not in local


def test_tables_keep_their_columns() -> None:
    rows = [line for line in card.model_card(card_facts("x")).splitlines() if line.startswith("| ✓")]
    assert rows == ["| ✓ | data.end_of_turn | 0 | 0 | rows | Ends in <\\|im_end\\|>. |"]


def test_the_losses_and_the_answer_are_told() -> None:
    text = card.model_card(card_facts("x"))
    assert "in training, on the base rounded to NF4: 4.000 before, 3.000 after" in text
    assert "**E?**\n\nSim." in text


def test_before_and_after_are_of_what_a_user_would_run() -> None:
    facts = card_facts("x")
    figures = {"heldout_tokens": 512, "heldout_loss_base": 3.6, "heldout_loss": 2.7}
    text = card.model_card(replace(facts, merged=Merged.model_construct(**figures)))
    assert "512 held-out answer tokens: 3.600 for the base (16 bits), 2.700 for this model (25% lower" in text
    assert "in training, on the base rounded to NF4: 4.000 before, 3.000 after" in text


def test_leia_me_is_in_portuguese_with_the_notice() -> None:
    text = card.leia_me(card_facts("x"))
    assert "não é um dispositivo médico" in text
    assert "sha256sum --strict -c SHA256SUMS" in text
    assert "meu-Q4_K_M.gguf" in text
