// The fork server: one thread, one poll(). It forks workers on request, reaps them, reports how each ended, and kills
// them all when the parent is gone. It runs nothing of the program's own.
#include "pool/fork_server_main.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <list>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pool/control_socket.hpp"
#include "pool/worker_cgroup.hpp"
#include "pool/worker_main.hpp"

namespace leasepool::detail {

namespace {

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// Leaves the standard streams and the given descriptors open, sorted ascending.
void close_all_but(std::initializer_list<int> kept) {
  unsigned from = STDERR_FILENO + 1;
  for (const int fd : kept) {
    if (static_cast<unsigned>(fd) > from) ::syscall(SYS_close_range, from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  ::syscall(SYS_close_range, from, ~0U, 0);
}

// A server whose parent had closed its standard streams: what it opens must not become one of its workers' own.
void open_standard_streams() {
  int fd = -1;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) ::close(fd);
}

void default_signals() {
  for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);  // fails for KILL and STOP: fine
  std::signal(SIGPIPE, SIG_IGN);  // a function that writes to a closed pipe gets EPIPE instead of dying
}

ResourceUse use_of(const rusage& used) {
  const auto microseconds = [](const timeval& time) { return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_usec; };
  return {.user_microseconds = microseconds(used.ru_utime),
          .system_microseconds = microseconds(used.ru_stime),
          .max_resident_kibibytes = used.ru_maxrss};
}

// A worker that an earlier server forked.
struct AdoptedWorker {
  pid_t pid;
  UniqueFd pidfd;
  UniqueFd cgroup;  // if it has one
};

void kill_group(const AdoptedWorker& worker) {
  kill_cgroup(worker.cgroup.get());
  constexpr unsigned kToProcessGroup = 4;  // PIDFD_SIGNAL_PROCESS_GROUP, of Linux 6.9
  if (::syscall(SYS_pidfd_send_signal, worker.pidfd.get(), SIGKILL, nullptr, kToProcessGroup) == 0) return;
  // As long as the worker is there, its number is its group's.
  if (::syscall(SYS_pidfd_send_signal, worker.pidfd.get(), 0, nullptr, 0) == 0) ::kill(-worker.pid, SIGKILL);
}

struct Connection {
  UniqueFd socket;
  std::deque<ControlRecord> outgoing;
  std::vector<AdoptedWorker> adopted;
};

struct WorkerEntry {
  Connection* connection;  // null once it is closed
  std::uint64_t worker_id;
  UniqueFd cgroup;  // if it has one

  void kill_all(pid_t pid) const noexcept {
    ::kill(-pid, SIGKILL);
    kill_cgroup(cgroup.get());
  }
};

class Server {
 public:
  Server(UniqueFd control, UniqueFd parent) : control_(std::move(control)), parent_(std::move(parent)) {}

  // Returns when the parent is dead.
  void serve();

 private:
  void prepare_process();
  bool wait_for_events();
  void handle_control();
  void handle_connection(Connection& connection);
  void handle(Connection& connection, ControlRecord& record);
  void spawn(Connection& connection, ControlRecord& record);
  void become_reserve(UniqueFd control);
  void reap();
  void send(Connection& connection, ControlRecord record);
  void flush(Connection& connection);
  void close(Connection& connection);
  void kill_everything();

  UniqueFd control_;
  UniqueFd parent_;
  UniqueFd child_signals_;
  bool serving_ = true;
  std::list<Connection> connections_;
  std::unordered_map<pid_t, WorkerEntry> workers_;
  std::vector<pollfd> polled_;
};

void Server::prepare_process() {
  ::prctl(PR_SET_NAME, "lp-forkserver");
  // Its life hangs on the parent's alone: a Ctrl-C, or a SIGTERM to the whole service, is for the parent to handle.
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM}) {
    std::signal(signal, SIG_IGN);
  }
  std::signal(SIGCHLD, SIG_DFL);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_SETMASK, &child, nullptr);
  if (!child_signals_) child_signals_ = UniqueFd(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
}

void Server::serve() {
  prepare_process();
  while (serving_ && wait_for_events()) {
    if ((polled_[0].revents & POLLIN) != 0) break;  // the parent is dead
    if (polled_[2].revents != 0) reap();
    std::size_t at = 3;
    for (auto connection = connections_.begin(); connection != connections_.end() && at < polled_.size(); ++at) {
      const auto current = connection++;  // handling it may close it
      if ((polled_[at].revents & POLLOUT) != 0) flush(*current);
      if ((polled_[at].revents & ~POLLOUT) != 0) handle_connection(*current);
    }
    if (polled_[1].revents != 0) handle_control();  // last: it may turn this process into another server
  }
  kill_everything();
}

bool Server::wait_for_events() {
  polled_.clear();
  polled_.push_back({.fd = parent_.get(), .events = POLLIN, .revents = 0});
  polled_.push_back({.fd = control_.get(), .events = POLLIN, .revents = 0});
  polled_.push_back({.fd = child_signals_.get(), .events = POLLIN, .revents = 0});
  for (const Connection& connection : connections_) {
    const short events = connection.outgoing.empty() ? POLLIN : POLLIN | POLLOUT;
    polled_.push_back({.fd = connection.socket.get(), .events = events, .revents = 0});
  }
  while (::poll(polled_.data(), polled_.size(), -1) < 0) {
    if (errno != EINTR && errno != EAGAIN && errno != ENOMEM) return false;
  }
  return true;
}

void Server::handle_control() {
  ControlRecord record;
  const ReceiveState state = receive_control(control_.get(), record);
  if (state == ReceiveState::closed) serving_ = false;
  if (state != ReceiveState::received || record.fds.size() != 1) return;
  if (record.message.type == ControlType::connect) {
    connections_.push_back({.socket = std::move(record.fds[0]), .outgoing = {}, .adopted = {}});
  } else if (record.message.type == ControlType::stand_by) {
    become_reserve(std::move(record.fds[0]));
  }
}

// The child serves in this process's stead, knowing nothing of its workers.
void Server::become_reserve(UniqueFd control) {
  if (::fork() != 0) return;
  ::setpgid(0, 0);
  control_ = std::move(control);
  connections_.clear();
  workers_.clear();
  polled_.clear();
}

void Server::handle_connection(Connection& connection) {
  for (;;) {
    ControlRecord record;
    switch (receive_control(connection.socket.get(), record)) {
      case ReceiveState::nothing_yet: return;
      case ReceiveState::closed: return close(connection);
      case ReceiveState::received: handle(connection, record);
    }
  }
}

void Server::handle(Connection& connection, ControlRecord& record) {
  if (record.message.type == ControlType::spawn) {
    spawn(connection, record);
  } else if (record.message.type == ControlType::adopt && !record.fds.empty()) {
    connection.adopted.push_back({.pid = record.message.pid,
                                  .pidfd = std::move(record.fds[0]),
                                  .cgroup = record.fds.size() > 1 ? std::move(record.fds[1]) : UniqueFd()});
  }
}

void Server::spawn(Connection& connection, ControlRecord& record) {
  ControlRecord reply;
  reply.message.worker_id = record.message.worker_id;
  reply.message.type = ControlType::spawn_failed;
  if (record.fds.size() < 4) {
    reply.message.error = EMFILE;
    return send(connection, std::move(reply));
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setpgid(0, 0);
    const int cgroup_error = record.fds.size() > 4 ? enter_cgroup(record.fds[4].get()) : 0;
    const int channel = record.fds[0].get();
    const int page = record.fds[1].get();
    ::dup2(record.fds[2].get(), STDOUT_FILENO);
    ::dup2(record.fds[3].get(), STDERR_FILENO);
    close_all_but({std::min(channel, page), std::max(channel, page)});
    default_signals();
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::prctl(PR_SET_NAME, record.message.name.data());
    worker_main(std::move(record.fds[0]), std::move(record.fds[1]), record.message.settings, cgroup_error);
  }
  if (pid < 0) {
    reply.message.error = errno;
    return send(connection, std::move(reply));
  }
  ::setpgid(pid, pid);  // here too, so that the group exists whoever of the two comes first
  UniqueFd pidfd(open_pidfd(pid));
  if (!pidfd) {
    reply.message.error = errno;
    ::kill(pid, SIGKILL);
    workers_.emplace(pid, WorkerEntry{.connection = nullptr, .worker_id = 0, .cgroup = {}});
    return send(connection, std::move(reply));
  }
  workers_.emplace(pid, WorkerEntry{.connection = &connection,
                                    .worker_id = record.message.worker_id,
                                    .cgroup = record.fds.size() > 4 ? std::move(record.fds[4]) : UniqueFd()});
  reply.message.type = ControlType::spawned;
  reply.message.pid = pid;
  reply.fds.push_back(std::move(pidfd));
  send(connection, std::move(reply));
}

void Server::reap() {
  signalfd_siginfo info{};
  while (::read(child_signals_.get(), &info, sizeof info) > 0) {
  }
  for (;;) {
    siginfo_t child{};
    if (::waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) != 0 || child.si_pid == 0) return;
    // Still a zombie, so its number is not reused: what it left in its group goes with it.
    const auto entry = workers_.find(child.si_pid);
    if (entry != workers_.end()) entry->second.kill_all(child.si_pid);
    int status = 0;
    rusage used{};
    ::wait4(child.si_pid, &status, 0, &used);
    if (entry == workers_.end()) continue;  // a reserve server
    const WorkerEntry worker = std::move(entry->second);
    workers_.erase(entry);
    if (worker.connection == nullptr) continue;
    ControlRecord report;
    report.message = {.type = ControlType::exited,
                      .wait_status = status,
                      .pid = child.si_pid,
                      .worker_id = worker.worker_id,
                      .use = use_of(used)};
    send(*worker.connection, std::move(report));
  }
}

void Server::send(Connection& connection, ControlRecord record) {
  connection.outgoing.push_back(std::move(record));
  flush(connection);
}

// A parent's loop that does not read must not hold up the others: what it does not take waits here.
void Server::flush(Connection& connection) {
  while (!connection.outgoing.empty()) {
    const int error = send_control(connection.socket.get(), connection.outgoing.front());
    if (error == EAGAIN) return;
    if (error != 0) return connection.outgoing.clear();  // gone: its end is read soon
    connection.outgoing.pop_front();
  }
}

void Server::close(Connection& connection) {
  for (auto& [pid, worker] : workers_) {
    if (worker.connection != &connection) continue;
    worker.connection = nullptr;
    worker.kill_all(pid);
  }
  for (const AdoptedWorker& worker : connection.adopted) kill_group(worker);
  connections_.remove_if([&](const Connection& other) { return &other == &connection; });
}

void Server::kill_everything() {
  while (!connections_.empty()) close(connections_.front());
  for (const auto& [pid, worker] : workers_) worker.kill_all(pid);
}

}  // namespace

void fork_server_main(UniqueFd control, pid_t parent) noexcept {
  ::setpgid(0, 0);  // what kills the program's whole group must leave somebody who kills the workers
  open_standard_streams();
  UniqueFd parent_pidfd(open_pidfd(parent));
  if (!parent_pidfd || ::getppid() != parent) ::_exit(0);  // it died before we could watch it
  close_all_but({std::min(control.get(), parent_pidfd.get()), std::max(control.get(), parent_pidfd.get())});
  Server(std::move(control), std::move(parent_pidfd)).serve();
  ::_exit(0);
}

}  // namespace leasepool::detail
