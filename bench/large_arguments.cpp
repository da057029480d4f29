// R3: a 64 MiB vector as an argument of a process call, against memcpy of as much memory; and a SharedBuffer of 1 GiB
// against one of 4 KB.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "figures/manager.hpp"
#include "figures/report.hpp"

using figures::Unit;
using leasepool::Histogram;
using leasepool::SharedBuffer;
using std::chrono::steady_clock;

namespace bench_large {

std::uint64_t size_of(const std::vector<std::uint64_t>& numbers) {
  return numbers.size() + (numbers.empty() ? 0 : numbers.back());
}

// Sees its ends only: what is measured is the way there.
std::uint64_t ends_of(const SharedBuffer& buffer) {
  const auto bytes = buffer.bytes();
  return static_cast<std::uint64_t>(bytes.front()) + static_cast<std::uint64_t>(bytes.back());
}

}  // namespace bench_large
LEASEPOOL_REGISTER(bench_large::size_of);
LEASEPOOL_REGISTER(bench_large::ends_of);

namespace {

double nanoseconds_since(steady_clock::time_point begin) {
  return static_cast<double>(std::chrono::nanoseconds(steady_clock::now() - begin).count());
}

// The argument is moved in, so that the call's one copy is what the library makes.
leasepool::Task<double> call_with_vector(const leasepool::ExecutorLease& lease, std::size_t length) {
  std::vector<std::uint64_t> numbers(length, 7);
  const auto begin = steady_clock::now();
  auto call = lease.run(bench_large::size_of, std::move(numbers));
  const std::uint64_t answer = co_await call;
  const double took = nanoseconds_since(begin);
  if (answer != length + 7) throw std::runtime_error("a vector arrived otherwise than it was sent");
  co_return took;
}

leasepool::Task<double> call_with_buffer(const leasepool::ExecutorLease& lease, const SharedBuffer& buffer) {
  const auto begin = steady_clock::now();
  auto call = lease.run(bench_large::ends_of, SharedBuffer(buffer));
  const std::uint64_t answer = co_await call;
  const double took = nanoseconds_since(begin);
  if (answer != 14) throw std::runtime_error("a buffer's memory is not the caller's");
  co_return took;
}

// Both sides touched before, so no page is taken from the system in it: the fastest that this machine copies so much.
double copy_once(const std::vector<std::uint64_t>& from, std::vector<std::uint64_t>& to) {
  const auto begin = steady_clock::now();
  std::memcpy(to.data(), from.data(), from.size() * sizeof(std::uint64_t));
  const double took = nanoseconds_since(begin);
  if (to.back() != from.back()) throw std::runtime_error("memcpy did not copy");
  return took;
}

struct Vectors {
  std::vector<double> calls;
  std::vector<double> copies;
};

Vectors measure_vectors(const figures::Options& options, leasepool::Loop& loop, const leasepool::ExecutorLease& lease,
                        std::size_t length) {
  Vectors times;
  const std::vector<std::uint64_t> from(length, 7);
  std::vector<std::uint64_t> to(length, 1);
  (void)loop.block_on(call_with_vector(lease, length));  // the first of each is not counted
  (void)copy_once(from, to);
  for (std::size_t i = 0; i < options.count("rounds"); ++i) {
    if (i % 10 == 0) figures::progress(options, "round " + std::to_string(i + 1));
    times.calls.push_back(loop.block_on(call_with_vector(lease, length)));
    times.copies.push_back(copy_once(from, to));
  }
  return times;
}

struct Buffers {
  std::vector<double> with_small;
  std::vector<double> with_large;
};

Buffers measure_buffers(const figures::Options& options, leasepool::Loop& loop, const leasepool::ExecutorLease& lease) {
  figures::progress(options, "shared buffers");
  const SharedBuffer small(4096);
  const SharedBuffer large(options.count("buffer-mib") << 20);
  std::memset(small.data(), 7, small.size());
  std::memset(large.data(), 7, large.size());  // memory that is there
  Buffers times;
  for (std::size_t i = 0; i < options.count("buffer-calls"); ++i) {
    times.with_small.push_back(loop.block_on(call_with_buffer(lease, small)));
    times.with_large.push_back(loop.block_on(call_with_buffer(lease, large)));
  }
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  leasepool::init();
  const figures::Options options(argc, argv, "Large arguments of process calls.",
                                 {{"mib", 64, "size of the vector, in MiB"},
                                  {"rounds", 31, "of a call and a memcpy in turn"},
                                  {"buffer-mib", 1024, "size of the large SharedBuffer, in MiB"},
                                  {"buffer-calls", 2000, "with each of the two buffers, in turn"}},
                                 {{"rounds", 3, {}}, {"buffer-mib", 64, {}}, {"buffer-calls", 100, {}}});
  const std::size_t bytes = options.count("mib") << 20;
  const std::size_t length = bytes / sizeof(std::uint64_t);

  leasepool::Loop loop;
  auto settings = figures::manager_options(leasepool::ExecutorBackend::process, 1, 2);
  settings.max_payload = bytes + 4096;
  leasepool::LeasedExecutorManager manager(loop, settings);
  figures::start(loop, manager);
  const leasepool::ExecutorLease lease = figures::acquire(loop, manager);

  const Vectors vectors = measure_vectors(options, loop, lease, length);
  const Buffers buffers = measure_buffers(options, loop, lease);

  figures::Report report(options);
  const double call = figures::median(vectors.calls);
  const double copy = figures::median(vectors.copies);
  const auto speed = [&](double nanoseconds) { return static_cast<double>(bytes) / nanoseconds * 1e9; };
  const std::string mib = std::to_string(options.count("mib")) + " MiB";
  report.add({.figure = {}, .what = "memcpy of " + mib, .value = speed(copy), .unit = Unit::bytes_per_second});
  report.add({.figure = {}, .what = "call with " + mib, .value = speed(call), .unit = Unit::bytes_per_second});
  report.add({.figure = "R3",
              .what = "call with " + mib + ", of memcpy's speed",
              .value = copy / call,
              .unit = Unit::ratio,
              .at_least = 1.0 / 3});
  const double small_call = figures::median(buffers.with_small);
  const double large_call = figures::median(buffers.with_large);
  report.add(
      {.figure = {}, .what = "call with a SharedBuffer of 4 KiB, p50", .value = small_call, .unit = Unit::nanoseconds});
  report.add({.figure = {},
              .what = "... of " + std::to_string(options.count("buffer-mib")) + " MiB, p50",
              .value = large_call,
              .unit = Unit::nanoseconds});
  report.add({.figure = "R3",
              .what = "the large one against the small one",
              .value = large_call / small_call,
              .unit = Unit::ratio,
              .at_most = 3});
  report.note(
      "memcpy goes to memory that was touched before (warm); the vector is made before the clock starts and moved in. "
      "Medians.");
  report.print();
}
