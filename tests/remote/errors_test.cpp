// docs/errors.md: brings about the messages of its table that need a node, and holds each against its row.
#include <fcntl.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "public/errors_table.hpp"
#include "sim_cluster.hpp"

namespace remote_errors {

using namespace std::chrono_literals;
using namespace leasepool;
using test::SimCluster;

std::uint64_t echo(std::uint64_t value) { return value; }
std::uint64_t of_a_plug_in(std::uint64_t value) { return value; }
std::uint64_t take_fd(Fd fd) { return static_cast<std::uint64_t>(fd.get()); }

class Failures {
 public:
  void add(const char* heading, const Error& error) { all.emplace_back(heading, error.message()); }
  void add(const char* heading, const SimCluster::Call& call) {
    REQUIRE((call.got && !*call.got));
    add(heading, call.got->error());
  }
  std::vector<std::pair<std::string, std::string>> all;
};

void fail_starts_and_acquires(Failures& failures) {
  SimCluster cluster;
  cluster.server.set_down();
  const auto manager = cluster.add_manager("m");
  cluster.advance(11s);
  failures.add("pool_broken", manager->started->error());
  cluster.server.set_up();
  manager->manager->start([](const Result<void>&) {});
  cluster.advance(1s);
  const auto hasty = manager->acquire("tester", {}, false);
  const auto patient = manager->acquire("tester", 1s);
  cluster.advance(2s);
  failures.add("lease_unavailable", hasty->error());
  failures.add("timed_out", patient->error());
}

// What a node does not run; one end of it is another program by then.
void fail_functions(Failures& failures) {
  SimCluster cluster;
  const auto node = cluster.add_node("here");
  const auto manager = cluster.add_manager("m");
  const auto want = manager->acquire("tester");
  cluster.run();
  cluster.server.fate = [](const auto&) { return std::vector<Duration>{10ms}; };
  auto description = detail::describe_function<of_a_plug_in>(std::source_location::current());
  const auto address = description.address;
  std::uint64_t (*const function)(std::uint64_t) = reinterpret_cast<std::uint64_t (*)(std::uint64_t)>(address);
  auto registered = std::make_unique<detail::Registration>(description);
  const auto unknown = SimCluster::call(want->lease(), function, 1);
  cluster.run();
  registered.reset();
  cluster.advance(50ms);
  failures.add("unregistered_function", *unknown);
  registered = std::make_unique<detail::Registration>(description);
  const auto other_types = SimCluster::call(want->lease(), function, 1);
  cluster.run();
  const_cast<detail::RegisteredFunction*>(detail::find_function(address))->signature.store(1);
  cluster.advance(50ms);
  failures.add("bad_payload", *other_types);
  SimCluster::Call descriptors;
  want->lease().run_async(take_fd, Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
                          [&](Result<std::uint64_t> result) { descriptors.got.emplace(std::move(result)); });
  cluster.run();
  failures.add("not_serializable", descriptors);
}

void lose_nodes(Failures& failures) {
  SimCluster cluster;
  cluster.run_time = 1h;
  const auto manager = cluster.add_manager("m");
  for (const bool forgets : {false, true}) {  // a manager that it has not heard of for long
    if (forgets) cluster.manager_timeout = 1s;
    auto node = cluster.add_node(forgets ? "there" : "here");
    const auto want = manager->acquire("tester");
    cluster.run();
    std::vector<std::shared_ptr<SimCluster::Call>> calls;
    for (std::uint64_t i = 0; i < 3; ++i) calls.push_back(SimCluster::call(want->lease(), echo, i));
    cluster.run();
    if (forgets) {
      manager->bus->set_cut_off(true);
      cluster.advance(2s);
      manager->bus->set_cut_off(false);
    } else {
      node->die();
    }
    cluster.advance(6s);
    for (const auto& call : calls) failures.add("node_lost", *call);
    const auto after = SimCluster::call(want->lease(), echo, 1);
    cluster.run();
    failures.add("node_lost", *after);
  }
}

}  // namespace remote_errors

LEASEPOOL_REGISTER(remote_errors::echo);
LEASEPOOL_REGISTER(remote_errors::take_fd);

TEST_CASE("every message that needs a node is in the table of docs/errors.md, and every such row there is a message",
          "[remote]") {
  using namespace remote_errors;
  Failures failures;
  fail_starts_and_acquires(failures);
  fail_functions(failures);
  lose_nodes(failures);
  auto rows = read_errors_table(LEASEPOOL_DOCS_DIR "/errors.md", "m", "\"tester\"");
  for (const auto& [heading, message] : failures.all) {
    INFO(heading << ": " << message);
    ErrorRow* const row = find_row(rows, heading, message);
    REQUIRE(row != nullptr);
    row->seen = true;
  }
  for (const ErrorRow& row : rows) {
    if (!needs_node(row)) continue;
    INFO(row.code << ": " << row.text);
    CHECK(row.seen);
  }
}
