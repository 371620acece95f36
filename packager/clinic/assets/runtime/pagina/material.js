"use strict";
// A question -> what the approved material says, word for word with its source, or that it says nothing. In the mode
// `assisted` the model then writes from these passages; what they do not carry is struck before anybody reads it.
// The program searches and judges (/buscar, /conferir), with the code that the build was proven with.

let mode = "free"; // or "assisted", "approved": of the running program, which may be lower than the package's

function setMode(named) {
  mode = named || "free";
  at("mode").hidden = mode === "free";
  document.body.dataset.mode = mode;
  at("modeName").textContent = say.modes[mode];
  const by = config.approved_by ? ` ${say.approvedBy} ${config.approved_by}` : "";
  at("modeText").textContent = say.modeTexts[mode] + by;
  at("noticeText").textContent = mode === "approved" ? say.noticeApproved : say.noticeText;
  at("begin").textContent = (config.examples || []).length ? say.welcome : say.welcomeNone;
  const free = mode === "free";
  at("demonstration").hidden = free ? !config.demonstration : Boolean(config.approved_by);
  at("warningName").textContent = free ? say.demonstration : say.unapproved;
  at("warningText").textContent = free ? say.demonstrationText : say.unapprovedText;
}

// One passage: its words, and where they stand.
function passageElement(passage) {
  const quote = document.createElement("blockquote");
  const text = document.createElement("p");
  text.className = "text";
  text.textContent = passage.text;
  const source = document.createElement("footer");
  source.textContent = sourceOf(passage);
  if (passage.question) {
    const about = document.createElement("p");
    about.className = "about";
    about.textContent = passage.question;
    quote.append(about);
  }
  quote.append(text, source);
  return quote;
}

function sourceOf(passage) {
  const place = [passage.source];
  if (passage.page) place.push(`${say.page} ${passage.page}`);
  if (passage.date) place.push(passage.date);
  return `${say.sourceOf} ${place.join(", ")}`;
}

function spoken(found) {
  if (!found.passages.length) return `${say.notFound} ${say.next[found.verdict] || ""}`.trim();
  const passages = found.passages.map((passage) => `${passage.text}\n${sourceOf(passage)}`);
  return [...(found.verdict === "near" ? [`${say.nearest}:`] : []), ...passages].join("\n\n");
}

function showFound(found) {
  const article = document.createElement("article");
  const near = found.verdict === "near"; // the closest there is, which may not be the answer
  article.className = near ? "nearest" : found.passages.length ? "approved" : "silent";
  const who = document.createElement("h2");
  who.textContent = near ? say.nearest : found.passages.length ? say.approved : say.notFound;
  article.append(who);
  if (near) remark(article, say.compare);
  if (found.passages.length) {
    article.append(...found.passages.map(passageElement));
  } else {
    const next = document.createElement("p");
    next.className = "text";
    next.textContent = say.next[found.verdict] || "";
    article.append(next);
    suggest(article, found.meant || []);
  }
  if (near || !found.passages.length) article.append(helpElement()); // what is needed may not stand there
  at("conversation").append(article);
  document.body.dataset.asked = "yes"; // on a phone the mode's explanation then makes room
  if (found.passages.length) offer(article, say.copy, async () => status((await copy(spoken(found))) ? say.copied : say.notCopied));
  return article;
}

// The numbers to call, where the material has no sure answer: also at the top of the page, always.
function helpElement() {
  const line = document.createElement("p");
  line.className = "help";
  line.textContent = `${say.help} ${say.helpText}`;
  return line;
}

// Approved questions that may have been meant, to choose from; none of their answers is shown unasked.
function suggest(article, questions) {
  if (!questions.length) return;
  remark(article, say.meant);
  for (const question of questions) {
    offer(article, question, () => {
      if (!running) ask(question);
    });
  }
}

async function search(question, signal) {
  const response = await send("buscar", { question }, signal);
  if (response.ok) return response.json();
  const { error } = await response.json().catch(() => ({}));
  throw new Told(failure(response.status, error));
}

// The model's words, from the passages: read by nobody before they were held against them.
async function write(found, signal) {
  const article = show("assistant", "");
  const body = article.querySelector(".text");
  article.setAttribute("aria-busy", "true");
  let written = "";
  try {
    await stream(messages([{ role: "user", content: found.prompt }]), (piece) => { written += piece; }, signal);
    const held = await send("conferir", { answer: written, places: found.places }, signal);
    if (!held.ok) throw new Told(say.failed);
    const { sentences } = await held.json();
    body.append(...sentenceElements(sentences));
  } catch (error) {
    body.textContent = "";
    remark(article, error.name === "AbortError" ? say.stopped : error instanceof Told ? error.message : say.failed);
  }
  article.removeAttribute("aria-busy");
  follow(true);
  return { article, content: body.textContent };
}

function sentenceElements(sentences) {
  const elements = [];
  let struck = false;
  for (const { text, why } of sentences) {
    if (why && struck) continue;
    struck = Boolean(why);
    const element = document.createElement(why ? "em" : "span");
    if (why) element.className = "struck";
    element.textContent = why ? `${say.struck} ` : `${text} `;
    elements.push(element);
  }
  return elements;
}

// For retorno.js: what was shown, which somebody may say is wrong.
function noted(question, { content, article }, found) {
  const detail = { question, answer: content, mode, passage: spoken(found), article };
  document.dispatchEvent(new CustomEvent("answered", { detail }));
}

// A question in the modes `approved` and `assisted`; each stands for itself, without the ones before.
async function askMaterial(question) {
  running = new AbortController();
  busy(true);
  status(say.searching);
  const mine = { role: "user", content: question, article: show("user", question) };
  turns.push(mine);
  let says = "";
  try {
    const found = await search(question, running.signal);
    const shown = { role: "approved", content: spoken(found), article: showFound(found) };
    turns.push(shown);
    noted(question, shown, found);
    says = found.verdict === "near" ? say.nearest : found.passages.length ? say.foundIt : say.notFound;
    if (found.prompt) {
      status(say.writing);
      const stop = watch({ textContent: "" });
      const { article, content } = await write(found, running.signal);
      stop();
      turns.push({ role: "assistant", content, article });
      if (content) noted(question, { content, article }, found);
      says = content ? say.complete : ""; // what went wrong stands there, below what is approved
    }
  } catch (error) {
    if (error.name !== "AbortError") tell(error instanceof Told ? error.message : say.failed);
    turns.pop();
    mine.article.remove();
    if (!at("question").value) at("question").value = question;
    at("welcome").hidden = turns.length > 0;
  }
  running = null;
  busy(false);
  status(says);
  at("conversation").scrollTop = mine.article.offsetTop - at("conversation").offsetTop; // what is approved comes first
  at("question").focus();
  if (at("error").textContent === say.gone) listen();
}
