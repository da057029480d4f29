// ManagerStats as a table for people, as JSON, and as Prometheus text.
#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>

#include "lease/stats_format.hpp"
#include "lease/text.hpp"
#include "leasepool/stats.hpp"

namespace leasepool {

namespace {

using stats_format::Exposition;
using stats_format::in_short;
using stats_format::json_array;
using stats_format::JsonObject;
using stats_format::line;
using stats_format::seconds;

std::string_view name_of(ExecutorBackend backend) {
  switch (backend) {
    case ExecutorBackend::thread: return "thread";
    case ExecutorBackend::process: return "process";
    case ExecutorBackend::remote: break;
  }
  return "remote";
}

std::string_view name_of(KillScope scope) {
  switch (scope) {
    case KillScope::none: return "none";
    case KillScope::process_group: return "process group";
    case KillScope::cgroup: break;
  }
  return "cgroup";
}

std::string_view name_of(MemoryBound bound) {
  switch (bound) {
    case MemoryBound::none: return "none";
    case MemoryBound::address_space: return "address space";
    case MemoryBound::cgroup: return "cgroup";
    case MemoryBound::both: break;
  }
  return "address space and cgroup";
}

std::string_view name_of(LoopEngine engine) {
  switch (engine) {
    case LoopEngine::automatic: return "automatic";
    case LoopEngine::io_uring: return "io_uring";
    case LoopEngine::epoll: break;
  }
  return "epoll";
}

constexpr std::array<std::string_view, 18> kErrorNames = {
    "unknown",          "not_started",       "lease_unavailable", "lease_expired",
    "timed_out",        "cancelled",         "queue_full",        "wrong_thread",
    "worker_crashed",   "pool_broken",       "remote_exception",  "unregistered_function",
    "not_serializable", "payload_too_large", "bad_payload",       "unsupported",
    "end_of_stream",    "node_lost"};

std::string name_of(Errc code) {
  const auto index = static_cast<std::size_t>(code);
  return std::string(kErrorNames[index < kErrorNames.size() ? index : 0]);
}

std::string in_short(const SandboxStats& sandbox) {
  std::string text(name_of(sandbox.profile));
  if (sandbox.profile == Sandbox::Profile::none) return text;
  text += sandbox.seccomp ? ": seccomp" : ": no seccomp";
  return text + (sandbox.landlock_abi > 0 ? ", Landlock " + std::to_string(sandbox.landlock_abi) : ", no Landlock") +
         (sandbox.complete ? "" : " (best effort)");
}

std::string expiry(Duration left) {
  if (left == Duration::max()) return "never";
  return left < Duration::zero() ? detail::in_words(-left) + " ago" : "in " + detail::in_words(left);
}

std::string place_of(const RunningCall& call, ExecutorBackend backend) {
  if (call.pid == 0) return {};
  const bool is_thread = backend == ExecutorBackend::thread;
  return std::string(is_thread ? " on thread " : " on worker ") + std::to_string(call.worker_id) +
         (is_thread ? " (id " : " (pid ") + std::to_string(call.pid) + ")";
}

std::string text_of(const LeaseStats& lease, ExecutorBackend backend) {
  std::string text = "  lease " + std::to_string(lease.lease_id) + "  " + detail::quoted_owner(lease.owner) +
                     ", held " + detail::in_words(lease.age) + ", soft expiry " + expiry(lease.until_soft_expiry) +
                     ", hard expiry " + expiry(lease.until_hard_expiry) + ", " + std::to_string(lease.calls_running) +
                     " running, " + std::to_string(lease.calls_queued) + " queued" +
                     (lease.draining ? ", draining" : "") + ", acquired at " + lease.acquired_at + "\n";
  for (const RunningCall& call : lease.running) {
    text += "    call " + std::to_string(call.call_id) + " runs " + call.function + " for " +
            detail::in_words(call.running_for) + place_of(call, backend) + "\n";
  }
  return text;
}

std::string json_of(const RunningCall& call) {
  return JsonObject()
      .add("call_id", call.call_id)
      .add("function", call.function)
      .add("running_for", call.running_for)
      .add("pid", static_cast<std::uint64_t>(call.pid))
      .add("worker_id", call.worker_id)
      .text();
}

std::string json_of(const WorkerStats& worker) {
  return JsonObject()
      .add("pool", worker.pool)
      .add("worker_id", worker.worker_id)
      .add("pid", static_cast<std::uint64_t>(worker.pid))
      .add("starting", worker.starting)
      .add("calls", worker.calls)
      .raw("running", worker.running ? json_of(*worker.running) : "null")
      .text();
}

std::string json_of(const LeaseStats& lease) {
  return JsonObject()
      .add("lease_id", lease.lease_id)
      .add("owner", lease.owner)
      .add("acquired_at", lease.acquired_at)
      .add("age", lease.age)
      .add("until_soft_expiry", lease.until_soft_expiry)
      .add("until_hard_expiry", lease.until_hard_expiry)
      .add("draining", lease.draining)
      .add("calls_running", lease.calls_running)
      .add("calls_queued", lease.calls_queued)
      .raw("running", json_array(lease.running, [](const RunningCall& call) { return json_of(call); }))
      .text();
}

std::string json_of(const WaiterStats& waiter) {
  return JsonObject()
      .add("owner", waiter.owner)
      .add("age", waiter.age)
      .add("until_timeout", waiter.until_timeout)
      .text();
}

std::string json_of(const SandboxStats& sandbox) {
  return JsonObject()
      .add("profile", name_of(sandbox.profile))
      .add("seccomp", sandbox.seccomp)
      .add("landlock_abi", static_cast<std::uint64_t>(sandbox.landlock_abi))
      .add("complete", sandbox.complete)
      .text();
}

std::string text_of(const RemoteNodeStats& node) {
  const auto number = [](std::uint64_t value) { return std::to_string(value); };
  return "  node " + node.node + (node.build.empty() ? "" : " of build " + node.build) + ", " + number(node.leases) +
         " leased, " + number(node.calls_in_doubt) + " calls in doubt, round trip " +
         (node.round_trip ? detail::in_words(*node.round_trip) : "unknown") + ", heard " +
         detail::in_words(node.last_heard) + " ago, " + number(node.resends) + " resends\n";
}

std::string json_of(const RemoteNodeStats& node) {
  return JsonObject()
      .add("node", node.node)
      .add("build", node.build)
      .raw("round_trip", node.round_trip ? seconds(*node.round_trip) : "null")
      .add("last_heard", node.last_heard)
      .add("leases", node.leases)
      .add("calls_in_doubt", node.calls_in_doubt)
      .add("resends", node.resends)
      .text();
}

void add_nodes(Exposition& out, const std::vector<RemoteNodeStats>& nodes) {
  if (nodes.empty()) return;
  const auto each = [&](const std::string& name, std::string_view type, std::string_view help, const auto& value) {
    out.metric(name, type, help);
    for (const RemoteNodeStats& node : nodes) {
      if (const std::string text = value(node); !text.empty()) {
        out.sample(name, text, stats_format::label("node", node.node));
      }
    }
  };
  using Node = RemoteNodeStats;
  each("node_leases", "gauge", "Pools that a node has lent.", [](const Node& n) { return std::to_string(n.leases); });
  each("node_calls_in_doubt", "gauge", "Calls that a node was sent and has not answered.",
       [](const Node& n) { return std::to_string(n.calls_in_doubt); });
  each("node_last_heard_seconds", "gauge", "Since a node was heard last.",
       [](const Node& n) { return seconds(n.last_heard); });
  each("node_round_trip_seconds", "gauge", "To a node and back, as measured last.",
       [](const Node& n) { return n.round_trip ? seconds(*n.round_trip) : std::string(); });
  each("node_resends_total", "counter", "Parts of messages that a node was sent again.",
       [](const Node& n) { return std::to_string(n.resends); });
}

// Each kind from the start, as a rate needs a first value.
void add_failures(Exposition& out, const ManagerStats& stats) {
  out.metric("calls_failed_total", "counter", "Calls that failed, by kind.");
  for (std::size_t code = 1; code < kErrorNames.size(); ++code) {
    std::uint64_t count = 0;
    for (const auto& [kind, failed] : stats.calls_failed_by)
      count += static_cast<std::size_t>(kind) == code ? failed : 0;
    out.sample("calls_failed_total", std::to_string(count), "kind=\"" + std::string(kErrorNames[code]) + "\"");
  }
}

template <class Items, class Age>
Duration oldest(const Items& items, Age age) {
  Duration most{};
  for (const auto& item : items) most = std::max(most, age(item));
  return most;
}

const char* state_of(const ManagerStats& stats) {
  if (stats.started) return "running";
  return stats.stopping ? "stopping" : "not running";
}

}  // namespace

std::string to_text(const ManagerStats& stats) {
  const auto number = [](std::uint64_t value) { return std::to_string(value); };
  std::string failures;
  for (const auto& [code, count] : stats.calls_failed_by) {
    failures += (failures.empty() ? " (" : ", ") + name_of(code) + " " + number(count);
  }
  std::string text =
      stats.manager + " (" + std::string(name_of(stats.backend)) + " backend): " + state_of(stats) + "\n";
  if (stats.engine != LoopEngine::automatic) text += line("loop", "on " + std::string(name_of(stats.engine)));
  text += line("pools", number(stats.total) + " of at most " + number(stats.max_pools) + ", target " +
                            number(stats.desired) + ": " + number(stats.available) + " available, " +
                            number(stats.leased) + " leased, " + number(stats.starting) + " starting; " +
                            number(stats.workers_per_pool) + " workers each");
  text += line("acquires", number(stats.acquired) + " granted, " + number(stats.acquires_failed) + " failed, of them " +
                               number(stats.acquires_timed_out) + " timed out; " + number(stats.waiters.size()) +
                               " waiting");
  text +=
      line("leases", number(stats.leases_expired) + " past soft expiry, " + number(stats.leases_revoked) + " revoked");
  text += line("calls", number(stats.calls_completed) + " completed, " + number(stats.calls_failed) + " failed" +
                            failures + (failures.empty() ? "" : ")"));
  text +=
      line("workers", number(stats.workers_started) + " started, " + number(stats.workers_crashed) + " crashed, " +
                          number(stats.workers_killed) + " killed, " + number(stats.workers_recycled) + " recycled" +
                          (stats.spare_workers == 0 ? "" : ", " + number(stats.spare_workers) + " spare"));
  if (stats.worker_kill_scope != KillScope::none) {
    text += line("killed with", "each worker: its " + std::string(name_of(stats.worker_kill_scope)));
  }
  if (stats.worker_memory_bound != MemoryBound::none) {
    text += line("memory limit", "each worker: of its " + std::string(name_of(stats.worker_memory_bound)));
  }
  text += line("log", number(stats.log_lines) + " lines, " + number(stats.log_lines_dropped) + " dropped");
  if (stats.sandbox) text += line("sandbox", in_short(*stats.sandbox));
  text += line("acquire wait", in_short(stats.acquire_wait));
  text += line("call wait", in_short(stats.call_wait));
  text += line("call run", in_short(stats.call_run));
  for (const LeaseStats& lease : stats.leases) text += text_of(lease, stats.backend);
  for (const WaiterStats& waiter : stats.waiters) {
    text += "  waiter " + detail::quoted_owner(waiter.owner) + " for " + detail::in_words(waiter.age) + ", gives up " +
            expiry(waiter.until_timeout) + "\n";
  }
  for (const RemoteNodeStats& node : stats.nodes) text += text_of(node);
  return text;
}

std::string to_json(const ManagerStats& stats) {
  JsonObject failures;
  for (const auto& [code, count] : stats.calls_failed_by) failures.add(name_of(code), count);
  return JsonObject()
      .add("manager", stats.manager)
      .add("backend", name_of(stats.backend))
      .add("started", stats.started)
      .add("stopping", stats.stopping)
      .add("engine", name_of(stats.engine))
      .add("desired", stats.desired)
      .add("available", stats.available)
      .add("leased", stats.leased)
      .add("starting", stats.starting)
      .add("total", stats.total)
      .add("max_pools", stats.max_pools)
      .add("min_pools", stats.min_pools)
      .add("workers_per_pool", stats.workers_per_pool)
      .add("acquired", stats.acquired)
      .add("acquires_timed_out", stats.acquires_timed_out)
      .add("acquires_failed", stats.acquires_failed)
      .add("leases_expired", stats.leases_expired)
      .add("leases_revoked", stats.leases_revoked)
      .add("calls_completed", stats.calls_completed)
      .add("calls_failed", stats.calls_failed)
      .raw("calls_failed_by", failures.text())
      .add("workers_started", stats.workers_started)
      .add("workers_crashed", stats.workers_crashed)
      .add("workers_killed", stats.workers_killed)
      .add("workers_recycled", stats.workers_recycled)
      .add("spare_workers", stats.spare_workers)
      .add("worker_kill_scope", name_of(stats.worker_kill_scope))
      .add("worker_memory_bound", name_of(stats.worker_memory_bound))
      .add("log_lines", stats.log_lines)
      .add("log_lines_dropped", stats.log_lines_dropped)
      .raw("last_replacement_time", stats.last_replacement_time ? seconds(*stats.last_replacement_time) : "null")
      .add("acquire_wait", stats.acquire_wait)
      .add("call_wait", stats.call_wait)
      .add("call_run", stats.call_run)
      .raw("sandbox", stats.sandbox ? json_of(*stats.sandbox) : "null")
      .raw("leases", json_array(stats.leases, [](const LeaseStats& lease) { return json_of(lease); }))
      .raw("waiters", json_array(stats.waiters, [](const WaiterStats& waiter) { return json_of(waiter); }))
      .raw("workers", json_array(stats.workers, [](const WorkerStats& worker) { return json_of(worker); }))
      .raw("nodes", json_array(stats.nodes, [](const RemoteNodeStats& node) { return json_of(node); }))
      .text();
}

void stats_format::add(Exposition& out, const ManagerStats& stats) {
  out.set_labels(label("manager", stats.manager) + "," + label("backend", name_of(stats.backend)));
  out.gauge("up", stats.started ? 1 : 0, "Whether the manager is running.");
  out.metric("loop_engine", "gauge", "What the manager's loop runs on.");
  out.sample("loop_engine", "1", label("engine", name_of(stats.engine)));
  out.gauge("pools_desired", stats.desired, "Pools that there should be.");
  out.gauge("pools_max", stats.max_pools, "Pools that there may be.");
  out.metric("pools", "gauge", "Pools by state.");
  out.sample("pools", std::to_string(stats.available), "state=\"available\"");
  out.sample("pools", std::to_string(stats.leased), "state=\"leased\"");
  out.sample("pools", std::to_string(stats.starting), "state=\"starting\"");
  out.gauge("waiters", stats.waiters.size(), "Acquires that wait for a pool.");
  out.seconds_gauge("oldest_waiter_seconds", oldest(stats.waiters, [](const WaiterStats& w) { return w.age; }),
                    "How long the first in line has waited.");
  out.seconds_gauge("oldest_lease_seconds", oldest(stats.leases, [](const LeaseStats& l) { return l.age; }),
                    "How long the oldest lease has been held.");
  std::uint64_t running = 0;
  std::uint64_t queued = 0;
  for (const LeaseStats& lease : stats.leases) {
    running += lease.calls_running;
    queued += lease.calls_queued;
  }
  out.gauge("calls_running", running, "Calls that workers run.");
  out.gauge("calls_queued", queued, "Calls that wait for a worker.");
  out.counter("acquired_total", stats.acquired, "Acquires that were granted.");
  out.counter("acquires_timed_out_total", stats.acquires_timed_out, "Acquires that timed out.");
  out.counter("acquires_failed_total", stats.acquires_failed, "Acquires that failed, time-outs included.");
  out.counter("leases_expired_total", stats.leases_expired, "Leases held past their soft expiry.");
  out.counter("leases_revoked_total", stats.leases_revoked, "Leases revoked at their hard expiry.");
  out.counter("calls_completed_total", stats.calls_completed, "Calls that completed.");
  add_failures(out, stats);
  out.counter("workers_started_total", stats.workers_started, "Workers started.");
  out.counter("workers_crashed_total", stats.workers_crashed, "Worker processes that died by themselves.");
  out.counter("workers_killed_total", stats.workers_killed,
              "Worker processes killed for a deadline or a cancellation.");
  out.counter("workers_recycled_total", stats.workers_recycled,
              "Worker processes replaced after max_calls_per_worker, for age or memory, or as worker_reuse says.");
  out.gauge("spare_workers", stats.spare_workers, "Fresh worker processes that are ready to take another's place.");
  out.counter("log_lines_total", stats.log_lines, "Lines handed to the log sink.");
  out.counter("log_lines_dropped_total", stats.log_lines_dropped, "Log lines for which there was no room.");
  if (stats.sandbox) {
    const std::string profile = "profile=\"" + std::string(name_of(stats.sandbox->profile)) + "\",part=";
    out.metric("sandbox_active", "gauge", "Parts of the worker processes' sandbox that are in force.");
    out.sample("sandbox_active", stats.sandbox->seccomp ? "1" : "0", profile + "\"seccomp\"");
    out.sample("sandbox_active", stats.sandbox->landlock_abi > 0 ? "1" : "0", profile + "\"landlock\"");
  }
  add_nodes(out, stats.nodes);
  out.durations("acquire_wait_seconds", stats.acquire_wait, "From acquire to grant.");
  out.durations("call_wait_seconds", stats.call_wait, "From a call's submission to its start on a worker.");
  out.durations("call_run_seconds", stats.call_run, "From a call's start on a worker to its outcome.");
}

std::string to_prometheus(std::span<const ManagerStats> managers) {
  Exposition out;
  for (const ManagerStats& stats : managers) stats_format::add(out, stats);
  return out.text();
}

std::string to_prometheus(const ManagerStats& stats) { return to_prometheus(std::span(&stats, 1)); }

}  // namespace leasepool
