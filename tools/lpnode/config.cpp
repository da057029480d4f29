// Which keys there are, and what they are of.
#include "config.hpp"

#include <leasepool/sandbox.hpp>

#include <algorithm>
#include <exception>
#include <utility>

#include "section.hpp"

namespace lpnode {

namespace {

using leasepool::ExecutorBackend;
using leasepool::Sandbox;
using leasepool::WorkerReuse;

void take_remote(Section section, leasepool::RemoteOptions& remote) {
  section.take_list("servers", remote.servers);
  section.take("cluster", remote.cluster);
  section.take("pool", remote.pool);
  section.take("user", remote.user);
  section.take("credentials_file", remote.credentials_file);
  section.take("ca_file", remote.ca_file);
  section.take("cert_file", remote.cert_file);
  section.take("key_file", remote.key_file);
  section.take("heartbeat", remote.heartbeat);
  section.take("node_timeout", remote.node_timeout);
  section.take_size("window", remote.window);
  section.end();
  // It and `match` are for managers alone.
  remote.reconnect_grace = std::min<leasepool::Duration>(remote.reconnect_grace, remote.node_timeout);
}

void take_pools(Section section, leasepool::ManagerOptions& pools) {
  pools.backend = ExecutorBackend::process;
  section.take_word<ExecutorBackend>("backend", pools.backend,
                                     {{"process", ExecutorBackend::process}, {"thread", ExecutorBackend::thread}});
  section.take("max_pools", pools.max_pools);
  section.take("min_pools", pools.min_pools);
  section.take("workers_per_pool", pools.workers_per_pool);
  section.take("name_prefix", pools.name_prefix);
  section.take("stop_timeout", pools.stop_timeout);
  section.take("worker_start_timeout", pools.worker_start_timeout);
  section.take_size("max_payload", pools.max_payload);
  section.take("max_calls_per_worker", pools.max_calls_per_worker);
  section.take_word<WorkerReuse>(
      "worker_reuse", pools.worker_reuse,
      {{"always", WorkerReuse::always}, {"lease", WorkerReuse::lease}, {"call", WorkerReuse::call}});
  section.take("spare_workers", pools.spare_workers);
  section.take("max_worker_age", pools.max_worker_age);
  section.take_size("max_worker_rss", pools.max_worker_rss);
  section.take("worker_cgroup", pools.worker_cgroup);
  section.take("spin", pools.spin);
  section.take("shared_memory", pools.shared_memory);
  section.end();
}

void take_limits(Section section, leasepool::WorkerLimits& limits) {
  section.take_size("memory", limits.memory);
  section.take("cpu_time", limits.cpu_time);
  section.take("open_files", limits.open_files);
  section.take_size("core_size", limits.core_size);
  section.take("niceness", limits.niceness);
  section.end();
}

void take_sandbox(Section section, Config& config) {
  Sandbox::Profile profile = Sandbox::Profile::none;
  section.take_word<Sandbox::Profile>(
      "profile", profile,
      {{"none", Sandbox::Profile::none}, {"compute", Sandbox::Profile::compute}, {"files", Sandbox::Profile::files}});
  bool best_effort = false;
  std::vector<std::string> read;
  std::vector<std::string> write;
  section.take("best_effort", best_effort);
  section.take("read", read);
  section.take("write", write);
  section.end();
  const auto enforcement = best_effort ? Sandbox::best_effort : Sandbox::strict;
  if (profile != Sandbox::Profile::files && (!read.empty() || !write.empty())) {
    throw ConfigError(config.file + ":" +
                      std::to_string(config.lines[read.empty() ? "Sandbox::write" : "Sandbox::read"]) + ": [sandbox] " +
                      (read.empty() ? "write" : "read") + " is set, which needs profile = \"files\"");
  }
  if (profile == Sandbox::Profile::compute) config.pools.sandbox = Sandbox::compute(enforcement);
  if (profile == Sandbox::Profile::files) config.pools.sandbox = Sandbox::files(read, write, enforcement);
  if (const auto line = config.lines.find("Sandbox::profile"); line != config.lines.end()) {
    config.lines.insert_or_assign("ManagerOptions::sandbox", line->second);
  }
}

void take_stats(Section section, Config& config) {
  section.take("socket", config.stats.socket);
  section.take("listen", config.stats.listen);
  section.take("hosts", config.stats.hosts);
  section.end();
  if (!config.stats.hosts.empty() && !config.stats.listen) {
    throw ConfigError(config.file + ":" + std::to_string(config.lines["StatsServerOptions::hosts"]) +
                      ": [stats] hosts is set, which needs listen");
  }
}

toml::table parse(const std::string& file) {
  try {
    return toml::parse_file(file);
  } catch (const toml::parse_error& error) {
    const auto line = error.source().begin.line;
    throw ConfigError(file + (line == 0 ? "" : ":" + std::to_string(line)) + ": " + std::string(error.description()));
  }
}

}  // namespace

Config read_config(const std::string& file) {
  Config config;
  config.file = file;
  const toml::table table = parse(file);
  try {
    take_remote({config, table, "remote", "RemoteOptions"}, config.remote);
    take_pools({config, table, "pools", "ManagerOptions"}, config.pools);
    take_limits({config, table, "worker_limits", "WorkerLimits"}, config.pools.worker_limits);
    take_sandbox({config, table, "sandbox", "Sandbox"}, config);
    take_stats({config, table, "stats", "StatsServerOptions"}, config);
  } catch (const std::invalid_argument& error) {  // a path of the sandbox
    throw ConfigError(file + ": " + error.what());
  }
  Section whole(config, table, "", "");
  whole.take("load", config.load);
  for (const char* const name : {"remote", "pools", "worker_limits", "sandbox", "stats"}) whole.know(name);
  whole.end();
  return config;
}

// "leasepool: ManagerOptions::max_pools = 0 must be ..." is about one of the keys.
std::string Config::located(std::string_view complaint) const {
  static const std::pair<std::string_view, std::string_view> kTables[] = {
      {"RemoteOptions::", "remote"}, {"ManagerOptions::", "pools"}, {"WorkerLimits::", "worker_limits"}};
  for (const auto& [options, table] : kTables) {
    const std::size_t at = complaint.find(options);
    if (at == std::string_view::npos) continue;
    const std::size_t end = complaint.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", at + options.size());
    const std::string_view option = complaint.substr(at, end - at);
    const bool is_sandbox = option == "ManagerOptions::sandbox";
    const std::string key =
        is_sandbox ? "[sandbox] profile" : "[" + std::string(table) + "] " + std::string(option.substr(options.size()));
    const auto line = lines.find(option);
    if (line != lines.end())
      return file + ":" + std::to_string(line->second) + ": " + key + ": " + std::string(complaint);
    return file + ": " + key + " is not set: " + std::string(complaint);
  }
  return file + ": " + std::string(complaint);
}

}  // namespace lpnode
