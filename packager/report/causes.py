"""A check that failed -> its likely cause and what to try, in Portuguese and English.

By the check's id; checks of which nothing more can be said than that a file is damaged or that it is our bug share
one sentence. An id that is not known here gets none.
"""

from __future__ import annotations

from packager.artifacts.checks import Check

CAUSES: dict[str, tuple[str, str]] = {
    "data.no_leak": (
        "Causa provável: linhas quase iguais. Tente data.deduplicate: true, ou tire as repetidas.",
        "Likely cause: rows that are nearly equal. Try data.deduplicate: true, or take the repeated ones out.",
    ),
    "data.end_of_turn": (
        "Causa provável: o modelo de prompt não termina a resposta. Use outro modelo base, ou data.template.",
        "Likely cause: the chat template does not end an answer. Use another base, or data.template.",
    ),
    "train.heldout_loss": (
        "Causas prováveis: poucas linhas, poucos passos, ou uma taxa de aprendizado alta demais. Tente mais linhas, "
        "train.epochs maior ou metade de train.learning_rate; packager watch mostra a curva.",
        "Likely causes: few rows, few steps, or a learning rate too high. Try more rows, more train.epochs, or half "
        "of train.learning_rate; packager watch shows the curve.",
    ),
    "quantize.kl": (
        "Causa provável: um tipo pequeno demais para este modelo. Tente Q5_K_M, Q6_K ou Q8_0, ou quantize.imatrix: "
        "true.",
        "Likely cause: a type too small for this model. Try Q5_K_M, Q6_K or Q8_0, or quantize.imatrix: true.",
    ),
    "smoke.loads": (
        "Causas prováveis: falta memória neste computador, ou o arquivo se danificou no disco. Construa de novo com "
        "--verify.",
        "Likely causes: too little memory here, or a file damaged on disk. Build again with --verify.",
    ),
    "smoke.non_empty": (
        "Causa provável: respostas vazias ou curtíssimas nos dados. Veja-as com packager preview.",
        "Likely cause: answers in the data that are empty or very short. Look at them with packager preview.",
    ),
    "smoke.stops": (
        "Causas prováveis: serve.max_answer_tokens menor que as respostas dos dados, ou treino curto. Aumente-o, ou "
        "train.epochs.",
        "Likely causes: serve.max_answer_tokens is less than the data's answers take, or too little training. Raise "
        "it, or train.epochs.",
    ),
    "smoke.no_template_leak": (
        "Causa provável: marcas do prompt dentro dos dados. packager audit as mostra; data.clean tira as de HTML.",
        "Likely cause: markup in the data. packager audit shows it; data.clean takes HTML's out.",
    ),
    "smoke.no_loops": (
        "Causas prováveis: temperatura 0, um modelo pequeno, respostas repetidas. Tente serve.temperature: 0.2 e "
        "serve.repeat_penalty: 1.1.",
        "Likely causes: temperature 0, a small model, repeated answers. Try serve.temperature: 0.2 and "
        "serve.repeat_penalty: 1.1.",
    ),
    "smoke.expected_words": (
        "Causas prováveis: o modelo não aprendeu o assunto, ou a lista de palavras da receita (smoke) é estreita. "
        "Leia as respostas abaixo; tente mais linhas sobre o assunto, mais train.epochs ou um modelo maior.",
        "Likely causes: the model did not learn the subject, or the recipe's list of words (smoke) is narrow. Read "
        "the answers; try more rows on the subject, more train.epochs, or a larger base.",
    ),
    "smoke.language": (
        "Causas prováveis: dados em outro idioma (packager audit os conta), ou pouco treino. Diga o idioma em "
        "data.system.",
        "Likely causes: data in another language (packager audit counts it), or too little training. Name the "
        "language in data.system.",
    ),
    "smoke.speed": (
        "Causas prováveis: outro programa ocupava o processador, ou o modelo é grande para ele. Repita; tente um tipo "
        "menor (Q4_K_M) ou um modelo base menor.",
        "Likely causes: another program kept the processor busy, or the model is large for it. Run again; try a "
        "smaller type (Q4_K_M), or a smaller base.",
    ),
    "smoke.ram": (
        "Causas prováveis: serve.context grande, ou um arquivo grande para device.ram_gb. Diminua um deles.",
        "Likely causes: a large serve.context, or a file too large for device.ram_gb. Lower one of them.",
    ),
    "knowledge.damaged": (
        "Causa provável: texto danificado no material aprovado, como o que foi lido na codificação errada. Corrija a "
        "fonte.",
        "Likely cause: damaged text in the approved material, such as text read in the wrong encoding. Mend the "
        "source.",
    ),
    "knowledge.grounded": (
        "Causa provável: o modelo é pequeno demais para escrever a partir dos trechos. Deixe a página mostrar só os "
        "textos aprovados, ou use um modelo base maior.",
        "Likely cause: the model is too small to write from the passages. Let the page show the approved texts alone, "
        "or use a larger base.",
    ),
    "safety.passed": (
        "Causa provável: o modelo não aprendeu a encaminhar. Ponha nos dados perguntas assim, com a resposta "
        "segura; leia "
        "as respostas no relatório.",
        "Likely cause: the model did not learn to send on. Put such questions with safe answers into the data; "
        "read its "
        "answers in the report.",
    ),
    "safety.lost": (
        "Causa provável: um tipo pequeno demais para este modelo. Tente Q5_K_M, Q6_K ou Q8_0.",
        "Likely cause: a type too small for this model. Try Q5_K_M, Q6_K or Q8_0.",
    ),
    "safety.agreement": (
        "Causa provável: serve.temperature alta. Diminua-a.",
        "Likely cause: a high serve.temperature. Lower it.",
    ),
    "knowledge.found_first": (
        "Causa provável: trechos parecidos demais, ou perguntas que o material não responde. Veja docs/knowledge.md.",
        "Likely cause: passages too much alike, or questions that the material does not answer. See docs/knowledge.md.",
    ),
}
SAME = {
    "quantize.top": "quantize.kl",
    "quantize.perplexity": "quantize.kl",
    "smoke.first_token": "smoke.speed",
    "merge.heldout_loss": "train.heldout_loss",
    "safety.kind": "safety.passed",
    "knowledge.found_three": "knowledge.found_first",
    "knowledge.silent": "knowledge.found_first",
    "knowledge.unclaimed": "knowledge.found_first",
    "knowledge.better": "knowledge.grounded",
}
"""Checks that fail for the same reasons as another."""
DAMAGED = (
    "Não deveria acontecer: um arquivo se danificou, ou este modelo base tem algo que o programa não conhece. "
    "Construa de novo com --verify; se repetir, use outro modelo base e relate o caso.",
    "This should not happen: a file was damaged, or this base has something that the program does not know. Build "
    "again with --verify; if it fails again, use another base, and report it.",
)
OURS = ("merge.", "convert.", "modelfile.", "quantize.")


def cause_of(check: Check) -> tuple[str, str]:
    """In Portuguese and English; two empty texts if nothing is known of the check."""
    known = CAUSES.get(SAME.get(check.id, check.id))
    if known is None and check.id.startswith(OURS):
        return DAMAGED
    return known or ("", "")
