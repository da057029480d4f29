// One page that takes nothing from elsewhere: it uploads by fetch(), and shows the workers as /events tells of them.
#include "page.hpp"

std::string_view page() noexcept {
  return R"html(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Thumbnails</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --back: #f4f6f8; --card: #fff; --text: #1b2127; --dim: #5f6b77; --line: #dce1e6;
  --accent: #1565c0; --on-accent: #fff; --good: #2e7d32; --bad: #c62828; --check: #e9edf1; }
@media (prefers-color-scheme: dark) {
  :root { --back: #11151a; --card: #1a2027; --text: #e5e9ed; --dim: #9aa6b2; --line: #2f3841; --accent: #64b5f6;
    --on-accent: #0d1b2a; --good: #81c784; --bad: #ef9a9a; --check: #242c34; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 1.6rem 1rem; display: grid; gap: 1rem; }
h1 { font-size: 1.45rem; margin: 0; } h2 { font-size: 1rem; margin: 0 0 .7rem; }
p { margin: .2rem 0 0; color: var(--dim); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; min-width: 0; }
#drop { border: 2px dashed var(--line); border-radius: 8px; padding: 1.3rem 1rem; text-align: center; }
#drop.over { border-color: var(--accent); }
.buttons { display: flex; flex-wrap: wrap; gap: .5rem; justify-content: center; margin-top: .8rem; }
button, label.button { font: inherit; padding: .4rem .9rem; border-radius: 6px; cursor: pointer;
  border: 1px solid var(--line); background: transparent; color: var(--text); }
label.button { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
label.button:focus-within, button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
button.bad { color: var(--bad); }
input[type=file] { position: absolute; opacity: 0; width: 1px; }
.tiles { display: grid; grid-template-columns: repeat(6, 1fr); gap: .5rem; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: .45rem .7rem; }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tile small { color: var(--dim); } .tile.bad b { color: var(--bad); }
#answers { margin-top: .7rem; color: var(--dim); font-variant-numeric: tabular-nums; }
#results { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: .7rem; }
.result { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.result .picture { aspect-ratio: 8 / 5; display: grid; place-items: center; background: var(--check); color: var(--bad);
  font-size: 2rem; font-weight: 600; }
.result img { width: 100%; height: 100%; object-fit: contain; display: block; }
.result div:last-child { padding: .5rem .7rem; font-size: .85rem; overflow-wrap: anywhere; color: var(--dim); }
.result strong { color: var(--text); display: block; } #lost { color: var(--bad); }
@media (max-width: 760px) { .tiles { grid-template-columns: repeat(3, 1fr); } main { padding: 1rem .6rem; } }
</style>
<main>
<header><h1>Thumbnails</h1>
<p>Each image is decoded in a sandboxed worker process<span id="clean"></span>. What it does there, it does to that
process alone.</p></header>
<section aria-label="Upload">
<div id="drop">Drop images here: JPEG, PNG or WebP.
<div class="buttons"><label class="button">Choose images<input id="files" type="file" multiple
 accept="image/jpeg,image/png,image/webp"></label>
<button id="sample">Send a sample</button> <button id="broken">Send half of it</button>
<button id="bomb">Send a bomb</button> <button id="crash" class="bad" hidden>Crash a worker</button></div></div>
</section>
<section aria-label="Workers"><h2>Workers <span id="lost" role="status"></span></h2>
<div class="tiles">
<div class="tile"><small>leased</small><b id="leased">-</b></div>
<div class="tile"><small>running</small><b id="running">-</b></div>
<div class="tile"><small>waiting</small><b id="waiting">-</b></div>
<div class="tile"><small>completed</small><b id="completed">-</b></div>
<div class="tile" id="crashes"><small>crashed</small><b id="crashed">-</b></div>
<div class="tile"><small>p99</small><b id="p99">-</b></div>
</div><div id="answers"></div></section>
<section aria-label="Results"><h2>Results</h2><div id="results" aria-live="polite"><p>None yet.</p></div></section>
</main>
<script>
"use strict";
const byId = id => document.getElementById(id);
const kept = 12;  // results
const show = (name, picture, status, text) => {
  const card = document.createElement("div"), top = document.createElement("div"), below = document.createElement("div");
  const title = document.createElement("strong");
  card.className = "result";
  card.dataset.status = status;
  top.className = "picture";
  top.append(picture || String(status));
  title.textContent = name;
  below.append(title, text);
  card.append(top, below);
  const results = byId("results");
  results.querySelector("p")?.remove();
  results.prepend(card);
  while (results.children.length > kept) {
    const last = results.lastChild.querySelector("img");
    if (last) URL.revokeObjectURL(last.src);
    results.lastChild.remove();
  }
};
const size = bytes => bytes < 1e4 ? bytes + " B" : bytes < 1e6 ? (bytes / 1e3).toFixed(0) + " kB" : (bytes / 1e6).toFixed(1) + " MB";
const send = async (name, path, blob) => {
  const began = performance.now();
  try {
    const response = await fetch(path, {method: "POST", body: blob});
    const took = ", " + (performance.now() - began).toFixed(0) + " ms";
    if (!response.ok) return show(name, null, response.status, await response.text());
    const picture = new Image();
    picture.alt = "thumbnail of " + name;
    picture.src = URL.createObjectURL(await response.blob());
    await picture.decode();
    show(name, picture, response.status, response.headers.get("X-Source") + ", " + size(blob.size) + took);
  } catch (error) {
    show(name, null, "?", "no answer: " + error.message);
  }
};
const hues = [215, 265, 325, 15, 190];
let drawn = 0;
const draw = () => new Promise(done => {
  const canvas = document.createElement("canvas"), hue = hues[drawn++ % hues.length];
  canvas.width = 1600; canvas.height = 1000;
  const pen = canvas.getContext("2d"), sky = pen.createLinearGradient(0, 0, 0, 1000);
  sky.addColorStop(0, `hsl(${hue} 70% 35%)`); sky.addColorStop(1, `hsl(${hue + 50} 85% 75%)`);
  pen.fillStyle = sky; pen.fillRect(0, 0, 1600, 1000);
  pen.fillStyle = "#fff6d8"; pen.beginPath(); pen.arc(1150, 330, 120, 0, 7); pen.fill();
  for (let hill = 0; hill < 4; ++hill) {
    pen.fillStyle = `hsl(${hue + 20} 40% ${42 - 9 * hill}%)`; pen.beginPath(); pen.moveTo(0, 1000);
    for (let x = 0; x <= 1600; x += 10) pen.lineTo(x, 560 + 110 * hill + 70 * Math.sin(x / (150 + 40 * hill) + hue + 2 * hill));
    pen.lineTo(1600, 1000); pen.fill();
  }
  canvas.toBlob(done, "image/jpeg", .9);
});
// The start of a PNG that says that it is 100,000 x 100,000: 45 bytes for 40 GB.
const bomb = () => new Blob([Uint8Array.from(atob("iVBORw0KGgoAAAANSUhEUgABhqAAAYagCAYAAACoUgvIAAAAAElEQVQ1rwYe"), c => c.charCodeAt(0))]);
byId("files").onchange = async event => {
  for (const file of event.target.files) await send(file.name, "/thumbnail", file);
  event.target.value = "";
};
byId("sample").onclick = async () => send("sample.jpg", "/thumbnail", await draw());
byId("broken").onclick = async () => { const all = await draw(); send("half of sample.jpg", "/thumbnail", all.slice(0, all.size / 2)); };
byId("bomb").onclick = () => send("bomb.png", "/thumbnail", bomb());
byId("crash").onclick = () => send("crash", "/crash", new Blob(["x"]));
const drop = byId("drop");
drop.ondragover = event => { event.preventDefault(); drop.classList.add("over"); };
drop.ondragleave = () => drop.classList.remove("over");
drop.ondrop = async event => {
  event.preventDefault();
  drop.classList.remove("over");
  for (const file of [...event.dataTransfer.files]) await send(file.name, "/thumbnail", file);
};
const events = new EventSource("/events");
events.onerror = () => { byId("lost").textContent = "no connection"; };
events.onmessage = event => {
  const now = JSON.parse(event.data);
  byId("lost").textContent = "";
  for (const name of ["running", "waiting", "completed", "crashed"]) byId(name).textContent = now[name];
  byId("leased").textContent = now.leased + " of " + now.workers;
  byId("p99").textContent = now.completed ? (now.p99 < 10 ? now.p99.toFixed(1) : now.p99.toFixed(0)) + " ms" : "-";
  byId("crashes").classList.toggle("bad", now.crashed > 0);
  byId("crash").hidden = !now.crash;
  byId("clean").textContent = now.clean ? ", a new one for each" : "";
  byId("answers").textContent = "Answers: " + (Object.entries(now.answers).map(([status, n]) => n + "\u00a0\u00d7\u00a0" + status).join(", ") || "none yet")
    + ". Workers killed for their deadline: " + now.killed + ", recycled: " + now.recycled + ".";
};
</script>
</html>
)html";
}
