// A pool of threads where there is no memory: each allocation fails once, and from each one on all fail. Every call is
// answered once, whatever fails; what ends, ends; and nothing is left.
#include <poll.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/bound_job.hpp"
#include "leasepool/leasepool.hpp"
#include "loop/loop_core.hpp"
#include "memory_gate.hpp"
#include "pool/pool.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"

namespace lp = leasepool;
using namespace std::chrono_literals;
using leasepool::test::live_allocations;
using leasepool::test::MemoryGate;

namespace {

// Counted here, without memory.
struct Told {
  int started = 0;
  int failed_to_start = 0;
  int closed = 0;
  int results = 0;
  int errors = 0;
  int cancelled = 0;  // of those
  bool last_answered = false;
};

// Stands where a lease would.
class Sink final : public lp::detail::JobSink {
 public:
  explicit Sink(lp::detail::Scheduler& scheduler) : scheduler_(scheduler) {}
  void job_started(std::uint64_t /*job_id*/, lp::TimePoint /*started*/) override {}
  void job_ended(std::unique_ptr<lp::detail::Job> job) override {
    const auto self = std::move(job->state.lease);
    scheduler_.deliver(std::move(job));
  }

 private:
  lp::detail::Scheduler& scheduler_;
};

int twice(int value) { return 2 * value; }
int fails(int /*value*/) { throw std::runtime_error("a text that is too long to be kept within a string's own bytes"); }
std::atomic<std::uint64_t> lines_logged = 0;
int logs(int value) {
  lines_logged += 2;
  lp::log(lp::LogLevel::info, "one line\nand another that is too long to be kept within a string's own bytes");
  return value;
}
int waits(const std::stop_token& token, int value) {
  while (!token.stop_requested()) std::this_thread::sleep_for(100us);
  return value;
}

struct Variant {
  bool initializer;
  bool closed_at_once;
};

// A pool's life, with all that it does; made so that the test's own part takes no memory once it is constructed.
class Life {
 public:
  explicit Life(Variant variant)
      : variant_(variant), sink_(std::make_shared<Sink>(*leasepool::detail::Access::core(loop_))) {
    (void)loop_.poll_fd();
    options_.name = "a name that is too long to be kept within a string's own bytes";
    options_.workers = 2;
    options_.totals = std::make_shared<lp::detail::PoolTotals>();
    options_.log = [](const lp::LogRecord&) {};
    if (variant.initializer) options_.initializer = {logs, 3};
    add(twice);
    add(fails);
    add(logs);
    add(waits);
    add(waits);
    add(twice);  // waits behind those
  }

  void live() {
    if (!start()) return;
    for (auto& job : jobs_) pool_->submit(std::move(job));
    turn_until([this] { return answered() >= calls() - 3; });
    if (!told.last_answered) (void)pool_->withdraw(*last_, lp::Error::out_of_memory());
    stop_.request_stop();
    if (variant_.closed_at_once) {
      pool_->close_now(std::chrono::steady_clock::now() + 20s);
    } else {
      pool_->close([this] { ++told.closed; });
      turn_until([this] { return told.closed == 1; });
    }
    turn_until([this] { return answered() == calls(); });
    // A line may come behind the result of its call.
    turn_until([this] { return lines_told() >= lines_said(); });
  }

  [[nodiscard]] int calls() const { return static_cast<int>(jobs_.size()); }
  [[nodiscard]] int answered() const { return told.results + told.errors; }
  // Each is handed over or counted.
  [[nodiscard]] std::uint64_t lines_told() const { return options_.totals->log->lines + options_.totals->log->dropped; }
  [[nodiscard]] std::uint64_t lines_said() const { return lines_logged - lines_before_; }

  Told told;
  bool hangs = false;

 private:
  template <class F>
  void add(F function) {
    last_ = nullptr;
    auto keep = [this, number = jobs_.size()](const lp::Result<int>& result) {
      result ? ++told.results : ++told.errors;
      if (!result && result.error().code() == lp::Errc::cancelled) ++told.cancelled;
      if (number + 1 == jobs_.size()) told.last_answered = true;
    };
    auto job = lp::detail::make_job<decltype(keep)>(function, 21);
    job->set_receiver(keep);
    job->state.lease = sink_;
    job->state.id = jobs_.size() + 1;
    job->state.reports_start = true;
    if (job->takes_stop_token()) job->state.stop = stop_;
    last_ = job.get();
    jobs_.push_back(std::move(job));
  }

  // False if there is no pool then.
  bool start() {
    try {
      pool_ = lp::detail::make_pool(*leasepool::detail::Access::core(loop_), lp::ExecutorBackend::thread, options_);
      pool_->start([this](const lp::Result<void>& result) { result ? ++told.started : ++told.failed_to_start; });
    } catch (const std::bad_alloc&) {
      return false;
    }
    turn_until([this] { return told.started + told.failed_to_start == 1; });
    return told.started == 1;
  }

  // The time bound ends a broken test alone.
  template <class Condition>
  void turn_until(Condition holds) {
    const auto give_up = std::chrono::steady_clock::now() + 20s;
    while (!hangs && !holds()) {
      hangs = std::chrono::steady_clock::now() > give_up;
      pollfd readable{.fd = loop_.poll_fd(), .events = POLLIN, .revents = 0};
      (void)::poll(&readable, 1, 100);
      loop_.dispatch();
    }
  }

  const Variant variant_;
  const std::uint64_t lines_before_ = lines_logged;
  lp::Loop loop_;
  lp::detail::PoolOptions options_;
  std::stop_source stop_;
  const std::shared_ptr<Sink> sink_;
  std::vector<std::unique_ptr<lp::detail::Job>> jobs_;
  lp::detail::Job* last_ = nullptr;
  std::shared_ptr<lp::detail::Pool> pool_;
};

// One life with allocations from the n-th on that fail; false if it needed fewer.
bool live_without(std::size_t n, MemoryGate::Fails fails, Variant variant) {
  CAPTURE(n, fails == MemoryGate::Fails::once, variant.initializer, variant.closed_at_once);
  const std::size_t before = live_allocations();
  bool refused = false;
  {
    Life life(variant);
    {
      const MemoryGate gate(n, fails);
      life.live();
      refused = gate.refused();
    }
    CHECK_FALSE(life.hangs);
    CHECK(life.told.started + life.told.failed_to_start <= 1);
    if (life.told.started == 1) {
      CHECK(life.answered() == life.calls());
      CHECK(life.told.closed == (variant.closed_at_once ? 0 : 1));
      CHECK(life.lines_told() == life.lines_said());
    }
    // Of six, one throws, one is withdrawn, and those that no thread had taken yet end as the pool drains.
    if (!refused) CHECK(life.told.results + life.told.cancelled == 4);
  }
  CHECK(leasepool::test::eventually([&] { return live_allocations() == before; }));
  return refused;
}

}  // namespace

TEST_CASE("a pool of threads lives and ends where any allocation fails, and answers each call once",
          "[allocations][thread][L3][L4]") {
  const std::size_t threads = leasepool::test::thread_count();
  for (const bool initializer : {false, true}) {
    for (const bool at_once : {false, true}) {
      const Variant variant{.initializer = initializer, .closed_at_once = at_once};
      constexpr std::size_t kNone = 1'000'000;
      REQUIRE_FALSE(live_without(kNone, MemoryGate::Fails::once, variant));  // what is kept is made
      for (const auto fails : {MemoryGate::Fails::once, MemoryGate::Fails::from_then_on}) {
        // Threads are not in step, so the one that sees nothing fail may not be the last.
        int passed = 0;
        for (std::size_t n = 1; passed < 5; ++n) {
          const bool refused = live_without(n, fails, variant);
          passed = refused ? 0 : passed + 1;
        }
      }
    }
  }
  CHECK(leasepool::test::eventually([&] { return leasepool::test::thread_count() == threads; }));
}
