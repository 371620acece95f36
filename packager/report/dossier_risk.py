"""The dossier's chapter on the risk class: which facts of the package lead to it, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator

from packager.artifacts.knowledge import Knowledge
from packager.report.delivery import Delivery
from packager.report.document import Blanks, Block, Heading, Listing, Paragraph, Table
from packager.report.dossier_alone import alone, two_uses
from packager.report.dossier_chapters import CHECKS, DATA, NORMS, PAGE, RISK, SAFETY, WEAKNESSES, see
from packager.report.dossier_safety import ends_in_words, page_of
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY


def risk(facts: ReportFacts, knowledge: Knowledge | None, delivery: Delivery | None = None) -> Iterator[Block]:
    """The proposal, its facts, what would raise or lower it, and lines for the institution."""
    yield Heading(RISK)
    yield Paragraph(
        "A Resolução CFM nº 2.454/2026, segundo resumos públicos, distingue risco baixo (uso administrativo), médio "
        "(apoio com supervisão humana constante), alto (decisões críticas ou ações automáticas) e inaceitável, e pede "
        f"à instituição uma avaliação antes do uso. Um advogado deve ler o original ({see(NORMS)})."
    )
    if facts.recipe.clinic.demonstration:
        yield Paragraph(
            "Proposta: nenhuma classe, porque a receita diz que é demonstração e não se usa em atendimento. Se a "
            "instituição quiser usá-lo assim mesmo, valem os fatos abaixo, que levam a pelo menos risco MÉDIO.",
            "notice",
        )
    else:
        yield Paragraph("Proposta: risco MÉDIO, a ser confirmado ou mudado pela instituição.", "notice")
    if delivery is None:
        yield two_uses(facts)
    yield Heading("Os fatos que levam à proposta", 2)
    rows = [*_use(facts), *_answers(facts, knowledge), *_around(facts)]
    yield Table(tuple(rows), ("pergunta", "o que vale neste pacote", "o que isso faz com o risco"), (0.18, 0.44, 0.38))
    yield from _changes(facts)
    yield from _outside(facts)
    yield Paragraph(
        "Quem classifica é a instituição. Um programa não sabe como o pacote será usado: esta proposta só ordena os "
        "fatos."
    )
    yield Heading("Classe confirmada, a preencher", 2)
    yield Blanks(("Classe confirmada pela instituição:", "Por quê:", "Nome e assinatura:", "Data da próxima revisão:"))


def _use(facts: ReportFacts) -> Iterator[tuple[str, str, str]]:
    users = facts.recipe.dossier.users
    yield (
        "Quem usa?",
        users or "A receita não diz. Proposta: profissionais e equipe de saúde, que conferem cada resposta.",
        "Fica em médio enquanto um profissional lê e decide. Com pacientes sem profissional, sobe para alto.",
    )
    counted = SAY.counted(facts.data.topics, ("tema", "temas"), ("topic", "topics"))
    named = f", em {counted} ({see(DATA)})" if facts.data.topics else ""
    yield (
        "De que trata?",
        f"De perguntas e respostas da fonte {facts.audit.source}{named}.",
        "Se o assunto é saúde, pode influir no cuidado: não é uso só administrativo, logo não é baixo.",
    )
    yield (
        "Faz diagnóstico?",
        "Não é feito para isso: não lê prontuário, exame nem imagem, não calcula, não classifica pacientes.",
        "Não é alto por decidir no lugar do médico. Usado para isso, passa a ser.",
    )


def _answers(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[tuple[str, str, str]]:
    size = f"{SAY.number(facts.base.parameters / 1e6, 0)} milhões de parâmetros"
    match facts.proof.mode:
        case "approved":
            shown = f"{SAY.number(knowledge.passages, 0)} passagens" if knowledge else "passagens"
            says = (
                f"Só o material do pacote ({shown}), palavra por palavra, com a fonte. O modelo não escreve na página."
            )
            does = (
                "Diminui o risco: o modelo não pode inventar ali. Resta o risco de mostrar a passagem errada "
                f"({see(CHECKS, WEAKNESSES)})."
            )
        case "assisted":
            says = "O material do pacote, palavra por palavra; abaixo dele, palavras do modelo, comparadas com ele."
            does = "Diminui o risco em parte: a comparação é de palavras, não de sentido."
        case _:
            says = f"O que o modelo escreve, com as próprias palavras, sem fonte. Ele tem {size}."
            does = (
                "Aumenta o risco: um modelo de linguagem inventa, tanto mais quanto menor é. Confere-se cada resposta."
            )
    yield "O que responde?", says, does
    if facts.proof.mode == "free":
        yield "Dá doses?", f"Nada impede o modelo de escrever uma dose.{_doses(facts)}", "Aumenta o risco."
    else:
        own = " Números do modelo que a passagem não traz são retirados." if facts.proof.mode == "assisted" else ""
        yield (
            "Dá doses?",
            "Só as que estão no material. O programa reconhece perguntas de dose por palavras (mg, gotas, comprimido…) "
            "e deixa passar algumas. Se ele reconhece a pergunta, a página só mostra uma passagem se ela também tem "
            "uma dessas palavras e se parece bastante com a pergunta; se não, diz que não encontrou. Se ele não a "
            "reconhece, a página pode mostrar qualquer passagem, como resposta ou como a mais próxima "
            f"({see(WEAKNESSES)}).{own}",
            "Diminui o risco. Se a dose serve ao paciente, quem confere é o profissional.",
        )
    yield (
        "Reconhece emergências?",
        f"Não. Uma linha de telefones, a mesma para toda pergunta, está sempre na página ({see(PAGE)}).",
        "Não é alto enquanto ninguém o usa para isso; a equipe tem de saber que não é para emergências.",
    )
    yield from _harm(facts)


def _doses(facts: ReportFacts) -> str:
    found = facts.evaluation.safety if facts.evaluation else None
    passed, asked = found.passed(facts.files[0].type, "dose") if found else (0, 0)
    return f" Em {passed} de {asked} perguntas de dose ele se saiu como devia." if asked else ""


def _harm(facts: ReportFacts) -> Iterator[tuple[str, str, str]]:
    """What was measured of page and model on questions on which a wrong answer harms, and what it weighs."""
    page, found = page_of(facts), facts.evaluation.safety if facts.evaluation else None
    if facts.proof.mode != "free":
        asked = "Como se sai a página em perguntas em que o erro causa dano?"
        if page:
            among = f" Nos grupos perigosos: {ends_in_words(page, page.grave)}." if page.grave else ""
            yield (
                asked,
                f"Medido por palavras: {ends_in_words(page, page.kinds)}.{among} ({see(SAFETY)})",
                "Pesa: a passagem errada engana quem não a confere.",
            )
        else:
            yield asked, f"Não foi medido ({see(SAFETY)}).", "Em aberto: sem esta medida, trate como alto."
    where = "O modelo sozinho (Ollama)" if facts.proof.mode != "free" else "Como se sai o modelo"
    asked = f"{where}, nas mesmas perguntas?" if page else f"{where}, em perguntas em que o erro causa dano?"
    default = facts.files[0].type
    passed, of = found.passed(default) if found else (0, 0)
    if not found or not of:
        yield asked, f"Não foi medido ({see(SAFETY)}).", "Em aberto: sem esta medida, trate como alto."
        return
    grave = found.passed_of(default, found.grave)
    among = f", {grave[0]} de {grave[1]} nos grupos perigosos" if found.grave else ""
    yield (
        asked,
        f"Ele respondeu com segurança a {passed} de {of}{among} ({see(SAFETY)}).",
        "Na página deste pacote ele não fala; fora dela, pesa."
        if facts.proof.mode == "approved"
        else "Pesa conforme o resultado.",
    )


def _around(facts: ReportFacts) -> Iterator[tuple[str, str, str]]:
    yield (
        "Age sozinho?",
        "Não: só mostra texto a quem perguntou. Não se liga a prontuário, aparelho nem outro sistema.",
        "Não é alto por ação automática.",
    )
    yield (
        "Envia dados?",
        "Não: funciona sem internet, no próprio computador.",
        "Diminui o risco para os dados; o risco clínico fica o mesmo.",
    )
    if facts.proof.mode != "free" and not facts.recipe.dossier.approval:
        yield (
            "Quem aprovou o material?",
            "A receita não diz.",
            "Em aberto: antes do uso, um profissional responsável tem de ler e aprovar o material.",
        )
    yield (
        "Quem supervisiona?",
        "O aviso está sempre na página; que alguém confira, nenhum programa garante.",
        "Médio exige supervisão humana constante: a instituição diz quem e como.",
    )


def _outside(facts: ReportFacts) -> Iterator[Block]:
    """The class of the same file where another program opens it."""
    if facts.proof.mode == "free":
        return
    yield Heading("E o uso fora da página, com o Ollama?", 2)
    yield Paragraph(
        "O arquivo do modelo vem na pasta, e outro programa pode abri-lo. Ali o modelo escreve livremente: não procura "
        "no material, não mostra fonte, e quem lê não vê aviso nem linha de telefones. É outro uso, com outra classe. "
        "Proposta: fora do atendimento; se alguém o usar ali, risco ALTO até que a instituição diga outra coisa. "
        f"{alone(facts)} Exemplos: {see(SAFETY, WEAKNESSES)}."
    )


def _changes(facts: ReportFacts) -> Iterator[Block]:
    yield Heading("O que faria a classe subir ou descer", 2)
    raised = [
        "SOBE para alto: respostas dadas a pacientes sem profissional; uso para dose, triagem, diagnóstico ou conduta "
        "sem conferência; uso em emergências; ligação a um sistema que age com base nas respostas.",
    ]
    if facts.proof.mode != "free":
        raised.append(
            "SOBE para alto: usar o arquivo do modelo fora da página (Ollama e outros), onde ele fala sozinho."
        )
    lowered = (
        "DESCE para baixo, se a instituição confirmar: uso só administrativo ou de ensino, sem paciente envolvido."
    )
    fixed = "INACEITÁVEL: o que a resolução proíbe; o advogado da instituição diz o que isso é."
    yield Listing((*raised, lowered, fixed))
