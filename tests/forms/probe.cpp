// Whether this process is in a form of the machine: exits with 0 if it is. So no form is one by name alone.
// usage: probe FORM
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace {

constexpr unsigned kEntries = 64;

// A ring of as many entries as were asked for.
bool has_ring(unsigned flags) {
  io_uring ring{};
  io_uring_params params{};
  params.flags = flags | IORING_SETUP_CQSIZE;
  params.cq_entries = kEntries;
  if (io_uring_queue_init_params(kEntries, &ring, &params) != 0) return false;
  io_uring_queue_exit(&ring);
  return params.sq_entries == kEntries && params.cq_entries == kEntries;
}

bool has_defer_taskrun() { return has_ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN); }
bool has_coop_taskrun() { return has_ring(IORING_SETUP_COOP_TASKRUN); }
bool has_submit_all() { return has_ring(IORING_SETUP_SUBMIT_ALL); }

// Whether the first completion of an operation has others behind it. It completes at once.
template <class Prepare>
bool goes_on(Prepare prepare) {
  io_uring ring{};
  if (io_uring_queue_init(kEntries, &ring, 0) != 0) return false;
  prepare(io_uring_get_sqe(&ring));
  io_uring_cqe* completion = nullptr;
  const bool came = io_uring_submit_and_wait(&ring, 1) == 1 && io_uring_peek_cqe(&ring, &completion) == 0;
  const bool more = came && (completion->flags & IORING_CQE_F_MORE) != 0;
  io_uring_queue_exit(&ring);
  return more;
}

bool has_multishot_poll() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  return goes_on([&](io_uring_sqe* sqe) { io_uring_prep_poll_multishot(sqe, ends[1], POLLOUT); });
}

bool has_multishot_accept() {
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int peer = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  constexpr sockaddr family{.sa_family = AF_UNIX, .sa_data = {}};  // an address of the kernel's choice
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::bind(listener, &family, sizeof family.sa_family) != 0 || ::listen(listener, 1) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      ::connect(peer, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return false;
  }
  return goes_on([&](io_uring_sqe* sqe) { io_uring_prep_multishot_accept(sqe, listener, nullptr, nullptr, 0); });
}

bool has_one_processor() {
  cpu_set_t processors;
  return ::sched_getaffinity(0, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) == 1;
}

bool has_few_descriptors() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 64 && limit.rlim_max == 64;
}

bool has_no_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) return false;
  }
  return true;
}

bool is_unprivileged() { return ::getuid() != 0 && ::geteuid() != 0 && ::setuid(0) != 0; }

bool ignores_sigchld() {
  struct sigaction now{};
  return ::sigaction(SIGCHLD, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

bool is_first_process() { return ::getpid() == 1; }

bool is_on_epoll() {
  const char* const engine = std::getenv("LEASEPOOL_ENGINE");
  return engine != nullptr && std::string_view(engine) == "epoll";
}

struct Form {
  std::string_view name;
  bool (*is_in)();
};

constexpr Form kForms[] = {
    {"no-defer-taskrun", [] { return !has_defer_taskrun() && has_coop_taskrun() && has_submit_all(); }},
    {"no-coop-taskrun", [] { return !has_defer_taskrun() && !has_coop_taskrun() && has_submit_all(); }},
    {"no-submit-all", [] { return !has_submit_all() && has_defer_taskrun(); }},
    {"no-multishot", [] { return !has_multishot_poll() && !has_multishot_accept() && has_defer_taskrun(); }},
    {"ring-of-8", [] { return !has_ring(0) && has_multishot_poll(); }},
    {"linux-5.15",
     [] { return !has_defer_taskrun() && !has_coop_taskrun() && !has_submit_all() && !has_multishot_accept(); }},
    {"epoll", is_on_epoll},
    {"one-processor", has_one_processor},
    {"few-descriptors", has_few_descriptors},
    {"unprivileged", is_unprivileged},
    {"closed-descriptors", has_no_standard_descriptors},
    {"sigchld-ignored", ignores_sigchld},
    {"first-process", is_first_process},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  for (const Form& form : kForms) {
    if (form.name == argv[1]) return form.is_in() ? 0 : 1;
  }
  return 2;
}
