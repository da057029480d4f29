// Requests in, news out.
#include "worker/fork_server_connection.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <new>
#include <utility>

#include "shared/pidfd.hpp"
#include "worker/fork_setup.hpp"

namespace leasepool::detail {

int send_in_time(int socket, const ControlMessage& message, int most_tries) noexcept {
  for (int tries = 1;; ++tries) {
    const int error = send_control(socket, message);
    if (error == 0 || is_gone(error) || tries >= most_tries) return error;
    rest();
  }
}

bool WorkerMaker::refill_reserve() noexcept {
  try {
    if (spare.empty()) spare.emplace_back();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void ServerConnection::open(ControlRecord& record, int root) noexcept {
  socket_ = std::move(record.fds[0]);
  process_ = std::move(record.fds[1]);
  identity_ = record.message.identity;
  if (!is_same_directory(root, record.fds[2].get())) root_ = std::move(record.fds[2]);
}

bool ServerConnection::handle_requests(WorkerMaker& maker) noexcept {
  for (;;) {
    if (!maker.refill_reserve()) return refuse_for_want_of_memory(maker);
    ControlRecord record;
    switch (receive_control(socket_.get(), record)) {
      case ReceiveState::nothing_yet: return true;
      case ReceiveState::try_later: return rest(), true;
      case ReceiveState::closed: return false;
      case ReceiveState::received: handle(maker, record);
    }
    if (!flush()) return false;
  }
}

// A request for a worker is answered at once, if there is room for the answer; all else waits.
bool ServerConnection::refuse_for_want_of_memory(WorkerMaker& maker) noexcept {
  ControlType type{};
  const ReceiveState state = peek_control(socket_.get(), type);
  if (state == ReceiveState::closed) return false;
  if (state != ReceiveState::received) return true;
  pollfd room{.fd = socket_.get(), .events = POLLOUT, .revents = 0};
  const timespec at_once{};
  const bool has_room = news_.empty() && ::ppoll(&room, 1, &at_once, nullptr) == 1;
  if (type == ControlType::adopt || (type == ControlType::spawn && !has_room)) return rest(), true;
  ControlRecord record;
  if (receive_control(socket_.get(), record) != ReceiveState::received) return true;
  if (type != ControlType::spawn) return handle(maker, record), true;
  ControlMessage refusal{.type = ControlType::spawn_failed, .error = ENOMEM, .worker_id = record.message.worker_id};
  refusal.set_name("malloc");
  constexpr int kMaxTries = 10;
  return !is_gone(send_in_time(socket_.get(), refusal, kMaxTries));
}

void ServerConnection::handle(WorkerMaker& maker, ControlRecord& record) noexcept {
  switch (record.message.type) {
    case ControlType::spawn: return spawn(maker, record);
    case ControlType::adopt: return adopt(maker, record);
    case ControlType::kill:
      for (ForkedWorkers* const list : {&workers_, &news_}) {
        const auto worker = std::ranges::find(*list, record.message.worker_id, &ForkedWorker::worker_id);
        if (worker != list->end()) worker->kill_all();
      }
      return;
    default: return;  // never sent by a program
  }
}

void ServerConnection::spawn(WorkerMaker& maker, ControlRecord& record) noexcept {
  ForkedWorker& worker = maker.spare.front();
  worker.worker_id = record.message.worker_id;
  news_.splice(news_.end(), maker.spare);
  if (record.fds.size() < 4) return worker.failed("recvmsg", EMFILE);
  const pid_t pid = ::fork();
  if (pid == 0) {
    set_up_worker(record,
                  {.identity = identity_, .own = maker.own_identity, .connection = socket_.get(), .root = root_.get()},
                  maker.open_files);
  }
  if (pid < 0) return worker.failed("fork", errno);
  ::setpgid(pid, pid);  // here too, so that the group exists whoever of the two comes first
  worker.pidfd = open_pidfd(pid);
  if (!worker.pidfd) {
    worker.failed("pidfd_open", errno);
    ::kill(pid, SIGKILL);
    return;
  }
  worker.pid = pid;
  if (record.fds.size() > 4) worker.cgroup = std::move(record.fds[4]);
}

void ServerConnection::adopt(WorkerMaker& maker, ControlRecord& record) noexcept {
  if (record.fds.size() < 1 || record.message.pid <= 1) return;  // which kill() takes for more than one process
  ForkedWorker& worker = maker.spare.front();
  worker.worker_id = record.message.worker_id;
  worker.pid = record.message.pid;
  worker.pidfd = std::move(record.fds[0]);
  if (record.fds.size() > 1) worker.cgroup = std::move(record.fds[1]);
  worker.is_adopted = worker.is_answered = true;
  workers_.splice(workers_.end(), maker.spare);
}

ServerConnection::Place ServerConnection::find(pid_t child) noexcept {
  for (ForkedWorkers* const list : {&workers_, &news_}) {
    const auto worker =
        std::ranges::find_if(*list, [child](const ForkedWorker& some) { return some.is_ours() && some.pid == child; });
    if (worker != list->end()) return {.list = list, .worker = worker};
  }
  return {};
}

void ServerConnection::child_ended(pid_t pid, int wait_status, const rusage& used) noexcept {
  const Place place = find(pid);
  place.worker->ended(wait_status, used);
  if (place.list == &workers_) news_.splice(news_.end(), workers_, place.worker);
  (void)flush();
}

// A program's loop that does not read must not hold up the others: what it does not take waits. False when nobody is
// there to take it.
bool ServerConnection::flush() noexcept {
  while (!news_.empty()) {
    ForkedWorker& worker = news_.front();
    const int error = worker.tell(socket_.get());
    if (is_gone(error)) return false;
    if (error == EAGAIN) return true;
    if (error != 0) return rest(), true;
    if (worker.has_news()) continue;
    if (worker.is_over()) {
      news_.pop_front();
    } else {
      workers_.splice(workers_.end(), news_, news_.begin());
    }
  }
  return true;
}

void ServerConnection::end(ForkedWorkers& orphans) noexcept {
  for (ForkedWorkers* const list : {&workers_, &news_}) {
    for (const ForkedWorker& worker : *list) worker.kill_all();
    list->remove_if([](const ForkedWorker& worker) { return !worker.is_ours(); });
    orphans.splice(orphans.end(), *list);
  }
}

}  // namespace leasepool::detail
