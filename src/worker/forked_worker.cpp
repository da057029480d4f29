// What the fork server says of a worker, and how it ends one.
#include "worker/forked_worker.hpp"

#include <csignal>

namespace leasepool::detail {

namespace {

ResourceUse use_of(const rusage& used) noexcept {
  const auto microseconds = [](const timeval& time) { return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_usec; };
  return {.user_microseconds = microseconds(used.ru_utime),
          .system_microseconds = microseconds(used.ru_stime),
          .max_resident_kibibytes = used.ru_maxrss};
}

}  // namespace

void ForkedWorker::ended(int wait_status, const rusage& used) noexcept {
  is_ended = true;
  end = {
      .type = ControlType::exited, .wait_status = wait_status, .pid = pid, .worker_id = worker_id, .use = use_of(used)};
}

int ForkedWorker::tell(int socket) noexcept {
  if (pid != 0 && !is_answered) {
    const ControlMessage spawned{.type = ControlType::spawned, .pid = pid, .worker_id = worker_id};
    const int error = send_control(socket, spawned, {&pidfd, 1});
    if (error == 0) is_answered = true;
    if (error == 0) pidfd.reset();
    return error;
  }
  const int error = send_control(socket, end);
  if (error == 0) is_answered = end_is_told = true;
  return error;
}

// As long as it has not been reaped, its number is its own and its group's.
void ForkedWorker::kill_all() const noexcept {
  if (pid == 0 || is_ended) return;
  kill_cgroup(cgroup.get());
  if (is_adopted && is_dead(pidfd.get())) return;
  if (::kill(-pid, SIGKILL) != 0) ::kill(pid, SIGKILL);
}

}  // namespace leasepool::detail
