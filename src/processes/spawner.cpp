// The conversation with the fork server.
#include "processes/spawner.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "processes/fork_server.hpp"

namespace leasepool::detail {

namespace {

// What the system refused is tried again after this time, so often.
constexpr Duration kPause = std::chrono::milliseconds(10);
constexpr std::size_t kMaxTries = 10;

std::string reason_of(const ControlMessage& refusal) {
  const std::string_view call = refusal.name.data();
  std::string_view remedy;
  if (call == "fork" && refusal.error == EAGAIN) remedy = " (raise ulimit -u)";
  if (refusal.error == EMFILE) remedy = " (raise ulimit -n)";
  return "the fork server could not fork: " + (call == "fork" ? "" : std::string(call) + ": ") +
         std::strerror(refusal.error) + std::string(remedy);
}

// In a few letters where there is no memory for more.
template <std::invocable MakeText>
std::string text_of(const MakeText& make_text) noexcept {
  try {
    return make_text();
  } catch (const std::bad_alloc&) {
    return "no memory";
  }
}

}  // namespace

Spawner::~Spawner() { check(link_ == nullptr, "a spawner is detached before it is destroyed"); }

void Spawner::open() { open(ForkServer::instance().connect()); }

void Spawner::open(UniqueFd connection) {
  check(link_ == nullptr, "a spawner has one connection at a time");
  next_send_.keep();
  next_receive_.keep();
  auto link = std::make_shared<Link>();
  link->socket = std::move(connection);
  link->spawner = this;
  link_ = std::move(link);
  waiting_ = false;
  tries_ = 0;
  try {
    listen();
    flush();
  } catch (const std::bad_alloc&) {
    unlink();
    throw;
  }
}

void Spawner::unlink() noexcept {
  if (!link_) return;
  link_->spawner = nullptr;
  if (::shutdown(link_->socket.get(), SHUT_RDWR) != 0) {  // which ends the polls in flight; where it is refused:
    loop_.engine().cancel(link_->listen);
    loop_.engine().cancel(link_->wait);
  }
  link_.reset();
  next_send_.unset();
  next_receive_.unset();
}

void Spawner::spawn(SpawnRequest request) {
  to_kill_.reserve(living_ + 1);
  const auto unanswered = unanswered_.insert(request.worker_id).first;
  ControlRecord record{
      .message = {.type = ControlType::spawn, .worker_id = request.worker_id, .settings = request.settings}, .fds = {}};
  record.message.set_name(request.name);
  record.fds.push_back(std::move(request.channel));
  record.fds.push_back(std::move(request.status_page));
  record.fds.push_back(std::move(request.standard_output));
  record.fds.push_back(std::move(request.standard_error));
  if (request.cgroup) record.fds.push_back(std::move(request.cgroup));
  try {
    send(std::move(record));
  } catch (...) {
    unanswered_.erase(unanswered);
    throw;
  }
  ++living_;
}

void Spawner::adopt(std::uint64_t worker_id, pid_t pid, int pidfd, UniqueFd cgroup) {
  to_kill_.reserve(living_ + 1);
  ControlRecord record{.message = {.type = ControlType::adopt, .pid = pid, .worker_id = worker_id}, .fds = {}};
  record.fds.push_back(duplicate_above_standard_streams(pidfd));
  if (!record.fds[0]) return;
  if (cgroup) record.fds.push_back(std::move(cgroup));
  send(std::move(record));
  ++living_;
}

void Spawner::kill(std::uint64_t worker_id) noexcept {
  if (!link_ || to_kill_.size() == to_kill_.capacity()) return;
  if (std::ranges::find(to_kill_, worker_id) != to_kill_.end()) return;
  to_kill_.push_back(worker_id);
  if (!waiting_) flush();
}

void Spawner::detach() noexcept {
  owner_ = nullptr;
  outgoing_.clear();
  to_kill_.clear();
  unlink();
  next_send_.disarm();
  next_receive_.disarm();
}

void Spawner::send(ControlRecord record) {
  outgoing_.push_back(std::move(record));
  if (link_ && !waiting_) flush();  // without a connection, as soon as there is another
}

void Spawner::flush() noexcept {
  check(link_ != nullptr, "what is sent to the fork server goes over a connection");
  while (!outgoing_.empty() || !to_kill_.empty()) {
    const bool is_kill = outgoing_.empty();
    const int error = is_kill
                          ? send_control(link_->socket.get(), {.type = ControlType::kill, .worker_id = to_kill_.back()})
                          : send_control(link_->socket.get(), outgoing_.front().message, outgoing_.front().fds.all());
    if (error == EAGAIN) return wait_for_room();
    if (is_gone(error)) return;  // the poll tells
    if (error != 0) return try_again_later(error);
    tries_ = 0;
    is_kill ? to_kill_.pop_back() : outgoing_.pop_front();
  }
}

void Spawner::wait_for_room() noexcept {
  check(!std::exchange(waiting_, true), "a spawner waits for one thing at a time");
  try {
    link_->wait = loop_.engine().poll(link_->socket.get(), POLLOUT, [link = link_](Completion) {
      if (link->spawner == nullptr) return;
      const auto self = link->spawner->shared_from_this();
      self->waiting_ = false;
      self->flush();
    });
  } catch (const std::bad_alloc&) {
    try_again_later(ENOMEM);
  }
}

// Of want of memory, and of a user's limit of descriptors that are on their way, others may be the cause.
void Spawner::try_again_later(int error) noexcept {
  waiting_ = true;
  next_send_.set(deadline_after(loop_.now(), kPause), [this, error] {
    const auto self = shared_from_this();
    next_send_.came();
    waiting_ = false;
    if (++tries_ >= kMaxTries) refuse_first(error);
    if (link_) flush();
  });
}

// What only is to be killed, or was there before, is tried for ever.
void Spawner::refuse_first(int error) {
  if (outgoing_.empty() || outgoing_.front().message.type != ControlType::spawn) return;
  const std::uint64_t worker_id = outgoing_.front().message.worker_id;
  outgoing_.pop_front();
  unanswered_.erase(worker_id);
  tries_ = 0;
  check(living_ > 0, "workers that were asked for are counted");
  --living_;
  owner_->worker_not_spawned(
      worker_id, text_of([&] {
        return "the fork server could not be asked: sendmsg: " + std::string(std::strerror(error)) +
               (error == ETOOMANYREFS ? " (raise ulimit -n)" : "");
      }));
}

void Spawner::listen() {
  link_->listen = loop_.engine().poll(link_->socket.get(), POLLIN, [link = link_](Completion) {
    if (link->spawner == nullptr) return;
    const auto self = link->spawner->shared_from_this();
    self->readable();
  });
}

void Spawner::readable() {
  while (link_ != nullptr) {
    ControlRecord record;
    switch (receive_control(link_->socket.get(), record)) {
      case ReceiveState::nothing_yet: try { return listen();
        } catch (const std::bad_alloc&) {
          return read_later();
        }
      case ReceiveState::closed: return lost();
      case ReceiveState::received: handle(record); break;
      case ReceiveState::try_later: return read_later();
    }
  }
}

void Spawner::read_later() noexcept {
  next_receive_.set(deadline_after(loop_.now(), kPause), [this] {
    const auto self = shared_from_this();
    next_receive_.came();
    readable();
  });
}

// None where no descriptor is left. A program may have closed its standard streams: it must not become one of them.
UniqueFd Spawner::pidfd_of(ControlRecord& record) noexcept {
  if (record.fds.size() != 1) return {};
  if (record.fds[0].get() > STDERR_FILENO) return std::move(record.fds[0]);
  return duplicate_above_standard_streams(record.fds[0].get());
}

void Spawner::handle(ControlRecord& record) {
  const ControlMessage& message = record.message;
  switch (message.type) {
    case ControlType::spawned:
      unanswered_.erase(message.worker_id);
      if (UniqueFd pidfd = pidfd_of(record)) {
        owner_->worker_spawned(message.worker_id, {.pid = message.pid, .pidfd = std::move(pidfd)});
      } else {  // it exits by itself when its channel is closed
        owner_->worker_not_spawned(message.worker_id, "no descriptor is left for its pidfd (raise ulimit -n)");
      }
      return;
    case ControlType::spawn_failed:
      if (living_ > 0) --living_;
      unanswered_.erase(message.worker_id);
      return owner_->worker_not_spawned(message.worker_id, text_of([&] { return reason_of(message); }));
    case ControlType::exited:
      if (living_ > 0) --living_;
      std::erase(to_kill_, message.worker_id);
      return owner_->worker_exited(message.worker_id, message.wait_status, message.use);
    default: return;  // never sent over a connection by a server
  }
}

void Spawner::lost() {
  unlink();
  outgoing_.clear();
  to_kill_.clear();
  living_ = 0;
  const auto unanswered = std::exchange(unanswered_, {});
  owner_->fork_server_lost(unanswered);  // there is one as long as there is a connection
}

}  // namespace leasepool::detail
