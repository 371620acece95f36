"use strict";
// "Isto está errado": where the package allows it (config.feedback), a person notes what is wrong with an answer. The
// notes stay in this browser, on this computer, without what looks like a patient's identifier; only the export button
// takes them out, as a file. pagina.js tells of the settings ("configured") and of each answer ("answered").
(() => {
  const KEPT = "retorno", MOST = 2000;
  const WORDS = {
    "pt-BR": {
      wrong: "Isto está errado", label: "O que está errado, e o que seria certo? Sem dados do paciente.", keep: "Guardar",
      cancel: "Cancelar", kept: "Guardado neste computador.", redacted: "Foi tirado o que parecia identificar alguém:",
      full: "Não foi guardado: exporte e apague os retornos antigos.", take: "Exportar retornos", erase: "Apagar retornos",
      sure: "Apagar todos os retornos guardados neste computador? Exporte antes.",
    },
    en: {
      wrong: "This is wrong", label: "What is wrong, and what would be right? No patient data.", keep: "Keep",
      cancel: "Cancel", kept: "Kept on this computer.", redacted: "What seemed to identify someone was taken out:",
      full: "Not kept: export and erase the old notes.", take: "Export notes", erase: "Erase notes",
      sure: "Erase all notes on this computer? Export them first.",
    },
  };
  const noted = new WeakMap(); // of each answer's article, what it holds by now
  let config = null, words = WORDS["pt-BR"], take = null, erase = null, asked = "";

  function notes() {
    try {
      const found = JSON.parse(localStorage.getItem(`${KEPT}-${config.recipe}`) || "[]");
      return Array.isArray(found) ? found : [];
    } catch (error) {
      return [];
    }
  }

  function write(all) {
    try {
      localStorage.setItem(`${KEPT}-${config.recipe}`, JSON.stringify(all));
    } catch (error) {
      return false;
    }
    show();
    return true;
  }

  function show() {
    const count = notes().length;
    take.textContent = `${words.take} (${count})`;
    for (const button of [take, erase]) button.hidden = count === 0;
  }

  function button(text, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  }

  // What is kept of one answer; `found` names the kinds of identifiers that were taken out.
  function note({ question, answer, mode = "", passage = "" }, comment) {
    const found = new Set();
    const clean = (text) => {
      const { text: kept, kinds } = identifiers.redact(String(text || ""));
      kinds.forEach((kind) => found.add(kind));
      return kept;
    };
    const texts = { question: clean(question), answer: clean(answer), comment: clean(comment), mode: clean(mode), passage: clean(passage) };
    return { kept: { format: 1, ...texts, recipe: config.recipe, version: config.version, model: config.model }, found: [...found] };
  }

  function open(article, opener) {
    const form = document.createElement("form");
    const label = document.createElement("label"), area = document.createElement("textarea");
    label.textContent = words.label;
    area.rows = 3;
    area.maxLength = 4000;
    label.append(area);
    const close = () => { form.remove(); opener.hidden = false; opener.focus(); };
    form.append(label, button(words.keep, () => {
      const { kept, found } = note(noted.get(article), area.value);
      const all = notes();
      const done = all.length < MOST && write([...all, kept]);
      const said = document.createElement("p");
      said.className = "remark";
      said.setAttribute("role", "status");
      said.textContent = !done ? words.full : found.length ? `${words.kept} ${words.redacted} ${found.join(", ")}.` : words.kept;
      form.replaceWith(said);
      if (!done) opener.hidden = false;
    }), button(words.cancel, close));
    form.addEventListener("submit", (event) => event.preventDefault());
    opener.hidden = true;
    opener.after(form);
    area.focus();
  }

  function exported() {
    const lines = notes().map((one) => `${JSON.stringify(one)}\n`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson;charset=utf-8" }));
    link.download = `retorno-${config.recipe}.jsonl`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  document.addEventListener("configured", ({ detail }) => {
    if (!detail.feedback || typeof identifiers === "undefined") return; // without the rules nothing may be kept
    config = detail;
    words = WORDS[config.language] || WORDS.en;
    take = button(words.take, exported);
    take.id = "take";
    erase = button(words.erase, () => window.confirm(words.sure) && write([]));
    erase.id = "erase";
    document.querySelector(".actions").append(take, erase);
    show();
  });

  document.addEventListener("answered", ({ detail }) => {
    if (!config) return;
    const question = detail.question || asked; // an answer that was cut and goes on comes without its question
    asked = question;
    noted.set(detail.article, { ...detail, question });
    const before = detail.article.querySelector(":scope > .wrong");
    if (before) before.hidden = Boolean(detail.article.querySelector(":scope > form")); // of an answer that went on
    if (before) return;
    const opener = button(words.wrong, () => open(detail.article, opener));
    opener.className = "wrong";
    detail.article.append(opener);
  });
})();
