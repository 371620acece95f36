"""The dossier's chapters on installing, on knowing that it is the right package, and on updating and going back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packager.artifacts.files import sha256_of
from packager.artifacts.knowledge import Knowledge
from packager.report.delivery import Delivery
from packager.report.document import Block, Heading, Listing, Paragraph, Table
from packager.report.dossier_chapters import INSTALLING, PRIVACY, UPDATING, see
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY

SPARE_DISK_MB = 50
"""What must be free for the temporary folder: SPARE_DISK_GB of clinic/source/machine.c."""
NOT_TRIED = (
    "Quem fez o programa declara não o ter testado: num Windows de verdade (só numa imitação, o Wine; faltam os avisos "
    "do sistema, o firewall e os antivírus), num pendrive FAT32 de verdade, num telefone, com leitor de tela."
)
"""As docs/clinic.md has it."""


def installation(facts: ReportFacts, knowledge: Knowledge | None, delivery: Delivery | None) -> Iterator[Block]:
    """What arrives, how it is started and checked, what it needs, and what it leaves on the machine."""
    yield Heading(INSTALLING)
    if delivery is None:
        yield Paragraph(
            "Este exemplar acompanha o pacote sem o programa da clínica. Aqui só se descreve o que vale para ele; o "
            "dossiê da pasta para a clínica (packager bundle) descreve a instalação por pendrive.",
            "notice",
        )
        yield Listing(
            (
                "Abre-se com o Ollama, que a instituição instala à parte: LEIA-ME.txt diz os comandos. Ali o modelo "
                "fala sozinho.",
                f"Memória: {_memory(facts)}",
            )
        )
        yield Heading("O que chega", 2)
        rows = (*_of_people(), *_in_the_package(facts, knowledge))
        yield Table(rows, ("arquivo", "para quê"), (0.34, 0.66))
        return
    yield Heading("O que chega no pendrive", 2)
    yield Table(tuple(_arrives(facts, knowledge, delivery)), ("arquivo", "para quê"), (0.34, 0.66))
    yield Heading("Como o técnico começa", 2)
    yield Listing(tuple(_starts(delivery)))
    yield Heading("Do que o computador precisa", 2)
    yield Table(tuple(_needs(facts, delivery)), widths=(0.26, 0.74))
    yield Heading("O que fica escrito no computador da clínica", 2)
    yield Listing(tuple(_written(facts)))
    yield Paragraph(NOT_TRIED, "quiet")


def _memory(facts: ReportFacts) -> str:
    """What the model was measured to need, and what the recipe takes the computer to have."""
    supposed = f"a receita supõe um computador com {SAY.measured(facts.recipe.device.ram_gb)} GB ao todo"
    needs = [c.ram_gb for c in facts.choice.candidates if c.type == facts.files[0].type]
    if not needs:
        return f"{supposed}; a do modelo não se mediu."
    return (
        f"o modelo ocupou {SAY.number(needs[0], 2)} GB ao responder, na máquina que fez o pacote (anexo A.8); "
        f"{supposed}, com o sistema e os outros programas."
    )


def _arrives(facts: ReportFacts, knowledge: Knowledge | None, delivery: Delivery) -> Iterator[tuple[str, str]]:
    yield (
        f"pasta {facts.recipe.name}-{delivery.version}",
        f"Tudo, cerca de {SAY.megabytes(delivery.size)}. Nada é baixado.",
    )
    yield "iniciar.bat, iniciar.sh", "Abrem o assistente (Windows, Linux)."
    yield "autoteste.bat, autoteste.sh", "Conferem tudo neste computador."
    yield "runtime/", f"Os programas, para {_systems(delivery.targets)}, e a página."
    if delivery.signer_numbers:
        yield "SHA256SUMS.sig", "A assinatura das somas."
    yield from _of_people()
    yield "pacote/", "O que a página e o Ollama usam, e as listas de onde veio. Dentro dela:"
    if delivery.in_parts:
        yield (
            "…-00001-of-…",
            "O modelo vai em partes, por ser grande demais para um pendrive: cada uma com o seu número.",
        )
    yield from _in_the_package(facts, knowledge)


def _of_people() -> Iterator[tuple[str, str]]:
    """What lies at the top of a package as of a bundle, for people to open."""
    yield "LEIA-ME.txt", "As instruções para o técnico."
    yield "dossie.pdf, dossie.html", "Este dossiê."
    yield "SHA256SUMS", "A soma de cada arquivo."


def _in_the_package(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[tuple[str, str]]:
    """Every file that the package brings, for programs and for who looks into it."""
    yield ", ".join(facts.packed_name(file) for file in facts.files), "O modelo; o primeiro é o que se usa."
    if knowledge:
        yield "knowledge.jsonl, knowledge.bin", "O material que a página mostra, e o índice em que a busca o acha."
        yield (
            "e5-small-enpt-q4.bin",
            "O modelo que compara o sentido da pergunta com o das passagens (e5). Não escreve nada; licença em "
            "LICENSE-e5.txt.",
        )
    modelfiles = ", ".join("Modelfile" if n == 0 else f"Modelfile.{f.type}" for n, f in enumerate(facts.files))
    yield f"{modelfiles}, template, system, params", "Só para quem usa o Ollama."
    yield "report.html, metrics.json, README.md", "O relatório técnico, os seus números, e a ficha do modelo."
    yield "bom.cdx.json, manifest.json", "A lista das partes (CycloneDX), e a linhagem com cada parâmetro."
    yield "LICENSE…, NOTICE", "As licenças do modelo base e das outras partes."


def _systems(targets: Sequence[str]) -> str:
    names = {"windows-x86_64": "Windows", "linux-x86_64": "Linux", "linux-arm64": "Linux em ARM (Raspberry Pi)"}
    return ", ".join(names.get(target, target) for target in targets)


def _starts(delivery: Delivery) -> Iterator[str]:
    yield "Copia a pasta inteira para o disco do computador (do pendrive também funciona, mais devagar)."
    if any(target.startswith("windows") for target in delivery.targets):
        yield (
            "No Windows, dois cliques em iniciar.bat. Na primeira vez o Windows pode avisar que o programa não vem de "
            "uma loja; o antivírus pode pedir liberação. LEIA-ME.txt diz o que fazer."
        )
    if any(target.startswith("linux") for target in delivery.targets):
        yield "No Linux, num terminal: sh iniciar.sh"
    yield (
        "O programa confere o computador e os arquivos que vai usar, e abre a página no navegador. Se algo falta "
        "ou foi "
        "alterado, diz o quê e não abre."
    )
    yield "Uma vez em cada computador, o autoteste: se ele reprova, o assistente não é usado ali."
    yield "Nada é instalado; para tirar, apaga-se a pasta."


def _needs(facts: ReportFacts, delivery: Delivery) -> Iterator[tuple[str, str]]:
    if systems := [name for name in ("windows", "linux") if any(t.startswith(name) for t in delivery.targets)]:
        names = {"windows": "Windows 10 ou mais novo", "linux": "Linux"}
        yield "Sistema", f"{', ou '.join(names[one] for one in systems)}, de 64 bits"
    kinds = []
    if any(t.endswith("x86_64") for t in delivery.targets):
        kinds.append("Intel ou AMD de 64 bits, desde cerca de 2009 (com SSE4.2)")
    if any(t.endswith("arm64") for t in delivery.targets):
        kinds.append("ARM de 64 bits (com Linux)")
    yield "Processador", "; ".join(kinds) or "ver LEIA-ME.txt"
    if facts.proof.mode == "approved":
        memory = (
            f"{delivery.material_ram_mb} MB livres para a página deste pacote, em que o modelo não é carregado; "
            f"{delivery.needed_ram_mb} MB se o modelo for usado (Ollama)"
        )
    else:
        memory = f"{delivery.needed_ram_mb + delivery.material_ram_mb} MB livres"
    yield "Memória", f"{memory}. Com folga sobre o que se mediu ou calculou ao fazer o pacote."
    yield "Disco", f"{SAY.megabytes(delivery.size)} para a cópia, e {SPARE_DISK_MB} MB livres para a pasta temporária"
    yield "Rede", "Nenhuma. Só se for de propósito (--rede), a rede local da clínica."
    yield "Navegador", "O do computador."


def _written(facts: ReportFacts) -> Iterator[str]:
    yield "A cópia da pasta, onde o técnico a pôs. Os arquivos dela não mudam com o uso."
    yield (
        "Enquanto está aberto, uma pasta temporária do usuário (assistente-…): a trava, a porta e a chave da "
        "página, e o "
        "registro técnico do programa. É apagada ao encerrar; se a luz cai, na próxima vez que se inicia."
    )
    if facts.recipe.clinic.feedback:
        yield f"No navegador, as anotações de “isto está errado”, até alguém exportá-las ou apagá-las ({see(PRIVACY)})."
    yield "As conversas não são gravadas, salvo por quem usa o botão Salvar."
    yield "Nada no registro do Windows, nenhum serviço."


def updating(facts: ReportFacts, knowledge: Knowledge | None, delivery: Delivery | None) -> Iterator[Block]:
    """How to know that it is what was proven, how to update and how to go back."""
    yield Heading(UPDATING)
    yield Heading("É isto o que foi provado?", 2)
    yield Listing(tuple(_same(facts, delivery)))
    yield Table(tuple(_sums(facts, knowledge)), ("arquivo que foi provado", "SHA-256"), (0.34, 0.66))
    if delivery and delivery.in_parts:
        yield Paragraph(
            "O modelo vai em partes, por ser grande demais para um pendrive: as somas das partes estão em SHA256SUMS. "
            "A desta tabela é do arquivo inteiro, que só quem fez o pacote tem; packager verify --rebuild o refaz.",
            "notice",
        )
    yield Heading("Atualizar e voltar à versão anterior", 2)
    if delivery is None:
        yield Listing(("Guarde a pasta da versão anterior: para voltar a ela, registre no Ollama o arquivo dela.",))
    else:
        yield Listing(
            (
                "Atualizar: pôr a pasta da versão nova ao lado da antiga; abre a mais nova que estiver inteira. Se a "
                "antiga é assinada, só entra uma que a mesma chave assinou.",
                "Voltar: apagar ou tirar a pasta da versão nova; a anterior volta a abrir. Guarde sempre a anterior.",
            )
        )
    yield Paragraph("Cada versão tem o seu dossiê: uma atualização pede nova leitura, novo parecer e nova assinatura.")


def _sums(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[tuple[str, str]]:
    for file in facts.files:
        yield facts.packed_name(file), file.sha256
    if knowledge:
        texts = [name for name in knowledge.files if not name.startswith("LICENSE")]
        there = [name for name in texts if (knowledge.folder / name).is_file()]
        yield from ((name, sha256_of(knowledge.folder / name)) for name in there)


def _same(facts: ReportFacts, delivery: Delivery | None) -> Iterator[str]:
    if delivery:
        again = "as perguntas da prova" if facts.proof.mode == "free" else "as buscas da prova no material"
        yield (
            "Na clínica, sem mais nada: iniciar confere os arquivos que usa antes de abrir; autoteste confere todos e "
            f"repete {again} neste computador: tem de sair o mesmo."
        )
    yield (
        "Na TI, à mão: sha256sum --strict -c SHA256SUMS no Linux; no Windows, certutil -hashfile ARQUIVO SHA256. As "
        "somas do que foi provado estão na tabela abaixo; a deste dossiê está em SHA256SUMS."
    )
    yield (
        "Na TI, com o packager: packager verify PASTA confere arquivos, somas, lista de partes, prova e assinatura; um "
        "arquivo a mais também é achado."
    )
    if delivery and delivery.signer_numbers:
        yield (
            f"Assinatura: os números da chave são {delivery.signer_numbers}. Compare-os com os que quem fez o pacote "
            "lhe disse por outro meio que não o pendrive."
        )
    elif delivery:
        yield (
            "Este pacote NÃO é assinado. As somas mostram se a cópia se estragou; contra quem troque arquivos e somas "
            "de propósito, peça a quem fez o pacote, por outro meio, as somas da tabela."
        )
    yield (
        "Refazer para crer: packager verify PASTA --rebuild ATESTADO refaz, do treino e do modelo base, os arquivos do "
        "modelo, e compara byte por byte. Peça o ATESTADO a quem fez o pacote (packager attest)."
    )
