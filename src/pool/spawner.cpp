// The conversation with the fork server.
#include "pool/spawner.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "pool/fork_server.hpp"

namespace leasepool::detail {

void Spawner::open() {
  socket_ = std::make_shared<UniqueFd>(ForkServer::instance().connect());
  waiting_for_room_ = false;
  listen();
  flush();
}

void Spawner::spawn(SpawnRequest request) {
  ControlMessage message{.type = ControlType::spawn, .worker_id = request.worker_id, .settings = request.settings};
  request.name.copy(message.name.data(), message.name.size() - 1);
  unanswered_.insert(request.worker_id);
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(request.channel));
  fds.push_back(std::move(request.status_page));
  fds.push_back(std::move(request.standard_output));
  fds.push_back(std::move(request.standard_error));
  if (request.cgroup) fds.push_back(std::move(request.cgroup));
  send(message, std::move(fds));
}

void Spawner::adopt(pid_t pid, int pidfd, UniqueFd cgroup) {
  std::vector<UniqueFd> fds;
  fds.emplace_back(::fcntl(pidfd, F_DUPFD_CLOEXEC, 0));
  if (!fds.back()) return;
  if (cgroup) fds.push_back(std::move(cgroup));
  send({.type = ControlType::adopt, .pid = pid}, std::move(fds));
}

void Spawner::let_go() noexcept {
  owner_ = nullptr;
  outgoing_.clear();
  if (socket_) ::shutdown(socket_->get(), SHUT_RDWR);  // ends the poll in flight
  socket_.reset();
}

void Spawner::send(ControlMessage message, std::vector<UniqueFd> fds) {
  outgoing_.push_back({.message = message, .fds = std::move(fds)});
  if (socket_ && !waiting_for_room_) flush();  // without a connection, as soon as there is another
}

void Spawner::flush() {
  while (!outgoing_.empty()) {
    const int error = send_control(socket_->get(), outgoing_.front());
    if (error == EAGAIN) {
      waiting_for_room_ = true;
      loop_.ring().poll(socket_->get(), POLLOUT, [self = shared_from_this(), socket = socket_](Completion) {
        if (self->socket_ != socket) return;
        self->waiting_for_room_ = false;
        self->flush();
      });
      return;
    }
    if (error != 0) return;  // the server is gone: the poll tells
    outgoing_.pop_front();
  }
}

void Spawner::listen() {
  loop_.ring().poll(socket_->get(), POLLIN, [self = shared_from_this(), socket = socket_](Completion) {
    if (self->socket_ == socket) self->readable();
  });
}

void Spawner::readable() {
  while (owner_ != nullptr) {
    ControlRecord record;
    switch (receive_control(socket_->get(), record)) {
      case ReceiveState::nothing_yet: return listen();
      case ReceiveState::closed: return lost();
      case ReceiveState::received: handle(record);
    }
  }
}

void Spawner::handle(ControlRecord& record) {
  const ControlMessage& message = record.message;
  switch (message.type) {
    case ControlType::spawned:
      unanswered_.erase(message.worker_id);
      if (record.fds.size() == 1) {
        owner_->worker_spawned(message.worker_id, {.pid = message.pid, .pidfd = std::move(record.fds[0])});
      } else {  // it exits by itself when its channel is closed
        owner_->worker_not_spawned(message.worker_id, "no descriptor is left for its pidfd (raise ulimit -n)");
      }
      break;
    case ControlType::spawn_failed:
      unanswered_.erase(message.worker_id);
      owner_->worker_not_spawned(message.worker_id, std::string("the fork server could not fork: ") +
                                                        std::strerror(message.error) +
                                                        (message.error == EAGAIN ? " (raise ulimit -u)" : ""));
      break;
    case ControlType::exited: owner_->worker_exited(message.worker_id, message.wait_status, message.use); break;
    case ControlType::connect:
    case ControlType::stand_by:
    case ControlType::spawn:
    case ControlType::adopt: break;  // never sent by a server
  }
}

void Spawner::lost() {
  socket_.reset();
  outgoing_.clear();
  const auto unanswered = std::exchange(unanswered_, {});
  if (owner_ != nullptr) owner_->fork_server_lost(unanswered);
}

}  // namespace leasepool::detail
