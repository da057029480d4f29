// Large results are decoded beside the loop: it goes on meanwhile, and so does the worker; whatever ends the call then
// ends it at once; and what is decoded is bounded in size and in depth.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/manager.hpp"
#include "support/eventually.hpp"
#include "support/with_manager.hpp"

namespace large_cases {

// What befell the values that are decoded here, and a gate before which they wait.
struct Watch {
  std::atomic<bool> closed = false;
  std::atomic<int> entered = 0;
  std::atomic<int> destroyed = 0;
  std::atomic<std::thread::id> decoded_by;
  std::atomic<std::thread::id> destroyed_by;
};
Watch& watch() {
  static Watch it;
  return it;
}
void reset_watch(bool closed) {
  watch().entered = watch().destroyed = 0;
  watch().decoded_by = watch().destroyed_by = std::thread::id();
  watch().closed = closed;
}

// Waits at the gate when its bytes have come.
struct Watched {
  Watched() = default;
  Watched(Watched&&) = default;
  Watched& operator=(Watched&&) = default;
  ~Watched() {
    if (bytes.empty()) return;
    watch().destroyed_by = std::this_thread::get_id();
    ++watch().destroyed;
  }
  std::string bytes;
  template <class Archive>
  void save(Archive& archive) const {
    archive(bytes);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(bytes);
    watch().decoded_by = std::this_thread::get_id();
    ++watch().entered;
    while (watch().closed) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

Watched large(std::size_t size) {
  Watched made;
  made.bytes.assign(size, 'x');
  return made;
}
pid_t small() { return ::getpid(); }
void hang() {
  for (;;) ::pause();
}

// Each element is one byte on its way, and many here.
std::vector<std::optional<std::string>> nothing_much(std::size_t count) {
  return std::vector<std::optional<std::string>>(count);
}

// Nested, as its worker says; itself when it is honest.
struct Tree {
  std::vector<Tree> children;
  std::uint64_t claimed_depth = 0;
  template <class Archive>
  void save(Archive& archive) const {
    for (std::uint64_t i = 0; i < claimed_depth; ++i) archive(cereal::make_size_tag(cereal::size_type{1}));
    archive(children);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(children);
  }
};
Tree tree_of(std::uint64_t claimed_depth) {
  Tree tree;
  tree.claimed_depth = claimed_depth;
  return tree;
}
std::size_t depth_of(const Tree& tree) {
  std::size_t depth = 0;
  for (const Tree* at = &tree; !at->children.empty(); at = &at->children.front()) ++depth;
  return depth;
}
std::size_t count_levels(const Tree& tree) { return depth_of(tree); }

// Its worker sends as many keys that all fall into one bucket.
struct Flood {
  std::unordered_set<std::uint64_t> keys;
  std::uint64_t count = 0;
  template <class Archive>
  void save(Archive& archive) const {
    std::unordered_set<std::uint64_t> table;
    table.reserve(count);
    archive(cereal::make_size_tag(cereal::size_type{count}));
    for (std::uint64_t i = 0; i < count; ++i) archive(i * table.bucket_count());
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(keys);
  }
};
Flood flood_of(std::uint64_t count) {
  Flood flood;
  flood.count = count;
  return flood;
}

}  // namespace large_cases

LEASEPOOL_REGISTER(large_cases::large);
LEASEPOOL_REGISTER(large_cases::small);
LEASEPOOL_REGISTER(large_cases::hang);
LEASEPOOL_REGISTER(large_cases::nothing_much);
LEASEPOOL_REGISTER(large_cases::tree_of);
LEASEPOOL_REGISTER(large_cases::count_levels);
LEASEPOOL_REGISTER(large_cases::flood_of);

using namespace leasepool;
using namespace large_cases;
using leasepool::test::eventually;
using leasepool::test::TestPool;

namespace {

constexpr std::size_t kLarge = std::size_t{1} << 20;

std::size_t decoding_threads() {
  std::size_t count = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(thread.path() / "comm"), name);
    if (name == "leasepool-decod") ++count;
  }
  return count;
}

// The gate is open in the workers, and in the end. What waits at it then is waited for, lest the next test counts it.
struct Gate {
  Gate() { reset_watch(false); }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() {
    open();
    (void)eventually([] { return watch().destroyed >= watch().entered; });
  }
  void close() const { watch().closed = true; }
  void open() const { watch().closed = false; }
};

// A large result that is being decoded: its decoding waits at the gate.
struct HeldDecoding {
  explicit HeldDecoding(detail::PoolOptions options) : pool(loop, ExecutorBackend::process, std::move(options)) {
    REQUIRE(pool.start().has_value());
    worker = pool.result_of(small).value();
    gate.close();
    call = pool.call(large, kLarge);
    REQUIRE(pool.wait([] { return watch().entered == 1; }));
  }
  const Gate gate;
  Loop loop;
  TestPool pool;
  pid_t worker = 0;
  std::shared_ptr<test::Call<Watched>> call;
};

ManagerOptions options_for_one() {
  ManagerOptions options;
  options.backend = ExecutorBackend::process;
  options.max_pools = 1;
  options.workers_per_pool = 1;
  options.log = [](const LogRecord&) {};
  return options;
}

}  // namespace

TEST_CASE("a large result is decoded beside the loop, and its worker goes on meanwhile", "[large_results][W11]") {
  const bool shared_memory = GENERATE(false, true);
  CAPTURE(shared_memory);
  detail::PoolOptions options = TestPool::options_for(1);
  options.shared_memory = shared_memory;
  HeldDecoding slow(options);
  for (int i = 0; i < 3; ++i) CHECK(slow.pool.result_of(small).has_value());
  CHECK_FALSE(slow.call->ended());
  CHECK(watch().decoded_by.load() != std::this_thread::get_id());
  slow.gate.open();
  REQUIRE(slow.pool.wait([&] { return slow.call->ended(); }));
  REQUIRE(slow.call->succeeded());
  CHECK(slow.call->result->value().bytes.size() == kLarge);
  CHECK(watch().destroyed == 0);
}

TEST_CASE("a result that is not large is decoded on the loop's thread, and any where that is asked for",
          "[large_results][W11]") {
  const Gate gate;
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(1);
  const std::size_t threshold = options.decode_thread_threshold;
  TestPool pool(loop, ExecutorBackend::process, options);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(large, threshold - 8).has_value());  // with its length
  CHECK(watch().decoded_by.load() == std::this_thread::get_id());
  CHECK(pool.result_of(large, threshold - 7).has_value());
  CHECK(watch().decoded_by.load() != std::this_thread::get_id());
  pool.close_now(std::chrono::seconds(60));
  options.decode_thread_threshold = SIZE_MAX;
  TestPool other(loop, ExecutorBackend::process, options);
  REQUIRE(other.start().has_value());
  CHECK(other.result_of(large, kLarge).has_value());
  CHECK(watch().decoded_by.load() == std::this_thread::get_id());
}

TEST_CASE("of a worker's large results two wait to be decoded, and no more are received", "[large_results][W11]") {
  const Gate gate;
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, TestPool::options_for(1));
  REQUIRE(pool.start().has_value());
  gate.close();
  const auto first = pool.call(large, kLarge);
  const auto second = pool.call(large, kLarge);
  const auto third = pool.call(large, kLarge);
  REQUIRE(pool.wait([&] { return watch().entered == 1 && third->job->state.started.load() != TimePoint{}; }));
  const auto fourth = pool.call(small);
  // It is behind the third, which is not received.
  CHECK_FALSE(pool.wait([&] { return fourth->ended(); }, std::chrono::seconds(1)));
  gate.open();
  REQUIRE(pool.wait([&] { return first->ended() && second->ended() && third->ended() && fourth->ended(); }));
  CHECK((first->succeeded() && second->succeeded() && third->succeeded() && fourth->succeeded()));
}

TEST_CASE("a call whose result is being decoded is cancelled at once, and its worker lives",
          "[large_results][W11][E7]") {
  HeldDecoding slow(TestPool::options_for(1));
  CHECK_FALSE(slow.pool.pool->withdraw(*slow.call->job, {Errc::cancelled, "not wanted"}));
  CHECK(slow.pool.pool->interrupt(*slow.call->job, {Errc::cancelled, "not wanted"}));
  CHECK(slow.call->code() == Errc::cancelled);
  CHECK(slow.pool.result_of(small).value() == slow.worker);
  CHECK(slow.pool.totals->workers_killed == 0);
  slow.gate.open();
  CHECK(eventually([] { return watch().destroyed == 1; }));
  CHECK(watch().destroyed_by.load() == watch().decoded_by.load());  // not the loop's
  CHECK(slow.call->deliveries == 1);
}

TEST_CASE("a deadline that passes while a result is decoded comes too late for its call",
          "[large_results][W11][E6][X4][X6]") {
  const Gate gate;
  Loop loop;
  ManagerOptions options = options_for_one();
  options.lease_grace = Duration::zero();
  loop.block_on(test::with_manager(loop, options, [&](LeasedExecutorManager& manager) -> Task<> {
    {
      auto lease = co_await manager.acquire();
      constexpr Duration kTimeout = std::chrono::seconds(3);
      std::optional<Result<Watched>> result;
      gate.close();
      lease.with({.timeout = kTimeout}).run_async(large, kLarge, [&](Result<Watched> came) {
        result.emplace(std::move(came));
      });
      while (watch().entered == 0 && !result.has_value()) co_await loop.sleep(std::chrono::milliseconds(1));
      co_await loop.sleep(kTimeout);
      lease.extend(std::chrono::milliseconds(1));
      while (manager.stats().leases_revoked == 0) co_await loop.sleep(std::chrono::milliseconds(1));
      CHECK_FALSE(result.has_value());
      gate.open();
      while (!result.has_value()) co_await loop.sleep(std::chrono::milliseconds(1));
      CHECK(result->has_value());
    }
    {
      auto next = co_await manager.acquire();
      CHECK(co_await next.run(pool_functions::add, 1, 2) == 3);
    }
    CHECK(manager.stats().workers_killed == 0);
  }));
}

TEST_CASE("a stop waits for a result that is decoded, for stop_timeout", "[large_results][W11][L3]") {
  const bool opens = GENERATE(true, false);
  CAPTURE(opens);
  const Gate gate;
  Loop loop;
  ManagerOptions options = options_for_one();
  options.stop_timeout = opens ? std::chrono::seconds(60) : std::chrono::seconds(0);
  LeasedExecutorManager manager(loop, options);
  const auto use = [&]() -> Task<> {
    co_await manager.start();
    auto lease = co_await manager.acquire();
    std::optional<Result<Watched>> result;
    gate.close();
    lease.run_async(large, kLarge, [&](Result<Watched> came) { result.emplace(std::move(came)); });
    while (watch().entered == 0) co_await loop.sleep(std::chrono::milliseconds(1));
    bool stopped = false;
    manager.stop_async([&](const Result<void>&) { stopped = true; });
    if (opens) {
      for (int i = 0; i < 20; ++i) co_await loop.sleep(std::chrono::milliseconds(1));
      CHECK_FALSE(stopped);
      gate.open();
    }
    while (!result.has_value()) co_await loop.sleep(std::chrono::milliseconds(1));
    CHECK(result->has_value() == opens);
    if (!opens) CHECK(result->error().code() == Errc::cancelled);
    gate.open();  // the worker's channel is read to its end then
    while (!stopped) co_await loop.sleep(std::chrono::milliseconds(1));
  };
  auto task = use();
  loop.block_on(std::move(task));
}

TEST_CASE("a manager, and its loop, may go while a result is decoded", "[large_results][L6]") {
  const Gate gate;
  for (const bool loop_too : {false, true}) {
    std::optional<Loop> loop(std::in_place);
    std::optional<LeasedExecutorManager> manager(std::in_place, *loop, options_for_one());
    std::optional<ExecutorLease> lease;
    const auto use = [&]() -> Task<> {
      co_await manager->start();
      lease.emplace(co_await manager->acquire());
    };
    auto task = use();
    loop->block_on(std::move(task));
    reset_watch(true);
    std::optional<Result<Watched>> result;
    lease->run_async(large, kLarge, [&](Result<Watched> came) { result.emplace(std::move(came)); });
    CHECK(test::run_until(*loop, [] { return watch().entered == 1; }));
    loop_too ? loop.reset() : manager.reset();
    if (!loop_too) {
      CHECK(test::run_until(*loop, [&] { return result.has_value(); }));
      CHECK(result->error().code() == Errc::cancelled);
    }
    gate.open();
    CHECK(eventually([] { return watch().destroyed > 0; }));
    CHECK(watch().destroyed == 1);
    CHECK(watch().destroyed_by.load() != std::this_thread::get_id());
    lease.reset();
  }
  CHECK(eventually([] { return decoding_threads() == 0; }));
}

TEST_CASE("the thread that decodes goes with the last pool", "[large_results][L6]") {
  const Gate gate;
  REQUIRE(eventually([] { return decoding_threads() == 0; }));  // those of other tests have ended
  {
    Loop loop;
    TestPool pool(loop, ExecutorBackend::process, TestPool::options_for(1));
    REQUIRE(pool.start().has_value());
    for (int i = 0; i < 3; ++i) {
      CHECK(pool.result_of(large, kLarge).has_value());
      CHECK(watch().decoded_by.load() != std::this_thread::get_id());
      CHECK(decoding_threads() <= 1);  // which has ended if this took a second
    }
  }
  CHECK(eventually([] { return decoding_threads() == 0; }));
}

TEST_CASE("a result that would take more memory than max_decoded_bytes fails, and its worker lives",
          "[large_results][W10]") {
  Loop loop;
  for (const std::size_t threshold : {std::size_t{0}, SIZE_MAX}) {
    CAPTURE(threshold);
    detail::PoolOptions options = TestPool::options_for(1);
    options.decode_limits.most_bytes = 100'000;
    options.decode_thread_threshold = threshold;
    TestPool pool(loop, ExecutorBackend::process, options);
    REQUIRE(pool.start().has_value());
    const pid_t worker = pool.result_of(small).value();
    const std::size_t most = options.decode_limits.most_bytes / sizeof(std::optional<std::string>);
    CHECK(pool.result_of(nothing_much, most).value().size() == most);
    const auto over = pool.result_of(nothing_much, most + 1);
    REQUIRE_FALSE(over.has_value());
    CHECK(over.error().code() == Errc::payload_too_large);
    CHECK_THAT(over.error().message(), ContainsSubstring("large_cases::nothing_much") &&
                                           ContainsSubstring("max_decoded_bytes = 100000") &&
                                           ContainsSubstring("ManagerOptions::max_decoded_bytes"));
    CHECK(pool.result_of(small).value() == worker);
  }
}

TEST_CASE("a result whose decoding takes longer than decode_timeout fails, and its worker lives",
          "[large_results][W11]") {
  constexpr std::uint64_t kMinutes = 1'000'000;
  Loop loop;
  for (const std::size_t threshold : {std::size_t{0}, SIZE_MAX}) {
    CAPTURE(threshold);
    detail::PoolOptions options = TestPool::options_for(1);
    options.decode_limits.most_time = std::chrono::milliseconds(20);
    options.decode_thread_threshold = threshold;
    TestPool pool(loop, ExecutorBackend::process, options);
    REQUIRE(pool.start().has_value());
    const pid_t worker = pool.result_of(small).value();
    CHECK(pool.result_of(flood_of, 100).value().keys.size() == 100);
    const auto late = pool.result_of(flood_of, kMinutes);
    REQUIRE_FALSE(late.has_value());
    CHECK(late.error().code() == Errc::bad_payload);
    CHECK(late.error().message() ==
          "calling large_cases::flood_of failed while decoding its result: it took longer than decode_timeout = 20 ms; "
          "raise ManagerOptions::decode_timeout or send less");
    CHECK(pool.result_of(small).value() == worker);
  }
}

TEST_CASE("values that are nested more deeply than the stack allows are refused on either side",
          "[large_results][W10]") {
  const bool on_the_loop = GENERATE(true, false);
  CAPTURE(on_the_loop);
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(1);
  if (on_the_loop) options.decode_thread_threshold = SIZE_MAX;
  TestPool pool(loop, ExecutorBackend::process, options);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(small).value();
  CHECK(depth_of(pool.result_of(tree_of, 100).value()) == 100);
  const auto answer = pool.result_of(tree_of, 1'000'000);
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code() == Errc::bad_payload);
  CHECK_THAT(answer.error().message(), ContainsSubstring("decoding its result") && ContainsSubstring("too deeply"));
  const auto arguments = pool.result_of(count_levels, tree_of(1'000'000));
  REQUIRE_FALSE(arguments.has_value());
  CHECK(arguments.error().code() == Errc::bad_payload);
  CHECK_THAT(arguments.error().message(),
             ContainsSubstring("decoding its arguments") && ContainsSubstring("too deeply"));
  CHECK(pool.result_of(count_levels, tree_of(100)).value() == 100);
  CHECK(pool.result_of(small).value() == worker);
}

// While that result is waited for, the pool is not empty, and what it has told of its workers is asked for again.
TEST_CASE("a pool that was told to end at once may be destroyed when its workers are gone and a result is decoded",
          "[large_results][L6]") {
  HeldDecoding slow(TestPool::options_for(1));
  const auto running = slow.pool.call(hang);
  REQUIRE(slow.pool.wait([&] { return running->job->state.started.load() != TimePoint{}; }));
  slow.pool.pool->close([] {});
  slow.pool.pool->kill();
  REQUIRE(slow.pool.wait([&] {
    std::vector<WorkerStats> workers;
    slow.pool.pool->add_workers(workers);
    return workers.empty();
  }));
  slow.pool.close_now(std::chrono::seconds(60));
  CHECK(running->ended());
  CHECK(slow.call->ended());
  slow.gate.open();
}
