// What a function starts dies with its worker: in the worker's process group anyway, out of it where there are cgroups.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "base/unique_fd.hpp"
#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/manager.hpp"
#include "processes.hpp"
#include "shared/worker_cgroup.hpp"
#include "shared/worker_settings.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

using namespace leasepool;
using leasepool::test::TestPool;

namespace tree_cases {

// Starts a process that waits for ever, in a session of its own if asked; gives its id.
pid_t leave_a_child(bool hidden) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (hidden) ::setsid();
    pool_functions::shared().holding = 1;
    for (;;) ::pause();
  }
  return child;
}

std::string own_cgroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  return {};
}

// More than its address space shows: it is written, not mapped.
std::uint64_t fill_shared_memory(std::uint64_t bytes) {
  const detail::UniqueFd memory(::memfd_create("filled", MFD_CLOEXEC));
  const std::string block(std::size_t{1} << 20, 'x');
  std::uint64_t written = 0;
  while (written < bytes && ::write(memory.get(), block.data(), block.size()) > 0) written += block.size();
  return written;
}

}  // namespace tree_cases

LEASEPOOL_REGISTER(tree_cases::leave_a_child);
LEASEPOOL_REGISTER(tree_cases::own_cgroup);
LEASEPOOL_REGISTER(tree_cases::fill_shared_memory);

namespace tree_tests {

// A directory in the machine's cgroup v2 hierarchy, where this program may make one.
class DelegatedCgroup {
 public:
  DelegatedCgroup() {
    std::ifstream mounts("/proc/self/mounts");
    for (std::string device, place, type, rest; mounts >> device >> place >> type && std::getline(mounts, rest);) {
      if (type != "cgroup2") continue;
      const std::string candidate = place + "/leasepool-test-" + std::to_string(::getpid());
      if (::mkdir(candidate.c_str(), 0755) == 0) path = candidate;
      if (!path.empty()) return;
    }
  }
  DelegatedCgroup(const DelegatedCgroup&) = delete;
  DelegatedCgroup& operator=(const DelegatedCgroup&) = delete;
  ~DelegatedCgroup() {
    if (!path.empty()) ::rmdir(path.c_str());
  }

  [[nodiscard]] bool missing() const {
    if (path.empty()) leasepool::test::skip("no cgroup v2 hierarchy in which this program may make a cgroup");
    return path.empty();
  }
  [[nodiscard]] bool has_memory() const {
    std::ifstream file(path + "/cgroup.controllers");
    for (std::string controller; file >> controller;) {
      if (controller == "memory") return true;
    }
    return false;
  }
  [[nodiscard]] std::size_t children() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path)) count += entry.is_directory() ? 1U : 0U;
    return count;
  }

  std::string path;
};

bool is_gone(pid_t pid) { return ::kill(pid, 0) != 0 || test::process_state(pid) == 'Z'; }

detail::PoolOptions in_cgroup(const std::string& path, std::size_t workers = 1) {
  pool_functions::reset_shared();
  detail::PoolOptions options = TestPool::options_for(workers);
  options.worker_cgroup = path;
  return options;
}

}  // namespace tree_tests

using tree_tests::DelegatedCgroup;
using tree_tests::in_cgroup;
using tree_tests::is_gone;

TEST_CASE("what stayed in the worker's process group dies with it", "[kill-tree][W5]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, in_cgroup(""));
  REQUIRE(pool.start().has_value());
  const pid_t child = pool.result_of(tree_cases::leave_a_child, false).value();
  CHECK_FALSE(is_gone(child));
  CHECK_FALSE(pool.result_of(pool_functions::exit_at_once, 3).has_value());
  CHECK(pool.wait([&] { return is_gone(child); }));
}

TEST_CASE("a child that hides from its worker's process group dies with the worker's cgroup", "[kill-tree][W5]") {
  const DelegatedCgroup cgroup;
  if (cgroup.missing()) return;
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, in_cgroup(cgroup.path));
  REQUIRE(pool.start().has_value());
  CHECK_THAT(pool.result_of(tree_cases::own_cgroup).value(), ContainsSubstring("/leasepool-"));
  CHECK(cgroup.children() == 1);
  const pid_t child = pool.result_of(tree_cases::leave_a_child, true).value();
  REQUIRE(pool.wait([] { return pool_functions::shared().holding == 1; }));  // it has left the group
  CHECK_FALSE(pool.result_of(pool_functions::exit_at_once, 3).has_value());
  CHECK(pool.wait([&] { return is_gone(child); }));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);  // of the replacement, which has one of its own
  CHECK(pool.wait([&] { return cgroup.children() == 1; }));
  CHECK(pool.close());
  CHECK(test::run_until(loop, [&] { return cgroup.children() == 0; }));
}

TEST_CASE("a cgroup goes with its worker when the pool is destroyed", "[kill-tree][L6]") {
  const DelegatedCgroup cgroup;
  if (cgroup.missing()) return;
  Loop loop;
  pid_t child = 0;
  {
    TestPool pool(loop, ExecutorBackend::process, in_cgroup(cgroup.path, 3));
    REQUIRE(pool.start().has_value());
    CHECK(cgroup.children() == 3);
    child = pool.result_of(tree_cases::leave_a_child, true).value();
  }
  CHECK(test::run_until(loop, [&] { return is_gone(child) && cgroup.children() == 0; }));
}

TEST_CASE("a directory that is no cgroup is refused by name", "[kill-tree][L4]") {
  for (const std::string path : {"/tmp", "/nowhere/at/all"}) {
    Loop loop;
    TestPool pool(loop, ExecutorBackend::process, in_cgroup(path));
    const auto started = pool.start();
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code() == Errc::unsupported);
    CHECK_THAT(started.error().message(),
               ContainsSubstring("ManagerOptions::worker_cgroup = " + path) && ContainsSubstring("Delegate=yes"));
  }
}

TEST_CASE("stats() says what dies with a worker, when there is one", "[kill-tree][stats]") {
  const auto scope_of = [](ExecutorBackend backend, const std::string& path) {
    Loop loop;
    ManagerOptions options;
    options.backend = backend;
    options.max_pools = 1;
    options.worker_cgroup = path;
    LeasedExecutorManager manager(loop, options);
    CHECK((manager.stats().worker_kill_scope == KillScope::none));
    bool started = false;
    manager.start_async([&](const Result<void>& result) { started = result.has_value(); });
    REQUIRE(test::run_until(loop, [&] { return started; }));
    return manager.stats().worker_kill_scope;
  };
  CHECK((scope_of(ExecutorBackend::thread, "") == KillScope::none));
  CHECK((scope_of(ExecutorBackend::process, "") == KillScope::process_group));
  const DelegatedCgroup cgroup;
  if (!cgroup.missing()) CHECK((scope_of(ExecutorBackend::process, cgroup.path) == KillScope::cgroup));
}

TEST_CASE("cgroups that a program has left behind are removed when another starts", "[kill-tree]") {
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  ::waitpid(gone, nullptr, 0);
  const auto check_in = [&](const std::string& path) {
    const std::string left = path + "/leasepool-" + std::to_string(gone) + "-7";
    const std::string own = path + "/leasepool-" + std::to_string(::getpid()) + "-0";
    const std::string other = path + "/leasepool-" + std::to_string(gone) + "-7-8";
    for (const std::string& name : {left, own, other}) REQUIRE(::mkdir(name.c_str(), 0755) == 0);
    const detail::UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    detail::remove_leftover_cgroups(directory.get());
    CHECK_FALSE(std::filesystem::exists(left));
    CHECK(::rmdir(own.c_str()) == 0);
    CHECK(::rmdir(other.c_str()) == 0);
  };
  check_in(test::TemporaryDirectory().path().string());
  const DelegatedCgroup cgroup;
  if (!cgroup.missing()) check_in(cgroup.path);
}

TEST_CASE("a cgroup for which no descriptor is left is not shared", "[kill-tree]") {
  const DelegatedCgroup cgroup;
  if (cgroup.missing()) return;
  const detail::WorkerCgroup of_worker(detail::open_delegated_cgroup(cgroup.path), 1, detail::WorkerSettings::kNoLimit);
  CHECK(of_worker.share());
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{.rlim_cur = 3, .rlim_max = limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const bool shared = static_cast<bool>(of_worker.share());
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK_FALSE(shared);
}

TEST_CASE("a function over its worker's memory.max is killed, and its error says memory", "[kill-tree][limits][W1]") {
  const DelegatedCgroup cgroup;
  if (cgroup.missing()) return;
  if (!cgroup.has_memory()) return test::skip("the memory controller is not in the cgroup v2 hierarchy");
  for (const std::size_t mebibytes : {std::size_t{1024}, std::size_t{16}}) {  // an address space that can hold, or not
    detail::PoolOptions options = in_cgroup(cgroup.path);
    options.limits.memory = mebibytes << 20;
    Loop loop;
    TestPool pool(loop, ExecutorBackend::process, options);
    REQUIRE(pool.start().has_value());
    CHECK((pool.totals->memory_bound == MemoryBound::cgroup || pool.totals->memory_bound == MemoryBound::both));
    const auto killed = pool.result_of(tree_cases::fill_shared_memory, std::uint64_t{2048} << 20);
    REQUIRE_FALSE(killed.has_value());
    CAPTURE(killed.error().message());
    CHECK_THAT(killed.error().message(),
               ContainsSubstring("SIGKILL") && ContainsSubstring("after it ran out of memory"));
    REQUIRE(killed.error().crash() != nullptr);
    CHECK(killed.error().crash()->out_of_memory);
    const auto later = pool.result_of(pool_functions::exit_at_once, 3);
    CHECK_THAT(later.error().message(), !ContainsSubstring("ran out of memory"));
  }
}
