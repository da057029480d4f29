// A grinder on nodes: what has certainly not run when a node is lost runs on another one.
#include <chrono>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "catch.hpp"
#include "grinder/grinder_core.hpp"
#include "leasepool/batch_function.hpp"
#include "leasepool/grinder.hpp"
#include "sim_cluster.hpp"

namespace remote_grinder {

using namespace std::chrono_literals;
using namespace leasepool;
using test::SimCluster;

std::uint64_t once(std::uint64_t value) { return value; }
std::vector<std::uint64_t> doubled(std::vector<std::uint64_t> values) {
  for (std::uint64_t& value : values) value *= 2;
  return values;
}

// A grinder on a remote manager of its own.
class Grinding {
 public:
  Grinding(SimCluster& cluster, std::size_t threshold) : manager(cluster.add_manager("m", SimCluster::options(2))) {
    GrinderOptions options;
    options.batch_size_threshold = threshold;
    options.max_wait = 1s;
    core = std::make_shared<detail::GrinderCore>(cluster.scheduler, manager->manager, options,
                                                 std::source_location::current());
    core->start([](const Result<void>&) {});
    cluster.run();
  }
  Grinding(const Grinding&) = delete;
  Grinding& operator=(const Grinding&) = delete;
  ~Grinding() { core->shut_down(); }

  std::shared_ptr<SimCluster::Call> submit(std::uint64_t argument, int priority = 0) {
    auto made = std::make_shared<SimCluster::Call>();
    detail::Access::make<GrinderCalls>(core, detail::ItemSettings{.owner = {}, .priority = priority, .timeout = {}})
        .submit_async(once, argument, [made](Result<std::uint64_t> got) { made->got.emplace(std::move(got)); });
    return made;
  }

  std::unique_ptr<SimCluster::Manager> manager;
  std::shared_ptr<detail::GrinderCore> core;
};

}  // namespace remote_grinder

LEASEPOOL_REGISTER(remote_grinder::once);
LEASEPOOL_REGISTER(remote_grinder::doubled);

TEST_CASE("N3: items that have certainly not run when their node is lost run on another one, in their order",
          "[remote][N3]") {
  using namespace remote_grinder;
  SimCluster cluster;
  auto one = cluster.add_node("one");
  one->world.next_run_time = [] { return 1h; };
  Grinding grinding(cluster, 5);
  std::vector<std::shared_ptr<SimCluster::Call>> items;
  for (std::uint64_t i = 0; i < 5; ++i) items.push_back(grinding.submit(i));
  cluster.run();
  CHECK(grinding.core->stats().items_in_flight == 5);
  one->die();
  cluster.advance(3s);
  for (std::size_t i = 0; i < 2; ++i) {
    REQUIRE(items[i]->code() == Errc::node_lost);
    CHECK(items[i]->may_have_run());
  }
  GrinderStats stats = grinding.core->stats();
  CHECK(stats.items_in_flight == 0);
  CHECK(stats.pending == 3);
  CHECK(stats.items_put_back == 3);
  CHECK(stats.batches_in_flight == 0);
  items.push_back(grinding.submit(5));
  const auto two = cluster.add_node("two", 1, 1);
  cluster.advance(10s);
  for (std::size_t i = 2; i < 6; ++i) CHECK(items[i]->has_value(i));
  stats = grinding.core->stats();
  CHECK(stats.items_completed == 4);
  CHECK(stats.items_failed == 2);
  CHECK(stats.pending == 0);
  grinding.core->check_consistency();
}

// Two others of a higher priority are before it each time, and have the workers.
TEST_CASE("N3: an item is put back three times at most", "[remote][N3]") {
  using namespace remote_grinder;
  SimCluster cluster;
  Grinding grinding(cluster, 3);
  const auto item = grinding.submit(7);
  cluster.run_time = 1h;
  for (int round = 0; round < 4; ++round) {
    CHECK_FALSE(item->got.has_value());
    CHECK(grinding.core->stats().items_put_back == static_cast<std::uint64_t>(round));
    for (std::uint64_t i = 0; i < 2; ++i) (void)grinding.submit(i, 1000);
    auto node = cluster.add_node("node-" + std::to_string(round));
    cluster.advance(6s);
    node->die();
    cluster.advance(3s);
  }
  REQUIRE(item->code() == Errc::node_lost);
  CHECK_FALSE(item->may_have_run());
  CHECK(grinding.core->stats().items_put_back == 3);
}

TEST_CASE("N3: the items of a batch function that was not called are put back with their arguments", "[remote][N3]") {
  using namespace remote_grinder;
  SimCluster cluster;
  auto one = cluster.add_node("one");
  one->world.next_run_time = [] { return 1h; };
  Grinding grinding(cluster, 6);
  const auto verbs = detail::make_batch_verbs(grinding.core, doubled, BatchOptions{});
  std::vector<std::shared_ptr<SimCluster::Call>> items;
  for (std::uint64_t i = 0; i < 2; ++i) items.push_back(grinding.submit(i));
  for (std::uint64_t i = 2; i < 6; ++i) {
    items.push_back(std::make_shared<SimCluster::Call>());
    verbs.submit_async(i, [made = items.back()](Result<std::uint64_t> got) { made->got.emplace(std::move(got)); });
  }
  cluster.run();
  one->die();
  cluster.advance(3s);
  CHECK(grinding.core->stats().items_put_back == 4);
  const auto two = cluster.add_node("two");
  cluster.advance(10s);
  for (std::uint64_t i = 2; i < 6; ++i) CHECK(items[i]->has_value(2 * i));
}
