// Functions of plug-ins: registered as long as the plug-in is there, and never taken for another build's.
#include <dlfcn.h>

#include <atomic>
#include <string>
#include <thread>

#include "alone.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "shared/registry.hpp"

using namespace leasepool;
using leasepool::test::TestPool;

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

}  // namespace

ALONE_TEST_CASE("a plug-in that was closed and opened again before init is the one that serves", "[plug-in]") {
  const Function gone = Plugin(kFirst).function;
  CHECK(found(gone) == nullptr);
  CHECK(detail::find_function_by_id(detail::function_id("plugin::work")) == nullptr);
  const Plugin plugin(kSecond);
  REQUIRE(found(plugin.function) != nullptr);
  CHECK(found(plugin.function)->id == detail::function_id("plugin::work"));  // no worker has the first one
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(plugin.function, 4).value() == 42);
}

ALONE_TEST_CASE("two builds of a plug-in that are open at once are each called by their own address", "[plug-in]") {
  const Plugin first(kFirst);
  const Plugin second(kSecond);
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(first.function, 4).value() == 41);
  CHECK(pool.result_of(second.function, 4).value() == 42);
}

ALONE_TEST_CASE("what a plug-in brings after init is not taken for what the workers have of it", "[plug-in]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  Function gone = nullptr;
  {
    const Plugin first(kFirst);
    gone = first.function;
    init();
    REQUIRE(pool.start().has_value());
    CHECK(pool.result_of(first.function, 4).value() == 41);
  }
  const Error closed = pool.result_of(gone, 4).error();
  CHECK(closed.code() == Errc::unregistered_function);
  CHECK_THAT(closed.message(), ContainsSubstring("plugin::work") && ContainsSubstring("closed with dlclose()"));

  const Plugin second(kSecond);
  const Error late = pool.result_of(second.function, 4).error();  // the worker has the first one under this name
  CHECK(late.code() == Errc::unregistered_function);
  CHECK_THAT(late.message(), ContainsSubstring("plugin::work") && ContainsSubstring("loaded again"));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
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
