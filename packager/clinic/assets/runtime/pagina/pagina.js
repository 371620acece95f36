"use strict";
// The page: what the person asks -> the program's answer -> what the person reads. In the mode `free` the model answers
// (servidor.js), in the others the approved material does (material.js).
// Everything lives in `turns`, in memory only; the key is what stands after # in the address. Every failure ends in a
// sentence in #error. Words are in palavras.js.

const SLOW_MS = 20000;
const SIZES = [100, 125, 150, 175, 200]; // of the letters, in percent

// Seconds that have passed, and a word when it takes long.
function watch(body) {
  const began = Date.now();
  const timer = setInterval(() => {
    at("clock").textContent = `${Math.round((Date.now() - began) / 1000)} ${say.seconds}`;
    if (!body.textContent && Date.now() - began > SLOW_MS && ![say.queued, say.loading].includes(at("status").textContent)) status(say.slow);
  }, 1000);
  return () => {
    clearInterval(timer);
    at("clock").textContent = "";
  };
}

async function ask(question) {
  tell("");
  forget();
  if (mode !== "free") return askMaterial(question);
  turns.push({ role: "user", content: question, article: show("user", question) });
  const article = show("assistant", "");
  turns.push({ role: "assistant", content: "", article, cut: false });
  return fill(question);
}

// Write the last turn, an answer: from its beginning, or on from where it was cut.
async function fill(question) {
  const turn = turns[turns.length - 1];
  const body = turn.article.querySelector(".text");
  for (const old of turn.article.querySelectorAll(":scope > .remark, :scope > button:not(.wrong)")) old.remove(); // a note that is open stays
  turn.article.setAttribute("aria-busy", "true"); // screen readers wait for the whole answer
  turn.cut = false;
  running = new AbortController();
  busy(true);
  status(say.reading);
  const settle = watch(body);
  let says = say.complete, kept = turns;
  if (!turn.content) turns.pop();
  try {
    kept = await fitting(running.signal);
    if (kept.length < turns.length) remark(turn.article, say.dropped);
    const write = (piece) => {
      body.append(piece);
      status(say.answering);
      follow(false);
    };
    turn.cut = (await stream(messages(kept), write, running.signal)) === "length";
    if (turn.cut) remark(turn.article, say.cut);
  } catch (error) {
    says = error.name === "AbortError" ? say.stopped : "";
    if (error.name !== "AbortError") tell(error instanceof Told ? error.message : say.failed);
    if (body.textContent) remark(turn.article, says || say.partial);
    turn.cut = Boolean(body.textContent);
  }
  settle();
  if (body.textContent) for (const old of turns) old.out = !kept.includes(old);
  finish(question, turn, body.textContent);
  status(says);
  if (at("error").textContent === say.gone) listen();
}

// Keep a turn that has an answer; give the question back for one that has none.
function finish(question, turn, answer) {
  turn.article.removeAttribute("aria-busy");
  running = null;
  if (answer) {
    turn.content = answer;
    if (turns[turns.length - 1] !== turn) turns.push(turn);
    offer(turn.article, say.copy, async () => status((await copy(answer)) ? say.copied : say.notCopied));
    document.dispatchEvent(new CustomEvent("answered", { detail: { question, answer, mode, article: turn.article } })); // retorno.js
    if (turn.cut) offer(turn.article, say.proceed, () => !running && turns[turns.length - 1] === turn && fill(""));
  } else {
    turns.pop().article.remove();
    turn.article.remove();
    if (!at("question").value) at("question").value = question;
    at("welcome").hidden = turns.length > 0;
  }
  busy(false);
  at("question").focus();
}

// After the program has gone: say when it answers again.
async function listen() {
  for (let tries = 0; tries < 600 && !running; tries++) {
    await pause(AGAIN_MS);
    const response = await send("estado").catch(() => null);
    if (!response || !response.ok || (await response.json()).state === "loading") continue;
    if (at("error").textContent === say.gone) tell("");
    status(say.ready);
    return;
  }
}

function fresh() {
  if (!turns.length) return;
  erased = turns;
  turns = [];
  for (const turn of erased) turn.article.remove();
  at("welcome").hidden = false;
  at("undo").hidden = false;
  tell("");
  status(say.erased);
  busy(false);
  at("question").focus(); // what is typed there stays
}

function forget() {
  erased = null;
  at("undo").hidden = true;
}

function undo() {
  turns = erased;
  for (const turn of turns) at("conversation").append(turn.article);
  at("welcome").hidden = true;
  forget();
  status(say.restored);
  busy(false);
  at("question").focus();
}

function origin() {
  const when = new Date().toLocaleString(config.language);
  const source = { free: `${say.source} ${config.model}`, assisted: `${say.sourceAssisted} ${config.model}`, approved: say.sourceApproved }[mode];
  return `${config.title}, ${say.version} ${config.version}, ${when}. ${source}.`;
}

function save() {
  const notice = [...document.querySelectorAll("header [role=note]")].filter((note) => !note.hidden)
    .map((note) => note.textContent.replace(/\s+/g, " ").trim()).join("\n");
  const said = turns.filter((turn) => turn.content).map(({ role, content, cut }) =>
    `${{ user: say.question, approved: say.approved, assistant: mode === "free" ? say.answer : say.machine }[role]}:\n${content}\n${cut ? `(${say.cut})\n` : ""}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[`${origin()}\n${notice}\n`, ...said].join("\n")], { type: "text/plain;charset=utf-8" }));
  link.download = say.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function submit() {
  const question = at("question").value.trim();
  if (running || !config) return;
  if (!question) {
    status(say.empty);
    at("question").focus();
    return;
  }
  at("question").value = "";
  ask(question);
}

function resize(by) {
  const root = document.documentElement;
  const now = SIZES.indexOf(Number(root.dataset.size || 125));
  const size = SIZES[Math.min(SIZES.length - 1, Math.max(0, now + by))];
  root.dataset.size = size;
  root.style.fontSize = `${size}%`;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function switchTheme(change) {
  if (change) document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  at("theme").textContent = isDark() ? say.light : say.dark;
}

function speak() {
  const words = WORDS[config && config.language] || WORDS["pt-BR"];
  say = config && !config.approved_by ? withoutApproval(words) : words;
  document.documentElement.lang = WORDS[config && config.language] ? config.language : "pt-BR";
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say[element.dataset.say];
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say[element.dataset.label]);
    if (element.tagName === "BUTTON") element.title = say[element.dataset.label];
  }
  switchTheme(false);
}

function introduce() {
  document.title = config.title;
  at("title").textContent = config.title;
  const examples = (config.examples || []).slice(0, 6);
  for (const question of examples) {
    offer(at("examples"), question, () => {
      if (!running) ask(question);
    });
  }
}

// Is the key the right one? Else it is asked for.
async function unlock() {
  const response = await send("estado").catch(() => null);
  const wrong = Boolean(response) && response.status === 401;
  if (response && response.ok) setMode((await response.json()).mode);
  at("unlock").hidden = !wrong;
  at("form").hidden = at("conversation").hidden = wrong;
  tell(wrong && location.hash.length > 1 ? say.wrongKey : response ? "" : say.gone);
  at(wrong ? "key" : "question").focus();
}

function listenToPeople() {
  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  at("unlock").addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = at("key").value.trim().toLowerCase().replace(/^.*#/, "");
    unlock();
  });
  at("question").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && running) running.abort();
  });
  at("skip").addEventListener("click", (event) => { // the address keeps the key
    event.preventDefault();
    at("question").focus();
  });
  at("stop").addEventListener("click", () => running && running.abort());
  at("fresh").addEventListener("click", fresh);
  at("undo").addEventListener("click", undo);
  at("smaller").addEventListener("click", () => resize(-1));
  at("larger").addEventListener("click", () => resize(1));
  const system = matchMedia("(prefers-color-scheme: dark)");
  if (system.addEventListener) system.addEventListener("change", () => switchTheme(false));
  at("theme").addEventListener("click", () => switchTheme(true));
  at("print").addEventListener("click", () => window.print());
  at("save").addEventListener("click", save);
  window.addEventListener("hashchange", unlock);
  window.addEventListener("beforeprint", () => {
    at("printed").textContent = config ? origin() : "";
  });
}

async function begin() {
  listenToPeople();
  at("old").hidden = true;
  speak();
  try {
    const response = await fetch("config.json", { cache: "no-store" });
    if (!response.ok) throw new Told(say.noConfig);
    config = await response.json();
    document.dispatchEvent(new CustomEvent("configured", { detail: config }));
  } catch (error) {
    tell(error instanceof TypeError ? say.gone : say.noConfig);
    at("send").disabled = true;
    return;
  }
  speak();
  introduce();
  await unlock();
}

begin();
