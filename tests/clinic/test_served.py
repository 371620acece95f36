"""What the program that ships serves is held against training: another prompt, other tokens, other predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from packager.artifacts.kinds import Dataset, Ggufs, Prompt
from packager.clinic.served import first_words, prove_predictions, prove_prompts
from packager.errors import ProofFailed
from packager.llamacpp.model import GgufModel
from packager.prompt.template import ChatTemplate


class Serving:
    """What llama-server does, by llama.cpp's library; the rest is what is wrong with it."""

    def __init__(self, model: GgufModel, lose: str = "", add: Sequence[int] = ()) -> None:
        self.model, self.lose, self.add = model, lose, add

    def rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        template = ChatTemplate(self.model.chat_template, self.model.bos_token, self.model.eos_token)
        text = template.render(messages, add_generation_prompt=True)
        return text.replace(self.lose, "", 1) if self.lose else text

    def tokens(self, text: str) -> list[int]:
        return [*self.add, *self.model.tokenize(text)]

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        raise AssertionError("prompts are rendered without generating")


class Predicting(Serving):
    """A server that holds these for likely, whatever it is asked."""

    def __init__(self, likely: Mapping[int, float]) -> None:
        self.likely = likely

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        assert path == "/completion"
        listed = [{"id": token, "logprob": value} for token, value in self.likely.items()]
        return {"completion_probabilities": [{"top_logprobs": listed}]}


@pytest.fixture
def model(spm_prompt: Prompt) -> Iterator[GgufModel]:
    with GgufModel.open(spm_prompt.folder / "vocabulary.gguf", vocab_only=True) as opened:
        yield opened


def test_what_serves_as_training_did(model: GgufModel, spm_data: Dataset) -> None:
    assert prove_prompts(Serving(model), spm_data) > 50


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"lose": "\n"}, r"bundle\.prompts: .* in \d+ of \d+ conversations\. First: it renders"),
        ({"add": (1,)}, r"bundle\.prompts: .* First: it reads"),
    ],
)
def test_another_prompt_is_named(model: GgufModel, spm_data: Dataset, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ProofFailed, match=says) as refused:
        prove_prompts(Serving(model, **wrong), spm_data)
    assert refused.value.exit_code == 3


def test_rounding_is_no_fault_and_a_wrong_computation_is() -> None:
    likely = {5: -0.5, 6: -1.5, 7: -2.5}
    rounded = {token: value + 0.1 for token, value in likely.items()}
    assert prove_predictions(Predicting(rounded), [[1, 2]], [likely]) == pytest.approx(0.1)
    for wrong in (
        {token: value - 2 for token, value in likely.items()},
        {5: -0.5},
        {5: float("nan"), 6: -1.5, 7: -2.5},
    ):
        with pytest.raises(ProofFailed, match=r"bundle\.predictions: the program that ships is .* nats"):
            prove_predictions(Predicting(wrong), [[1, 2]], [likely])


def test_the_library_s_own_predictions(spm_f16: Ggufs) -> None:
    path = spm_f16.folder / spm_f16.files[0].name
    (found,) = first_words(path, [[1, 5, 6]])
    assert len(found) == 5
    assert all(value <= 0 for value in found.values())
    assert prove_predictions(Predicting(found), [[1, 5, 6]], [found]) == 0
