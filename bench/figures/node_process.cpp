// Nodes as children of the program that measures, and the functions that they run.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "figures/manager.hpp"
#include "figures/nodes.hpp"
#include "loop/loop_core.hpp"
#include "nats/connection.hpp"

namespace figures {

namespace {

namespace nats = leasepool::detail::nats;

constexpr const char* kNumber = "LEASEPOOL_FIGURES_NODE";
constexpr std::size_t kMaxPayload = std::size_t{80} << 20;

struct Nobody final : nats::BusOwner {
  void bus_connected() override {}
  void bus_disconnected(const leasepool::Error& /*reason*/) override {}
  void bus_has_room() override {}
  void bus_refused(const leasepool::Error& /*reason*/) override {}
};

leasepool::Task<> live(leasepool::Loop& loop, const std::string& server, std::size_t workers) {
  leasepool::SignalSet signals(loop, {SIGTERM});
  leasepool::ManagerOptions local = manager_options(leasepool::ExecutorBackend::process, 1, workers);
  local.max_payload = kMaxPayload;
  leasepool::Node node(loop, {.servers = server}, local);
  Nobody nobody;
  const auto echo = nats::Connection::make(leasepool::detail::Access::core(loop), {.servers = server}, nobody);
  echo->subscribe(kEchoSubject,
                  [&](const nats::BusMessage& message) { (void)echo->publish(message.reply, message.payload); });
  auto start = node.start();
  co_await start;
  auto told = signals.next();
  co_await told;
  echo->close();
}

}  // namespace

NodeProcess::NodeProcess(const std::string& server, std::size_t workers, std::uint64_t number) {
  const std::string of_workers = std::to_string(workers);
  const std::string of_number = std::to_string(number);
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::execl("/proc/self/exe", "node", "--node", server.c_str(), of_workers.c_str(), of_number.c_str(),
          static_cast<char*>(nullptr));
  ::_exit(127);
}

Clock::time_point NodeProcess::kill() noexcept {
  if (pid_ < 0) return {};
  const auto now = Clock::now();
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return now;
}

bool run_node(int argc, char** argv) {
  if (argc != 5 || std::string_view(argv[1]) != "--node") return false;
  ::setenv(kNumber, argv[4], 1);  // NOLINT(concurrency-mt-unsafe): before the fork server, whose workers have it
  leasepool::init();
  leasepool::Loop loop;
  loop.block_on(live(loop, argv[2], std::stoul(argv[3])));
  return true;
}

leasepool::ManagerOptions remote_manager(const std::string& server, std::size_t pools, std::size_t workers) {
  leasepool::ManagerOptions options = manager_options(leasepool::ExecutorBackend::remote, pools, workers);
  options.min_pools = 0;
  options.remote.servers = server;
  options.max_payload = kMaxPayload;
  options.lease_grace = leasepool::Duration(0);
  return options;
}

leasepool::Task<leasepool::ExecutorLease> acquire_lease(leasepool::LeasedExecutorManager& manager,
                                                        leasepool::Duration duration) {
  auto acquire = manager.acquire({.owner = "figures", .lease_duration = duration});
  co_return co_await acquire;
}

std::uint64_t node_number() {
  return std::stoull(std::getenv(kNumber));  // NOLINT(concurrency-mt-unsafe): nobody sets it
}
std::int64_t process_id() { return ::getpid(); }
std::uint64_t same(std::uint64_t value) { return value; }
std::size_t length(const std::string& text) { return text.size(); }
void hang() {
  for (;;) ::pause();
}

}  // namespace figures

LEASEPOOL_REGISTER(figures::node_number);
LEASEPOOL_REGISTER(figures::process_id);
LEASEPOOL_REGISTER(figures::same);
LEASEPOOL_REGISTER(figures::length);
LEASEPOOL_REGISTER(figures::hang);
