// The table of a lease's calls, and walks through it.
#include "lease/call_table.hpp"

#include <cstdint>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/bound_job.hpp"

using leasepool::Result;
using leasepool::detail::CallTable;
using leasepool::detail::Job;

namespace {

using Jobs = std::vector<std::unique_ptr<Job>>;

// With the ids 1 to `count`, in the table.
Jobs fill(CallTable& table, std::uint64_t count) {
  Jobs jobs;
  const auto drop = [](const Result<int>&) {};
  for (std::uint64_t id = 1; id <= count; ++id) {
    jobs.push_back(leasepool::detail::make_job<decltype(drop)>([] { return 1; }));
    jobs.back()->state.id = id;
    table.add(*jobs.back());
  }
  return jobs;
}

void empty(CallTable& table) {
  table.for_each([&](Job& job) { table.remove(job); });
  CHECK(table.empty());
}

}  // namespace

TEST_CASE("calls are found by id as long as they have not ended, and watched ones as long as they are watched") {
  CallTable table;
  const Jobs jobs = fill(table, 7);
  table.watch(*jobs[2]);
  table.watch(*jobs[3]);
  table.remove(*jobs[3]);
  table.remove(*jobs[6]);
  for (const std::uint64_t id : {1U, 2U, 3U, 5U, 6U}) CHECK(table.find(id) == jobs[id - 1].get());
  for (const std::uint64_t id : {0U, 4U, 7U, 8U}) CHECK(table.find(id) == nullptr);
  CHECK(table.size() == 5);
  CHECK(table.watched(3) == jobs[2].get());
  CHECK(table.watched(4) == nullptr);
  CHECK(table.watched(5) == nullptr);
  table.unwatch(*jobs[2]);
  CHECK(table.watched(3) == nullptr);
  empty(table);
}

TEST_CASE("a walk passes over the calls that its action takes out, and so do walks around it") {
  CallTable table;
  Jobs jobs = fill(table, 8);
  std::vector<std::uint64_t> seen, seen_inside;
  table.for_each([&](const Job& job) {
    seen.push_back(job.state.id);
    if (job.state.id == 2) {
      for (const std::size_t ended : {2U, 3U}) {  // those that come next
        table.remove(*jobs[ended]);
        jobs[ended].reset();
      }
    }
    if (job.state.id != 5) return;
    table.for_each_while([&](Job& inside) {
      seen_inside.push_back(inside.state.id);
      if (inside.state.id > 4) table.remove(inside);
      return inside.state.id < 7;
    });
  });
  CHECK(seen == std::vector<std::uint64_t>{1, 2, 5, 8});
  CHECK(seen_inside == std::vector<std::uint64_t>{1, 2, 5, 6, 7});
  CHECK(table.size() == 3);
  empty(table);
}
