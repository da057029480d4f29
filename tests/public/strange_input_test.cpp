// What is only strange works: durations at the ends of their range, a million waiters, owners that cannot be shown,
// empty leases, sinks and callbacks that throw.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <future>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support.hpp"

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kManyWaiters = 50'000;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::size_t kManyWaiters = 50'000;
#else
constexpr std::size_t kManyWaiters = 1'000'000;
#endif
#else
constexpr std::size_t kManyWaiters = 1'000'000;
#endif

// What is written to stderr meanwhile.
class CapturedStderr {
 public:
  CapturedStderr() : before_(::dup(STDERR_FILENO)), file_(::memfd_create("stderr", MFD_CLOEXEC)) {
    if (::dup2(file_, STDERR_FILENO) < 0) std::abort();
  }
  CapturedStderr(const CapturedStderr&) = delete;
  CapturedStderr& operator=(const CapturedStderr&) = delete;
  ~CapturedStderr() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
    ::close(file_);
  }
  [[nodiscard]] std::string text() const {
    std::string text(static_cast<std::size_t>(::lseek(file_, 0, SEEK_END)), '\0');
    return ::pread(file_, text.data(), text.size(), 0) < 0 ? std::string() : text;
  }

 private:
  int before_;
  int file_;
};

bool is_shown_well(const std::string& text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Errc code_of(const lp::LeasePoolError& error) { return static_cast<Errc>(error.code().value()); }

}  // namespace

TEST_CASE("A6: durations next to the ends of their range are kept, and nothing overflows", "[A6]") {
  on_loop(both_backends(), [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    constexpr lp::Duration kLong = lp::Duration::max() - 1ns;
    lp::ManagerOptions options = options_for(backend);
    options.default_lease_duration = options.lease_grace = options.check_interval = kLong;
    options.stop_timeout = options.worker_start_timeout = kLong;
    options.size_provider = [] { return std::size_t{1}; };
    co_await with_manager(loop, options, [&](Manager& manager) -> lp::Task<> {
      auto lease = co_await manager.acquire({.lease_duration = kLong, .timeout = kLong});
      CHECK(lease.hard_expires_at() == lp::TimePoint::max());
      lease.extend(lp::Duration::max());
      CHECK(lease.soft_expires_at() == lp::TimePoint::max());
      lease.extend(1h);
      CHECK(lease.soft_expires_at() < lp::TimePoint::max());
      CHECK(lease.hard_expires_at() == lp::TimePoint::max());
      const std::uint64_t nine = co_await lease.with({.timeout = kLong}).run(square, 3);
      CHECK(nine == 9);
      lease.release();
    });

    bool never = false;
    const lp::Timer timer = loop.call_after(lp::Duration::max(), [&] { never = true; });
    bool at_once = false;
    const lp::Timer past = loop.call_after(lp::Duration::min(), [&] { at_once = true; });
    co_await loop.sleep(lp::Duration::min());
    co_await until(loop, [&] { return at_once; });
    CHECK_FALSE(never);
  });
}

TEST_CASE("X2: the shortest durations expire at once and lose nothing", "[X2][X3]") {
  lp::ManagerOptions options = options_for(both_backends());
  options.default_lease_duration = options.lease_grace = options.check_interval = 1ns;
  options.stop_timeout = 1ns;
  options.size_provider = [] { return std::size_t{1}; };
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    for (std::uint64_t i = 1; i <= 3; ++i) {
      const auto lease = co_await manager.acquire();
      co_await until(loop, [&] { return !lease.active(); });
      CHECK(manager.stats().leases_revoked == i);
    }
    co_await until(loop, [&] { return manager.available_count() == 1; });
  });
}

TEST_CASE("S1: the largest size and the largest unit do not overflow the target", "[S1]") {
  const ExecutorBackend backend = both_backends();
  constexpr std::size_t kMax = std::numeric_limits<std::size_t>::max();
  for (const auto& [units, target] : {std::pair<std::size_t, std::size_t>{1, 3}, {kMax, 1}, {kMax / 2, 3}}) {
    lp::ManagerOptions options = options_for(backend, 3, 1);
    options.units_per_pool = units;
    options.size_provider = [] { return kMax; };
    on_manager(options, [target](Manager& manager) -> lp::Task<> {
      CHECK(manager.total_count() == target);
      co_return;
    });
  }
}

TEST_CASE("A2, A7, L3: a million waiters wait, and stop tells each of them", "[A2][A7][L3]") {
  on_loop(ExecutorBackend::thread, [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    lp::LeasedExecutorManager manager(loop, options_for(backend, 1, 1));
    co_await manager.start();
    const auto held = co_await manager.acquire({.owner = "holder"});
    const auto begin = std::chrono::steady_clock::now();
    std::size_t told = 0;
    std::size_t in_order = 0;
    for (std::size_t i = 0; i < kManyWaiters; ++i) {
      lp::AcquireOptions options{.owner = "one of many"};
      if (i % 2 == 0) options.timeout = 1h;
      manager.acquire_async(options, [&told, &in_order, i](const lp::Result<lp::ExecutorLease>& result) {
        in_order += told == i ? 1U : 0U;
        told += !result && result.error().code() == Errc::not_started ? 1U : 0U;
      });
    }
    CHECK(manager.stats().waiters.size() == kManyWaiters);
    co_await manager.stop();
    CHECK(told == kManyWaiters);
    CHECK(in_order == kManyWaiters);
    CHECK(std::chrono::steady_clock::now() - begin < 60s);
  });
}

TEST_CASE("an owner may be anything, and what names it stays short and readable") {
  on_manager(options_for(both_backends(), 1, 1), [](Manager& manager) -> lp::Task<> {
    const std::vector<std::pair<std::string, std::string>> owners = {
        {"", "an unnamed owner"},
        {std::string(1 << 20, 'x'), "\"" + std::string(64, 'x') + "...\""},
        {"two\r\nlines", R"("two\x0d\x0alines")"},
        {"\x1b[31mred", R"("\x1b[31mred")"},
        {std::string("nul\0nul", 7), R"("nul\x00nul")"},
        {"caf\xe9", R"("caf\xe9")"},
        {"\xc3\xbc\xe2\x82\xac\xf0\x9f\x96\xbc", "\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x96\xbc\""},
        {"half \xe2\x82", R"("half \xe2\x82")"},
        {"surrogate \xed\xa0\x80", R"("surrogate \xed\xa0\x80")"},
        {"overlong \xc0\xaf", R"("overlong \xc0\xaf")"},
        {"next line \xc2\x85", R"("next line \xc2\x85")"},
        {std::string(63, 'x') + "\xc3\xbc", "\"" + std::string(63, 'x') + "...\""},  // not cut in the middle
    };
    for (const auto& [owner, shown] : owners) {
      auto lease = co_await manager.acquire({.owner = owner});
      CHECK(lease.owner() == owner);
      CHECK(manager.stats().leases.at(0).owner == owner);
      const std::string refused = co_await message_of(manager.acquire({.owner = owner, .wait = false}));
      CHECK_THAT(refused,
                 ContainsSubstring("no pool is free for " + shown) && ContainsSubstring("held by " + shown + " for "));
      CHECK(is_shown_well(refused));
      CHECK(refused.size() < 1000);
      const std::string json = lp::to_json(manager.stats());
      CHECK(is_shown_well(json));
      CHECK(json.find('\xe9') == std::string::npos);
      lease.release();
      const std::string released = co_await message_of(lease.run(square, 1));
      CHECK_THAT(released, ContainsSubstring(" of " + shown + " on test was released"));
    }
  });
}

TEST_CASE("E2: an empty lease refuses every verb and is otherwise harmless", "[E2]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    std::vector<lp::ExecutorLease> leases(1);
    lp::ExecutorLease full = co_await manager.acquire({.owner = "full"});
    lp::ExecutorLease moved = std::move(full);
    leases.push_back(std::move(full));  // NOLINT(bugprone-use-after-move)
    for (lp::ExecutorLease& empty : leases) {
      CHECK_FALSE(empty.active());
      CHECK(empty.lease_id() == 0);
      CHECK(empty.owner().empty());
      CHECK(empty.soft_expires_at() == lp::TimePoint{});
      CHECK(empty.hard_expires_at() == lp::TimePoint{});
      empty.release();
      const auto refused = [](auto call) {
        try {
          call();
        } catch (const lp::LeasePoolError& error) {
          return code_of(error) == Errc::lease_expired;
        }
        return false;
      };
      bool called = false;
      CHECK(refused([&] { (void)empty.run(square, 1); }));
      CHECK(refused([&] { empty.run_async(square, 1, [&](const auto&) { called = true; }); }));
      CHECK(refused([&] { (void)empty.submit(square, 1); }));
      CHECK(refused([&] { (void)empty.with({.timeout = 1s}).run(square, 1); }));
      CHECK(refused([&] { empty.extend(1s); }));
      co_await loop.sleep(0ns);
      CHECK_FALSE(called);
    }
    lp::ExecutorLease& itself = moved;
    moved = std::move(itself);
    CHECK(moved.active());
    CHECK(manager.leased_count() == 1);
    leases[0] = std::move(moved);  // an empty one takes a full one
    const std::uint64_t nine = co_await leases[0].run(square, 3);
    CHECK(nine == 9);
  });
}

TEST_CASE("a log sink that throws stops nothing, and its lines go to stderr instead") {
  const CapturedStderr captured;
  on_loop(both_backends(), [&](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    int lines = 0;
    lp::ManagerOptions options = options_for(backend, 1, 1);
    options.lease_grace = 1ms;
    options.stop_timeout = 0s;
    options.size_provider = []() -> std::size_t { throw std::runtime_error("no size today"); };
    options.log = [&](const lp::LogRecord&) {
      ++lines;
      throw std::runtime_error("the disk is full");
    };
    lp::LeasedExecutorManager manager(loop, options);
    co_await manager.start();
    CHECK(lines == 1);
    auto lease = co_await manager.acquire({.owner = "late", .lease_duration = 1ms});
    co_await until(loop, [&] { return lines == 3; });  // its soft expiry and its hard one
    CHECK_FALSE(lease.active());
    lease = co_await manager.acquire({.owner = "next"});
    if (backend == ExecutorBackend::process) {
      const auto crashed = co_await failure_of(lease.run(die_by_signal, SIGKILL));
      CHECK(crashed == Errc::worker_crashed);
    } else {
      lease.run_async(pass_gate, 1, [](const auto&) {});
      co_await until_entered(loop, 1);
    }
    co_await manager.stop();
    CHECK(lines == 4);
    open_gate();
  });
  const std::string text = captured.text();
  CHECK_THAT(text, ContainsSubstring("leasepool: warning: test: size_provider threw") &&
                       ContainsSubstring("past its soft expiry") && ContainsSubstring("was revoked"));
}

TEST_CASE("what a callback throws leaves run(), and everything else goes on") {
  const ExecutorBackend backend = both_backends();
  struct Thrown {
    int step;
  };
  lp::Loop loop;
  lp::LeasedExecutorManager manager(loop, options_for(backend, 1, 1));
  const auto thrown_by_run = [&] {
    try {
      loop.run();
    } catch (const Thrown& thrown) {
      return thrown.step;
    }
    return 0;
  };
  manager.start_async([](const auto&) { throw Thrown{1}; });
  CHECK(thrown_by_run() == 1);
  manager.acquire_async({}, [](lp::Result<lp::ExecutorLease>) { throw Thrown{2}; });
  CHECK(thrown_by_run() == 2);
  CHECK(manager.available_count() == 1);  // the lease that the callback was given is released
  std::optional<lp::ExecutorLease> lease;
  manager.acquire_async({}, [&](lp::Result<lp::ExecutorLease> result) {
    lease = std::move(*result);
    loop.stop();
  });
  CHECK(thrown_by_run() == 0);
  int answers = 0;
  lease->run_async(square, 2, [&](const auto&) {
    ++answers;
    throw Thrown{3};
  });
  lease->run_async(square, 3, [&](const lp::Result<std::uint64_t>& result) {
    answers += result == 9U ? 1 : 0;
    loop.stop();
  });
  CHECK(thrown_by_run() == 3);
  CHECK(thrown_by_run() == 0);
  CHECK(answers == 2);
  loop.post([] { throw Thrown{4}; });
  CHECK(thrown_by_run() == 4);
  lease->release();
  manager.stop_async([](const auto&) { throw Thrown{5}; });
  CHECK(thrown_by_run() == 5);
  CHECK(manager.total_count() == 0);
}
