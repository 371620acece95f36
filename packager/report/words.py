"""The report's two languages: how numbers are written, and what checks, units and measures are called.

A check or measure without words here keeps the English ones that it was recorded with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from packager.artifacts.evaluation import BASE, HELDOUT, TUNED
from packager.report.dossier_words import CHECKED, STAGES
from packager.report.knowledge_words import KNOWLEDGE
from packager.report.rounding import half_up, per_cent
from packager.report.units import UNITS

Code = Literal["pt-BR", "en"]


@dataclass(frozen=True)
class Tongue:
    """One of the two languages; called with a text in Portuguese and in English, it returns its own."""

    code: Code

    def __call__(self, portuguese: str, english: str) -> str:
        return portuguese if self.code == "pt-BR" else english

    @property
    def name(self) -> str:
        return self("Português", "English")

    def number(self, value: float | None, digits: int = 3) -> str:
        """With a fixed number of decimals."""
        if value is None or not math.isfinite(value):
            return "–"
        return self._written(f"{half_up(value, digits):,.{digits}f}")

    def short(self, value: float) -> str:
        """With as few digits as it takes, and no exponent."""
        if not math.isfinite(value):
            return "–"
        digits = f"{value:,.4g}" if abs(value) < 1000 else f"{half_up(value):,f}"
        if "e" in digits:
            digits = f"{Decimal(digits):f}"
        return self._written(digits)

    def share(self, value: float | None, digits: int = 0) -> str:
        return "–" if value is None or not math.isfinite(value) else self._written(f"{per_cent(value, digits):f}%")

    def megabytes(self, size: int) -> str:
        return f"{self.number(size / 1e6, 0)} MB"

    def counted(self, number: int, portuguese: tuple[str, str], english: tuple[str, str]) -> str:
        """`1 passo`, `2 passos`."""
        one, many = portuguese if self.code == "pt-BR" else english
        return f"{self.number(number, 0)} {one if number == 1 else many}"

    def unit(self, name: str, value: float | str = 2) -> str:
        """The unit of a measured `value`, one or many; a value in words needs none."""
        if isinstance(value, str):
            return ""
        (one_pt, many_pt), (one_en, many_en) = UNITS.get(name, ((name, name), (name, name)))
        return self(one_pt, one_en) if value == 1 else self(many_pt, many_en)

    def measured(self, value: float | str) -> str:
        """What a check measured, or its limit."""
        return self.short(value) if isinstance(value, int | float) else self(LIMITS.get(value, value), value)

    def check(self, name: str, says: str) -> str:
        """What a check proves."""
        return self(*CHECKS.get(name, (CHECKED.get(name, says), says)))

    def stage(self, name: str) -> str:
        """A stage of the build, over its checks."""
        return self(STAGES.get(name, name), name)

    def fault(self, name: str) -> str:
        """What is wrong with one answer of the smoke test."""
        return self(*FAULTS.get(name, (name, name)))

    def measure(self, name: str) -> str:
        head, _, part = name.partition(".")
        title = self(*MEASURES.get(head, (head, head)))
        return f"{title}, {self(*PARTS.get(part, (part, part)))}" if part else title

    def model(self, name: str) -> str:
        """A model or a validation set of the evaluation; files and the recipe's own sets keep their names."""
        return self(*NAMES.get(name, (name, name)))

    def ran(self, name: str) -> str:
        """What a model of the evaluation is and how it was run."""
        return self(*RAN.get(name, RAN[""]))

    def _written(self, text: str) -> str:
        return text.translate(str.maketrans(",.", ".,")) if self.code == "pt-BR" else text


PORTUGUESE, ENGLISH = Tongue("pt-BR"), Tongue("en")

NAMES = {BASE: ("base", "base"), TUNED: ("treinado", "tuned"), HELDOUT: ("reservadas", "held out")}
RAN = {
    BASE: ("O modelo base em FP16, no llama.cpp.", "The base model in FP16, run by llama.cpp."),
    TUNED: (
        "O modelo treinado em FP16, antes da quantização, no llama.cpp.",
        "The tuned model in FP16, before quantization, run by llama.cpp.",
    ),
    "": (
        "O arquivo do pacote, no llama.cpp, nesta CPU, como na clínica.",
        "The packaged file, run by llama.cpp on this CPU as in the clinic.",
    ),
}
LIMITS = {
    "none": "nenhum",
    "does not run": "não roda",
    "approved": "aprovado",
    "assisted": "assistido",
    "the same prompt": "o mesmo prompt",
}
PARTS = {"f1": ("F1", "F1"), "precision": ("precisão", "precision"), "recall": ("cobertura", "recall")}
MEASURES = {
    "loss": ("Perda", "Loss"),
    "perplexity": ("Perplexidade", "Perplexity"),
    "token_accuracy": ("Tokens acertados", "Token accuracy"),
    "entropy": ("Entropia", "Entropy"),
    "bits_per_token": ("Bits por token", "Bits per token"),
    "bits_per_character": ("Bits por caractere", "Bits per character"),
    "bits_per_byte": ("Bits por byte", "Bits per byte"),
    "rouge1": ("ROUGE-1", "ROUGE-1"),
    "rouge2": ("ROUGE-2", "ROUGE-2"),
    "rougeL": ("ROUGE-L", "ROUGE-L"),
    "bertscore": ("BERTScore", "BERTScore"),
    "exact": ("Respostas idênticas", "Exact answers"),
    "token_f1": ("Palavras em comum", "Words in common"),
}
FAULTS = {
    "non_empty": ("vazia", "empty"),
    "stops": ("não terminou sozinha", "did not end by itself"),
    "no_template_leak": ("mostra marcas do prompt", "shows prompt markup"),
    "no_loops": ("repete-se sem fim", "repeats itself"),
    "expected_words": ("sem as palavras esperadas, ou com uma proibida", "lacks the expected words, or has a rejected"),
    "language": ("em outro idioma", "in another language"),
}
CHECKS = KNOWLEDGE | {
    "data.no_leak": (
        "Nenhuma pergunta ou resposta reservada foi usada no treino.",
        "No held-out question or answer was trained on.",
    ),
    "data.end_of_turn": (
        "Toda resposta treinada termina com o token de fim, para o modelo aprender a parar.",
        "Every trained answer ends in the end token, so that the model learns to stop.",
    ),
    "data.left_out": ("Linhas deixadas de fora por serem longas.", "Rows left out for their length."),
    "data.identifiers": ("Identificadores de pacientes nos dados.", "Patient identifiers in the data."),
    "train.final_loss": ("Perda do último passo do treino.", "Loss of the last step of training."),
    "train.heldout_loss": (
        "A perda nas respostas reservadas caiu abaixo da do modelo base.",
        "Loss on held-out answers fell below the base's.",
    ),
    "merge.largest_weight": ("O maior peso mesclado.", "The largest merged weight."),
    "merge.logits": (
        "O modelo mesclado prevê o mesmo que base + adaptador.",
        "The merged model predicts as base + adapter do.",
    ),
    "merge.pairs": ("Todos os pares do adaptador foram mesclados.", "Every adapter pair is in the merged weights."),
    "merge.delta": (
        "Os pesos mudaram exatamente como o adaptador manda, salvo o arredondamento.",
        "The weights moved by the adapter's update, rounding apart.",
    ),
    "merge.base_loss": (
        "A conferência vê a mesma perda que o treino viu no modelo base.",
        "The check sees the loss that training saw for the base.",
    ),
    "merge.tuned_loss": (
        "A conferência vê a mesma perda que o treino viu com o adaptador.",
        "The check sees the loss that training saw with the adapter.",
    ),
    "merge.tied_head": (
        "A saída do modelo base é mesmo a sua tabela de entrada.",
        "The base's head is the embedding that it is said to be.",
    ),
    "merge.heldout_loss": (
        "O que foi aprendido continua nos pesos mesclados.",
        "What was learned is still in the merged weights.",
    ),
    "convert.parameters": ("O arquivo F16 tem todos os pesos.", "The F16 file has the checkpoint's weights."),
    "convert.vocabulary": ("O vocabulário é o mesmo.", "The vocabulary is the same."),
    "convert.tokenizer": (
        "O tokenizador e o modelo de prompt são os que foram provados antes do treino.",
        "Tokenizer and chat template are those that were proven before the training.",
    ),
    "convert.types": ("Os tensores são F16 ou F32.", "All tensors are F16 or F32."),
    "convert.special_tokens": ("Início e fim são os do treino.", "BOS and EOS are those of training."),
    "convert.end_of_turn": (
        "O token de fim encerra a resposta com este arquivo.",
        "The end token ends a generation with this file.",
    ),
    "convert.tokens": (
        "Os textos são divididos nos mesmos tokens do treino.",
        "Texts are split into training's tokens.",
    ),
    "convert.logits": (
        "No llama.cpp o arquivo F16 prevê o mesmo que o modelo mesclado.",
        "In llama.cpp the F16 file predicts as the merged model does.",
    ),
    "quantize.type": ("O tipo, relido do arquivo, é o pedido.", "The type, read back from the file, is the right one."),
    "quantize.bits": ("Bits por peso, medidos.", "Bits per weight, as measured."),
    "smoke.prompt_speed": ("Com que velocidade lê a pergunta.", "How fast it reads a question."),
    "quantize.kl": ("Quanto as previsões se afastam das de F16.", "How far predictions are from those of F16."),
    "quantize.kv": (
        "O que custa guardar chaves e valores do contexto em outro tipo.",
        "What keeping the context's keys and values in another type costs.",
    ),
    "quantize.top": (
        "Com que frequência o token mais provável é o de F16.",
        "How often the likeliest token is that of F16.",
    ),
    "quantize.perplexity": (
        "Perplexidade nas respostas reservadas, em relação a F16.",
        "Perplexity on held-out answers, against F16.",
    ),
    "modelfile.parses": ("O Ollama lê o Modelfile como foi escrito.", "Ollama reads the Modelfile as it was meant."),
    "modelfile.stops": (
        "As paradas encerram a resposta e não ocorrem em nenhuma.",
        "The stops end an answer and occur in none.",
    ),
    "modelfile.prompt_parity": (
        "O prompt do Ollama é o do treino, token por token.",
        "Ollama's prompt is training's, token for token.",
    ),
    "modelfile.one_bos": ("O prompt tem no máximo um token de início.", "Prompts begin with at most one BOS."),
    "modelfile.generations": (
        "Versões antigas e novas do Ollama montam o mesmo prompt.",
        "Old and new versions of Ollama build the same prompt.",
    ),
    "smoke.loads": ("Carrega e roda nesta CPU.", "Loads and runs on this CPU."),
    "smoke.non_empty": ("Respostas vazias.", "Empty answers."),
    "smoke.stops": ("Respostas que não terminaram sozinhas.", "Answers that did not end by themselves."),
    "smoke.no_template_leak": ("Respostas que mostram marcas do prompt.", "Answers that show prompt markup."),
    "smoke.no_loops": ("Respostas que se repetem sem fim.", "Answers that repeat themselves without end."),
    "smoke.expected_words": (
        "Respostas sem as palavras esperadas, ou com alguma proibida.",
        "Answers that lack every expected word, or hold a rejected one.",
    ),
    "smoke.language": ("Respostas no idioma certo.", "Answers in the right language."),
    "smoke.speed": ("Velocidade nesta CPU.", "Speed on this CPU."),
    "smoke.first_token": ("Espera até a primeira palavra.", "Wait for the first word."),
    "smoke.ram": ("Memória necessária.", "Memory needed."),
}
