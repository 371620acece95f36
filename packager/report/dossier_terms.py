"""Words of the trade that the dossier uses, in plain Portuguese; the glossary has those that its text has."""

from __future__ import annotations

import re

TERMS: tuple[tuple[str, str, str], ...] = (
    (
        "adaptador",
        "Os números que o treino acrescenta ao modelo base, num arquivo à parte.",
        "adaptador|lora",
    ),
    (
        "ATESTADO (do pacote)",
        "Pasta com que outros refazem o pacote e o comparam byte por byte. Não é atestado médico.",
        r"packager attest",
    ),
    ("autoteste", "Na pasta para a clínica: confere os arquivos e repete a prova naquele computador.", "autoteste"),
    ("avaliação", "Medidas feitas a pedido, depois da prova: perguntas de segurança e de conteúdo.", "avaliação"),
    ("como a mais próxima", "A passagem se parece pouco; a página avisa que pode não ser a resposta.", "mais próxima"),
    (
        "como resposta (em verde)",
        "A passagem se parece bastante com a pergunta: a página a dá como resposta, em moldura verde.",
        "como resposta",
    ),
    (
        "compressão (quantização)",
        "Guardar os números do modelo com menos casas: o arquivo encolhe e o modelo muda um pouco. Q4_K_M e Q8_0 são "
        "graus disso (cerca de 4 e de 8 bits por número); F16 é o arquivo antes dela. Números cujas colunas não se "
        "dividem em blocos de 256 ficam num tipo maior: num modelo pequeno são muitos, e o Q4_K_M tem então mais bits "
        "por número do que o nome diz (anexo B).",
        "compressão|quantização",
    ),
    ("contexto", "Quanto texto o modelo tem à vista de uma vez, contado em tokens.", "contexto"),
    ("CycloneDX", "Forma comum para a lista das partes de um programa, com versões e licenças.", "cyclonedx"),
    ("e5", "O modelo que compara o sentido da pergunta com o das passagens. Não escreve nada.", "e5"),
    ("GGUF", "A forma do arquivo do modelo que o llama.cpp e o Ollama leem.", "gguf"),
    ("llama.cpp", "Programa livre que faz as contas do modelo num computador comum.", r"llama\.cpp"),
    ("mesclar (juntar)", "Somar o adaptador aos números do modelo base: fica um modelo só.", "mescla|junção|juntar"),
    (
        "modelo (de linguagem)",
        "Programa que escreve texto, palavra após palavra, pelo que é mais provável. Não sabe se é verdade.",
        "modelo",
    ),
    ("modelo base", "O modelo como outros o publicaram, antes de qualquer treino feito aqui.", "modelo base"),
    ("Modelfile", "Arquivo de texto que diz ao Ollama como usar o modelo.", "modelfile"),
    ("Ollama", "Programa de outros, que abre o arquivo do modelo sem a página. Ali o modelo fala sozinho.", "ollama"),
    ("packager", "O programa que fez este pacote e este dossiê.", "packager"),
    (
        "passagem",
        "Um texto do material do pacote, com a pergunta a que responde e a fonte. A página a mostra palavra por "
        "palavra.",
        "passage[mn]",
    ),
    ("perda", "Quanto o modelo se surpreende com a resposta certa. Menor é melhor.", "perda"),
    (
        "perplexidade",
        "A perda dita de outro modo: entre quantas palavras o modelo hesita, em média. Menor é melhor.",
        "perplexidade",
    ),
    ("prova", "Os testes automáticos de cada construção. Mostram que o arquivo é o que foi treinado.", "prova"),
    (
        "receita",
        "O arquivo em que quem fez o pacote disse de que e como ele é feito. Não é prescrição. Palavras em inglês com "
        "ponto, como evaluate.safety, são nomes de campos dela.",
        "receita",
    ),
    (
        "respostas reservadas",
        "Perguntas e respostas que ficaram fora do treino, para medir se o modelo aprendeu algo que vale para outras.",
        "reservad",
    ),
    ("semente", "Número que fixa os sorteios: com a mesma semente saem os mesmos.", "semente"),
    ("SHA-256, soma", "Impressão digital de um arquivo: muda se um só byte muda.", "sha-?256"),
    ("temperatura", "Quanto o acaso entra na escolha da palavra seguinte; 0 é nada.", "temperatura"),
    ("tensor", "Uma tabela de números do modelo.", "tensor"),
    ("token", "Uma palavra ou um pedaço dela.", "token"),
    ("tokenizador", "A parte do modelo que corta o texto em tokens.", "tokenizador"),
    ("treino", "Ajustar os números do modelo com perguntas e respostas. “Treinado”: depois disso.", "trein"),
)
"""Word, what it means here, and the expression (from the beginning of a word, in small letters) that looks for it."""


def of_text(text: str) -> tuple[tuple[str, str], ...]:
    """The terms that occur in `text`, each with what it means."""
    small = text.lower()
    return tuple((word, means) for word, means, looked_for in TERMS if re.search(rf"\b(?:{looked_for})", small))
