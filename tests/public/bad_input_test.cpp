// What makes no sense is refused with the field and its value, and what is only strange works.
#include <functional>
#include <future>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support.hpp"

namespace {

constexpr std::size_t kMaxSize = std::numeric_limits<std::size_t>::max();

// What an std::invalid_argument says; empty if nothing was thrown.
template <class Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

// Refusals of a manager's options, changed one at a time.
class Options {
 public:
  explicit Options(lp::Loop& loop) : loop_(loop) {}
  template <class Change>
  [[nodiscard]] std::string refused(Change change) const {
    lp::ManagerOptions options = options_for(ExecutorBackend::thread, 4, 1);
    change(options);
    return refusal([&] { const lp::LeasedExecutorManager manager(loop_, options); });
  }

 private:
  lp::Loop& loop_;
};

}  // namespace

TEST_CASE("numbers out of range are refused, naming the option, its value and what it may be") {
  lp::Loop loop;
  const Options options(loop);
  CHECK(options.refused([](lp::ManagerOptions&) {}).empty());
  CHECK(options.refused([](auto& o) { o.max_pools = 0; }) ==
        "leasepool: ManagerOptions::max_pools = 0 must be at least 1 and at most 65536");
  CHECK(options.refused([](auto& o) { o.max_pools = kMaxSize; }) ==
        "leasepool: ManagerOptions::max_pools = 18446744073709551615 must be at least 1 and at most 65536");
  CHECK(options.refused([](auto& o) { o.max_pools = 65'536; }).empty());
  CHECK(options.refused([](auto& o) { o.min_pools = 0; }) ==
        "leasepool: ManagerOptions::min_pools = 0 must be at least 1");
  CHECK(options.refused([](auto& o) { o.min_pools = 5; }) ==
        "leasepool: ManagerOptions::min_pools = 5 must not be greater than max_pools = 4");
  CHECK(options.refused([](auto& o) { o.min_pools = kMaxSize; }) ==
        "leasepool: ManagerOptions::min_pools = 18446744073709551615 must not be greater than max_pools = 4");
  CHECK(options.refused([](auto& o) { o.workers_per_pool = 0; }) ==
        "leasepool: ManagerOptions::workers_per_pool = 0 must be at least 1 and at most 1024");
  CHECK(options.refused([](auto& o) { o.workers_per_pool = 1025; }) ==
        "leasepool: ManagerOptions::workers_per_pool = 1025 must be at least 1 and at most 1024");
  CHECK(options.refused([](auto& o) { o.workers_per_pool = static_cast<std::size_t>(-1); }) ==
        "leasepool: ManagerOptions::workers_per_pool = 18446744073709551615 must be at least 1 and at most 1024");
  CHECK(options.refused([](auto& o) { o.units_per_pool = 0; }) ==
        "leasepool: ManagerOptions::units_per_pool = 0 must be at least 1");
  CHECK(options.refused([](auto& o) { o.units_per_pool = kMaxSize; }).empty());
  CHECK(options.refused([](auto& o) { o.max_payload = 0; }) ==
        "leasepool: ManagerOptions::max_payload = 0 must be at least 1 and at most 4611686018427387903");
  CHECK(options.refused([](auto& o) { o.max_payload = kMaxSize; }) ==
        "leasepool: ManagerOptions::max_payload = 18446744073709551615 must be at least 1 and at most "
        "4611686018427387903");
  CHECK(options.refused([](auto& o) { o.max_decoded_bytes = 0; }) ==
        "leasepool: ManagerOptions::max_decoded_bytes = 0 must be at least 1");
  CHECK(options.refused([](auto& o) { o.decode_timeout = 0s; }) ==
        "leasepool: ManagerOptions::decode_timeout = 0 s must be positive (Duration::max() means never)");
  CHECK(options.refused([](auto& o) { o.max_payload = kMaxSize / 4; }).empty());
  CHECK(options.refused([](auto& o) { o.max_waiters = o.max_queued_calls = kMaxSize; }).empty());
  CHECK(options.refused([](auto& o) { o.backend = static_cast<ExecutorBackend>(7); }) ==
        "leasepool: ManagerOptions::backend = 7 must be thread, process or remote");
  CHECK(options.refused([](auto& o) { o.sandbox = lp::Sandbox::compute(); }) ==
        "leasepool: ManagerOptions::sandbox = Sandbox::compute() needs backend = process: a thread cannot be shut in");
  CHECK(options.refused([](auto& o) { o.sandbox = lp::Sandbox::none; }).empty());
  CHECK(refusal([] { (void)lp::Sandbox::files({"/tmp", ""}, {}); }) ==
        "leasepool: Sandbox::files() got a path that is empty; name a file or a directory");
  CHECK(refusal([] { (void)lp::Sandbox::files({}, {std::string("/a\0b", 4)}); }) ==
        "leasepool: Sandbox::files() got a path that has a zero byte in it; name a file or a directory");
  CHECK(options.refused([](auto& o) { o.worker_limits.memory = 0; }) ==
        "leasepool: WorkerLimits::memory = 0 must be at least 1");
  CHECK(options.refused([](auto& o) { o.worker_limits.open_files = 15; }) ==
        "leasepool: WorkerLimits::open_files = 15 must be at least 16");
  CHECK(options.refused([](auto& o) { o.worker_limits.niceness = -1; }) ==
        "leasepool: WorkerLimits::niceness = -1 must be 0 to 19");
  CHECK(options.refused([](auto& o) { o.worker_limits.niceness = 20; }) ==
        "leasepool: WorkerLimits::niceness = 20 must be 0 to 19");
  CHECK(options.refused([](auto& o) { o.worker_limits.cpu_time = 0s; }) ==
        "leasepool: WorkerLimits::cpu_time = 0 s must be positive (Duration::max() means never)");
  CHECK(options
            .refused([](auto& o) {
              o.backend = ExecutorBackend::process;
              o.worker_limits = {.memory = kMaxSize, .open_files = 16, .core_size = 0};
            })
            .empty());
  const std::string of_processes = " is set, which needs backend = process: a thread has no limits of its own";
  CHECK(options.refused([](auto& o) { o.worker_limits.core_size = 0; }) ==
        "leasepool: ManagerOptions::worker_limits" + of_processes);
  CHECK(options.refused([](auto& o) { o.worker_cgroup = "/sys/fs/cgroup/mine"; }) ==
        "leasepool: ManagerOptions::worker_cgroup" + of_processes);
  const auto set_each = [](auto& o) { o.max_calls_per_worker = o.max_worker_rss = kMaxSize; };
  const std::string of_replacing = " is set, which needs backend = process: a thread is not replaced";
  CHECK(options.refused(set_each) == "leasepool: ManagerOptions::max_calls_per_worker" + of_replacing);
  CHECK(options.refused([](auto& o) { o.max_worker_age = 1h; }) ==
        "leasepool: ManagerOptions::max_worker_age" + of_replacing);
  CHECK(options.refused([](auto& o) { o.max_worker_rss = 1; }) ==
        "leasepool: ManagerOptions::max_worker_rss" + of_replacing);
  CHECK(options
            .refused([&](auto& o) {
              o.backend = ExecutorBackend::process;
              set_each(o);
            })
            .empty());
}

TEST_CASE("durations that make no sense are refused, naming the option and its value", "[A6]") {
  lp::Loop loop;
  const Options options(loop);
  using Field = lp::TimeSpan lp::ManagerOptions::*;
  const std::vector<std::pair<Field, std::string>> positive = {
      {&lp::ManagerOptions::check_interval, "check_interval"},
      {&lp::ManagerOptions::default_lease_duration, "default_lease_duration"},
      {&lp::ManagerOptions::worker_start_timeout, "worker_start_timeout"},
      {&lp::ManagerOptions::max_worker_age, "max_worker_age"}};
  const std::vector<std::pair<Field, std::string>> not_negative = {{&lp::ManagerOptions::lease_grace, "lease_grace"},
                                                                   {&lp::ManagerOptions::stop_timeout, "stop_timeout"}};
  for (const auto& [field, name] : positive) {
    const auto refused = [&](lp::Duration value) {
      return options.refused([&](auto& o) {
        o.backend = ExecutorBackend::process;
        o.*field = value;
      });
    };
    const std::string begin = "leasepool: ManagerOptions::" + name + " = ";
    CHECK(refused(0s) == begin + "0 s must be positive (Duration::max() means never)");
    CHECK(refused(-1ns) == begin + "-1 ns must be positive (Duration::max() means never)");
    CHECK(refused(lp::Duration::min()) == begin + "-9223372036 s must be positive (Duration::max() means never)");
    CHECK(refused(1ns).empty());
    CHECK(refused(lp::Duration::max()).empty());
  }
  for (const auto& [field, name] : not_negative) {
    const auto refused = [&](lp::Duration value) { return options.refused([&](auto& o) { o.*field = value; }); };
    const std::string begin = "leasepool: ManagerOptions::" + name + " = ";
    CHECK(refused(-1ns) == begin + "-1 ns must not be negative (it may be zero)");
    CHECK(refused(lp::Duration::min()) == begin + "-9223372036 s must not be negative (it may be zero)");
    CHECK(refused(0s).empty());
    CHECK(refused(lp::Duration::max()).empty());
  }
  const auto refused_spin = [&](lp::Duration value) { return options.refused([&](auto& o) { o.spin = value; }); };
  CHECK(refused_spin(-1ns) == "leasepool: ManagerOptions::spin = -1 ns must not be negative (it may be zero)");
  CHECK(refused_spin(2ms) == "leasepool: ManagerOptions::spin = 2 ms must be at most 1 ms: it burns a processor");
  CHECK(refused_spin(0s).empty());
  CHECK(refused_spin(1ms).empty());
}

TEST_CASE("a manager's name is 1 to 64 bytes that can be shown") {
  lp::Loop loop;
  const Options options(loop);
  const auto refused = [&](const std::string& name) { return options.refused([&](auto& o) { o.name_prefix = name; }); };
  const std::string rule = " must be 1 to 64 bytes of UTF-8 without control characters";
  CHECK(refused("") == "leasepool: ManagerOptions::name_prefix = \"\"" + rule);
  CHECK(refused("two\nlines") == R"(leasepool: ManagerOptions::name_prefix = "two\x0alines")" + rule);
  CHECK(refused("\x7f") == R"(leasepool: ManagerOptions::name_prefix = "\x7f")" + rule);
  CHECK(refused("caf\xe9") == R"(leasepool: ManagerOptions::name_prefix = "caf\xe9")" + rule);
  CHECK(refused(std::string("a\0b", 3)) == R"(leasepool: ManagerOptions::name_prefix = "a\x00b")" + rule);
  CHECK(refused(std::string(65, 'n')) ==
        "leasepool: ManagerOptions::name_prefix = \"" + std::string(64, 'n') + "...\"" + rule);
  CHECK(refused(std::string(1 << 20, 'n')).size() < 300);
  CHECK(refused(std::string(64, 'n')).empty());
  CHECK(refused("Bilder \xf0\x9f\x96\xbc \"\xc3\xbc\xe2\x82\xac\"").empty());
}

TEST_CASE("options of an acquire and of a call that make no sense are refused by the call itself", "[A6]") {
  on_manager(options_for(both_backends(), 2, 1), [](Manager& manager) -> lp::Task<> {
    const auto acquire_refused = [&](lp::AcquireOptions options) {
      const std::string message = refusal([&] { (void)manager.acquire(options); });
      CHECK(message == refusal([&] { manager.acquire_async(options, [](const auto&) {}); }));
      return message;
    };
    const std::string rule = " must be positive (Duration::max() means never)";
    CHECK(acquire_refused({.lease_duration = 0s}) == "leasepool: AcquireOptions::lease_duration = 0 s" + rule);
    CHECK(acquire_refused({.lease_duration = -5ms}) == "leasepool: AcquireOptions::lease_duration = -5 ms" + rule);
    CHECK(acquire_refused({.lease_duration = lp::Duration::min()}) ==
          "leasepool: AcquireOptions::lease_duration = -9223372036 s" + rule);
    CHECK(acquire_refused({.timeout = 0s}) == "leasepool: AcquireOptions::timeout = 0 s" + rule);
    CHECK(acquire_refused({.timeout = lp::Duration::min()}) ==
          "leasepool: AcquireOptions::timeout = -9223372036 s" + rule);
    CHECK(refusal([&] { manager.acquire_async({}, {}); }) ==
          "leasepool: acquire_async() needs a callback, and this one is empty");
    CHECK(refusal([&] { manager.start_async({}); }) ==
          "leasepool: start_async() needs a callback, and this one is empty");
    CHECK(refusal([&] { manager.stop_async({}); }) ==
          "leasepool: stop_async() needs a callback, and this one is empty");
    CHECK(manager.leased_count() == 0);

    const auto lease = co_await manager.acquire();
    const auto call_refused = [&](lp::CallOptions options) { return refusal([&] { (void)lease.with(options); }); };
    CHECK(call_refused({.timeout = 0s}) == "leasepool: CallOptions::timeout = 0 s" + rule);
    CHECK(call_refused({.timeout = -1us}) == "leasepool: CallOptions::timeout = -1 us" + rule);
    CHECK(call_refused({.timeout = lp::Duration::min()}) == "leasepool: CallOptions::timeout = -9223372036 s" + rule);
    CHECK(call_refused({.queue_timeout = 0s}) == "leasepool: CallOptions::queue_timeout = 0 s" + rule);
    const auto needs = [](const std::string& verb, const std::string& what) {
      return "leasepool: " + verb + "() needs a " + what + ", and this one is empty";
    };
    int (*const no_function)(int) = nullptr;
    const std::function<int()> empty;
    const std::function<void(lp::Result<std::uint64_t>)> no_callback;
    CHECK(refusal([&] { (void)lease.run(no_function, 1); }) == needs("run", "function"));
    CHECK(refusal([&] { (void)lease.run(empty); }) == needs("run", "function"));
    CHECK(refusal([&] { (void)lease.submit(no_function, 1); }) == needs("submit", "function"));
    CHECK(refusal([&] { lease.run_async(no_function, 1, [](const auto&) {}); }) == needs("run_async", "function"));
    CHECK(refusal([&] { lease.run_async(square, 1, no_callback); }) == needs("run_async", "callback"));
    auto extended = co_await manager.acquire();
    for (const lp::Duration duration : {lp::Duration(0), lp::Duration(-1), lp::Duration::min()}) {
      const lp::TimePoint before = extended.hard_expires_at();
      CHECK_THAT(refusal([&] { extended.extend(duration); }), ContainsSubstring("duration of extend() = "));
      CHECK(extended.hard_expires_at() == before);
    }
  });
}
