"""Texts reach past every boundary of a model that is served, and what cannot be served is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from packager.artifacts.kinds import Checkpoint, Dataset
from packager.errors import InputError
from packager.prompt.deriving import derive_roles
from packager.prompt.long_texts import boundaries, long_samples
from packager.prompt.servable import must_fit
from packager.prompt.template import load_template, load_tokenizer, special_tokens
from packager.recipe.sections import Serve


def config(folder: Path, **settings: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("settings", "context", "expected"),
    [
        ({"sliding_window": 2047, "original_max_position_embeddings": 4096}, 4096, [2047]),
        ({"sliding_window": 2047, "original_max_position_embeddings": 4096}, 8192, [2047, 4096]),
        ({"sliding_window": None}, 8192, []),
        ({"sliding_window": 512, "use_sliding_window": False}, 8192, []),
        ({"rope_scaling": {"original_max_position_embeddings": 1024}}, 2048, [1024]),
        ({"rope_parameters": {"full": {"original_max_position_embeddings": 1024}}}, 2048, [1024]),
        ({"text_config": {"sliding_window": 100}}, 2048, [100]),
        ({"max_position_embeddings": 512}, 2048, []),
        ({"sliding_window": 2047}, 2048, []),  # the last position predicts nothing within the context
        ({"sliding_window": 2047}, 2049, [2047]),
    ],
)
def test_boundaries(tmp_path: Path, settings: dict[str, Any], context: int, expected: list[int]) -> None:
    assert boundaries(config(tmp_path, **settings), context) == expected


def test_a_text_for_each_boundary(tiny_data: Dataset, tmp_path: Path) -> None:
    model = config(tmp_path, sliding_window=100, original_max_position_embeddings=900)
    (near, far), too_far = long_samples(model, tiny_data.folder, 1000, parameters=10**6)
    assert (len(near.ids), len(far.ids), too_far) == (164, 964, [])
    for sample, boundary in ((near, 100), (far, 900)):
        assert sum(i >= boundary for i in sample.at) >= 20
        assert sum(i < boundary for i in sample.at) >= 20
        assert max(sample.at) <= len(sample.ids) - 2
        assert list(sample.at) == sorted(set(sample.at))
    assert len(long_samples(model, tiny_data.folder, 920, parameters=10**6)[0][1].ids) == 920


def test_what_would_take_hours_is_named(tiny_data: Dataset, tmp_path: Path) -> None:
    model = config(tmp_path, sliding_window=100, original_max_position_embeddings=8192)
    found, too_far = long_samples(model, tiny_data.folder, 16384, parameters=8 * 10**9)
    assert (len(found), too_far) == (1, [8192])


def test_a_system_message_longer_than_the_context(tiny_data: Dataset, tiny_base: Checkpoint) -> None:
    folder = tiny_data.folder
    roles = derive_roles(load_template(folder), special_tokens(load_tokenizer(folder)))
    long = "Responda com cuidado e em português. " * 20
    must_fit(folder, roles, None, Serve(context=128))
    must_fit(folder, roles, "Seja claro.", Serve(context=256))
    must_fit(folder, roles, long, Serve(context=8192))
    with pytest.raises(InputError, match=r"The system message takes \d+ tokens .* has 128") as refused:
        must_fit(folder, roles, long, Serve(context=128, max_answer_tokens=64))
    assert "data.system" in refused.value.format_message()
