// The server and its workers, and the program's side: one epoll, blocking sends of what always has room.
#include "figures/bare_workers.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/unique_fd.hpp"
#include "shared/control_socket.hpp"
#include "shared/pidfd.hpp"

namespace figures {

namespace {

namespace detail = leasepool::detail;
using detail::ControlMessage;
using detail::ControlRecord;
using detail::ControlType;
using leasepool::Fd;
using std::chrono::steady_clock;

using Function = std::int64_t (*)(std::int64_t);

constexpr std::size_t kMemory = std::size_t{140} << 10;  // two rings and a page, of which a call touches three pages

void check(bool holds, const char* call) {
  if (!holds) throw std::runtime_error(std::string(call) + ": " + std::strerror(errno));
}

// In a fresh child of the server.
[[noreturn]] void run_worker(ControlRecord& record, Function function) {
  ::setpgid(0, 0);
  const Fd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ::dup2(nothing.get(), STDIN_FILENO);
  ::dup2(record.fds[2].get(), STDOUT_FILENO);
  ::dup2(record.fds[3].get(), STDERR_FILENO);
  const int socket = ::dup2(record.fds[0].get(), STDERR_FILENO + 1);
  const int file = ::dup2(record.fds[1].get(), STDERR_FILENO + 2);
  ::close_range(STDERR_FILENO + 3, ~0U, 0);
  std::signal(SIGCHLD, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  auto* const memory =
      static_cast<std::int64_t*>(::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  std::int64_t argument = 0;
  if (memory == MAP_FAILED || ::send(socket, &argument, sizeof argument, MSG_NOSIGNAL) < 0) ::_exit(1);
  while (::recv(socket, &argument, sizeof argument, 0) == sizeof argument) {
    memory[0] = function(argument);
    memory[kMemory / 2 / sizeof argument] = memory[kMemory / sizeof argument - 1] = argument;
    if (::send(socket, &argument, sizeof argument, MSG_NOSIGNAL) < 0) break;
  }
  ::_exit(0);
}

void fork_one(int control, Function function, ControlRecord& record) {
  const pid_t pid = ::fork();
  if (pid == 0) run_worker(record, function);
  ::setpgid(pid, pid);
  const Fd pidfd = detail::open_pidfd(pid);
  const ControlMessage made{.type = ControlType::spawned, .pid = pid, .worker_id = record.message.worker_id};
  (void)detail::send_control(control, made, {&pidfd, 1});
}

// Kills what an ended worker left before its number may be used again, and tells how it ended.
void reap(int control) {
  for (siginfo_t end{}; ::waitid(P_ALL, 0, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid != 0; end = {}) {
    const pid_t pid = end.si_pid;
    ::kill(-pid, SIGKILL);
    ::waitid(P_PID, static_cast<id_t>(pid), &end, WEXITED);
    const ControlMessage ended{.type = ControlType::exited, .pid = pid};
    (void)detail::send_control(control, ended);
  }
}

[[noreturn]] void serve(Fd control, Function function) {
  ::setpgid(0, 0);
  struct sigaction interrupts{};
  interrupts.sa_handler = [](int /*signal*/) {};
  ::sigaction(SIGCHLD, &interrupts, nullptr);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_SETMASK, &child, nullptr);
  sigset_t none;
  sigemptyset(&none);
  for (;;) {
    pollfd asked{.fd = control.get(), .events = POLLIN, .revents = 0};
    const int ready = ::ppoll(&asked, 1, nullptr, &none);
    reap(control.get());
    ControlRecord record;
    if (ready != 1) continue;
    const auto state = detail::receive_control(control.get(), record);
    if (state == detail::ReceiveState::closed) ::_exit(0);
    if (state == detail::ReceiveState::received) fork_one(control.get(), function, record);
  }
}

struct Worker {
  Fd socket;
  Fd output;
  Fd error;
  Fd pidfd;
  std::int64_t* memory = nullptr;
  bool said_hello = false;

  Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    if (memory != nullptr) ::munmap(memory, kMemory);
  }
};

class Program {
 public:
  Program(std::size_t ready, Function function) : ready_(ready), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    auto [ours, theirs] = detail::make_socket_pair(SOCK_SEQPACKET);
    const pid_t server = ::fork();
    check(server >= 0, "fork");
    if (server == 0) {
      ours.reset();
      serve(std::move(theirs), function);
    }
    server_ = server;
    control_ = std::move(ours);
    watch(control_.get(), 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    control_.reset();
    workers_.clear();
    ::waitpid(server_, nullptr, 0);
  }

  Rate run(std::size_t count) {
    while (workers_.size() < ready_ + 1) make();
    while (idle_.size() < ready_ + 1) handle_events();
    Rate rate;
    const auto begin = steady_clock::now();
    submit();
    while (done_ < count) {
      if (!handle_events()) continue;
      rate.times.record(steady_clock::now() - submitted_);
      ++done_;
      submit();
      replace();
    }
    rate.per_second = static_cast<double>(count) / std::chrono::duration<double>(steady_clock::now() - begin).count();
    return rate;
  }

 private:
  void watch(int fd, std::uint64_t id) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = id}};
    check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
  }

  static std::pair<Fd, Fd> make_pipe() {
    int ends[2];
    check(::pipe2(ends, O_CLOEXEC) == 0, "pipe2");
    return {Fd(ends[0]), Fd(ends[1])};
  }

  void make() {
    auto worker = std::make_unique<Worker>();
    auto [ours, theirs] = detail::make_socket_pair(SOCK_STREAM);
    Fd file(::memfd_create("bare-worker", MFD_CLOEXEC));
    check(file && ::ftruncate(file.get(), kMemory) == 0, "memfd_create");
    void* const memory = ::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    check(memory != MAP_FAILED, "mmap");
    worker->memory = static_cast<std::int64_t*>(memory);
    auto [output, their_output] = make_pipe();
    auto [error, their_error] = make_pipe();
    worker->socket = std::move(ours);
    worker->output = std::move(output);
    worker->error = std::move(error);
    watch(worker->socket.get(), ++last_id_);
    ControlRecord record{.message = {.type = ControlType::spawn, .worker_id = last_id_}, .fds = {}};
    for (Fd* const fd : {&theirs, &file, &their_output, &their_error}) record.fds.push_back(std::move(*fd));
    check(detail::send_control(control_.get(), record.message, record.fds.all()) == 0, "sendmsg");
    workers_.emplace(last_id_, std::move(worker));
  }

  // To the one that is ready first; where none is, as soon as one is.
  void submit() {
    submitted_ = steady_clock::now();
    waits_ = true;
    hand_out();
  }
  void hand_out() {
    if (!waits_ || idle_.empty()) return;
    waits_ = false;
    const Worker& worker = *workers_.at(idle_.front());
    idle_.pop_front();
    const std::int64_t argument = 1;
    check(::send(worker.socket.get(), &argument, sizeof argument, MSG_NOSIGNAL) > 0, "send");
  }

  // The one whose call has ended.
  void replace() {
    check(detail::send_signal(workers_.at(used_)->pidfd.get(), SIGKILL) == 0, "pidfd_send_signal");
    make();
  }

  // Whether a call has ended.
  bool handle_events() {
    std::array<epoll_event, 8> events{};
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    bool ended = false;
    for (int i = 0; i < count; ++i) {
      const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
      if (id == 0) {
        hear_server();
      } else if (workers_.contains(id)) {
        ended |= hear(id, *workers_.at(id));
      }
    }
    return ended;
  }

  bool hear(std::uint64_t id, Worker& worker) {
    std::int64_t word = 0;
    if (::recv(worker.socket.get(), &word, sizeof word, MSG_DONTWAIT) != sizeof word) {
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, worker.socket.get(), nullptr);
      return false;
    }
    if (std::exchange(worker.said_hello, true)) {
      used_ = id;
      return true;
    }
    came_up(id, worker);
    return false;
  }

  void came_up(std::uint64_t id, const Worker& worker) {
    if (!worker.said_hello || !worker.pidfd) return;
    idle_.push_back(id);
    hand_out();
  }

  void hear_server() {
    ControlRecord record;
    if (detail::receive_control(control_.get(), record) != detail::ReceiveState::received) return;
    if (record.message.type == ControlType::exited) {
      workers_.erase(by_pid_.at(record.message.pid));
      by_pid_.erase(record.message.pid);
      return;
    }
    const std::uint64_t id = record.message.worker_id;
    by_pid_[record.message.pid] = id;
    Worker& worker = *workers_.at(id);
    worker.pidfd = std::move(record.fds[0]);
    came_up(id, worker);
  }

  std::size_t ready_;
  Fd epoll_;
  Fd control_;
  pid_t server_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Worker>> workers_;
  std::map<pid_t, std::uint64_t> by_pid_;
  std::deque<std::uint64_t> idle_;
  std::uint64_t last_id_ = 0;
  std::uint64_t used_ = 0;
  bool waits_ = false;
  steady_clock::time_point submitted_;
  std::size_t done_ = 0;
};

}  // namespace

Rate bare_workers(std::size_t ready, std::size_t count, std::int64_t (*function)(std::int64_t)) {
  return Program(ready, function).run(count);
}

}  // namespace figures
