"""The facts of a package -> LEIA-ME.txt, what the clinic's technician reads first, in pt-BR."""

from __future__ import annotations

from packager.package import material
from packager.package.card import MEBIBYTE, CardFacts
from packager.prompt.ollama.modelfile import REQUIRES

AVISO = (
    "Este modelo informa; ele não faz diagnóstico, não substitui um profissional de saúde\n"
    "e não é um dispositivo médico. Ele pode errar. Confira a resposta antes de usá-la."
)


def leia_me(facts: CardFacts) -> str:
    """The text of the file."""
    recipe = facts.recipe
    default = facts.ggufs.files[0]
    size, ram = _portuguese(f"{default.size / MEBIBYTE:,.0f}"), _portuguese(f"{recipe.device.ram_gb:g}")
    return f"""{recipe.name}: assistente de perguntas e respostas, para uso sem internet
{"=" * 72}

{AVISO}

1. Confira se os arquivos chegaram inteiros. Nesta pasta, num terminal:

       sha256sum --strict -c SHA256SUMS

   Todas as linhas devem terminar em "OK" (ou "SUCESSO"). Se alguma falhar, copie a pasta de novo.

2. Com o Ollama instalado (versão {REQUIRES} ou mais nova), registre o modelo uma única vez:

       ollama create {recipe.name} -f Modelfile

3. Faça perguntas:

       ollama run {recipe.name}

   Para sair, digite /bye.

O arquivo recomendado é {recipe.name}-{default.type}.gguf ({size} MiB). O computador precisa de
cerca de {ram} GB de memória livre. Nada do que se escreve sai do computador.

Não digite dados que identifiquem pacientes (nome, CPF, cartão SUS, telefone, endereço).
{material.alone(facts.proof, recipe.dossier.approval)}"""


def _portuguese(number: str) -> str:
    return number.translate(str.maketrans(",.", ".,"))
