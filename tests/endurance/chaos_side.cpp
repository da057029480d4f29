// What the users of a chaos run do, and what they expect.
#include "chaos_side.hpp"

#include <functional>
#include <future>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>

#include "functions.hpp"

namespace endurance {

namespace lp = leasepool;
using namespace std::chrono_literals;

namespace {

// How often a number of mark() may still have run since its use was answered. The loop's thread.
std::vector<unsigned>& late_runs() {
  static std::vector<unsigned> of_each(kMarks);
  return of_each;
}

constexpr int kUsers = 4;
constexpr int kGrinding = 2;

}  // namespace

ChaosSide::ChaosSide(lp::Loop& loop, lp::ExecutorBackend backend, Outcomes& outcomes, std::uint64_t seed)
    : loop_(loop), backend_(backend), outcomes_(outcomes), random_(seed) {}

std::uint64_t ChaosSide::random(std::uint64_t from, std::uint64_t to) { return from + random_() % (to - from + 1); }

// That nobody else uses: taken in turn, of so many that the last use is long over.
std::size_t ChaosSide::next_mark() {
  static std::size_t last = 0;  // the loop's thread
  const std::size_t number = ++last % kMarks;
  if (take_marks(number) > std::exchange(late_runs()[number], 0))
    outcomes_.wrong("a call ran when it had been answered");
  return number;
}

lp::ManagerOptions ChaosSide::manager_options() {
  lp::ManagerOptions options{.backend = backend_,
                             .max_pools = random(1, 3),
                             .workers_per_pool = random(1, 3),
                             .default_lease_duration = random_time(5'000, 200'000),
                             .lease_grace = random_time(0, 20'000),
                             .name_prefix = "chaos",
                             .max_queued_calls = one_in(3) ? 2U : 0U,
                             .stop_timeout = one_in(3) ? lp::Duration(random_time(0, 5'000)) : 5s,
                             .log = [](const lp::LogRecord&) {}};
  bounded_queue_ = options.max_queued_calls != 0;
  if (backend_ == lp::ExecutorBackend::process) {
    options.worker_limits.core_size = 0;
    if (one_in(3)) options.max_calls_per_worker = random(1, 20);
    if (one_in(4)) options.shared_memory = false;
  }
  return options;
}

lp::GrinderOptions ChaosSide::grinder_options() {
  return {.batch_size_threshold = random(1, 30),
          .max_wait = random_time(100, 5'000),
          .lease_duration = random_time(5'000, 200'000),
          .owner_prefix = "grinder"};
}

lp::AcquireOptions ChaosSide::acquire_options() {
  lp::AcquireOptions options{.owner = "user", .wait = !one_in(5)};
  if (one_in(2)) options.lease_duration = random_time(500, 50'000);
  if (one_in(2)) options.timeout = random_time(100, 20'000);
  return options;
}

lp::Task<> ChaosSide::live() {
  manager_.emplace(loop_, manager_options());
  auto started = manager_->start();
  co_await started;
  grinder_.emplace(*manager_, grinder_options());
  auto grinding = grinder_->start();
  co_await grinding;
  start_producer();
  std::vector<lp::Task<>> users;
  for (int i = 0; i < kUsers; ++i) users.push_back(use_leases());
  for (int i = 0; i < kGrinding; ++i) users.push_back(grind());
  users.push_back(conduct());
  auto all = lp::when_all(std::move(users));
  co_await all;
}

lp::Task<> ChaosSide::use_leases() {
  while (!over_) {
    const lp::AcquireOptions options = acquire_options();
    std::optional<lp::ExecutorLease> lease;
    try {
      auto acquire = manager_->acquire(options);
      lease.emplace(co_await acquire);
    } catch (const std::exception& error) {
      outcomes_.acquire_failed(backend_, error, !options.wait || options.timeout);
    }
    if (!lease) {
      auto pause = loop_.sleep(random_time(200, 2'000));
      co_await pause;
      continue;
    }
    Open open;
    std::vector<lp::Timer> timers;
    auto use = use_lease(*lease, open, timers);
    co_await use;
    if (one_in(2)) lease.reset();  // with what it still runs
    if (open.calls > 0) co_await open.none;
  }
}

lp::Task<> ChaosSide::use_lease(lp::ExecutorLease& lease, Open& open, std::vector<lp::Timer>& timers) {
  for (std::uint64_t left = random(0, 12); left > 0; --left) {
    Circumstances circumstances{.backend = backend_, .kind = {}, .bounded_queue = bounded_queue_};
    lp::CallOptions options;
    if (one_in(3)) options.timeout = random_time(200, 10'000);
    if (one_in(3)) options.queue_timeout = random_time(100, 10'000);
    circumstances.has_timeout = options.timeout || options.queue_timeout;
    lp::LeaseCalls calls = lease.with(options);
    if (one_in(3)) {
      std::stop_source source;
      calls = calls.with(source.get_token());
      timers.push_back(loop_.call_after(random_time(0, 5'000), [source]() mutable { source.request_stop(); }));
    }
    call_at_random(calls, circumstances, open);
    if (one_in(3)) {
      auto pause = loop_.sleep(random_time(0, 3'000));
      co_await pause;
    }
    if (one_in(6) && lease.active()) lease.extend(random_time(500, 50'000));
    if (one_in(8)) lease.release();
  }
}

void ChaosSide::call_at_random(const lp::LeaseCalls& calls, Circumstances circumstances, Open& open) {
  const bool processes = backend_ == lp::ExecutorBackend::process;
  switch (random(0, processes ? 11 : 9)) {
    case 0:
    case 1:
    case 2: {
      circumstances.kind = Kind::add;
      const std::uint64_t a = random(0, 1000);
      return call(calls, circumstances, open, a + 7, add, a, std::uint64_t{7});
    }
    case 3: {
      circumstances.kind = Kind::echo;
      const std::string text(one_in(5) ? random(0, 300'000) : random(0, 3000), 'x');
      return call(calls, circumstances, open, text, echo, text);
    }
    case 4:
      circumstances.kind = Kind::fail;
      return call(calls, circumstances, open, 0, fail, std::string("as it should"));
    case 5: {
      circumstances.kind = Kind::nap;
      const int time = static_cast<int>(random(0, 15));
      return call(calls, circumstances, open, time, nap, time);
    }
    case 10:
      circumstances.kind = Kind::crash;
      return call(calls, circumstances, open, 0, crash, static_cast<int>(random(0, 2)));
    case 11:
      circumstances.kind = Kind::doom;
      return call(calls, circumstances, open, 0, doom, static_cast<int>(random(1, 5'000)));
    default: circumstances.kind = Kind::mark; return mark_once(calls, circumstances, open);
  }
}

template <class R, class F, class... A>
void ChaosSide::call(const lp::LeaseCalls& calls, const Circumstances& circumstances, Open& open, R expected,
                     F function, A... arguments) {
  outcomes_.begun(circumstances.kind);
  ++open.calls;
  calls.run_async(function, std::move(arguments)...,
                  [this, circumstances, &open, expected = std::move(expected)](const auto& result) {
                    if (!result) {
                      outcomes_.failed(circumstances, result.error());
                    } else if constexpr (requires { *result == expected; }) {
                      outcomes_.succeeded(circumstances, *result == expected);
                    } else {
                      outcomes_.succeeded(circumstances, true);
                    }
                    ended(open);
                  });
}

void ChaosSide::mark_once(const lp::LeaseCalls& calls, const Circumstances& circumstances, Open& open) {
  const std::size_t number = next_mark();
  outcomes_.begun(circumstances.kind);
  ++open.calls;
  calls.run_async(mark, number, [this, circumstances, &open, number](const lp::Result<std::size_t>& result) {
    result ? outcomes_.succeeded(circumstances, *result == number) : outcomes_.failed(circumstances, result.error());
    check_mark(number, result.has_value());
    ended(open);
  });
}

// A call that failed may have run, once, or may do so later: on a thread that it had before it timed out.
void ChaosSide::check_mark(std::size_t number, bool succeeded) {
  const unsigned times = take_marks(number);
  if (times > 1) outcomes_.wrong("a call ran " + std::to_string(times) + " times");
  if (succeeded && times == 0) outcomes_.wrong("a call that succeeded has not run");
  late_runs()[number] = times == 0 ? 1 : 0;
}

void ChaosSide::ended(Open& open) {
  if (--open.calls == 0 && open.none.has_waiter()) open.none.open();
}

lp::Task<> ChaosSide::grind() {
  while (!over_) {
    std::vector<lp::Pending<std::size_t>> items;
    std::vector<std::size_t> numbers;
    for (std::uint64_t left = random(1, 60); left > 0; --left) {
      const std::size_t number = next_mark();
      auto item = grinder_->enqueue(mark, number);
      if (one_in(10)) item.cancel();
      if (one_in(20)) (void)grinder_->enqueue(add, 1U, 2U);  // nobody hears of it
      outcomes_.begun(Kind::mark);
      items.push_back(std::move(item));
      numbers.push_back(number);
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      auto taken = take(items[i], numbers[i]);
      co_await taken;
    }
    auto pause = loop_.sleep(random_time(0, 2'000));
    co_await pause;
  }
}

lp::Task<> ChaosSide::take(lp::Pending<std::size_t>& item, std::size_t number) {
  const Circumstances circumstances{
      .backend = backend_, .kind = Kind::mark, .has_timeout = false, .bounded_queue = bounded_queue_};
  bool succeeded = false;
  try {
    const std::size_t result = co_await item;
    succeeded = true;
    outcomes_.succeeded(circumstances, result == number);
  } catch (...) {
    outcomes_.failed_by_exception(circumstances);
  }
  check_mark(number, succeeded);
}

void ChaosSide::start_producer() {
  producer_ = std::jthread([this] {
    produce();
    loop_.post([this] {
      producer_ended_ = true;
      if (producer_gone_.has_waiter()) producer_gone_.open();
    });
  });
}

// On a thread of its own.
void ChaosSide::produce() {
  const Circumstances circumstances{.backend = backend_, .kind = Kind::add, .bounded_queue = bounded_queue_};
  for (std::uint64_t i = 0; producer_may_go_on_; ++i) {
    std::vector<std::future<std::uint64_t>> sums;
    constexpr int kAtOnce = 20;
    for (int k = 0; k < kAtOnce; ++k) {
      outcomes_.begun(Kind::add);
      sums.push_back(grinder_->submit_from_thread(add, i, std::uint64_t{1}));
    }
    for (auto& sum : sums) {
      try {
        outcomes_.succeeded(circumstances, sum.get() == i + 1);
      } catch (...) {
        outcomes_.failed_by_exception(circumstances);
      }
    }
  }
}

// Lets them do for a while, then ends everything in one of the ways in which it may end.
lp::Task<> ChaosSide::conduct() {
  auto first = loop_.sleep(random_time(20'000, 150'000));
  co_await first;
  if (one_in(4)) {
    auto again = restart();
    co_await again;
  }
  auto second = loop_.sleep(random_time(0, 50'000));
  co_await second;
  producer_may_go_on_ = false;
  if (!producer_ended_) co_await producer_gone_;
  producer_.join();
  over_ = true;
  auto ending = end();
  co_await ending;
}

lp::Task<> ChaosSide::restart() {
  auto stop = manager_->stop();
  co_await stop;
  auto start = manager_->start();
  co_await start;
}

lp::Task<> ChaosSide::end() {
  if (one_in(2)) {
    const bool cancel_pending = one_in(2);
    auto grinder_stop = grinder_->stop(cancel_pending);
    co_await grinder_stop;
  }
  if (one_in(2)) {
    auto manager_stop = manager_->stop();
    co_await manager_stop;
    if (manager_->total_count() != 0) outcomes_.wrong("a stopped manager has pools");
  }
  if (one_in(2)) {
    manager_.reset();
    grinder_.reset();
  } else {
    grinder_.reset();
    manager_.reset();
  }
}

}  // namespace endurance
