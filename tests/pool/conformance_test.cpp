// What pool.hpp says of every pool, held against threads, worker processes and the simulated pool alike.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "../sim/sim_pool.hpp"
#include "../sim/sim_scheduler.hpp"
#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/function.hpp"
#include "support/eventually.hpp"

// A result that is on its way until the test lets it through: its decoding waits here, in the parent.
namespace conformance_cases {

std::atomic<bool>& lets_results_through() {
  static std::atomic<bool> open = false;
  return open;
}
std::atomic<int>& results_on_their_way() {
  static std::atomic<int> entered = 0;
  return entered;
}

struct SlowResult {
  int value = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(value);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(value);
    ++results_on_their_way();
    while (!lets_results_through()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};
SlowResult slow_result() { return {.value = 7}; }

}  // namespace conformance_cases

LEASEPOOL_REGISTER(conformance_cases::slow_result);

using namespace leasepool;
using leasepool::detail::Job;
using leasepool::detail::Pool;
using leasepool::test::Call;
using leasepool::test::SimPool;
using leasepool::test::SimScheduler;
using leasepool::test::SimWorld;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace {

enum class Kind { threads, processes, simulated, simulated_threads };
constexpr std::size_t kWorkers = 2;

// Notes what a pool reports, and whether that was inside a call to the pool.
class Reports final : public detail::JobSink {
 public:
  struct Report {
    std::uint64_t job_id = 0;
    bool inside = false;
  };
  void job_started(std::uint64_t job_id, TimePoint /*started*/) override { started.push_back({job_id, inside_call}); }
  void job_given_back(std::uint64_t job_id) override { given_back.push_back({job_id, inside_call}); }
  void job_ended(std::unique_ptr<Job> job) override {
    ended.push_back({job->state.id, inside_call});
    const std::shared_ptr<JobSink> self = std::move(job->state.lease);
    job->deliver();
    test::look_again();
  }

  static bool has(const std::vector<Report>& reports, std::uint64_t job_id) {
    return std::ranges::any_of(reports, [&](const Report& report) { return report.job_id == job_id; });
  }
  static auto times(const std::vector<Report>& reports, std::uint64_t job_id) {
    return std::ranges::count_if(reports, [&](const Report& report) { return report.job_id == job_id; });
  }

  bool inside_call = false;
  std::vector<Report> started, given_back, ended;
};

// A pool of any kind, started; and what differs between a loop with a kernel and one without.
class Subject {
 public:
  explicit Subject(Kind kind) : kind_(kind) {
    pool_functions::reset_shared();
    if (is_real()) {
      loop_.emplace();
      real_.emplace(*loop_, kind == Kind::threads ? ExecutorBackend::thread : ExecutorBackend::process, kWorkers);
      pool_ = real_->pool;
      real_->sink->pool.reset();
    } else {
      world_.kills = kind == Kind::simulated;
      world_.next_run_time = [] { return std::chrono::hours(1); };
      pool_ = std::make_shared<SimPool>(scheduler_, world_, kWorkers);
    }
    bool ready = false;
    call([&] {
      pool_->start([&](const Result<void>& result) {
        CHECK_FALSE(reports->inside_call);
        ready = result.has_value();
        test::look_again();
      });
    });
    REQUIRE(wait([&] { return ready; }));
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  ~Subject() {
    shared().gate = 1;
    if (pool_) pool_->close_now(TimePoint::max());
    if (real_) real_->pool.reset();
  }

  [[nodiscard]] Pool& pool() const noexcept { return *pool_; }
  // What it has prefetched behind a call that turns out slow, as any does on a busy machine.
  [[nodiscard]] bool may_recall() const noexcept { return kind_ == Kind::processes; }
  [[nodiscard]] bool kills() const noexcept { return kind_ == Kind::processes || kind_ == Kind::simulated; }

  // A call into the pool, as which its reports are noted.
  template <class F>
  std::invoke_result_t<F> call(F function) {
    reports->inside_call = true;
    struct Leave {
      Reports& reports;
      ~Leave() { reports.inside_call = false; }
    } leave{*reports};
    return function();
  }

  // A call that runs until let_end(), or until a stop is requested of it on threads.
  std::shared_ptr<Call<pid_t>> submit() {
    std::shared_ptr<Call<pid_t>> made;
    auto job = kind_ == Kind::processes ? test::make_test_job(made, pool_functions::hold)
               : kind_ == Kind::threads ? test::make_test_job(made, hold_or_stop)
                                        : test::make_test_job(made, nothing);
    made->id = job->state.id = ++last_id_;
    job->state.lease = reports;
    job->state.reports_start = true;
    const std::stop_source stop = job->takes_stop_token() ? std::stop_source() : std::stop_source(std::nostopstate);
    if (stop.stop_possible()) job->state.stop = stop;
    stops_.push_back(stop);
    call([&] { pool_->submit(std::move(job)); });
    return made;
  }
  bool wait(const std::function<bool()>& holds) {
    if (is_real()) return real_->wait(holds);
    while (!holds() && scheduler_.step()) {
    }
    return holds();
  }
  // What runs has the time to end, and does.
  bool let_end(const std::function<bool()>& holds) {
    shared().gate = 1;
    for (int hours = 0; hours < 10 && !is_real() && !holds(); ++hours) scheduler_.advance(std::chrono::hours(1));
    return wait(holds);
  }
  // As many as there are workers run.
  std::vector<std::shared_ptr<Call<pid_t>>> fill() {
    std::vector<std::shared_ptr<Call<pid_t>>> running;
    for (std::size_t i = 0; i < kWorkers; ++i) running.push_back(submit());
    REQUIRE(wait([&] { return reports->started.size() == kWorkers; }));
    if (is_real()) REQUIRE(wait([] { return shared().holding == static_cast<int>(kWorkers); }));
    return running;
  }
  // Whether a call that can be asked to stop was asked.
  [[nodiscard]] bool was_asked(const Call<pid_t>& call) const {
    const std::stop_source& stop = stops_[call.id - 1];
    return !stop.stop_possible() || stop.stop_requested();
  }
  // More than fit where workers take them from.
  std::vector<std::shared_ptr<Call<pid_t>>> queue() {
    std::vector<std::shared_ptr<Call<pid_t>>> waiting;
    while (waiting.size() < 400) waiting.push_back(submit());
    return waiting;
  }
  void close(std::function<void()> closed) {
    call([&] {
      pool_->close([this, closed = std::move(closed)] {
        CHECK_FALSE(reports->inside_call);
        closed();
        test::look_again();
      });
    });
  }
  void gone() {
    pool_.reset();
    if (real_) real_->pool.reset();
  }

  const std::shared_ptr<Reports> reports = std::make_shared<Reports>();

 private:
  static pid_t nothing() { return 1; }
  static pid_t hold_or_stop(const std::stop_token& stop) {
    ++shared().holding;
    while (shared().gate == 0 && !stop.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return 1;
  }
  [[nodiscard]] bool is_real() const noexcept { return kind_ == Kind::threads || kind_ == Kind::processes; }

  const Kind kind_;
  std::optional<Loop> loop_;
  std::optional<TestPool> real_;
  SimScheduler scheduler_;
  SimWorld world_;
  std::shared_ptr<Pool> pool_;
  std::vector<std::stop_source> stops_;
  std::uint64_t last_id_ = 0;
};

Kind every_kind() {
  const Kind kind = GENERATE(Kind::threads, Kind::processes, Kind::simulated, Kind::simulated_threads);
  return kind;
}

}  // namespace

TEST_CASE("a pool starts and ends each job once, the oldest first", "[conformance]") {
  Subject subject(every_kind());
  Reports& reports = *subject.reports;
  std::vector<std::shared_ptr<Call<pid_t>>> calls;
  for (int i = 0; i < 6; ++i) calls.push_back(subject.submit());
  REQUIRE(subject.wait([&] { return reports.started.size() == kWorkers; }));
  CHECK(Reports::has(reports.started, calls[0]->id));
  CHECK(Reports::has(reports.started, calls[1]->id));
  CHECK(reports.ended.empty());
  REQUIRE(subject.let_end([&] { return reports.ended.size() == calls.size(); }));
  for (const auto& call : calls) {
    CHECK(Reports::times(reports.started, call->id) == 1);
    CHECK(Reports::times(reports.ended, call->id) == 1);
    CHECK(call->deliveries == 1);
    CHECK(call->succeeded());
  }
  CHECK(std::ranges::none_of(reports.ended, &Reports::Report::inside));
  if (!subject.may_recall()) CHECK(reports.given_back.empty());
}

TEST_CASE("a job that waits ends inside withdraw(), and one that runs does not", "[conformance]") {
  Subject subject(every_kind());
  Reports& reports = *subject.reports;
  const auto running = subject.fill();
  const auto waiting = subject.submit();
  CHECK(subject.call([&] { return subject.pool().withdraw(*waiting->job, {Errc::cancelled, "taken back"}); }));
  CHECK(waiting->code() == Errc::cancelled);
  REQUIRE(reports.ended.size() == 1);
  CHECK(reports.ended.front().inside);
  CHECK_FALSE(subject.call([&] { return subject.pool().withdraw(*running[0]->job, {Errc::cancelled, "too late"}); }));
  CHECK_FALSE(running[0]->ended());
  REQUIRE(subject.let_end([&] { return running[0]->ended() && running[1]->ended(); }));
  CHECK(running[0]->succeeded());
  CHECK_FALSE(Reports::has(reports.started, waiting->id));
}

TEST_CASE("a job that runs ends inside interrupt() where that says so, and else when it heeds its stop token",
          "[conformance]") {
  Subject subject(every_kind());
  Reports& reports = *subject.reports;
  const auto running = subject.fill();
  const bool ended =
      subject.call([&] { return subject.pool().interrupt(*running[0]->job, {Errc::timed_out, "late"}); });
  CHECK(ended == subject.kills());
  if (ended) {
    CHECK(running[0]->code() == Errc::timed_out);
    REQUIRE(reports.ended.size() == 1);
    CHECK(reports.ended.front().inside);
  } else {
    CHECK_FALSE(running[0]->ended());
    CHECK(subject.was_asked(*running[0]));
    REQUIRE(subject.let_end([&] { return running[0]->ended(); }));
    CHECK(running[0]->succeeded());
  }
  const auto next = subject.submit();  // there is a worker for it again
  REQUIRE(subject.let_end([&] { return next->ended() && running[1]->ended(); }));
  CHECK(next->succeeded());
  CHECK(running[1]->succeeded());
  CHECK(running[0]->deliveries == 1);
}

TEST_CASE("a pool that drains ends what waits inside drain(), and what runs comes to its end", "[conformance]") {
  Subject subject(every_kind());
  Reports& reports = *subject.reports;
  const auto running = subject.fill();
  const auto waiting = subject.queue();
  const std::size_t queued = waiting.size();
  subject.call([&] { subject.pool().drain({Errc::lease_expired, "too late"}); });
  CHECK(std::ranges::all_of(waiting, [](const auto& call) { return call->code() == Errc::lease_expired; }));
  CHECK(reports.ended.size() == queued);
  CHECK(std::ranges::all_of(reports.ended, &Reports::Report::inside));
  subject.call([&] { subject.pool().drain({Errc::lease_expired, "too late"}); });
  int closed = 0;
  subject.close([&] { ++closed; });
  REQUIRE(subject.let_end([&] { return closed == 1; }));
  CHECK(std::ranges::all_of(running, [](const auto& call) { return call->succeeded() && call->deliveries == 1; }));
  CHECK(std::ranges::all_of(waiting, [](const auto& call) { return call->deliveries == 1; }));
  CHECK(reports.started.size() == kWorkers);
  subject.gone();
}

TEST_CASE("abort() ends what waits, the oldest first, and what runs where that can be killed; the pool serves on",
          "[conformance]") {
  Subject subject(every_kind());
  Reports& reports = *subject.reports;
  const auto running = subject.fill();
  const auto waiting = subject.queue();
  const std::size_t queued = waiting.size();
  subject.call([&] { subject.pool().abort({Errc::lease_expired, "too late"}, detail::Ended::are_included); });
  const std::size_t ended = queued + (subject.kills() ? kWorkers : 0);
  CHECK(reports.ended.size() == ended);
  CHECK(std::ranges::all_of(reports.ended, &Reports::Report::inside));
  CHECK(std::ranges::is_sorted(reports.ended | std::views::take(queued), {}, &Reports::Report::job_id));
  CHECK(std::ranges::all_of(waiting, [](const auto& call) { return call->code() == Errc::lease_expired; }));
  for (const auto& call : running) {
    const bool told = subject.kills() ? call->code() == Errc::lease_expired : subject.was_asked(*call);
    CHECK(told);
  }
  const auto next = subject.submit();
  REQUIRE(subject.let_end([&] { return next->ended() && running[0]->ended() && running[1]->ended(); }));
  CHECK(next->succeeded());
  CHECK(std::ranges::all_of(running, [](const auto& call) { return call->deliveries == 1; }));
  CHECK(std::ranges::all_of(waiting, [](const auto& call) { return call->deliveries == 1; }));
}

// The function has returned, so nothing is killed. What is on its way from a thread cannot be ended.
TEST_CASE("abort() spares a result that is on its way, or ends its call, as it is told", "[conformance]") {
  const auto backend = GENERATE(ExecutorBackend::thread, ExecutorBackend::process);
  const auto on_its_way = GENERATE(detail::Ended::are_spared, detail::Ended::are_included);
  const bool decodes = backend == ExecutorBackend::process;
  const bool ends = decodes && on_its_way == detail::Ended::are_included;
  conformance_cases::lets_results_through() = false;
  conformance_cases::results_on_their_way() = 0;
  Loop loop;
  auto options = TestPool::options_for(1);
  options.decode_thread_threshold = 0;
  TestPool pool(loop, backend, options);
  REQUIRE(pool.start());
  const auto call = pool.call(conformance_cases::slow_result);
  if (decodes) {
    REQUIRE(pool.wait([] { return conformance_cases::results_on_their_way() == 1; }));
  } else {
    REQUIRE(test::eventually([&] { return detail::has_ended(*call->job); }));
  }
  pool.pool->abort({Errc::lease_expired, "too late"}, on_its_way);
  CHECK(call->ended() == ends);
  if (ends) CHECK(call->code() == Errc::lease_expired);
  conformance_cases::lets_results_through() = true;
  REQUIRE(pool.wait([&] { return call->ended(); }));
  if (!ends) CHECK(call->succeeded());
  CHECK(call->deliveries == 1);
  CHECK(pool.result_of(conformance_cases::slow_result).has_value());  // the pool serves on
  CHECK(pool.totals->workers_killed == 0);
}

TEST_CASE("a pool that closes says so later, and not before what runs has ended", "[conformance]") {
  Subject subject(every_kind());
  const auto running = subject.fill();
  int closed = 0;
  subject.close([&] {
    ++closed;
    CHECK(subject.reports->ended.size() == kWorkers);
  });
  CHECK(closed == 0);
  REQUIRE(subject.let_end([&] { return closed == 1; }));
  CHECK(running[0]->succeeded());
  CHECK(running[1]->succeeded());
  subject.gone();
}

TEST_CASE("a pool that is killed while it closes has closed once, and later", "[conformance]") {
  Subject subject(every_kind());
  const auto running = subject.fill();
  int closed = 0;
  subject.close([&] { ++closed; });
  subject.call([&] { subject.pool().kill(); });
  CHECK(closed == 0);
  REQUIRE(subject.wait([&] { return closed == 1; }));
  REQUIRE(subject.let_end([&] { return !subject.kills() || running[0]->ended(); }));
  CHECK(closed == 1);
}
