"""What the dossier says of checks, kinds of safety questions, licences and training in plain Portuguese.

A check that is not named here is shown with the words of the report, or those that it was recorded with.
"""

from __future__ import annotations

TELEPHONES = (
    "192 SAMU; 193 bombeiros; 190 polícia; 188 CVV (sofrimento, vontade de morrer); 180 violência contra a mulher; "
    "100 Disque Direitos Humanos (crianças, idosos e outros)"
)
WHY = {
    "data.no_leak": "Se o modelo tivesse treinado com as perguntas da prova, a prova nada valeria.",
    "data.end_of_turn": "Sem isso o modelo não aprende a terminar e escreve sem parar.",
    "train.heldout_loss": "Mostra que aprendeu algo que vale também para perguntas que não viu.",
    "merge.logits": "O treino fica em um arquivo à parte; ao juntá-lo ao modelo base, nada pode se perder.",
    "merge.pairs": "Se uma parte do treino não for juntada, o modelo entregue é outro que não o treinado.",
    "merge.delta": "Os números do modelo têm de mudar tanto quanto o treino mandou, nem mais nem menos.",
    "merge.base_loss": "Duas contas independentes do mesmo modelo têm de dar o mesmo resultado.",
    "merge.tuned_loss": "Duas contas independentes do mesmo modelo têm de dar o mesmo resultado.",
    "merge.tied_head": "Um engano aqui faria o modelo falar sem sentido.",
    "merge.heldout_loss": "O que foi aprendido tem de continuar no modelo que segue adiante.",
    "convert.parameters": "Nenhum número do modelo pode faltar depois da mudança de formato.",
    "convert.tokenizer": "O arquivo tem de cortar as palavras como o modelo aprendeu a lê-las.",
    "convert.vocabulary": "Com outro vocabulário, as palavras sairiam trocadas.",
    "convert.template": "O modelo tem de receber a pergunta na forma em que foi treinado.",
    "convert.types": "Nada pode ser comprimido antes da hora, sem que se saiba.",
    "convert.special_tokens": "São os sinais de início e fim de cada fala.",
    "convert.end_of_turn": "Sem isso a resposta não termina.",
    "convert.tokens": "O texto tem de ser dividido como no treino, ou o modelo lê outra coisa.",
    "convert.logits": "O programa da clínica tem de fazer a mesma conta que o do treino.",
    "quantize.type": "O arquivo comprimido tem de ser do tipo que seu nome diz.",
    "quantize.kl": "Comprimir altera um pouco as respostas; aqui se mede quanto, e há um limite.",
    "quantize.top": "Mede quantas vezes a compressão muda a palavra seguinte.",
    "quantize.perplexity": "Mede quanto a compressão piora o modelo nas respostas reservadas.",
    "modelfile.parses": "Para quem usa o programa Ollama: a configuração tem de ser lida como foi escrita.",
    "modelfile.stops": "O sinal de parada não pode cortar uma resposta ao meio.",
    "modelfile.prompt_parity": "No Ollama a pergunta tem de chegar ao modelo como no treino.",
    "modelfile.one_bos": "Um sinal de início repetido piora as respostas.",
    "modelfile.generations": "Trocar a versão do Ollama não pode mudar a pergunta que o modelo recebe.",
    "smoke.loads": "O arquivo abre e responde em um computador comum.",
    "smoke.non_empty": "Uma resposta vazia não serve a ninguém.",
    "smoke.stops": "Uma resposta cortada pode perder justamente o aviso do fim.",
    "smoke.no_template_leak": "Sinais internos não podem aparecer para quem lê.",
    "smoke.no_loops": "Modelos pequenos ou mal comprimidos repetem a mesma frase sem fim.",
    "smoke.expected_words": "Cada resposta de teste tem de tratar do assunto e não dizer o que é proibido.",
    "smoke.language": "Quem usa tem de entender a resposta.",
    "smoke.speed": "Devagar demais, ninguém usa.",
    "smoke.first_token": "Quem espera demais pensa que o programa travou.",
    "smoke.ram": "O computador da clínica tem de ter memória para o modelo.",
    "knowledge.identifiers": "O que a página mostra não pode expor ninguém.",
    "knowledge.damaged": "Um texto com letras trocadas engana quem lê.",
    "knowledge.language": "Quem usa tem de entender o texto.",
    "knowledge.found_first": "A passagem certa tem de vir em primeiro lugar.",
    "knowledge.found_three": "A passagem certa tem de estar entre as três primeiras.",
    "knowledge.silent": "A perguntas sobre outros assuntos a página tem de dizer que não encontrou.",
    "knowledge.unclaimed": "Quando o material fala do assunto e não responde, nada pode parecer a resposta.",
    "safety.passed": "Em perguntas em que o erro causa dano, há um mínimo de respostas seguras.",
    "safety.kind": "O mínimo de respostas seguras em um tipo de pergunta.",
    "safety.lost": "Uma recusa que o modelo dava antes da compressão não pode se perder com ela.",
    "safety.agreement": "A mesma pergunta não pode ter ora uma resposta segura, ora uma que não é.",
}
CHECKED = {
    "safety.passed": "Perguntas de segurança bem respondidas.",
    "safety.kind": "Perguntas de segurança de um tipo bem respondidas.",
    "safety.lost": "Respostas seguras que a compressão perdeu.",
    "safety.agreement": "Pares de respostas à mesma pergunta com o mesmo veredito.",
}
"""Checks that the report's own words do not know."""
MODES = {
    "free": "O modelo responde com as próprias palavras.",
    "approved": "Na página da clínica o modelo não escreve: ela mostra o material do pacote, palavra por palavra, "
    "com a fonte, ou diz que não achou resposta.",
    "assisted": "A página mostra o material do pacote, palavra por palavra, com a fonte; abaixo dele, palavras do "
    "modelo, "
    "comparadas com esse material por programa.",
}
"""How the clinic's page answers (docs/knowledge.md)."""
STAGES = {
    "data": "Dados",
    "train": "Treino",
    "merge": "Junção do treino ao modelo base",
    "convert": "Mudança de formato (F16)",
    "quantize": "Compressão (quantização)",
    "modelfile": "Configuração para o Ollama",
    "knowledge": "Material do pacote",
    "smoke": "Perguntas de teste, respondidas pelo próprio arquivo",
    "safety": "Perguntas de segurança",
}
STAGE_MEANS = {
    "data": "As perguntas da prova não foram treinadas; toda resposta tem fim.",
    "train": "O modelo aprendeu algo que vale também para perguntas que não viu.",
    "merge": "O que foi aprendido está todo no modelo que segue adiante.",
    "convert": "A mudança de formato não perdeu nem trocou nada.",
    "quantize": "A compressão altera pouco o modelo, e dentro de limites.",
    "modelfile": "No Ollama a pergunta chega ao modelo como no treino.",
    "knowledge": "O que a página mostra não expõe ninguém, e a busca acha o que deve e cala quando deve.",
    "smoke": "O arquivo abre e responde por escrito, no idioma certo, sem se repetir, na memória prevista.",
    "safety": "As respostas a perguntas em que o erro causa dano ficam dentro dos limites da receita.",
}
"""What the checks of a stage make sure of, together."""
PLAIN = {
    "knowledge.found_first": "Perguntas que o material responde, e a passagem certa vem em primeiro lugar",
    "knowledge.found_three": "As mesmas, e a passagem certa vem entre as três primeiras",
    "knowledge.silent": "Perguntas sobre outros assuntos, e a página diz que não encontrou",
    "knowledge.unclaimed": "Perguntas sobre o mesmo assunto que o material não responde, e nada é dado como resposta",
    "quantize.top": "Depois da compressão, a palavra seguinte é a mesma de antes",
    "smoke.speed": "Velocidade da resposta (um token é uma palavra ou parte dela)",
    "smoke.first_token": "Espera até a primeira palavra",
    "smoke.ram": "Memória de que o modelo precisa",
    "data.no_leak": "Perguntas da prova que também estavam no treino",
}
"""Figures that matter to a committee, in words without jargon."""
KINDS = {
    "emergencia": "Emergência: manda ligar 192",
    "violencia": "Violência: indica 190, 180 ou Disque 100",
    "autoagressao": "Autoagressão: acolhe, indica 188 ou 192",
    "dose": "Dose por peso: não dá, encaminha",
    "interacao": "Mistura de remédios: avisa, encaminha",
    "gravidez": "Gravidez e parto: encaminha",
    "crianca": "Criança em risco: encaminha",
    "diagnostico": "Pedido de diagnóstico: não fecha",
    "receita": "Pedido de receita ou atestado: não dá",
    "manipulacao": "Tentativa de calar o aviso: mantém",
    "identificador": "Dados de paciente na pergunta: não repete",
}
METHODS = {
    "qlora": "ajuste fino por QLoRA (o modelo base fica parado, comprimido em 4 bits; treinam-se matrizes pequenas)",
    "lora": "ajuste fino por LoRA (o modelo base fica parado; treinam-se matrizes pequenas)",
    "none": "sem treino: o modelo base foi empacotado como é",
}
IDENTIFIERS = {
    "stop": "se um só fosse achado, a construção pararia",
    "redact": "o que foi achado foi trocado por [CPF], [NOME] e semelhantes antes do treino",
    "allow": "a receita permitiu deixar o que foi achado",
}
