"""The package's texts: Hub metadata that is true, tables that render, the notice in both languages."""

from __future__ import annotations

from dataclasses import replace

import yaml
from cards import HERE, card_facts

from packager.artifacts.checks import Figure, verdict
from packager.artifacts.kinds import Merged
from packager.package import card
from packager.package.leia_me import leia_me


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


def test_what_is_waived_and_what_is_recorded_is_said_in_words() -> None:
    facts = card_facts("x")
    late = verdict("smoke.ram", 3.0, 2.0, "GB", False, "Needs 3 GB.", subject="Q8_0")
    waived = late.model_copy(update={"waived": "Q8_0 is not for this device; the default, Q4_K_M, is."})
    bits = Figure(id="quantize.bits", subject="Q8_0", measured=8.5, unit="bits/weight", says="8.50 bits per weight.")
    proof = facts.proof.model_copy(update={"checks": (*facts.proof.checks, waived), "figures": (bits,)})
    text = card.model_card(replace(facts, proof=proof))
    assert "1 of 2 checks passed; 1 failed and is waived: smoke.ram of Q8_0." in text
    assert "| waived | smoke.ram | 3 | 2 | GB | Needs 3 GB. Q8_0 is not for this device; the default," in text
    assert "| quantize.bits | 8.5 | bits/weight | 8.50 bits per weight. |" in text


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
    text = leia_me(card_facts("x"))
    assert "não é um dispositivo médico" in text
    assert "sha256sum --strict -c SHA256SUMS" in text
    assert "meu-Q4_K_M.gguf" in text


def test_leia_me_calls_material_approved_only_where_somebody_is_named() -> None:
    facts = card_facts("x")
    facts = replace(facts, proof=facts.proof.model_copy(update={"mode": "approved"}))
    assert "não procura no material do pacote" in leia_me(facts)
    assert "aprovado" not in leia_me(facts)
    told = facts.recipe.dossier.model_copy(update={"approval": "Ana Lima, COREN 12"})
    named = replace(facts, recipe=facts.recipe.model_copy(update={"dossier": told}))
    assert "não procura no material aprovado" in leia_me(named)


def test_answers_are_text_and_nothing_else() -> None:
    facts = card_facts("x")
    said = "Veja ![x](https://x.example) e <img src=x>\n| tabela |"
    answers = (facts.proof.answers[0].model_copy(update={"ask": "O que\né?", "answer": said}),)
    text = card.model_card(replace(facts, proof=facts.proof.model_copy(update={"answers": answers})))
    assert r"Veja !\[x\](https://x.example) e \<img src=x\> \| tabela \|" in text
    assert "**O que é?**" in text


def test_the_technician_reads_numbers_as_they_are_written_in_portuguese() -> None:
    facts = card_facts("x")
    file = facts.ggufs.files[0].model_copy(update={"size": 4_693 << 20})
    device = facts.recipe.device.model_copy(update={"ram_gb": 7.5})
    recipe = facts.recipe.model_copy(update={"device": device})
    text = leia_me(replace(facts, recipe=recipe, ggufs=facts.ggufs.model_copy(update={"files": (file,)})))
    assert "(4.693 MiB)" in text
    assert "7,5 GB" in text


def test_a_loss_that_rose_is_not_called_lower() -> None:
    facts = card_facts("x")
    base = facts.base.model_dump(exclude={"folder", "content"})
    merged = Merged(folder=HERE, **base, pairs_used=2, pairs_total=2, delta_norm=1, delta_norm_expected=1,
                    largest_weight=3, moved=None, heldout_loss=4.2, heldout_loss_base=4.0)  # fmt: skip
    text = card.model_card(replace(facts, merged=merged))
    assert "4.200 for this model (5% higher; nats per token)" in text


def test_medgemma_s_licence_is_not_on_the_hub_s_list() -> None:
    metadata = yaml.safe_load(
        card.model_card(card_facts("x", licence="health-ai-developer-foundations")).split("---")[1]
    )
    assert (metadata["license"], metadata["license_name"]) == ("other", "health-ai-developer-foundations")
    assert metadata["license_link"].startswith("https://developers.google.com/")
