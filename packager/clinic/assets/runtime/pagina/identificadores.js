"use strict";
// Patient identifiers in text: found and replaced by [CPF] and the like, by the rules with which the data were audited
// (packager/data/audit/identifiers.py, in whose order and words this stands; a test holds the two against each other).
// Without lookbehind, for which Safari before 16.4 refuses the whole file: what may not stand before is matched and cut off.
const identifiers = (() => {
  const W = "[\\p{L}\\p{N}_]", NO_W = "[^\\p{L}\\p{N}_]", L = "\\p{L}";
  const CPF = /(?<before>^|[^\d.,-])(\d{3})([. ]?)(\d{3})([. ]?)(\d{3})([-–. /]?)(\d{2})(?!\d|[.,]\d)/gu;
  const CNS = /(?<before>^|[^\d.,-])([1-2789]\d{2})([. -]?)(\d{4})([. -]?)(\d{4})([. -]?)(\d{4})(?!\d|[.,]\d)/gu;
  const PHONE = /(?<before>^|[^\d.,/-])(?<country>\+?55[ -]?)?(?<area>\(0?[1-9]\d\) ?|0?[1-9]\d[ -])?(?<number>9[ .]?\d{4}[ .-]?\d{4}|[2-5]\d{3}[ .-]?\d{4})(?!\d|[.,/-]\d)/gu;
  const BARE_MOBILE = /(?<before>^|[^\d.,/-])(?:\+?55)?[1-9]\d9\d{8}(?!\d|[.,/-]\d)/gu;
  const EMAIL = new RegExp(`(?<before>^|[^\\p{L}\\p{N}_.+-])(?:${W}|[.+-])+@(?:(?:${W}|-)+\\.)+${L}{2,}(?!${W}|-)`, "gu");
  const near = (words) => new RegExp(`(?:^|${NO_W})(?:${words})(?!${W})`, "iu");
  const CPF_CONTEXT = near("cpf|documento|paciente|prontu[áa]rio|nascid[oa]|nascimento");
  const CNS_CONTEXT = near("cns|cart[ãa]o|sus|paciente|prontu[áa]rio");
  const PHONE_CONTEXT = near(`tel|telefone|fone|celular|whats${W}*|zap|contato|ligar|ligue|recado`);
  const CONTEXT_CHARACTERS = 80;
  const set = (text) => new Set(text.trim().split(/\s+/));
  const GIVEN = set(`
    adriana adriano alexandre alice aline amanda ana anderson andre andreia angela antonia antonio aparecida
    arthur artur beatriz benedita benedito bernardo bianca bruna bruno camila carla carlos cecilia cicero
    claudia claudio conceicao cristiane cristiano cristina daniel daniela davi debora diego edson eduardo elaine
    eliane enzo fabiana fabio felipe fernanda fernando flavio francisca francisco gabriel gabriela geraldo
    gilberto giovanna guilherme gustavo heitor helena heloisa isabela isabella jaqueline jessica joana joao
    joaquim jorge jose josefa julia juliana kaua larissa laura leandro leonardo leticia livia lorena luana lucas
    lucia luciana luis luiz luzia manoel manuel manuela marcelo marcia marcio marcos maria mariana mario marlene
    mateus matheus michele miguel monica natalia nelson otavio patricia paulo pedro priscila rafael rafaela
    raimunda raimundo raquel regina renata renato ricardo rita roberto rodrigo rogerio rosa rosangela sabrina
    samuel sandra sebastiao sergio severino silvia simone sofia sonia sophia sueli tatiane teresa tereza
    terezinha thiago tiago valentina vanessa vera vicente victor vitor vitoria viviane wagner wilson
  `);
  const SURNAMES = set(`
    almeida alves araujo barbosa barros batista cardoso carvalho cavalcante cavalcanti correia costa dias
    fernandes ferreira freitas gomes lima lopes machado martins mendes moreira moura nascimento nunes oliveira
    pereira ramos ribeiro rocha rodrigues santos silva soares sousa souza teixeira vieira
  `);
  const NO_NAMES = set(`
    agente atencao caderneta caps cartao carteira centro clinica conselho enfermeira enfermeiro equipe estatuto
    estrategia hospital instituto lei medica medico ministerio nasf plano politica programa prontuario rede
    saude secretaria secretario servico sistema sus testemunha testemunhas ubs unidade universidade usf
  `);
  const WORD = `${L}+(?:['’-]${L}+)*`;
  const PARTICLE = "(?:d[aeo]s?)";
  const NAME = new RegExp(`(?<before>^|${NO_W})(?<lead>(?:[Nn]ome(?: completo)?(?: d[oa] paciente)?|NOME(?: DO PACIENTE)?)[ ]?:[ ]*`
    + "|(?:(?:[Pp]acientes?|PACIENTES?)|[Pp]cte?\\.?|[Uu]suári[oa]|[Gg]estante)(?:[ ]?:[ ]*|,?[ ]+)"
    + `(?:(?:de nome|chamad[oa]|(?:[Ss]r|[Ss]ra|[Dd]ona?|[Dd]r|[Dd]ra)(?!${W})\\.?)[ ]+)?)`
    + `(?<name>${WORD}(?:[ ](?:${PARTICLE}[ ])?${WORD}){0,5})`, "gu");

  const unaccented = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  const plain = (text) => unaccented(text).replace(/[^\p{L}\p{N}]+/gu, " ").trim() || text.trim();
  const isUpper = (text) => text === text.toUpperCase() && text !== text.toLowerCase();
  const digits = (text) => text.replace(/\D/g, "");
  const isNear = (text, found, context) => context.test(
    text.slice(Math.max(0, found.index - CONTEXT_CHARACTERS), found.index + found[0].length + CONTEXT_CHARACTERS / 2));
  // All places of a rule, each without what stands before it.
  const every = (text, rule) => [...text.matchAll(rule)].map(({ 0: whole, index, groups, ...parts }) =>
    ({ ...parts, groups, 0: whole.slice(groups.before.length), index: index + groups.before.length }));
  const span = (found) => [found.index, found.index + found[0].length];

  function validCpf(number) {
    if (new Set(number).size === 1) return false;
    return [9, 10].every((length) => {
      let total = 0;
      for (let i = 0; i < length; i++) total += Number(number[i]) * (length + 1 - i);
      return Number(number[length]) === ((total * 10) % 11) % 10;
    });
  }

  function validCns(number) {
    let total = 0;
    for (let i = 0; i < number.length; i++) total += Number(number[i]) * (15 - i);
    return "12789".includes(number[0]) && total % 11 === 0;
  }

  function cpfs(text) {
    return every(text, CPF).filter((found) =>
      validCpf(digits(found[0])) && ([3, 5, 7].filter((i) => found[i]).length >= 2 || isNear(text, found, CPF_CONTEXT))).map(span);
  }

  function cnss(text) {
    return every(text, CNS).filter((found) =>
      validCns(digits(found[0])) && ([3, 5, 7].every((i) => found[i]) || isNear(text, found, CNS_CONTEXT))).map(span);
  }

  function phones(text) {
    const spans = every(text, PHONE).filter((found) => {
      const { area, number } = found.groups;
      const separated = /-\d{4}$/.test(number) || (area || "").startsWith("(");
      return (area && separated) || isNear(text, found, PHONE_CONTEXT);
    }).map(span);
    spans.push(...every(text, BARE_MOBILE).filter((found) => found[0][0] === "+" || isNear(text, found, PHONE_CONTEXT)).map(span));
    let end = 0;
    return spans.sort((a, b) => a[0] - b[0] || a[1] - b[1]).filter(([start, stop]) => start >= end && ((end = stop), true));
  }

  function lowerCaseName(words) {
    let end = 0;
    for (let number = 0; number < words.length;) {
      const word = plain(words[number][0]);
      if (GIVEN.has(word) || SURNAMES.has(word)) number += 1;
      else if (new RegExp(`^${PARTICLE}$`).test(words[number][0]) && number + 1 < words.length) number += 2;
      else break;
      end = words[number - 1].index + words[number - 1][0].length;
    }
    return end;
  }

  function nameLength(lead, candidate, after) {
    const words = [...candidate.matchAll(new RegExp(WORD, "gu"))];
    const isParticle = (word) => new RegExp(`^${PARTICLE}$`, "i").test(word);
    if (NO_NAMES.has(plain(words[0][0]))) return 0;
    const known = GIVEN.has(plain(words[0][0]));
    if (known && !isUpper(words[0][0][0])) return lowerCaseName(words);
    let taken = 0;
    for (let number = 0; number < words.length; number++) {
      const word = words[number][0];
      if (!isUpper(word[0]) && !isParticle(word)) break;
      if (!isParticle(word)) taken = number + 1;
    }
    const capitalized = words.slice(0, taken).filter((word) => !isParticle(word[0])).length;
    const plainLead = lead[0] === lead[0].toLowerCase() && !isUpper(candidate);
    const aged = taken === words.length && /^,? \d{1,3} ?(?:anos?|a(?![\p{L}\p{N}_])|meses)/u.test(after);
    if (!known && !(capitalized >= 2 && (lead.includes(":") || plainLead || aged))) return 0;
    return taken ? words[taken - 1].index + words[taken - 1][0].length : 0;
  }

  function names(text) {
    const spans = [];
    for (const found of every(text, NAME)) {
      const { lead, name } = found.groups;
      const start = found.index + lead.length;
      const length = nameLength(lead, name, text.slice(start + name.length));
      if (length) spans.push([start, start + length]);
    }
    return spans;
  }

  const FINDERS = [
    ["CNS", cnss], ["CPF", cpfs], ["E-MAIL", (text) => every(text, EMAIL).map(span)], ["TELEFONE", phones], ["NOME", names],
  ];

  // The text without them, and which kinds were found.
  function redact(text) {
    const kinds = [];
    for (const [kind, find] of FINDERS) {
      let end = 0, out = "";
      for (const [start, stop] of find(text)) {
        out += `${text.slice(end, start)}[${kind}]`;
        end = stop;
        kinds.push(kind);
      }
      text = out + text.slice(end);
    }
    return { text, kinds };
  }

  return { redact };
})();
if (typeof module !== "undefined") module.exports = identifiers;
