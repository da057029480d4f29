// The page that shows a program's managers, grinders and nodes live: it asks for /stats.json once a second and takes
// nothing from elsewhere.
#include "stats/stats_server.hpp"

namespace leasepool::detail {

std::string_view stats_page() noexcept {
  return R"html(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>leasepool</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1c2127; --dim: #68737f; --line: #dfe3e8;
  --accent: #1565c0; --good: #2e7d32; --warn: #b26a00; --bad: #c62828; }
@media (prefers-color-scheme: dark) {
  :root { --back: #12161b; --card: #1b2128; --text: #e4e8ec; --dim: #98a4b0; --line: #303942; --accent: #64b5f6;
    --good: #81c784; --warn: #ffb74d; --bad: #ef9a9a; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 14px/1.45 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: baseline; padding: .8rem 1.2rem;
  border-bottom: 1px solid var(--line); background: var(--card); }
h1 { font-size: 1.1rem; margin: 0; } h2 { font-size: 1rem; margin: 0; } h3 { font-size: .85rem; margin: 1rem 0 .3rem; }
header span, .dim { color: var(--dim); }
#state.lost { color: var(--bad); font-weight: 600; }
main { padding: 1rem; display: grid; gap: 1rem; max-width: 1200px; margin: 0 auto; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; min-width: 0; }
.scrolls { overflow-x: auto; }
.title { display: flex; gap: .8rem; align-items: baseline; flex-wrap: wrap; }
.tag { border: 1px solid var(--line); border-radius: 99px; padding: 0 .6rem; color: var(--dim); font-size: .8rem; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem; margin-top: .8rem; }
.tile { border: 1px solid var(--line); border-radius: 6px; padding: .45rem .65rem; min-width: 0; }
.tile b { display: block; font-size: 1.2rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile small { color: var(--dim); } .tile.bad b { color: var(--bad); } .tile.warn b { color: var(--warn); }
svg { display: block; width: 100%; height: 28px; } polyline { fill: none; stroke: var(--accent); stroke-width: 1.5; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--dim); font-weight: 500; font-size: .8rem; }
th, td { padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.wide { white-space: normal; word-break: break-word; min-width: 12rem; } .n { text-align: right; }
tr:last-child td { border-bottom: 0; }
@media (max-width: 700px) { main { padding: .5rem; } .tiles { grid-template-columns: repeat(2, 1fr); } }
</style>
<header><h1>leasepool</h1><span id="who"></span><span id="state">connecting</span></header>
<main id="all"></main>
<script>
"use strict";
const most_rows = 200, history_length = 120;
let before = null;
const history = new Map();
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter(child => child !== null));
  return node;
};
const time = s => s === null ? "never" : s === undefined || Number.isNaN(s) ? "-"
  : s === 0 ? "0" : Math.abs(s) < 1e-6 ? (s * 1e9).toFixed(0) + " ns" : Math.abs(s) < 1e-3 ? (s * 1e6).toPrecision(3) + " \u00b5s"
  : Math.abs(s) < 1 ? (s * 1e3).toPrecision(3) + " ms" : Math.abs(s) < 120 ? s.toPrecision(3) + " s"
  : Math.abs(s) < 7200 ? (s / 60).toFixed(0) + " min" : (s / 3600).toFixed(1) + " h";
const count = n => n < 1e4 ? String(Math.round(n * 10) / 10) : n < 1e6 ? (n / 1e3).toFixed(1) + " k" : (n / 1e6).toFixed(2) + " M";
// What was recorded between two readings, and where its percentile lies within an octave.
const between = (now, old) => {
  const earlier = new Map((old ? old.buckets : []).map(bucket => [bucket.below, bucket.count]));
  return now.buckets.map(bucket => ({below: bucket.below, count: bucket.count - (earlier.get(bucket.below) || 0)}))
    .filter(bucket => bucket.count > 0);
};
const percentile = (buckets, percent) => {
  const all = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  if (all === 0) return undefined;
  let left = all * percent / 100;
  for (const bucket of buckets) {
    if (left <= bucket.count) return bucket.below <= 1e-9 ? 0 : bucket.below / 2 * (1 + left / bucket.count);
    left -= bucket.count;
  }
};
const remember = (key, value) => {
  const values = history.get(key) || [];
  values.push(value);
  if (values.length > history_length) values.shift();
  history.set(key, values);
  return values;
};
const spark = values => {
  const top = Math.max(...values, 1e-9);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 " + (history_length - 1) + " 28");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const first = history_length - values.length;
  line.setAttribute("points", values.map((value, i) => (first + i) + "," + (26 - 24 * value / top).toFixed(1)).join(" "));
  line.setAttribute("vector-effect", "non-scaling-stroke");
  svg.append(line);
  return svg;
};
const tile = (label, value, note = "", kind = "", values = null) =>
  make("div", {class: "tile " + kind}, make("small", {}, label), make("b", {}, value),
    values ? spark(values) : null, make("small", {}, note));
const table = (title, heads, rows) => rows.length === 0 ? "" : make("div", {class: "scrolls"}, make("h3", {}, title + " (" + rows.length + ")"),
  make("table", {}, make("tr", {}, ...heads.map(head => make("th", head.startsWith("#") ? {class: "n"} : {}, head.replace("#", "")))),
    ...rows.slice(0, most_rows).map(row => make("tr", {}, ...row.map((cell, i) =>
      make("td", {class: (heads[i].startsWith("#") ? "n" : "") + (String(cell).length > 40 ? " wide" : "")}, String(cell)))))),
  rows.length > most_rows ? make("p", {class: "dim"}, (rows.length - most_rows) + " more are not shown") : null);
const rate = (now, old, name, seconds) => old ? Math.max(0, now[name] - old[name]) / seconds : 0;
const manager = (now, old, seconds) => {
  const calls = rate(now, old, "calls_completed", seconds) + rate(now, old, "calls_failed", seconds);
  const run = between(now.call_run, old && old.call_run), wait = between(now.call_wait, old && old.call_wait);
  const grants = between(now.acquire_wait, old && old.acquire_wait);
  const running = now.leases.flatMap(lease => lease.running.map(call => [lease, call]));
  const failures = Object.entries(now.calls_failed_by).map(([kind, n]) => kind + " " + n).join(", ");
  return make("section", {}, make("div", {class: "title"}, make("h2", {}, now.manager), make("span", {class: "tag"}, now.backend),
      make("span", {class: "tag"}, now.started ? "running" : now.stopping ? "stopping" : "not running"),
      now.sandbox && now.sandbox.profile !== "none" ? make("span", {class: "tag"}, "sandbox " + now.sandbox.profile) : null),
    make("div", {class: "tiles"},
      tile("calls/s", count(calls), count(now.calls_completed) + " completed", "", remember(now.manager + ".calls", calls)),
      tile("call p50 / p99", time(percentile(run, 50)), "p99 " + time(percentile(run, 99))),
      tile("queue wait p50 / p99", time(percentile(wait, 50)), "p99 " + time(percentile(wait, 99))),
      tile("acquire p50 / p99", time(percentile(grants, 50)), "p99 " + time(percentile(grants, 99))),
      tile("pools", now.leased + " of " + now.total, now.available + " free, target " + now.desired + ", at most " + now.max_pools),
      tile("waiting acquires", now.waiters.length, now.waiters.length ? "the first for " + time(now.waiters[0].age) : now.acquired + " granted",
        now.waiters.length ? "warn" : ""),
      tile("failed calls", count(now.calls_failed), failures, now.calls_failed ? "warn" : ""),
      tile("crashed workers", now.workers_crashed, now.workers_killed + " killed, " + now.workers_recycled + " recycled, " + now.workers_started + " started",
        now.workers_crashed ? "bad" : "")),
    table("Leases", ["owner", "#age", "#expires in", "#running", "#queued", "acquired at"], now.leases.map(lease =>
      [lease.owner || "(none)", time(lease.age), time(lease.until_hard_expiry), lease.calls_running, lease.calls_queued, lease.acquired_at])),
    table("Running calls", ["function", "#for", "owner", "#pid"], running.sort((a, b) => b[1].running_for - a[1].running_for)
      .map(([lease, call]) => [call.function, time(call.running_for), lease.owner || "(none)", call.pid || "-"])),
    table("Waiting acquires", ["owner", "#for", "#gives up in"], now.waiters.map(waiter => [waiter.owner || "(none)", time(waiter.age), time(waiter.until_timeout)])),
    table("Workers", ["pool", "#worker", "#pid", "#calls", "runs"], now.workers.map(worker => [worker.pool, worker.worker_id, worker.pid || "-",
      worker.calls, worker.starting ? "starting" : worker.running ? worker.running.function + " for " + time(worker.running.running_for) : "-"])),
    table("Nodes", ["node", "#leases", "#in doubt", "#round trip", "#last heard", "#resends", "build"], now.nodes.map(node =>
      [node.node, node.leases, node.calls_in_doubt, node.round_trip === null ? "-" : time(node.round_trip), time(node.last_heard), node.resends, node.build])));
};
const grinder = (now, old, seconds) => {
  const items = rate(now, old, "items_completed", seconds);
  const total = between(now.item_total, old && old.item_total);
  return make("section", {}, make("div", {class: "title"}, make("h2", {}, now.grinder), make("span", {class: "tag"}, "grinder"),
      make("span", {class: "tag"}, now.started ? "running" : now.stopping ? "stopping" : "not running")),
    make("div", {class: "tiles"},
      tile("items/s", count(items), count(now.items_completed) + " completed", "", remember(now.grinder + ".items", items)),
      tile("item p50 / p99", time(percentile(total, 50)), "p99 " + time(percentile(total, 99))),
      tile("pending", count(now.pending), now.pending ? "the oldest for " + time(now.oldest_wait) : ""),
      tile("batches in flight", now.batches_in_flight, now.items_in_flight + " items; " + now.batches_waiting + " wait for a lease"),
      tile("batches flushed", count(now.batches_flushed), now.flushed_by_size + " by size, " + now.flushed_by_age + " by age"),
      tile("failed items", count(now.items_failed), now.items_cancelled + " cancelled, " + now.items_refused + " refused", now.items_failed ? "warn" : "")));
};
const node = (now, old, seconds) => make("section", {}, make("div", {class: "title"}, make("h2", {}, now.name),
    make("span", {class: "tag"}, "node of " + now.cluster), make("span", {class: "tag"}, now.state)),
  table("Leases of managers elsewhere", ["manager", "owner", "#age", "#calls", "#resends"], now.leases.map(lease =>
    [lease.manager, lease.owner || "(none)", time(lease.age), lease.calls, lease.resends])),
  manager(now.local, old && old.local, seconds));
const pair = (items, old, key) => items.map(item => [item, old ? old.find(other => other[key] === item[key]) : undefined]);
const show = now => {
  if (before && now.time === before.time) return;
  const seconds = before ? Math.max(now.time - before.time, 1e-3) : 1;
  document.getElementById("who").textContent = now.program + ", pid " + now.pid + ", on " + now.engine;
  document.title = now.program + " - leasepool";
  const all = [
    ...pair(now.managers, before && before.managers, "manager").map(([one, old]) => manager(one, old, seconds)),
    ...pair(now.grinders, before && before.grinders, "grinder").map(([one, old]) => grinder(one, old, seconds)),
    ...pair(now.nodes, before && before.nodes, "name").map(([one, old]) => node(one, old, seconds))];
  document.getElementById("all").replaceChildren(...(all.length ? all : [make("p", {class: "dim"}, "No manager lives on this loop now.")]));
  before = now;
};
const state = (text, lost) => { const at = document.getElementById("state"); at.textContent = text; at.className = lost ? "lost" : ""; };
const turn = async () => {
  try {
    const answer = await fetch("stats.json", {cache: "no-store", signal: AbortSignal.timeout(5000)});
    if (!answer.ok) throw new Error(answer.status);
    show(await answer.json());
    state("live", false);
  } catch (error) {
    state("no answer: what stands here is old", true);
  }
  setTimeout(turn, 1000);
};
turn();
</script>
</html>
)html";
}

}  // namespace leasepool::detail
