"""What the program that ships serves is held against training: another prompt, other tokens, other words are named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from packager.artifacts.kinds import Dataset, Prompt
from packager.clinic.served import prove_prompts, prove_served
from packager.errors import ProofFailed
from packager.llamacpp.model import GgufModel
from packager.prompt.template import ChatTemplate

QUESTION = {"ask": "O que a equipe cuida?", "begins": "A equipe", "request": {"messages": []}}


class Serving:
    """What llama-server does, by llama.cpp's library; the rest is what is wrong with it."""

    def __init__(
        self, model: GgufModel, lose: str = "", add: Sequence[int] = (), says: str = "A equipe cuida."
    ) -> None:
        self.model, self.lose, self.add, self.says = model, lose, add, says

    def rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        template = ChatTemplate(self.model.chat_template, self.model.bos_token, self.model.eos_token)
        text = template.render(messages, add_generation_prompt=True)
        return text.replace(self.lose, "", 1) if self.lose else text

    def tokens(self, text: str) -> list[int]:
        return [*self.add, *self.model.tokenize(text)]

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return {"choices": [{"message": {"content": f" {self.says}"}}]}


@pytest.fixture
def model(spm_prompt: Prompt) -> Iterator[GgufModel]:
    with GgufModel.open(spm_prompt.folder / "vocabulary.gguf", vocab_only=True) as opened:
        yield opened


def test_what_serves_as_training_did(model: GgufModel, spm_data: Dataset) -> None:
    said = prove_served(Serving(model), spm_data, [QUESTION])
    assert said.startswith("the program for this machine serves training's prompt, token for token, in ")
    assert said.endswith("1 of 1 answers begin as in the proof")
    assert prove_prompts(Serving(model), spm_data) > 50
    assert "answers" not in prove_served(Serving(model), spm_data, [])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"lose": "\n"}, r"bundle\.prompts: .* in \d+ of \d+ conversations\. First: it renders"),
        ({"add": (1,)}, r"bundle\.prompts: .* First: it reads"),
        ({"says": "Outra coisa."}, r"bundle\.answers: 0 of 1 answers .* it says 'Outra coisa\.', the proof 'A equipe'"),
        ({"says": ""}, r"bundle\.answers: 0 of 1"),
    ],
)
def test_what_serves_otherwise_is_named(model: GgufModel, spm_data: Dataset, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ProofFailed, match=says) as refused:
        prove_served(Serving(model, **wrong), spm_data, [QUESTION])
    assert refused.value.exit_code == 3


def test_one_other_word_on_another_processor_is_no_fault(model: GgufModel, spm_data: Dataset) -> None:
    other = QUESTION | {"begins": "Outra"}
    assert "1 of 2 answers" in prove_served(Serving(model), spm_data, [QUESTION, other])
