"use strict";
// What all parts of the page share: the conversation as it stands in memory, and the elements that people see.

const AGAIN_MS = 1000; // until the next try, when another question is being answered

const at = (id) => document.getElementById(id);
let turns = []; // {role, content, article, cut, out}; out: too old to be sent
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

// Keep the newest words in sight, unless the person has scrolled up to read; a welcome is read from its beginning.
function follow(always) {
  const box = at("conversation");
  if (!at("welcome").hidden) return;
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
