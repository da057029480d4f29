// The jobs of a batch on worker processes: sent ahead, spread over all workers, taken back where a worker is held up.
#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/detail/access.hpp"
#include "processes.hpp"

using namespace leasepool;
using leasepool::detail::IntrusiveQueue;
using leasepool::detail::Job;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace {

// Jobs that are submitted together.
class Trip {
 public:
  explicit Trip(TestPool& pool) : pool_(pool) {}

  template <class F, class... A>
  auto add(F function, A... arguments) {
    std::shared_ptr<test::Call<detail::CallResult<F, A...>>> call;
    auto job = test::make_test_job(call, function, arguments...);
    call->id = job->state.id = next_id_++;
    job->state.lease = pool_.sink;
    job->state.of_batch = true;
    job->state.reports_start = true;
    jobs_.push_back(std::move(job));
    return call;
  }
  void go() { pool_.pool->submit_batch(std::move(jobs_)); }

 private:
  TestPool& pool_;
  IntrusiveQueue<Job> jobs_;
  std::uint64_t next_id_ = 1'000'000;
};

template <class Calls>
bool all_ended(const Calls& calls) {
  return std::ranges::all_of(calls, [](const auto& call) { return call->ended(); });
}

}  // namespace

TEST_CASE("a batch is spread over all workers, and one worker runs its share in order", "[batch_trip]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  Trip trip(pool);
  std::vector<std::shared_ptr<test::Call<std::int64_t>>> calls;
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 100; ++i) {  // more than are sent ahead at once
    calls.push_back(trip.add(pool_functions::add, i, 1));
    ids.push_back(calls.back()->id);
  }
  trip.go();
  REQUIRE(pool.wait([&] { return all_ended(calls); }));
  for (int i = 0; i < 100; ++i) CHECK(calls[static_cast<std::size_t>(i)]->result->value() == i + 1);
  CHECK(pool.sink->ended == ids);
  CHECK(pool.sink->started == ids);
  CHECK(pool.close());

  TestPool wide(loop, ExecutorBackend::process, 4);
  REQUIRE(wide.start().has_value());
  Trip holds(wide);
  std::vector<std::shared_ptr<test::Call<pid_t>>> held;
  for (int i = 0; i < 4; ++i) held.push_back(holds.add(pool_functions::hold));
  holds.go();
  REQUIRE(wide.wait([&] { return shared().holding == 4; }));  // each on a worker of its own
  shared().gate = 1;
  REQUIRE(wide.wait([&] { return all_ended(held); }));
}

TEST_CASE("a batch crosses to its workers in a few system calls, not in some an item", "[batch_trip][G2]") {
  const bool shared_memory = GENERATE(true, false);
  CAPTURE(shared_memory);
  pool_functions::reset_shared();
  Loop loop;
  auto options = TestPool::options_for(2);
  options.shared_memory = shared_memory;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  test::turn(loop);
  const auto& ring = std::as_const(*leasepool::detail::Access::core(loop)).engine();
  const auto operations = ring.operations();
  Trip trip(pool);
  std::vector<std::shared_ptr<test::Call<pid_t>>> calls;
  for (int i = 0; i < 48; ++i) calls.push_back(trip.add(pool_functions::hold));
  trip.go();
  for (int i = 0; i < 64; ++i) test::turn(loop);             // time enough for a send an item, one after the other
  CHECK(ring.operations() - operations <= 4);                // one for each worker, and a wake-up timeout
  REQUIRE(pool.wait([] { return shared().holding == 2; }));  // they have come
  shared().gate = 1;
  REQUIRE(pool.wait([&] { return all_ended(calls); }));
}

TEST_CASE("what waits behind a slow call goes to the workers that have nothing to do", "[batch_trip]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  Trip trip(pool);
  const auto slow = trip.add(pool_functions::hold);
  std::vector<std::shared_ptr<test::Call<std::int64_t>>> calls;
  for (int i = 0; i < 60; ++i) calls.push_back(trip.add(pool_functions::add, i, 1));
  trip.go();
  REQUIRE(pool.wait([&] { return all_ended(calls); }));
  CHECK_FALSE(slow->ended());
  shared().gate = 1;
  REQUIRE(pool.wait([&] { return slow->ended(); }));
  for (const auto& call : calls) CHECK(call->deliveries == 1);
}

TEST_CASE("a call that was sent ahead can be withdrawn, and never runs", "[batch_trip][E7]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  Trip trip(pool);
  const auto running = trip.add(pool_functions::hold);
  const auto withdrawn = trip.add(pool_functions::count_run, 1, 0);
  const auto after = trip.add(pool_functions::count_run, 2, 0);
  trip.go();
  REQUIRE(pool.wait([&] { return shared().holding == 1; }));
  CHECK(pool.pool->withdraw(*withdrawn->job, {Errc::cancelled, "no more"}));
  CHECK(withdrawn->code() == Errc::cancelled);
  CHECK_FALSE(pool.pool->withdraw(*running->job, {Errc::cancelled, "too late"}));
  shared().gate = 1;
  REQUIRE(pool.wait([&] { return after->ended(); }));
  CHECK(running->succeeded());
  CHECK(after->succeeded());
  CHECK(shared().runs[1] == 0);
  CHECK(shared().runs[2] == 1);
}

TEST_CASE("a call that is interrupted takes nothing of what waits behind it along", "[batch_trip][E6]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  Trip trip(pool);
  const auto running = trip.add(pool_functions::hold);
  std::vector<std::shared_ptr<test::Call<std::uint32_t>>> calls;
  for (std::uint32_t i = 0; i < 20; ++i) calls.push_back(trip.add(pool_functions::count_run, i, 0));
  trip.go();
  REQUIRE(pool.wait([&] { return shared().holding == 1; }));
  CHECK(pool.pool->interrupt(*running->job, {Errc::timed_out, "too long"}));
  CHECK(running->code() == Errc::timed_out);
  REQUIRE(pool.wait([&] { return all_ended(calls); }));
  for (std::uint32_t i = 0; i < 20; ++i) {
    CHECK(calls[i]->succeeded());
    CHECK(shared().runs[i] == 1);
  }
  CHECK(pool.totals->workers_killed == 1);
}

TEST_CASE("calls that were sent ahead to a worker that dies go to another", "[batch_trip][W2]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  Trip trip(pool);
  std::vector<std::shared_ptr<test::Call<std::uint32_t>>> calls;
  for (std::uint32_t i = 0; i < 10; ++i) calls.push_back(trip.add(pool_functions::count_run, i, 0));
  const auto crash = trip.add(pool_functions::end_running, static_cast<int>(pool_functions::End::sigkill));
  for (std::uint32_t i = 10; i < 20; ++i) calls.push_back(trip.add(pool_functions::count_run, i, 0));
  trip.go();
  REQUIRE(pool.wait([&] { return all_ended(calls) && crash->ended(); }));
  CHECK(crash->code() == Errc::worker_crashed);
  for (std::uint32_t i = 0; i < 20; ++i) {
    CHECK(calls[i]->succeeded());
    CHECK(shared().runs[i] == 1);
  }
  CHECK(pool.totals->workers_crashed == 1);
}

TEST_CASE("a worker that may have few more calls is sent no more ahead", "[batch_trip][W9]") {
  pool_functions::reset_shared();
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(1);  // which is always replaced at once
  options.max_calls_per_worker = 3;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  Trip trip(pool);
  std::vector<std::shared_ptr<test::Call<pid_t>>> calls;
  for (int i = 0; i < 30; ++i) calls.push_back(trip.add(pool_functions::process_id));
  trip.go();
  REQUIRE(pool.wait([&] { return all_ended(calls); }));
  std::map<pid_t, int> calls_of;
  for (const auto& call : calls) ++calls_of[call->result->value()];
  CHECK(calls_of.size() == 10);
  for (const auto& [worker, count] : calls_of) CHECK(count == 3);
}

TEST_CASE("large calls are not piled up at a busy worker", "[batch_trip][W8]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  Trip trip(pool);
  std::vector<std::shared_ptr<test::Call<std::uint64_t>>> calls;
  for (int i = 0; i < 20; ++i) calls.push_back(trip.add(pool_functions::length_of, std::string(1U << 20U, 'x')));
  trip.go();
  REQUIRE(pool.wait([&] { return all_ended(calls); }));
  for (const auto& call : calls) CHECK(call->result->value() == 1U << 20U);
}
