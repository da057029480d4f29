// Starting the fork servers, and connecting to them.
#include "processes/fork_server.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "base/clock.hpp"
#include "base/sanitizers.hpp"
#include "leasepool/error.hpp"
#include "leasepool/init.hpp"
#include "shared/control_socket.hpp"
#include "shared/pidfd.hpp"
#include "shared/registry.hpp"
#include "worker/fork_server_main.hpp"

namespace leasepool {

void init() { detail::ForkServer::instance().start(); }

namespace detail {

namespace {

// A start takes a few milliseconds; servers that take this long are stopped.
constexpr Duration kStartPatience = std::chrono::seconds(10);

// As far as it can be told: without a readable /proc the program has to know what it does.
void check_has_one_thread() {
  std::size_t threads = 0;
  std::string others;
  UniqueFd listing(::open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Not by std::filesystem, whose iterators end the program where there is no memory.
  const std::unique_ptr<DIR, decltype([](DIR* tasks) { ::closedir(tasks); })> tasks(::fdopendir(listing.get()));
  if (!tasks) return;
  (void)listing.release();
  while (const dirent* const task = ::readdir(tasks.get())) {
    const std::string id = task->d_name;
    if (id.starts_with('.')) continue;
    ++threads;
    if (id == std::to_string(::getpid())) continue;
    std::string name;
    std::getline(std::ifstream("/proc/self/task/" + id + "/comm"), name);
    others.append(others.empty() ? "" : ", ").append(name).append(" (").append(id).append(")");
  }
  if (threads <= 1 + kRuntimeThreads) return;
  throw LeasePoolError(
      Errc::unsupported,
      "worker processes need a fork server that was started while the program had one thread, and it has " +
          std::to_string(threads - kRuntimeThreads) +
          " now: call leasepool::init() in the first line of main(); if it is there, a library or a static object has "
          "started a thread before main(), which a breakpoint at pthread_create shows: beside the main thread there "
          "is " +
          others);
}

// Waits for the next record, or the end of the other side: then, at the deadline, and where the system has no memory to
// receive for a second, it is none.
std::optional<ControlMessage> hear(int socket, TimePoint deadline) noexcept {
  constexpr int kMaxShortages = 1000;
  for (int shortages = 0;;) {
    ControlRecord record;
    const ReceiveState state = receive_control(socket, record);
    if (state == ReceiveState::received) return record.message;
    shortages += state == ReceiveState::try_later ? 1 : 0;
    if (state == ReceiveState::closed || shortages > kMaxShortages || monotonic_now() >= deadline) return std::nullopt;
    const timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
    pollfd asked{.fd = socket, .events = POLLIN, .revents = 0};
    if (::ppoll(&asked, 1, &pause, nullptr) < 0) ::nanosleep(&pause, nullptr);
  }
}

// A child that ends at once. It may have been waited for by the program, or by nobody because SIGCHLD is ignored.
void reap(pid_t child, TimePoint deadline) noexcept {
  for (timespec pause{.tv_sec = 0, .tv_nsec = 50'000};; pause.tv_nsec = std::min(2 * pause.tv_nsec, 10'000'000L)) {
    const pid_t reaped = ::waitpid(child, nullptr, WNOHANG);
    if (reaped == child || (reaped < 0 && errno != EINTR)) return;
    if (monotonic_now() >= deadline) ::kill(child, SIGKILL);  // it was stopped; what it forked goes with its socket
    ::nanosleep(&pause, nullptr);
  }
}

[[noreturn]] void throw_not_started(int error, const std::string& call) {
  throw std::system_error(error, std::generic_category(), "leasepool: the fork server could not be started: " + call);
}

[[noreturn]] void throw_not_sent(int error) {
  if (is_gone(error)) {
    throw LeasePoolError(Errc::pool_broken, "both fork servers were killed: no worker process can be made any more in "
                                            "this program; restart it");
  }
  if (error == EAGAIN) {
    throw LeasePoolError(Errc::pool_broken,
                         "the fork server does not answer: it is stopped or starved (its process is lp-forkserver)");
  }
  const char* const remedy =
      error == ETOOMANYREFS ? " (this user has more descriptors on their way through sockets than ulimit -n: raise it)"
                            : "";
  throw std::system_error(error, std::generic_category(), std::string("sendmsg to the fork server") + remedy);
}

// By which the servers know when this process ends.
UniqueFd pidfd_of_this_process() {
  UniqueFd self = open_pidfd(::getpid());
  if (self) return self;
  if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
    throw std::system_error(errno, std::generic_category(), "pidfd_open");
  }
  throw LeasePoolError(Errc::unsupported, std::string("worker processes need pidfds, and pidfd_open is refused: ") +
                                              std::strerror(errno) +
                                              "; use Linux 5.15 or later, and allow pidfd_open in the seccomp profile "
                                              "of the container");
}

}  // namespace

ForkServer& ForkServer::instance() {
  static auto* const server = new ForkServer;  // never destroyed: pools may outlive static objects
  return *server;
}

// A program that becomes a daemon may have closed all descriptors, and used the number again.
bool ForkServer::is_started() const noexcept {
  const int control = control_.load(std::memory_order_acquire);
  struct stat now{};
  if (control < 0) return false;
  if (::fstat(control, &now) != 0) return errno != EBADF;  // refused: what is not known to be lost is kept
  return S_ISSOCK(now.st_mode) && now.st_ino == inode_.load();
}

void ForkServer::start() {
  if (is_forked_ || is_started()) return;
  check_registry();
  check_has_one_thread();
  std::fflush(nullptr);  // else what is buffered would be written once more by a child
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  struct stat made{};
  if (::fstat(ours.get(), &made) != 0) throw_not_started(errno, "fstat");
  fork_servers(ours, std::move(theirs));
  inode_.store(made.st_ino);
  control_.store(ours.release(), std::memory_order_release);
}

// By way of a process that ends at once: so the servers are not the program's children, and who waits for all of those
// does not wait for them.
void ForkServer::fork_servers(UniqueFd& ours, UniqueFd theirs) {
  const TimePoint deadline = monotonic_now() + kStartPatience;
  const pid_t between = ::fork();
  if (between < 0) throw_not_started(errno, "fork");
  if (between == 0) {
    is_forked_ = true;  // for functions of workers that call init()
    ours.reset();
    const pid_t server = ::fork();
    if (server == 0) fork_server_main(std::move(theirs));
    ControlMessage refusal{.type = ControlType::started, .error = errno};
    refusal.set_name("fork");
    if (server < 0) (void)send_control(theirs.get(), refusal);
    ::_exit(0);
  }
  theirs.reset();
  reap(between, deadline);
  const auto word = hear(ours.get(), deadline);
  if (!word)
    throw_not_started(ETIMEDOUT, "it was stopped, or ended, before it was ready, or there is no memory to hear");
  if (word->error == 0) return;
  (void)hear(ours.get(), deadline);  // until it is gone
  throw_not_started(word->error, word->name.data());
}

UniqueFd ForkServer::connect() {
  if (is_forked_) {
    throw LeasePoolError(Errc::unsupported, "a worker process has no worker processes of its own: what it runs can use "
                                            "threads, or leave the calls to the program that called it");
  }
  start();
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  ControlRecord connection{.message = {.type = ControlType::connect, .identity = own_identity()}, .fds = {}};
  connection.fds.push_back(std::move(theirs));
  connection.fds.push_back(pidfd_of_this_process());
  connection.fds.push_back(open_root());
  if (!connection.fds[2]) throw std::system_error(errno, std::generic_category(), "open(\"/\", O_PATH)");
  const int error = send_control(control_.load(std::memory_order_acquire), connection.message, connection.fds.all());
  if (error != 0) throw_not_sent(error);
  return std::move(ours);
}

}  // namespace detail

}  // namespace leasepool
