"use strict";
// The page: what the person asks -> the server's /v1/chat/completions, streamed -> what the person reads.
// Everything lives in `turns`, in memory only. Every failure ends in a sentence in #error.

const SLOW_MS = 8000;
const SAMPLING = ["temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n"];
const SAYS = {
  gone: "O programa que responde parou. Veja a janela em que ele foi iniciado e inicie-o de novo; depois recarregue esta página.",
  full: "A conversa ficou longa demais para o modelo. Comece uma nova conversa, ou faça uma pergunta mais curta.",
  loading: "O modelo ainda está carregando. Espere alguns segundos e pergunte de novo.",
  busy: "O computador está ocupado com outra pergunta. Espere um pouco e pergunte de novo.",
  failed: "Não foi possível responder a esta pergunta. Tente de novo; se continuar, inicie o programa outra vez.",
  noConfig: "Falta um arquivo do pacote (config.json). Copie a pasta inteira de novo e inicie outra vez.",
};

const at = (id) => document.getElementById(id);
const turns = [];
let config = null;
let running = null; // the AbortController of the answer that is being written

class Told extends Error {} // an error whose message is for the person

function tell(text) {
  at("error").textContent = text;
  at("error").hidden = !text;
  if (text) follow(true); // it takes room from the conversation
}

function show(role, text) {
  const article = document.createElement("article");
  article.className = role === "user" ? "mine" : "theirs";
  const who = document.createElement("h2");
  who.textContent = role === "user" ? "Você" : "Assistente";
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

function offerCopy(article, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copiar";
  button.addEventListener("click", async () => {
    at("status").textContent = (await copy(text)) ? "Resposta copiada." : "O navegador não permitiu copiar.";
  });
  article.append(button);
  follow(false);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
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
}

function request() {
  const body = { messages: [...turns], stream: true, max_tokens: config.max_answer_tokens };
  if (config.system) body.messages.unshift({ role: "system", content: config.system });
  for (const key of SAMPLING) if (key in config) body[key] = config[key];
  return body;
}

function failure(status, error) {
  const type = (error && error.type) || "";
  if (type === "exceed_context_size_error") return SAYS.full;
  if (status === 503) return /load/i.test((error && error.message) || "") ? SAYS.loading : SAYS.busy;
  return status === 429 ? SAYS.busy : SAYS.failed;
}

// Server-sent events -> their JSON objects; returns when the server says it is done.
async function* events(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Told(SAYS.gone); // the connection ended before [DONE]
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

async function post(signal) {
  let response;
  try {
    response = await fetch("v1/chat/completions", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request()), signal,
    });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Told(SAYS.gone);
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Told(failure(response.status, answer.error));
}

// The answer, piece by piece into `body`; resolves to why it ended.
async function stream(body, signal) {
  const response = await post(signal);
  let ended = "";
  try {
    for await (const event of events(response)) {
      if (event.error) throw new Told(failure(event.error.code, event.error));
      const choice = event.choices && event.choices[0];
      if (!choice) continue;
      if (choice.delta && choice.delta.content) {
        body.append(choice.delta.content);
        at("status").textContent = "Respondendo…";
        follow(false);
      }
      ended = choice.finish_reason || ended;
    }
  } catch (error) {
    if (error instanceof Told || error.name === "AbortError") throw error;
    throw new Told(SAYS.gone); // a connection that broke, or half an event
  }
  return ended;
}

async function ask(question) {
  tell("");
  turns.push({ role: "user", content: question });
  const mine = show("user", question);
  const article = show("assistant", "");
  const body = article.querySelector(".text");
  article.setAttribute("aria-busy", "true"); // screen readers wait for the whole answer
  running = new AbortController();
  busy(true);
  at("status").textContent = "Pensando…";
  const slow = setTimeout(() => {
    if (!body.textContent) at("status").textContent = "Ainda pensando. Se outra pessoa perguntou antes, a resposta dela vem primeiro.";
  }, SLOW_MS);
  let says = "Resposta completa.";
  try {
    if ((await stream(body, running.signal)) === "length") {
      remark(article, "A resposta foi cortada: chegou ao tamanho máximo.");
    }
  } catch (error) {
    says = error.name === "AbortError" ? "Resposta interrompida." : "";
    if (error.name !== "AbortError") tell(error instanceof Told ? error.message : SAYS.failed);
    if (body.textContent) remark(article, says || "A resposta ficou incompleta.");
  }
  clearTimeout(slow);
  finish(question, mine, article, body.textContent);
  at("status").textContent = says;
}

// Keep a turn that has an answer; give the question back for one that has none.
function finish(question, mine, article, answer) {
  article.removeAttribute("aria-busy");
  running = null;
  if (answer) {
    turns.push({ role: "assistant", content: answer });
    offerCopy(article, answer);
  } else {
    turns.pop();
    mine.remove();
    article.remove();
    if (!at("question").value) at("question").value = question;
    at("welcome").hidden = turns.length > 0;
  }
  busy(false);
  at("question").focus();
}

function fresh() {
  turns.length = 0;
  for (const article of at("conversation").querySelectorAll("article")) article.remove();
  at("welcome").hidden = false;
  at("question").value = "";
  tell("");
  at("status").textContent = "Nova conversa: a anterior foi apagada.";
  busy(false);
  at("question").focus();
}

function save() {
  const notice = document.querySelector(".notice").textContent.replace(/\s+/g, " ").trim();
  const said = turns.map((turn) => `${turn.role === "user" ? "Pergunta" : "Resposta"}:\n${turn.content}\n`);
  const head = `${config.title}, versão ${config.version}, ${new Date().toLocaleString("pt-BR")}\n${notice}\n`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[head, ...said].join("\n")], { type: "text/plain;charset=utf-8" }));
  link.download = "conversa.txt";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function submit() {
  const question = at("question").value.trim();
  if (running || !config) return;
  if (!question) {
    at("status").textContent = "Escreva uma pergunta primeiro.";
    at("question").focus();
    return;
  }
  at("question").value = "";
  ask(question);
}

async function begin() {
  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  at("question").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && running) running.abort();
  });
  at("stop").addEventListener("click", () => running && running.abort());
  at("fresh").addEventListener("click", fresh);
  at("print").addEventListener("click", () => window.print());
  at("save").addEventListener("click", save);
  try {
    const response = await fetch("config.json", { cache: "no-store" });
    if (!response.ok) throw new Told(SAYS.noConfig);
    config = await response.json();
  } catch (error) {
    tell(error instanceof TypeError ? SAYS.gone : SAYS.noConfig);
    at("send").disabled = true;
    return;
  }
  document.title = config.title;
  at("title").textContent = config.title;
  at("question").focus();
}

begin();
