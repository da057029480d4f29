// Options of a remote manager that make no sense are refused with the field, the value and what it may be.
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "lease/options_check.hpp"

namespace remote_options {

using namespace std::chrono_literals;
using namespace leasepool;

// What an std::invalid_argument says of options that are changed; empty if nothing was thrown.
template <class Change>
std::string refused(Change change) {
  ManagerOptions options{.backend = ExecutorBackend::remote, .max_pools = 4};
  options.remote.servers = "nats://127.0.0.1:4222";
  change(options);
  try {
    detail::check_manager_options(options);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

// Of RemoteOptions alone.
template <class Change>
std::string refused_remote(Change change) {
  return refused([&](ManagerOptions& options) { change(options.remote); });
}

}  // namespace remote_options

TEST_CASE("N1: options of a remote manager that make no sense are refused", "[remote][N1]") {
  using namespace remote_options;
  CHECK(refused([](auto&) {}).empty());
  CHECK(refused([](auto& o) { o.min_pools = 0; }).empty());
  CHECK(refused_remote([](auto& r) { r.servers = " "; }) ==
        "leasepool: RemoteOptions::servers is empty: name a NATS server, as nats://host:4222");
  CHECK(refused_remote([](auto& r) { r.servers = "http://here"; }) ==
        "leasepool: RemoteOptions::servers: \"http://here\" must begin with nats:// or tls://");
  const std::string of_tokens =
      " must be 1 to 64 visible ASCII characters without a dot, an asterisk or a greater-than sign";
  CHECK(refused_remote([](auto& r) { r.cluster = ""; }) == "leasepool: RemoteOptions::cluster = \"\"" + of_tokens);
  CHECK(refused_remote([](auto& r) { r.cluster = "a.b"; }) ==
        "leasepool: RemoteOptions::cluster = \"a.b\"" + of_tokens);
  CHECK(refused_remote([](auto& r) { r.pool = "a b"; }) == "leasepool: RemoteOptions::pool = \"a b\"" + of_tokens);
  CHECK(refused_remote([](auto& r) { r.pool = "a*"; }) == "leasepool: RemoteOptions::pool = \"a*\"" + of_tokens);
  CHECK_FALSE(refused_remote([](auto& r) { r.pool = std::string(65, 'a'); }).empty());
  CHECK(refused_remote([](auto& r) { r.pool = std::string(64, 'a'); }).empty());
  CHECK(refused_remote([](auto& r) { r.user = "alice"; }) ==
        "leasepool: RemoteOptions::user = \"alice\" needs credentials_file: name the file that has the password");
  CHECK(refused_remote([](auto& r) { r.cert_file = "a.pem"; }) ==
        "leasepool: RemoteOptions::cert_file = \"a.pem\" needs key_file, too: give both or none");
  CHECK(refused_remote([](auto& r) { r.key_file = "a.key"; }) ==
        "leasepool: RemoteOptions::key_file = \"a.key\" needs cert_file, too: give both or none");
  CHECK(refused_remote([](auto& r) { r.ca_file = std::string("a\0b", 3); }) ==
        "leasepool: RemoteOptions::ca_file = \"a\\x00b\" has a zero byte in it; name a file");
  CHECK(refused_remote([](auto& r) { r.heartbeat = 0s; }) ==
        "leasepool: RemoteOptions::heartbeat = 0 s must be at least 1 ms: each is a message");
  CHECK(refused_remote([](auto& r) { r.heartbeat = 5s; }) ==
        "leasepool: RemoteOptions::heartbeat = 5 s must be less than node_timeout = 5 s");
  CHECK(refused_remote([](auto& r) { r.node_timeout = 0s; }) ==
        "leasepool: RemoteOptions::node_timeout = 0 s must be positive (Duration::max() means never)");
  CHECK(refused_remote([](auto& r) { r.reconnect_grace = 0s; }) ==
        "leasepool: RemoteOptions::reconnect_grace = 0 s must be positive (Duration::max() means never)");
  CHECK(refused_remote([](auto& r) { r.reconnect_grace = 6s; }) ==
        "leasepool: RemoteOptions::reconnect_grace = 6 s must be at most node_timeout = 5 s");
  CHECK(refused_remote([](auto& r) { r.window = 1024; }) ==
        "leasepool: RemoteOptions::window = 1024 must be at least 65536 and at most 33554432");
  CHECK(refused_remote([](auto& r) { r.match = static_cast<RemoteMatch>(9); }) ==
        "leasepool: RemoteOptions::match = 9 must be signatures or build");
}

TEST_CASE("N1: what workers are is the node's to say, and refused on a remote manager", "[remote][N1]") {
  using namespace remote_options;
  const std::string is_the_nodes = "the workers of a remote backend are the node's; set it in the options of the node";
  const auto says_so = [&](const std::string& text, const std::string& field) {
    return text.starts_with("leasepool: ManagerOptions::" + field) && text.ends_with(is_the_nodes);
  };
  CHECK(says_so(refused([](auto& o) { o.sandbox = Sandbox::compute(); }), "sandbox = Sandbox::compute()"));
  CHECK(says_so(refused([](auto& o) { o.worker_limits.open_files = 64; }), "worker_limits"));
  CHECK(says_so(refused([](auto& o) { o.worker_cgroup = "/sys/fs/cgroup/x"; }), "worker_cgroup"));
  CHECK(says_so(refused([](auto& o) { o.max_calls_per_worker = 1; }), "max_calls_per_worker"));
  CHECK(says_so(refused([](auto& o) { o.max_worker_age = 1h; }), "max_worker_age"));
  CHECK(says_so(refused([](auto& o) { o.max_worker_rss = 1; }), "max_worker_rss"));
  CHECK(says_so(refused([](auto& o) { o.worker_reuse = WorkerReuse::call; }), "worker_reuse"));
  CHECK(says_so(refused([](auto& o) { o.spare_workers = 1; }), "spare_workers"));
  CHECK(says_so(refused([](auto& o) { o.initializer = {+[] {}}; }), "initializer"));
  CHECK(refused([](auto& o) { o.backend = ExecutorBackend::process; }) ==
        "leasepool: ManagerOptions::remote is set, which needs backend = remote");
}
