// What calls held is kept for the next ones, and never keeps a lease that has ended.
#include "lease/spare_holds.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "lease/lease_record.hpp"
#include "lease/stage.hpp"
#include "leasepool/detail/access.hpp"

namespace spare_holds_test {

using namespace std::chrono_literals;
using leasepool::ManagerOptions;
using leasepool::Result;
using leasepool::detail::Access;
using leasepool::detail::JobSink;
using leasepool::detail::LeaseRecord;
using leasepool::detail::SpareHolds;
using leasepool::test::Stage;

struct Sink final : JobSink {
  void job_started(std::uint64_t /*job_id*/, leasepool::TimePoint /*started*/) override {}
  void job_ended(std::unique_ptr<leasepool::detail::Job> /*job*/) override {}
};

TEST_CASE("what was kept is taken once each, and what there is no room for is let go") {
  const auto sink = std::make_shared<Sink>();
  constexpr long kKept = 257;
  SpareHolds holds;
  for (int i = 0; i < 300; ++i) holds.keep(sink);
  CHECK(sink.use_count() == 1 + kKept);
  std::vector<std::shared_ptr<JobSink>> taken;
  while (auto hold = holds.take()) taken.push_back(std::move(hold));
  CHECK(taken.size() == kKept);
  CHECK(std::ranges::all_of(taken, [&](const auto& hold) { return hold == sink; }));
  for (auto& hold : taken) holds.keep(std::move(hold));
  holds.clear();
  CHECK(sink.use_count() == 1);
  CHECK(holds.take() == nullptr);
}

// One lease that has had calls at once, and then none.
struct Used {
  Used() : stage(options()) {
    stage.acquire("caller", 100h);
    for (int i = 0; i < 20; ++i) {
      stage.leases[0].run_async([] { return 1; }, [this](const Result<int>& result) { ended += *result; });
    }
    stage.scheduler->run_until_idle();
    record = Access::record(stage.leases[0]);
  }
  static ManagerOptions options() {
    ManagerOptions options;
    options.max_pools = 1;
    options.workers_per_pool = 2;
    return options;
  }

  Stage stage;
  int ended = 0;
  std::weak_ptr<LeaseRecord> record;
};

TEST_CASE("a lease that was released is gone with its handle, whatever its calls held") {
  Used used;
  CHECK(used.ended == 20);
  used.stage.leases[0].release();
  used.stage.scheduler->run_until_idle();
  CHECK_FALSE(used.record.expired());
  used.stage.leases.clear();
  CHECK(used.record.expired());
}

TEST_CASE("a lease whose manager ends is gone with its handle") {
  Used used;
  used.stage.manager->stop([](const Result<void>&) {});
  used.stage.scheduler->run_until_idle();
  CHECK_FALSE(used.record.expired());
  used.stage.leases.clear();
  CHECK(used.record.expired());
}

}  // namespace spare_holds_test
