// Functions of plug-ins: registered as long as the plug-in is there, and never taken for another build's. Program and
// plug-ins share one library, the shared one, so what they register is in one place.
#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "alone.hpp"
#include "leasepool/leasepool.hpp"

using namespace leasepool;

namespace plugin_test {
int negate(int value) { return -value; }
}  // namespace plugin_test

LEASEPOOL_REGISTER(plugin_test::negate);

namespace {

using Function = int (*)(int);
constexpr const char* kFirst = LEASEPOOL_PLUGIN_1;
constexpr const char* kSecond = LEASEPOOL_PLUGIN_2;

class Plugin {
 public:
  explicit Plugin(const char* file) : file_(file), handle_(::dlopen(file, RTLD_NOW | RTLD_LOCAL)) {
    REQUIRE(handle_ != nullptr);
    function = reinterpret_cast<Function (*)()>(::dlsym(handle_, "plugin_function"))();
  }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  ~Plugin() {
    ::dlclose(handle_);
    CHECK(::dlopen(file_, RTLD_NOW | RTLD_NOLOAD) == nullptr);
  }

  Function function = nullptr;

 private:
  const char* const file_;
  void* const handle_;
};

const detail::RegisteredFunction* found(Function function) {
  return detail::find_function(reinterpret_cast<detail::FunctionAddress>(function));
}

// A lease on one worker process.
class OneWorker {
 public:
  OneWorker() : manager_(loop_, {.backend = ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 1}) {}
  OneWorker(const OneWorker&) = delete;
  OneWorker& operator=(const OneWorker&) = delete;
  ~OneWorker() {
    lease_.release();
    loop_.block_on(stop());
  }

  void start() { loop_.block_on(start_and_acquire()); }

  Result<int> result_of(Function function, int value) {
    std::optional<Result<int>> kept;
    lease_.run_async(function, value, [&](Result<int> result) {
      kept = std::move(result);
      loop_.stop();
    });
    loop_.run();
    return *std::move(kept);
  }

 private:
  Task<> start_and_acquire() {
    co_await manager_.start();
    lease_ = co_await manager_.acquire();
  }
  Task<> stop() { co_await manager_.stop(); }

  Loop loop_;
  LeasedExecutorManager manager_;
  ExecutorLease lease_;
};

}  // namespace

ALONE_TEST_CASE("a plug-in that was closed and opened again before init is the one that serves", "[plug-in]") {
  const Function gone = Plugin(kFirst).function;
  CHECK(found(gone) == nullptr);
  const Plugin plugin(kSecond);
  REQUIRE(found(plugin.function) != nullptr);
  CHECK(found(plugin.function)->id == detail::function_id("plugin::work"));  // no worker has the first one
  init();
  OneWorker worker;
  worker.start();
  CHECK(worker.result_of(plugin.function, 4).value() == 42);
}

ALONE_TEST_CASE("two builds of a plug-in that are open at once are each called by their own address", "[plug-in]") {
  const Plugin first(kFirst);
  const Plugin second(kSecond);
  init();
  OneWorker worker;
  worker.start();
  CHECK(worker.result_of(first.function, 4).value() == 41);
  CHECK(worker.result_of(second.function, 4).value() == 42);
}

ALONE_TEST_CASE("what a plug-in brings after init is not taken for what the workers have of it", "[plug-in]") {
  OneWorker worker;
  Function gone = nullptr;
  {
    const Plugin first(kFirst);
    gone = first.function;
    init();
    worker.start();
    CHECK(worker.result_of(first.function, 4).value() == 41);
  }
  const Error closed = worker.result_of(gone, 4).error();
  CHECK(closed.code() == Errc::unregistered_function);
  CHECK_THAT(closed.message(), ContainsSubstring("plugin::work") && ContainsSubstring("closed with dlclose()"));

  const Plugin second(kSecond);
  const Error late = worker.result_of(second.function, 4).error();  // the worker has the first one under this name
  CHECK(late.code() == Errc::unregistered_function);
  CHECK_THAT(late.message(), ContainsSubstring("plugin::work") && ContainsSubstring("loaded again"));
  CHECK(worker.result_of(plugin_test::negate, 3).value() == -3);
}

ALONE_TEST_CASE("functions are looked up while plug-ins come and go", "[plug-in]") {
  std::atomic<Function> seen{nullptr};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> times_found{0};
  std::atomic<std::uint64_t> times_wrong{0};
  std::thread looking([&] {
    while (!stop) {
      const auto* const function = found(seen);
      if (function == nullptr) continue;
      ++times_found;
      if (function->name != "plugin::work") ++times_wrong;  // reads the name, which must still be there
    }
  });
  for (int i = 0; i < 100; ++i) {
    const Plugin plugin(i % 2 == 0 ? kFirst : kSecond);
    const std::uint64_t before = times_found;
    seen = plugin.function;
    while (times_found == before) std::this_thread::yield();
  }
  stop = true;
  looking.join();
  CHECK(times_wrong == 0);
  CHECK(found(seen) == nullptr);
  CHECK(detail::last_function(reinterpret_cast<detail::FunctionAddress>(seen.load()))->name == "plugin::work");
}
