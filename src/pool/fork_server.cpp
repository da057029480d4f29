// Starting the fork servers, and failing over from one to the other.
#include "pool/fork_server.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "leasepool/error.hpp"
#include "leasepool/init.hpp"
#include "pool/control_socket.hpp"
#include "pool/fork_server_main.hpp"
#include "pool/registry.hpp"

namespace leasepool {

void init() { detail::ForkServer::instance().start(); }

namespace detail {

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr long kThreadsOfTheRuntime = 1;  // ThreadSanitizer has one of its own
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr long kThreadsOfTheRuntime = 1;
#else
constexpr long kThreadsOfTheRuntime = 0;
#endif
#else
constexpr long kThreadsOfTheRuntime = 0;
#endif

// As far as it can be told: without a readable /proc the program has to know what it does.
long thread_count() {
  std::error_code unreadable;
  const std::filesystem::directory_iterator tasks("/proc/self/task", unreadable);
  return unreadable ? 1 : std::distance(begin(tasks), end(tasks)) - kThreadsOfTheRuntime;
}

}  // namespace

ForkServer& ForkServer::instance() {
  static auto* const server = new ForkServer;  // never destroyed: pools may outlive static objects
  return *server;
}

void ForkServer::start() {
  const std::lock_guard lock(mutex_);
  start_locked();
}

void ForkServer::start_locked() {
  if (started_ || is_forked_) return;
  check_registry();
  const long threads = thread_count();
  if (threads > 1) {
    throw LeasePoolError(Errc::unsupported, "worker processes need a fork server that was started while the program "
                                            "had one thread, and it has " +
                                                std::to_string(threads) +
                                                " now: call leasepool::init() in the first line of main()");
  }
  std::fflush(nullptr);  // else what is buffered would be written once more by a child
  active_ = fork_server();
  try {
    reserve_ = fork_server();
  } catch (...) {
    const pid_t first = active_->pid;
    active_.reset();  // it exits when its control socket is closed
    ::waitpid(first, nullptr, 0);
    throw;
  }
  started_ = true;
}

ForkServer::Server ForkServer::fork_server() {
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "leasepool: fork of the fork server");
  if (pid == 0) {
    ours.reset();
    is_forked_ = true;
    mutex_.unlock();  // which start() locked: for functions of workers that call init()
    fork_server_main(std::move(theirs), parent);
  }
  ::setpgid(pid, pid);  // here too: it has left the program's group when init() returns
  return {.pid = pid, .control = std::move(ours)};
}

UniqueFd ForkServer::connect() {
  const std::lock_guard lock(mutex_);
  if (is_forked_) {
    throw LeasePoolError(Errc::unsupported, "a worker process has no worker processes of its own: what it runs can use "
                                            "threads, or leave the calls to the program that called it");
  }
  start_locked();
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  ControlRecord connection{.message = {.type = ControlType::connect}, .fds = {}};
  connection.fds.push_back(std::move(theirs));
  while (active_) {
    const int error = send_control(active_->control.get(), connection);
    if (error == 0) {
      make_reserve_locked();
      return std::move(ours);
    }
    if (error == EAGAIN) {
      throw LeasePoolError(Errc::pool_broken, "the fork server does not answer: its process " +
                                                  std::to_string(active_->pid) + " is stopped or starved");
    }
    promote_reserve_locked();
  }
  throw LeasePoolError(Errc::pool_broken, "both fork servers were killed: no worker process can be made any more in "
                                          "this program; restart it");
}

void ForkServer::reap(const Server& server) {
  if (server.pid <= 0) return;  // a server forked it: it is not ours to reap
  while (::waitpid(server.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void ForkServer::promote_reserve_locked() {
  reap(*active_);
  active_ = std::exchange(reserve_, std::nullopt);
}

// Also where the one in reserve was killed, which shows nowhere else.
void ForkServer::make_reserve_locked() noexcept {
  if (reserve_) {
    pollfd end{.fd = reserve_->control.get(), .events = 0, .revents = 0};
    if (::poll(&end, 1, 0) == 0) return;
    reap(*std::exchange(reserve_, std::nullopt));
  }
  try {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    ControlRecord order{.message = {.type = ControlType::stand_by}, .fds = {}};
    order.fds.push_back(std::move(theirs));
    if (send_control(active_->control.get(), order) == 0) reserve_ = Server{.pid = 0, .control = std::move(ours)};
  } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): no descriptors; the next connection tries again
  }
}

}  // namespace detail

}  // namespace leasepool
