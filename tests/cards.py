"""What a package's texts are written of, filled in by hand."""

from __future__ import annotations

from pathlib import Path

from packager.artifacts.checks import Check
from packager.artifacts.kinds import Adapter, Answer, Checkpoint, Dataset, GgufFile, Ggufs, Proof
from packager.package.card import CardFacts
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Base, Data

HERE = Path()
CHECK = Check(
    id="data.end_of_turn", stage="data", measured=0, threshold=0, unit="rows", passed=True, says="Ends in <|im_end|>."
)
ANSWER = Answer(
    file="m.gguf", ask="E?", answer="Sim.", tokens=2, stopped=True, seconds_to_first_token=0.1, tokens_per_second=9
)


def card_facts(source: str, revision: str = "", licence: str = "mit", recipe_name: str = "meu") -> CardFacts:
    file = GgufFile(
        name="m.gguf", type="Q4_K_M", size=5 << 20, sha256="0" * 64, bits_per_weight=4.9, tensor_types={"Q4_K": 1}
    )
    return CardFacts(
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
            as_trained=None,
        ),
        ggufs=Ggufs(folder=HERE, files=(file,)),
        proof=Proof(folder=HERE, passed=True, checks=(CHECK,), answers=(ANSWER,)),
    )
