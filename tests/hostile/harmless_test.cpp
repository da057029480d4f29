// What a sandbox must leave alone: functions that compute, or that keep to their files, notice nothing.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <iterator>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

namespace lp = leasepool;
using namespace std::chrono_literals;

namespace harmless {

// A noon of the year 2023, as this process's clocks on the wall had it, and the variable that says where they are.
std::string local_noon() {
  const std::time_t noon = 1'700'000'000;
  std::tm local{};
  ::localtime_r(&noon, &local);
  const std::string reentrant = std::to_string(local.tm_hour);
  const char* const zone = std::getenv("TZ");
  return reentrant + " " + std::to_string(std::localtime(&noon)->tm_hour) + " " + (zone == nullptr ? "" : zone);
}

// A bit of everything that code uses without asking the system for much.
std::string use_the_library(const std::string& text) {
  std::vector<std::uint64_t> numbers(1 << 16);
  std::iota(numbers.begin(), numbers.end(), 0);
  std::mt19937_64 shuffled(std::random_device{}());
  std::ranges::shuffle(numbers, shuffled);
  std::ranges::sort(numbers);
  std::mutex mutex;
  const std::scoped_lock lock(mutex);
  auto deferred = std::async(std::launch::deferred, [&] { return numbers.back(); });
  try {
    (void)numbers.at(numbers.size());
  } catch (const std::out_of_range&) {
    numbers.pop_back();
  }
  std::this_thread::sleep_for(1ms);
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  ::localtime_r(&now, &local);
  std::cout << "a line of output\n" << std::flush;
  std::ostringstream out;
  out << std::regex_replace(text, std::regex("a+"), "b") << ' ' << deferred.get() << ' '
      << (std::thread::hardware_concurrency() > 0) << (local.tm_year > 100);
  return out.str();
}

// Shared memory, as it comes as an argument or goes as a result.
std::uint64_t use_shared_memory() {
  constexpr std::size_t kSize = std::size_t{1} << 20;
  const int fd = ::memfd_create("shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  struct stat status{};
  if (fd < 0 || ::ftruncate(fd, kSize) != 0 || ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0 ||
      ::fstat(fd, &status) != 0) {
    throw std::system_error(errno, std::generic_category(), "memfd");
  }
  void* const memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  std::fill_n(static_cast<char*>(memory), kSize, 'x');
  ::munmap(memory, kSize);
  ::close(fd);
  return static_cast<std::uint64_t>(status.st_size);
}

std::string round_trip(const std::string& from, const std::string& to) {
  std::ifstream in(from);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  std::ofstream(to) << text;
  std::filesystem::rename(to, to + ".done");
  std::size_t entries = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(from).parent_path())) {
    ++entries;
  }
  return text + " " + std::to_string(entries);
}

bool opens(const std::string& path) { return std::ifstream(path).good(); }

void die_of(int signal) { std::raise(signal); }

void burn_processor() {
  for (volatile bool burning = true; burning;) {
  }
}

std::string no_new_privileges() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("NoNewPrivs:")) return line.substr(line.size() - 1);
  }
  return "not told";
}

std::uint64_t keep_memory(std::uint64_t bytes) {
  static std::vector<char> kept;
  kept.assign(kept.size() + bytes, 'x');
  return kept.size();
}

int worker_id() { return ::getpid(); }

// Memory that the caller and the function share, there and back; and arguments that are too many for a ring.
lp::SharedBuffer double_each(const lp::SharedBuffer& numbers) {
  lp::SharedBuffer doubled(numbers.size());
  std::ranges::transform(numbers.as<std::uint64_t>(), doubled.as<std::uint64_t>().begin(),
                         [](std::uint64_t number) { return 2 * number; });
  return doubled;
}
std::uint64_t sum_of(const std::vector<std::uint64_t>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{0});
}

}  // namespace harmless

LEASEPOOL_REGISTER(harmless::local_noon);
LEASEPOOL_REGISTER(harmless::double_each);
LEASEPOOL_REGISTER(harmless::sum_of);
LEASEPOOL_REGISTER(harmless::use_the_library);
LEASEPOOL_REGISTER(harmless::use_shared_memory);
LEASEPOOL_REGISTER(harmless::round_trip);
LEASEPOOL_REGISTER(harmless::opens);
LEASEPOOL_REGISTER(harmless::die_of);
LEASEPOOL_REGISTER(harmless::burn_processor);
LEASEPOOL_REGISTER(harmless::no_new_privileges);
LEASEPOOL_REGISTER(harmless::keep_memory);
LEASEPOOL_REGISTER(harmless::worker_id);

namespace harmless {

namespace {

lp::ManagerOptions options_with(const lp::Sandbox& sandbox) {
  lp::ManagerOptions options;
  options.backend = lp::ExecutorBackend::process;
  options.max_pools = 1;
  options.workers_per_pool = 1;
  options.log = [](const lp::LogRecord&) {};
  options.sandbox = sandbox;
  return options;
}

// Runs `body(lease, manager)` on a manager with these options. What the machine lacks skips the test.
template <class Body>
lp::Task<> with_lease(lp::Loop& loop, const lp::ManagerOptions& options, Body body) {
  lp::LeasedExecutorManager manager(loop, options);
  try {
    co_await manager.start();
  } catch (const lp::LeasePoolError& error) {
    if (error.code() != lp::Errc::unsupported) throw;
    leasepool::test::skip(error.what());
    co_return;
  }
  {
    const lp::ExecutorLease lease = co_await manager.acquire();
    co_await body(lease, manager);
  }
  co_await manager.stop();
}

template <class Body>
void on_lease(const lp::ManagerOptions& options, const Body& body) {
  lp::Loop loop;
  loop.block_on(with_lease(loop, options, body));
}

// What start() says.
std::string start_failure(const lp::ManagerOptions& options) {
  lp::Loop loop;
  const auto start = [&]() -> lp::Task<std::string> {
    lp::LeasedExecutorManager manager(loop, options);
    try {
      co_await manager.start();
    } catch (const lp::LeasePoolError& error) {
      co_return error.what();
    }
    co_await manager.stop();
    co_return "it started";
  };
  return loop.block_on(start());
}

template <class Awaitable>
lp::Task<std::string> what_is_thrown(Awaitable call) {
  try {
    co_await call;
  } catch (const std::exception& error) {
    co_return error.what();
  }
  co_return "nothing was thrown";
}

// With a file to read, and room for others.
class Directory : public leasepool::test::TemporaryDirectory {
 public:
  Directory() {
    std::filesystem::create_directory(path() / "in");
    std::filesystem::create_directory(path() / "out");
    std::ofstream(path() / "in" / "file") << "content";
  }
};

}  // namespace

TEST_CASE("functions that compute run under every profile", "[harmless][B2]") {
  for (const lp::Sandbox& sandbox : {lp::Sandbox::none, lp::Sandbox::compute(), lp::Sandbox::files({}, {})}) {
    on_lease(
        options_with(sandbox), [&sandbox](const lp::ExecutorLease& lease, lp::LeasedExecutorManager&) -> lp::Task<> {
          const std::string text = "banana";
          auto used = lease.run(use_the_library, text);
          const auto used_value = co_await used;
          CHECK(used_value == "bbnbnb 65534 11");
          auto noon = lease.run(local_noon);
          const auto noon_value = co_await noon;
          const bool zone_is_set = std::getenv("TZ") != nullptr || sandbox.profile() != lp::Sandbox::Profile::compute;
          CHECK(noon_value == local_noon() + (zone_is_set ? "" : ":/etc/localtime"));
          auto shared = lease.run(use_shared_memory);
          const auto shared_value = co_await shared;
          CHECK(shared_value == std::uint64_t{1} << 20);
          const lp::SharedBuffer numbers(4096);
          std::ranges::fill(numbers.as<std::uint64_t>(), 21);
          auto doubled = lease.run(double_each, numbers);
          const lp::SharedBuffer doubled_value = co_await doubled;
          CHECK(std::ranges::count(doubled_value.as<std::uint64_t>(), 42) == 512);
          auto sum = lease.run(sum_of, std::vector<std::uint64_t>(1 << 20, 3));
          const auto sum_value = co_await sum;
          CHECK(sum_value == std::uint64_t{3} << 20);
        });
  }
}

TEST_CASE("functions that keep to their files have them, and no others", "[harmless][B2]") {
  const Directory directory;
  const std::string in = directory / "in";
  const std::string out = directory / "out";
  const auto options = options_with(lp::Sandbox::files({in}, {out}));
  on_lease(options, [&](const lp::ExecutorLease& lease, lp::LeasedExecutorManager&) -> lp::Task<> {
    const std::string from = in + "/file";
    const std::string to = out + "/file";
    auto copied = lease.run(round_trip, from, to);
    const auto copied_value = co_await copied;
    CHECK(copied_value == "content 1");
    CHECK(std::filesystem::exists(to + ".done"));
    auto beside = lease.run(opens, directory / "in/../in/nothing");
    const auto beside_value = co_await beside;
    CHECK_FALSE(beside_value);
    const std::string maps = "/proc/self/maps";
    auto other = lease.run(opens, maps);
    const auto other_value = co_await other;
    CHECK_FALSE(other_value);
  });
}

TEST_CASE("a single file can be listed, and a relative path is one from where the list was made", "[harmless][B2]") {
  const Directory directory;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory / "in");
  const lp::Sandbox sandbox = lp::Sandbox::files({"file"}, {});
  std::filesystem::current_path(before);
  CHECK(sandbox.readable().front() == directory / "in/file");
  std::ofstream(directory / "in/other") << "content";
  on_lease(options_with(sandbox), [&](const lp::ExecutorLease& lease, lp::LeasedExecutorManager&) -> lp::Task<> {
    auto listed = lease.run(opens, directory / "in/file");
    const auto listed_value = co_await listed;
    CHECK(listed_value);
    auto beside = lease.run(opens, directory / "in/other");
    const auto beside_value = co_await beside;
    CHECK_FALSE(beside_value);
  });
}

TEST_CASE("a list with a path that does not exist fails the start, naming list and path", "[harmless][B2]") {
  const Directory directory;
  for (const auto enforcement : {lp::Sandbox::strict, lp::Sandbox::best_effort}) {
    const std::string said = start_failure(options_with(lp::Sandbox::files({}, {directory / "nothing"}, enforcement)));
    if (said.find("is missing:") != std::string::npos) return leasepool::test::skip(said);
    CHECK_THAT(said, ContainsSubstring("cannot enter Sandbox::files(): the write path \"" + (directory / "nothing") +
                                       "\" of Sandbox::files(): No such file or directory"));
  }
}

TEST_CASE("a list of thousands of paths is no longer than it may be", "[harmless][B2]") {
  const Directory directory;
  const std::vector<std::string> read(5000, directory / "in/../in/../in/../in/../in");
  on_lease(options_with(lp::Sandbox::files(read, {})),
           [&](const lp::ExecutorLease& lease, lp::LeasedExecutorManager&) -> lp::Task<> {
             auto listed = lease.run(opens, directory / "in/file");
             const auto listed_value = co_await listed;
             CHECK(listed_value);
           });
}

TEST_CASE("a worker that replaces another is shut in as it was", "[harmless][B2]") {
  on_lease(options_with(lp::Sandbox::compute()),
           [](const lp::ExecutorLease& lease, lp::LeasedExecutorManager&) -> lp::Task<> {
             const std::string maps = "/proc/self/maps";
             auto died = lease.run(die_of, SIGABRT);
             auto said = what_is_thrown(std::move(died));
             const auto message = co_await said;
             CHECK_THAT(message, ContainsSubstring("(SIGABRT, Aborted) while running"));
             auto opened = lease.run(opens, maps);
             const auto opened_value = co_await opened;
             CHECK_FALSE(opened_value);
           });
}

TEST_CASE("a SIGSYS that no filter sent is not said to be one", "[harmless][B2]") {
  on_lease(options_with(lp::Sandbox::compute()),
           [](const lp::ExecutorLease& lease, lp::LeasedExecutorManager&) -> lp::Task<> {
             auto died = lease.run(die_of, SIGSYS);
             auto said = what_is_thrown(std::move(died));
             const auto message = co_await said;
             CHECK_THAT(message, ContainsSubstring("(SIGSYS, Bad system call) while running"));
           });
}

TEST_CASE("the limit of a call's CPU time holds in a sandbox, and counts each call", "[harmless][B2]") {
  lp::ManagerOptions options = options_with(lp::Sandbox::compute());
  options.worker_limits.cpu_time = 1ms;
  on_lease(options, [](const lp::ExecutorLease& lease, lp::LeasedExecutorManager&) -> lp::Task<> {
    for (int i = 0; i < 3; ++i) {
      auto id = lease.run(worker_id);
      const auto id_value = co_await id;
      CHECK(id_value > 0);
    }
    auto burned = lease.run(burn_processor);
    auto said = what_is_thrown(std::move(burned));
    const auto message = co_await said;
    CHECK_THAT(message, ContainsSubstring("SIGXCPU"));
  });
}

TEST_CASE("a sandboxed worker that has grown is replaced", "[harmless][B2]") {
  lp::ManagerOptions options = options_with(lp::Sandbox::compute());
  options.max_worker_rss = std::size_t{512} << 20;
  on_lease(options, [](const lp::ExecutorLease& lease, lp::LeasedExecutorManager& manager) -> lp::Task<> {
    auto kept = lease.run(keep_memory, std::uint64_t{600} << 20);
    const auto kept_value = co_await kept;
    CHECK(kept_value == std::uint64_t{600} << 20);
    CHECK(manager.stats().workers_recycled == 1);
  });
}

TEST_CASE("no worker gains privileges by exec, sandboxed or not", "[harmless][B2]") {
  on_lease(options_with(lp::Sandbox::none),
           [](const lp::ExecutorLease& lease, lp::LeasedExecutorManager& manager) -> lp::Task<> {
             auto set = lease.run(no_new_privileges);
             const auto set_value = co_await set;
             CHECK(set_value == "1");
             const auto sandbox = manager.stats().sandbox;
             REQUIRE(sandbox.has_value());
             CHECK(sandbox->profile == lp::Sandbox::Profile::none);
             CHECK(sandbox->complete);
           });
}

TEST_CASE("stats say what is in force", "[harmless][B3]") {
  lp::Loop unstarted;
  CHECK_FALSE(lp::LeasedExecutorManager(unstarted, options_with(lp::Sandbox::compute())).stats().sandbox.has_value());
  on_lease(
      options_with(lp::Sandbox::compute()),
      [](const lp::ExecutorLease& /*lease*/, lp::LeasedExecutorManager& manager) -> lp::Task<> {
        const lp::ManagerStats stats = manager.stats();
        const std::string abi = std::to_string(stats.sandbox->landlock_abi);
        CHECK(stats.sandbox->seccomp);
        CHECK(stats.sandbox->landlock_abi >= 1);
        CHECK(stats.sandbox->complete);
        CHECK_THAT(to_text(stats), ContainsSubstring("  sandbox         compute: seccomp, Landlock " + abi + "\n"));
        CHECK_THAT(to_json(stats),
                   ContainsSubstring(R"("sandbox":{"profile":"compute","seccomp":true,"landlock_abi":)" + abi +
                                     R"(,"complete":true})"));
        CHECK_THAT(to_prometheus(stats),
                   ContainsSubstring(
                       R"(sandbox_active{manager="leasepool",backend="process",profile="compute",part="seccomp"} 1)") &&
                       ContainsSubstring(R"(part="landlock"} 1)"));
        co_return;
      });
}

}  // namespace harmless
