"""Words of the trade that the dossier uses, in plain Portuguese, and the modes of the page in which they matter."""

from __future__ import annotations

EVERY, SEARCHING = ("free", "assisted", "approved"), ("assisted", "approved")
TERMS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "modelo (de linguagem)",
        "Programa que escreve texto, palavra após palavra, pelo que é mais provável. Não sabe se é verdade.",
        EVERY,
    ),
    ("modelo base", "O modelo como outros o publicaram, antes de qualquer treino feito aqui.", EVERY),
    ("treino", "Ajustar os números do modelo com perguntas e respostas. “Treinado”: depois disso.", EVERY),
    (
        "respostas reservadas",
        "Perguntas e respostas que ficaram fora do treino, para medir se o modelo aprendeu algo que vale para outras.",
        EVERY,
    ),
    ("perda", "Quanto o modelo se surpreende com a resposta certa. Menor é melhor.", EVERY),
    ("token", "Uma palavra ou um pedaço dela.", EVERY),
    (
        "compressão (quantização)",
        "Guardar os números do modelo com menos casas: o arquivo encolhe e o modelo muda um pouco. Q4_K_M e Q8_0 são "
        "graus disso (cerca de 4 e de 8 bits por número); F16 é o arquivo antes dela.",
        EVERY,
    ),
    (
        "passagem",
        "Um texto do material do pacote, com a pergunta a que responde e a fonte. A página a mostra palavra por "
        "palavra.",
        SEARCHING,
    ),
    (
        "em verde / como resposta",
        "A passagem se parece bastante com a pergunta: a página a dá como resposta.",
        SEARCHING,
    ),
    ("só como a mais próxima", "A passagem se parece pouco; a página avisa que pode não ser a resposta.", SEARCHING),
    (
        "receita",
        "O arquivo em que quem fez o pacote disse de que e como ele é feito. Não é prescrição. Palavras em inglês com "
        "ponto, como dossier.author, são nomes de campos dela.",
        EVERY,
    ),
    ("prova", "Os testes automáticos de cada construção. Mostram que o arquivo é o que foi treinado.", EVERY),
    ("avaliação", "Medidas que se fazem a pedido, depois da prova: perguntas de segurança e de conteúdo.", EVERY),
    ("SHA-256, soma", "Impressão digital de um arquivo: muda se um só byte muda.", EVERY),
    ("Ollama", "Programa de outros, que abre o arquivo do modelo sem a página. Ali o modelo fala sozinho.", EVERY),
    ("autoteste", "Na pasta para a clínica: confere os arquivos e repete a prova naquele computador.", EVERY),
)
