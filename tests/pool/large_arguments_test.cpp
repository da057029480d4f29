// Large arguments cross through memory that a worker and its parent share, one call's at a time, and both keep it for a
// while only.
#include <sys/mman.h>
#include <sys/resource.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "shared/argument_memory.hpp"
#include "support/sanitized.hpp"
#include "support/skip.hpp"

using namespace leasepool;
using leasepool::detail::ArgumentMemory;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace large_cases {

using Numbers = std::vector<std::uint64_t>;

// Tells another order and another length apart, too.
std::uint64_t digest(const Numbers& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{numbers.size()},
                         [](std::uint64_t sum, std::uint64_t number) { return sum * 31 + number; });
}

std::uint64_t digest_of_both(const Numbers& numbers, const std::string& text) { return digest(numbers) + text.size(); }

// In KiB, as /proc/PROCESS/status has it.
std::uint64_t status_of(const std::string& process, const std::string& field) {
  std::ifstream status("/proc/" + process + "/status");
  for (std::string word; status >> word;) {
    if (word != field + ":") continue;
    std::uint64_t value = 0;
    status >> value;
    return value;
  }
  return 0;
}

std::uint64_t address_space() { return status_of("self", "VmSize"); }

// Takes all but so many KiB of the address space that the process may have.
void leave_address_space(std::uint64_t limit, std::uint64_t left) {
  const std::uint64_t taken = limit - left - address_space();
  (void)::mmap(nullptr, taken << 10U, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

}  // namespace large_cases

LEASEPOOL_REGISTER(large_cases::digest);
LEASEPOOL_REGISTER(large_cases::digest_of_both);
LEASEPOOL_REGISTER(large_cases::address_space);
LEASEPOOL_REGISTER(large_cases::leave_address_space);

namespace {

using large_cases::digest;
using large_cases::Numbers;

constexpr std::size_t kMiB = std::size_t{1} << 20U;
constexpr std::uint64_t kMiBInKiB = 1024;

Numbers some_numbers(std::size_t bytes, std::uint64_t first = 1) {
  Numbers numbers(bytes / sizeof(std::uint64_t));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

detail::PoolOptions options_for_one(std::size_t max_payload = 64 * kMiB) {
  auto options = TestPool::options_for(1);
  options.max_payload = max_payload;
  return options;
}

}  // namespace

TEST_CASE("large arguments arrive as they were sent, whatever came before them", "[large][W8]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_for_one());
  REQUIRE(pool.start().has_value());
  const std::size_t large = ArgumentMemory::kLarge;
  for (const std::size_t bytes : {large - 16, large - 8, large, large + 8, 3 * kMiB, std::size_t{8}, 9 * kMiB, 2 * kMiB,
                                  large + 8, 40 * kMiB, 9 * kMiB}) {
    CAPTURE(bytes);
    const Numbers numbers = some_numbers(bytes, bytes);
    CHECK(pool.result_of(digest, numbers).value() == digest(numbers));
  }
  const std::string text(3 * kMiB, 'x');
  const Numbers numbers = some_numbers(5 * kMiB);
  CHECK(pool.result_of(large_cases::digest_of_both, numbers, text).value() ==
        large_cases::digest_of_both(numbers, text));
}

namespace {

// What a start does where files may have so many bytes.
Result<void> start_with_files_of(rlim_t bytes, TestPool& pool) {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small{.rlim_cur = bytes, .rlim_max = before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  auto started = pool.start();
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  return started;
}

}  // namespace

TEST_CASE("where files must be small, arguments and results go another way", "[large][start]") {
  const rlim_t most = GENERATE(rlim_t{16384}, rlim_t{65536}, rlim_t{kMiB});
  CAPTURE(most);
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_for_one());
  REQUIRE(start_with_files_of(most, pool).has_value());
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  const Numbers numbers = some_numbers(3 * kMiB);
  CHECK(pool.result_of(digest, numbers).value() == digest(numbers));
}

TEST_CASE("where files must have next to no size, a start fails and names the limit", "[large][start][L4]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_for_one());
  const auto started = start_with_files_of(100, pool);
  REQUIRE_FALSE(started.has_value());
  CHECK(started.error().code() == Errc::pool_broken);
  CHECK_THAT(started.error().message(), ContainsSubstring("RLIMIT_FSIZE = 100") && ContainsSubstring("ulimit -f"));
}

TEST_CASE("large arguments that wait behind others do not take their place", "[large]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_for_one());
  REQUIRE(pool.start().has_value());
  // In a batch they are sent ahead, two at a time: the first through memory, the second while that is in use.
  std::vector<std::shared_ptr<test::Call<std::uint64_t>>> calls;
  detail::IntrusiveQueue<detail::Job> batch;
  for (std::uint64_t i = 0; i < 12; ++i) {
    std::shared_ptr<test::Call<std::uint64_t>> call;
    auto job = test::make_test_job(call, digest, some_numbers(ArgumentMemory::kLarge + 8, i));
    job->state.id = 1'000'000 + i;
    job->state.lease = pool.sink;
    job->state.of_batch = true;
    batch.push_back(std::move(job));
    calls.push_back(std::move(call));
  }
  pool.pool->submit_batch(std::move(batch));
  REQUIRE(pool.wait([&] { return calls.back()->ended(); }));
  for (std::uint64_t i = 0; i < 12; ++i) {
    CHECK(calls[i]->result->value() == digest(some_numbers(ArgumentMemory::kLarge + 8, i)));
  }
}

TEST_CASE("a large call that was taken back leaves its memory to the next", "[large][E7]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_for_one());
  REQUIRE(pool.start().has_value());
  detail::IntrusiveQueue<detail::Job> batch;
  std::shared_ptr<test::Call<pid_t>> slow;
  std::shared_ptr<test::Call<std::uint64_t>> withdrawn;
  std::vector<std::unique_ptr<detail::Job>> jobs;
  jobs.push_back(test::make_test_job(slow, pool_functions::hold));
  jobs.push_back(test::make_test_job(withdrawn, digest, some_numbers(ArgumentMemory::kLarge + 8)));
  for (std::uint64_t id = 1'000'000; auto& job : jobs) {
    job->state.id = id++;
    job->state.lease = pool.sink;
    job->state.of_batch = true;
    batch.push_back(std::move(job));
  }
  pool.pool->submit_batch(std::move(batch));
  REQUIRE(pool.wait([] { return shared().holding == 1; }));
  REQUIRE(pool.pool->withdraw(*withdrawn->job, {Errc::cancelled, "no more"}));
  shared().gate = 1;
  REQUIRE(pool.wait([&] { return slow->ended(); }));
  const Numbers numbers = some_numbers(2 * kMiB, 77);
  CHECK(pool.result_of(digest, numbers).value() == digest(numbers));
}

TEST_CASE("memory for large arguments is kept for the next call, and given back when none comes", "[large]") {
  if (!detail::shared_memory_by_default()) return test::skip("calls go through sockets, which keep none");
  if (test::kSanitized) return test::skip("a sanitizer's allocator keeps memory by rules of its own");
  const bool in_sandbox = GENERATE(false, true);
  CAPTURE(in_sandbox);
  Loop loop;
  auto options = options_for_one();
  options.sandbox = in_sandbox ? Sandbox::compute(Sandbox::best_effort) : Sandbox();
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  const std::string worker = std::to_string(pool.result_of(pool_functions::process_id).value());
  const auto ours = [] { return large_cases::status_of("self", "RssShmem"); };
  const auto workers = [&] { return large_cases::status_of(worker, "VmRSS"); };
  const std::uint64_t ours_before = ours();
  const std::uint64_t workers_before = workers();
  constexpr std::uint64_t kSize = 48;
  const Numbers numbers = some_numbers(kSize * kMiB);
  CHECK(pool.result_of(digest, numbers).value() == digest(numbers));
  CHECK(ours() >= ours_before + kSize * kMiBInKiB);
  CHECK(workers() >= workers_before + 2 * kSize * kMiBInKiB);  // what it was decoded from, and into
  CHECK(pool.wait([&] { return ours() < ours_before + kMiBInKiB; }));
  CHECK(pool.wait([&] { return workers() < workers_before + 8 * kMiBInKiB; }));
  CHECK(pool.result_of(digest, numbers).value() == digest(numbers));
}

TEST_CASE("where memory is limited, a worker keeps none of a large call's", "[large][limits]") {
  if (test::kSanitized) return test::skip("a sanitizer's shadow is in the address space");
  Loop loop;
  auto options = options_for_one();
  options.limits.memory = 2048 * kMiB;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  (void)pool.result_of(digest, some_numbers(kMiB)).value();
  const std::uint64_t before = pool.result_of(large_cases::address_space).value();
  (void)pool.result_of(digest, some_numbers(48 * kMiB)).value();
  CHECK(pool.result_of(large_cases::address_space).value() < before + 8 * kMiBInKiB);
}

TEST_CASE("a worker without room for a large call's arguments says that it ran out of memory", "[large][limits][W1]") {
  if (test::kSanitized) return test::skip("a sanitizer's shadow is in the address space");
  Loop loop;
  auto options = options_for_one();
  options.limits.memory = 1024 * kMiB;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  (void)pool.result_of(large_cases::leave_address_space, 1024 * kMiBInKiB, 16 * kMiBInKiB).value();
  const auto failed = pool.result_of(digest, some_numbers(40 * kMiB));
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().code() == Errc::worker_crashed);
  CHECK_THAT(failed.error().message(), ContainsSubstring("ran out of memory"));
}
