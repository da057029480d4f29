// Streams, descriptors, signals and identity of a worker.
#include "worker/fork_setup.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "shared/worker_cgroup.hpp"
#include "worker/close_descriptors.hpp"
#include "worker/process_title.hpp"
#include "worker/worker_main.hpp"
#include "worker/worker_setup.hpp"

namespace leasepool::detail {

namespace {

// The rest is as the fork server prepared it for its workers.
void unblock_signals() noexcept {
  std::signal(SIGCHLD, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::optional<Error> set_up(ControlRecord& record, const WantedIdentity& identity) {
  const int cgroup_error = record.fds.size() > 4 ? enter_cgroup(record.fds[4].get()) : 0;
  int streams_error = replace_descriptor(record.fds[2].get(), STDOUT_FILENO);
  if (streams_error == 0) streams_error = replace_descriptor(record.fds[3].get(), STDERR_FILENO);
  const int close_error = close_all_but({record.fds[0].get(), record.fds[1].get(), identity.connection, identity.root});
  unblock_signals();
  ::prctl(PR_SET_NAME, record.message.name.data());
  if (cgroup_error != 0) return set_up_error("enter its cgroup", cgroup_error);
  if (streams_error != 0) return set_up_error("set up its standard streams (dup2)", streams_error);
  if (close_error != 0) {
    return set_up_error("close the descriptors of the program (close_range and /proc/self/fd)", close_error);
  }
  return take_on(identity);
}

}  // namespace

void set_up_worker(ControlRecord& record, const WantedIdentity& identity, rlim_t open_files) noexcept {
  ::setpgid(0, 0);  // the server does it, too: whoever comes first
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = open_files;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  std::optional<Error> failed;
  try {
    failed = set_up(record, identity);
  } catch (const std::bad_alloc&) {
    failed = Error::make(Errc::pool_broken, [] { return std::string("had no memory for its set-up"); });
  }
  ::close(identity.connection);
  if (identity.root >= 0) ::close(identity.root);
  WorkerTitle title;
  title.set(record.message.name.data(), record.message.worker_id);
  worker_main(std::move(record.fds[0]), std::move(record.fds[1]), record.message.settings, title, std::move(failed));
}

}  // namespace leasepool::detail
