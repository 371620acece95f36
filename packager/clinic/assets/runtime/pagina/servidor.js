"use strict";
// A conversation -> the program's answer, streamed; every failure is an error whose message is for the person.

const SAMPLING = ["temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "seed"];

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

// Do these turns leave room for an answer?
async function fits(kept, signal) {
  const answer = Math.min(config.max_answer_tokens, Math.floor(config.context / 2));
  const response = await send("contar", { messages: messages(kept) }, signal);
  if (response.status === 413) return false; // more than the program takes at once
  if (!response.ok) return true; // it cannot be counted: the program says by itself what does not fit
  const { input_tokens: count } = await response.json();
  return !(count + answer > config.context);
}

// The newest turns that leave room for an answer; the oldest question goes first, with its answer. Those that were left
// out of an answer stay out. Where one is not enough, twice as many are, and then the bounds are halved: few requests for any day.
async function fitting(signal) {
  const kept = turns.filter((turn) => !turn.out);
  const from = kept.map((turn, index) => index).filter((index) => index === 0 || kept[index].role === "user");
  let out = -1, within = 0; // of `from`: too many are kept from the first of the two on, from the second on they fit
  while (!await fits(kept.slice(from[within]), signal)) {
    if (within === from.length - 1) throw new Told(say.full);
    [out, within] = [within, Math.min(2 * within + 1, from.length - 1)];
  }
  while (within - out > 1) {
    const middle = Math.floor((out + within) / 2);
    if (await fits(kept.slice(from[middle]), signal)) within = middle;
    else out = middle;
  }
  return kept.slice(from[within]);
}

function failure(code, error) {
  const type = (error && error.type) || "";
  if (type === "exceed_context_size_error") return say.full;
  if (code === 401) return say.wrongKey;
  if (type === "mode") return say.modeChanged;
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

// The answer to a conversation, piece by piece to `write`; resolves to why it ended.
async function stream(sent, write, signal) {
  const asked = { messages: sent, stream: true, return_progress: true, max_tokens: config.max_answer_tokens };
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
        write(choice.delta.content);
      }
      ended = choice.finish_reason || ended;
    }
  } catch (error) {
    if (error instanceof Told || error.name === "AbortError") throw error;
    throw new Told(say.gone); // a connection that broke, or half an event
  }
  return ended;
}
