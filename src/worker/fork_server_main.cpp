// The fork server: one thread, one ppoll(). It forks workers on request, reaps them, reports how each ended, and kills
// those of a program that is gone. It runs nothing of the program's own. A second one, its child, waits in reserve.
#include "worker/fork_server_main.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <list>
#include <new>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "leasepool/detail/nesting.hpp"
#include "shared/control_socket.hpp"
#include "shared/identity.hpp"
#include "shared/pidfd.hpp"
#include "worker/close_descriptors.hpp"
#include "worker/fork_server_connection.hpp"
#include "worker/forked_worker.hpp"
#include "worker/process_title.hpp"
#include "worker/worker_main.hpp"
#include "worker/worker_setup.hpp"

namespace leasepool::detail {

namespace {

// Between two reserves, should each be killed at once.
constexpr Duration kReservePause = std::chrono::milliseconds(100);

class Server {
 public:
  explicit Server(UniqueFd control) : control_(std::move(control)) {}

  // Gets ready, says so or why not, and serves until nobody needs it.
  void run();

 private:
  bool say(const ControlMessage& word) noexcept;
  const char* start();
  bool prepare_process();
  void serve();
  bool refill_reserve() noexcept;
  void make_reserve();
  void stand_by(pid_t server);
  void wait_for_events();
  void poll_for(const UniqueFd& fd, short events);
  bool serve_connection(ServerConnection& connection, short socket_events, short process_events);
  void handle_control();
  void reap();
  void close(std::list<ServerConnection>::iterator connection);

  UniqueFd control_;
  UniqueFd self_;  // a pidfd of this process, which its reserve watches; none where the system refuses it
  UniqueFd root_;
  sigset_t while_waiting_{};  // blocked
  WorkerMaker maker_;
  bool hung_up_ = false;       // nobody holds the program's end of the control socket
  bool in_want_ = false;       // of memory
  bool reaps_again_ = false;   // as it was refused
  bool is_successor_ = false;  // it has waited in reserve
  pid_t reserve_ = 0;
  TimePoint reserve_due_{};
  std::list<ServerConnection> connections_;
  ForkedWorkers orphans_;  // whose connection is closed, until they are reaped
  std::vector<pollfd> polled_;
  // Made ahead, so that nothing is begun that cannot be ended for want of memory.
  std::list<ServerConnection> spare_connection_;
};

void Server::run() {
  const char* const failed = start();
  if (!is_successor_) {
    ControlMessage word{.type = ControlType::started, .error = failed == nullptr ? 0 : errno};
    if (failed != nullptr) word.set_name(failed);
    if (!say(word)) return;
  }
  if (failed == nullptr) serve();
}

// The program waits for the first word. Where it cannot be said, the end of both servers tells as much.
bool Server::say(const ControlMessage& word) noexcept {
  constexpr int kMaxTries = 100;
  if (send_in_time(control_.get(), word, kMaxTries) == 0) return true;
  if (reserve_ > 0) ::kill(reserve_, SIGKILL);
  return false;
}

// The name of the call that failed, null if none did; errno says why.
const char* Server::start() {
  // What kills the program's whole group must leave somebody who kills the workers.
  if (::setpgid(0, 0) != 0) return "setpgid";
  errno = open_standard_streams();
  if (errno != 0) return "open(/dev/null)";
  errno = close_all_but({control_.get()});
  if (errno != 0) return "close_range";
  prepare_process_title();
  maker_.own_identity = own_identity();
  root_ = open_root();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    maker_.open_files = std::exchange(limit.rlim_cur, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (const char* const failed = prepare_for_workers()) return failed;
  prepare_worker_main();
  if (!prepare_process()) return "sigaction";
  (void)room_for_nesting();  // looked up here for all workers, who may have a sandbox that forbids it
  const timespec at_once{};
  if (::ppoll(nullptr, 0, &at_once, nullptr) != 0) return "ppoll";
  if (!refill_reserve()) {
    errno = ENOMEM;
    return "malloc";
  }
  // The process between the program and this one may count among the user's for a moment longer.
  for (int tries = 0; reserve_ == 0; ++tries) {
    reserve_due_ = {};
    errno = 0;
    make_reserve();
    if (is_successor_ || reserve_ != 0) return nullptr;
    if (errno != EAGAIN || tries == 20) return "fork";
    rest();
  }
  return nullptr;
}

// False where it cannot hear of the end of its children.
bool Server::prepare_process() {
  ::prctl(PR_SET_NAME, "lp-forkserver");
  set_process_title("fork server");
  // What workers leave behind comes to it, and not to a program that is the init process of its container. Where that
  // cannot be, it goes to the system's.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  struct sigaction interrupts{};
  interrupts.sa_handler = [](int /*signal*/) {};
  if (::sigaction(SIGCHLD, &interrupts, nullptr) != 0) return false;
  // Its life hangs on the program's alone: a Ctrl-C, or a SIGTERM to the whole service, is for that to handle. So these
  // are blocked, and not ignored, which its workers would inherit.
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int crash : {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS}) sigdelset(&blocked, crash);
  while_waiting_ = blocked;
  sigdelset(&while_waiting_, SIGCHLD);
  return ::sigprocmask(SIG_SETMASK, &blocked, nullptr) == 0;
}

bool Server::refill_reserve() noexcept {
  try {
    if (!maker_.refill_reserve()) throw std::bad_alloc();
    polled_.reserve(1 + 2 * (connections_.size() + 1));
    if (spare_connection_.empty()) spare_connection_.emplace_back();  // last: with it there is all for one more
    in_want_ = false;
  } catch (const std::bad_alloc&) {
    in_want_ = true;
  }
  return !in_want_;
}

void Server::serve() {
  while (!hung_up_ || !connections_.empty()) {
    make_reserve();
    (void)refill_reserve();
    wait_for_events();
    reap();
    std::size_t at = 1;
    for (auto next = connections_.begin(); next != connections_.end() && at < polled_.size(); at += 2) {
      const auto connection = next++;
      if (!serve_connection(*connection, polled_[at].revents, polled_[at + 1].revents)) close(connection);
    }
    if (polled_[0].revents != 0) handle_control();
  }
  for (const ForkedWorker& worker : orphans_) worker.kill_all();
}

void Server::poll_for(const UniqueFd& fd, short events) {
  polled_.push_back({.fd = fd.get(), .events = events, .revents = 0});
}

// What has come is in polled_: the control socket, and two of each connection. Where the system refuses to say which,
// all sockets are read and written after a pause, which does not wait.
void Server::wait_for_events() {
  polled_.clear();
  poll_for(control_, POLLIN);
  if (hung_up_ || spare_connection_.empty()) polled_[0].fd = -1;
  for (const ServerConnection& connection : connections_) {
    poll_for(connection.socket(), connection.has_news() ? POLLIN | POLLOUT : POLLIN);
    poll_for(connection.process(), POLLIN);
  }
  Duration most = Duration::max();
  if (in_want_ || reaps_again_) most = kServerPause;
  if (reserve_ == 0 && !hung_up_) most = std::min(most, std::max(Duration{}, reserve_due_ - monotonic_now()));
  const timespec timeout = most == Duration::max() ? timespec{} : as_timespec(most);
  const timespec* const until = most == Duration::max() ? nullptr : &timeout;
  if (::ppoll(polled_.data(), polled_.size(), until, &while_waiting_) >= 0) return;
  const bool interrupted = errno == EINTR;
  if (!interrupted) rest();
  for (std::size_t at = 0; at < polled_.size(); ++at) {
    const bool is_socket = (at == 0 || at % 2 == 1) && polled_[at].fd >= 0;
    polled_[at].revents = is_socket && !interrupted ? polled_[at].events : short{0};
  }
}

// A child that waits until this process is dead, and then serves in its stead, knowing nothing of its workers.
void Server::make_reserve() {
  if (reserve_ != 0 || hung_up_ || monotonic_now() < reserve_due_) return;
  reserve_due_ = monotonic_now() + kReservePause;
  if (!self_) self_ = open_pidfd(::getpid());
  const pid_t server = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) return stand_by(server);
  if (pid < 0) {
    reserve_due_ = monotonic_now() + kServerPause;
    return;
  }
  ::setpgid(pid, pid);  // here too, so that it is done when init() returns
  reserve_ = pid;
}

void Server::stand_by(pid_t server) {
  ::setpgid(0, 0);
  set_process_title("fork server in reserve");
  connections_.clear();
  orphans_.clear();
  pollfd waited_for[] = {{.fd = self_.get(), .events = POLLIN, .revents = 0},
                         {.fd = control_.get(), .events = 0, .revents = 0}};
  const timespec pause = as_timespec(kReservePause);
  do {
    if (::ppoll(waited_for, 2, self_ ? nullptr : &pause, nullptr) < 0 && errno != EINTR) rest();
    if ((waited_for[1].revents & (POLLHUP | POLLERR)) != 0) ::_exit(0);  // nobody needs a server any more
  } while (waited_for[0].revents == 0 && ::getppid() == server);
  self_.reset();
  reserve_due_ = {};
  is_successor_ = true;
  (void)prepare_process();  // a subreaper's children are none themselves
}

void Server::handle_control() {
  ControlRecord record;
  const ReceiveState state = receive_control(control_.get(), record);
  if (state == ReceiveState::closed) hung_up_ = true;
  if (state == ReceiveState::try_later) rest();
  if (state != ReceiveState::received || record.message.type != ControlType::connect || record.fds.size() < 3) return;
  ServerConnection& made = spare_connection_.front();
  made.open(record, root_.get());
  connections_.splice(connections_.end(), spare_connection_);
}

// False when it is to be closed.
bool Server::serve_connection(ServerConnection& connection, short socket_events, short process_events) {
  if (process_events != 0) return false;  // who holds its other end now did not make it
  if ((socket_events & POLLOUT) != 0 && !connection.flush()) return false;
  return (socket_events & ~POLLOUT) == 0 || connection.handle_requests(maker_);
}

void Server::reap() {
  for (;;) {
    siginfo_t end{};
    const bool refused = ::waitid(P_ALL, 0, &end, WEXITED | WNOHANG | WNOWAIT) != 0;
    reaps_again_ = refused && errno != ECHILD;
    if (refused || end.si_pid == 0) return;
    const pid_t pid = end.si_pid;
    if (pid == reserve_) reserve_ = 0;
    const auto connection = std::ranges::find_if(connections_, [&](auto& some) { return some.has_child(pid); });
    const auto orphan = std::ranges::find(orphans_, pid, &ForkedWorker::pid);
    // Still a zombie, so its number is not used again: what it left in its group goes with it.
    if (connection != connections_.end()) connection->kill_rest_of(pid);
    if (orphan != orphans_.end()) orphan->kill_all();
    rusage used{};  // which the C library's waitid() does not give
    if (::syscall(SYS_waitid, P_PID, pid, &end, WEXITED | WNOHANG, &used) != 0) {
      reaps_again_ = true;
      return;
    }
    if (connection != connections_.end()) connection->child_ended(pid, wait_status_of(end), used);
    if (orphan != orphans_.end()) orphans_.erase(orphan);
  }
}

void Server::close(std::list<ServerConnection>::iterator connection) {
  connection->end(orphans_);
  connections_.erase(connection);
}

}  // namespace

void fork_server_main(UniqueFd control) noexcept {
  Server(std::move(control)).run();
  ::_exit(0);
}

}  // namespace leasepool::detail
