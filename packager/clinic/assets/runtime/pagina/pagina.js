"use strict";
// The page: what the person asks -> the program's /perguntar, streamed -> what the person reads.
// Everything lives in `turns`, in memory only; the key is what stands after # in the address. Every failure ends in a
// sentence in #error. Words are in palavras.js.

const SLOW_MS = 20000;
const AGAIN_MS = 1000; // until the next try, when another question is being answered
const SIZES = [100, 125, 150, 175, 200]; // of the letters, in percent
const SAMPLING = ["temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "seed"];

const at = (id) => document.getElementById(id);
let turns = []; // {role, content, article, cut}
let erased = null; // what "undo" brings back
let config = null;
let say = WORDS["pt-BR"];
let running = null; // the AbortController of the answer that is being written

class Told extends Error {} // an error whose message is for the person

function tell(text) {
  at("error").textContent = text;
  at("error").hidden = !text;
  if (text) follow(true); // it takes room from the conversation
}

function status(text) {
  if (at("status").textContent !== text) at("status").textContent = text;
}

function show(role, text) {
  const article = document.createElement("article");
  article.className = role === "user" ? "mine" : "theirs";
  const who = document.createElement("h2");
  who.textContent = role === "user" ? say.you : say.machine;
  if (role !== "user") {
    const check = document.createElement("small");
    check.textContent = ` (${say.check})`;
    who.append(check);
  }
  const body = document.createElement("div");
  body.className = "text";
  body.textContent = text;
  article.append(who, body);
  at("welcome").hidden = true;
  at("conversation").append(article);
  follow(true);
  return article;
}

// Keep the newest words in sight, unless the person has scrolled up to read.
function follow(always) {
  const box = at("conversation");
  if (always || box.scrollHeight - box.scrollTop - box.clientHeight < 120) box.scrollTop = box.scrollHeight;
}

function remark(article, text) {
  const line = document.createElement("p");
  line.className = "remark";
  line.textContent = text;
  article.append(line);
}

function offer(article, text, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", act);
  article.append(button);
  follow(false);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch (error) {
    // Over the network the page is not a secure context: the older way still works.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

function busy(on) {
  at("send").hidden = on;
  at("stop").hidden = !on;
  at("fresh").disabled = on;
  for (const id of ["save", "print"]) at(id).disabled = on || !turns.length;
  for (const button of at("conversation").querySelectorAll("article button")) button.disabled = on;
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function send(path, body, signal) {
  const headers = { "X-Chave": location.hash.slice(1), "Content-Type": "application/json" };
  const asked = body ? { method: "POST", body: JSON.stringify(body), headers, signal } : { headers, signal };
  try {
    return await fetch(path, asked);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Told(say.gone);
  }
}

function messages(kept) {
  const all = kept.map(({ role, content }) => ({ role, content }));
  return config.system ? [{ role: "system", content: config.system }, ...all] : all;
}

// The newest turns that leave room for an answer; the oldest question goes first, with its answer.
async function fitting(signal) {
  const answer = Math.min(config.max_answer_tokens, Math.floor(config.context / 2));
  let kept = turns.slice();
  for (;;) {
    const response = await send("contar", { messages: messages(kept) }, signal);
    if (!response.ok) return kept; // it cannot be counted: the program says by itself what does not fit
    const { input_tokens: count } = await response.json();
    if (!(count + answer > config.context)) return kept;
    const next = kept.findIndex((turn, index) => index > 0 && turn.role === "user");
    if (next < 0) throw new Told(say.full);
    kept = kept.slice(next);
  }
}

function failure(code, error) {
  const type = (error && error.type) || "";
  if (type === "exceed_context_size_error") return say.full;
  if (code === 401) return say.wrongKey;
  return type === "gone" ? say.gone : say.failed;
}

// The answer's stream; while another question is answered, or the program starts again, it waits and says so.
async function post(body, signal) {
  for (;;) {
    const response = await send("perguntar", body, signal);
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    if (!error || !["busy", "loading"].includes(error.type)) throw new Told(failure(response.status, error));
    status(error.type === "busy" ? say.queued : say.loading);
    await pause(AGAIN_MS);
    if (signal.aborted) throw new DOMException("", "AbortError");
  }
}

// Server-sent events -> their JSON objects; returns when the server says it is done.
async function* events(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Told(say.gone); // the connection ended before [DONE]
    text += decoder.decode(value, { stream: true });
    const lines = text.split(/\r?\n/);
    text = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

function showProgress({ total, cache, processed }) {
  const share = total > cache ? (processed - cache) / (total - cache) : 1;
  status(share < 1 ? `${say.reading} ${Math.floor(share * 4) * 25} %` : say.thinking);
}

// The answer, piece by piece into `body`; resolves to why it ended.
async function stream(kept, body, signal) {
  const asked = { messages: messages(kept), stream: true, return_progress: true, max_tokens: config.max_answer_tokens };
  for (const key of SAMPLING) if (key in config) asked[key] = config[key];
  if (config.stops && config.stops.length) asked.stop = config.stops;
  const response = await post(asked, signal);
  let ended = "";
  try {
    for await (const event of events(response)) {
      if (event.error) throw new Told(failure(event.error.code, event.error));
      if (event.prompt_progress) showProgress(event.prompt_progress);
      const choice = event.choices && event.choices[0];
      if (!choice) continue;
      if (choice.delta && choice.delta.content) {
        body.append(choice.delta.content);
        status(say.answering);
        follow(false);
      }
      ended = choice.finish_reason || ended;
    }
  } catch (error) {
    if (error instanceof Told || error.name === "AbortError") throw error;
    throw new Told(say.gone); // a connection that broke, or half an event
  }
  return ended;
}

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
  turns.push({ role: "user", content: question, article: show("user", question) });
  const article = show("assistant", "");
  turns.push({ role: "assistant", content: "", article, cut: false });
  await fill(question);
}

// Write the last turn, an answer: from its beginning, or on from where it was cut.
async function fill(question) {
  const turn = turns[turns.length - 1];
  const body = turn.article.querySelector(".text");
  for (const old of turn.article.querySelectorAll(".remark, button")) old.remove();
  turn.article.setAttribute("aria-busy", "true"); // screen readers wait for the whole answer
  turn.cut = false;
  running = new AbortController();
  busy(true);
  status(say.reading);
  const settle = watch(body);
  let says = say.complete;
  if (!turn.content) turns.pop();
  try {
    const kept = await fitting(running.signal);
    if (kept.length < turns.length) remark(turn.article, say.dropped);
    turn.cut = (await stream(kept, body, running.signal)) === "length";
    if (turn.cut) remark(turn.article, say.cut);
  } catch (error) {
    says = error.name === "AbortError" ? say.stopped : "";
    if (error.name !== "AbortError") tell(error instanceof Told ? error.message : say.failed);
    if (body.textContent) remark(turn.article, says || say.partial);
    turn.cut = Boolean(body.textContent);
  }
  settle();
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
    document.dispatchEvent(new CustomEvent("answered", { detail: { question, answer, article: turn.article } })); // retorno.js
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
  return `${config.title}, ${say.version} ${config.version}, ${when}. ${say.source} ${config.model}.`;
}

function save() {
  const notice = [...document.querySelectorAll("header [role=note]")].filter((note) => !note.hidden)
    .map((note) => note.textContent.replace(/\s+/g, " ").trim()).join("\n");
  const said = turns.map(({ role, content, cut }) =>
    `${role === "user" ? say.question : say.answer}:\n${content}\n${cut ? `(${say.cut})\n` : ""}`);
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
  say = WORDS[config && config.language] || WORDS["pt-BR"];
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
  at("demonstration").hidden = !config.demonstration;
  const examples = (config.examples || []).slice(0, 6);
  if (!examples.length) at("begin").textContent = say.welcomeNone;
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
