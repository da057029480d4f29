// Each attempt under each profile, on the real kernel: it ends as the table says, the parent and a sibling are
// unharmed, and the pool goes on.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include "attempts.hpp"
#include "catch.hpp"
#include "hostile.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

namespace lp = leasepool;
using namespace std::chrono_literals;

namespace hostile {

namespace {
bool a_profile_was_skipped = false;
}  // namespace

bool skipped() { return a_profile_was_skipped; }

namespace harmless {

int square(int x) { return x * x; }
int process_id() { return ::getpid(); }
int parent_id() { return ::getppid(); }

}  // namespace harmless

}  // namespace hostile

LEASEPOOL_REGISTER(hostile::harmless::square);
LEASEPOOL_REGISTER(hostile::harmless::process_id);
LEASEPOOL_REGISTER(hostile::harmless::parent_id);

namespace hostile {

namespace {

constexpr char kContent[] = "as it was";

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Directories and sockets to aim at.
class Scene {
 public:
  Scene();
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene();

  Targets& targets() { return targets_; }
  void restore() const;
  // What no profile lets a function touch.
  [[nodiscard]] bool untouched() const;

 private:
  void listen_at(const std::string& name);
  void listen_on_tcp();

  leasepool::test::TemporaryDirectory root_;
  Targets targets_;
  std::vector<int> listeners_;
};

Scene::Scene() {
  targets_.parent = ::getpid();
  targets_.readable = root_ / "readable";
  targets_.writable = root_ / "writable";
  targets_.outside = root_ / "outside";
  for (const auto& path : {targets_.readable, targets_.writable, targets_.outside}) {
    std::filesystem::create_directory(path);
  }
  targets_.listening_path = root_ / "socket";
  targets_.abstract_name = std::string(1, '\0') + root_.path().filename().string();
  listen_at(targets_.listening_path);
  listen_at(targets_.abstract_name);
  listen_on_tcp();
  restore();
}

Scene::~Scene() {
  for (const int fd : listeners_) ::close(fd);
}

// The directories stay: a sandbox knows them, not their names.
void Scene::restore() const {
  for (const auto& path : {targets_.readable, targets_.writable, targets_.outside}) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) std::filesystem::remove_all(entry);
    std::ofstream(path + "/file", std::ios::binary) << kContent;
    std::filesystem::permissions(path + "/file", std::filesystem::perms(0644));
  }
}

bool Scene::untouched() const {
  std::size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(targets_.outside)) ++entries;
  return entries == 1 && content_of(targets_.outside + "/file") == kContent &&
         content_of(targets_.readable + "/file") == kContent &&
         std::filesystem::status(targets_.outside + "/file").permissions() == std::filesystem::perms(0644);
}

void Scene::listen_at(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  listeners_.push_back(fd);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0 || ::listen(fd, 16) != 0) {
    throw std::system_error(errno, std::generic_category(), "a Unix socket to aim at");
  }
}

void Scene::listen_on_tcp() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  listeners_.push_back(fd);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd, generic, length) != 0 || ::listen(fd, 16) != 0 || ::getsockname(fd, generic, &length) != 0) {
    throw std::system_error(errno, std::generic_category(), "a TCP socket to aim at");
  }
  targets_.tcp_port = ntohs(address.sin_port);
}

lp::ManagerOptions options_for(const lp::Sandbox& sandbox) {
  lp::ManagerOptions options;
  options.backend = lp::ExecutorBackend::process;
  options.max_pools = 1;
  options.workers_per_pool = 1;
  options.log = [](const lp::LogRecord&) {};
  options.sandbox = sandbox;
  return options;
}

bool is_refusal(const std::error_code& code) {
  return code == std::errc::operation_not_permitted || code == std::errc::permission_denied ||
         code == std::errc::cross_device_link || code == std::errc::function_not_supported;
}

// How it ended, where the error names what was tried; else in the words of the error.
struct Outcome {
  std::optional<Ending> ending;
  std::string said;
};

Outcome outcome_of(const Attempt& attempt, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const lp::LeasePoolError& error) {
    const std::string said = error.what();
    const bool names_it = said.find(attempt.names) != std::string::npos;
    const bool blocked =
        said.find(std::string("(SIGSYS, Bad system call: it tried ") + attempt.names + ", which") != std::string::npos;
    if (error.code() == lp::Errc::worker_crashed && blocked) return {Ending::fatal, said};
    if (error.code() == lp::Errc::worker_crashed && names_it) return {Ending::exposed, said};
    if (error.code() == lp::Errc::payload_too_large && names_it) return {Ending::too_large, said};
    if (error.code() == lp::Errc::timed_out && names_it) return {Ending::too_late, said};
    return {std::nullopt, said};
  } catch (const std::system_error& error) {
    const std::string said = error.what();
    if (is_refusal(error.code()) && said.starts_with(attempt.names)) return {Ending::refused, said};
    return {std::nullopt, said};
  }
}

lp::Task<Outcome> outcome(const lp::ExecutorLease& lease, const Attempt& attempt, Ending expected,
                          const Targets& targets) {
  const lp::Duration deadline = expected == Ending::too_late ? 300ms : 30s;
  auto call = lease.with({.timeout = deadline}).run(attempt.function, targets);
  std::exception_ptr thrown;
  try {
    (void)co_await call;
  } catch (...) {
    thrown = std::current_exception();
  }
  co_return thrown ? outcome_of(attempt, thrown) : Outcome{Ending::works, "it returned"};
}

lp::Task<> run_attempts(lp::Loop& loop, lp::Sandbox sandbox, Ending Attempt::* expected, Scene& scene) {
  lp::LeasedExecutorManager manager(loop, options_for(sandbox));
  lp::LeasedExecutorManager siblings(loop, options_for(lp::Sandbox::none));
  try {
    co_await manager.start();
  } catch (const lp::LeasePoolError& error) {
    if (error.code() != lp::Errc::unsupported) throw;
    leasepool::test::skip(error.what());
    a_profile_was_skipped = true;
    co_return;
  }
  co_await siblings.start();
  {
    const lp::ExecutorLease lease = co_await manager.acquire();
    const lp::ExecutorLease sibling = co_await siblings.acquire();
    scene.targets().sibling = co_await sibling.run(harmless::process_id);
    scene.targets().fork_server = co_await sibling.run(harmless::parent_id);
    const int priority = ::getpriority(PRIO_PROCESS, 0);
    for (auto* const attempts :
         {file_attempts, process_attempts, network_attempts, kernel_attempts, channel_attempts}) {
      for (const Attempt& attempt : attempts()) {
        const Ending wanted = attempt.*expected;
        if (wanted == Ending::untried) continue;
        CAPTURE(attempt.tried);
        scene.restore();
        const Outcome got = co_await outcome(lease, attempt, wanted, scene.targets());
        CAPTURE(got.said);
        CHECK(got.ending == wanted);
        const bool let_in = wanted == Ending::works;
        CHECK((let_in || scene.untouched()));
        CHECK(::getpriority(PRIO_PROCESS, 0) == priority);
        const int nine = co_await lease.run(harmless::square, 3);
        CHECK(nine == 9);
        const pid_t same = co_await sibling.run(harmless::process_id);
        CHECK(same == scene.targets().sibling);
      }
    }
    const pid_t fork_server = co_await lease.run(harmless::parent_id);
    CHECK(fork_server == scene.targets().fork_server);
  }
  co_await siblings.stop();
  co_await manager.stop();
}

void try_all(const lp::Sandbox& sandbox, Ending Attempt::* expected, Scene& scene) {
  lp::Loop loop;
  loop.block_on(run_attempts(loop, sandbox, expected, scene));
}

}  // namespace

TEST_CASE("what functions try without a sandbox works, or else its block would prove nothing", "[none][B1]") {
  Scene scene;
  try_all(lp::Sandbox::none, &Attempt::none, scene);
}

TEST_CASE("what hostile functions try under Sandbox::compute() ends blocked, by name", "[compute][B1]") {
  Scene scene;
  try_all(lp::Sandbox::compute(), &Attempt::compute, scene);
}

TEST_CASE("what hostile functions try under Sandbox::files() ends blocked, by name", "[files][B1]") {
  Scene scene;
  const std::vector<std::string> read{scene.targets().readable};
  const std::vector<std::string> write{scene.targets().writable};
  try_all(lp::Sandbox::files(read, write), &Attempt::files, scene);
}

}  // namespace hostile
