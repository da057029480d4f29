// Each kind's system calls. Sockets are asked not to wait by a flag of the call. What reads and writes other
// descriptors asks with RWF_NOWAIT, and where a kernel or a driver does not know that, looks first whether it would
// wait.
#include "loop/try_operation.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "base/unique_fd.hpp"
#include "base/without_sigpipe.hpp"

namespace leasepool::detail {

namespace {

constexpr Attempt kWait{.next = Attempt::Next::wait};
constexpr Attempt kBlock{.next = Attempt::Next::block};

// What a call gives, or -errno; an interrupted one is made again.
template <class Call>
int result_of(const Call& call) noexcept {
  for (;;) {
    const auto result = call();
    if (result >= 0) return static_cast<int>(result);
    if (errno != EINTR) return -errno;
  }
}

Attempt done(int result) noexcept { return {.next = Attempt::Next::done, .result = result}; }
Attempt done_or_wait(int result) noexcept { return result == -EAGAIN ? kWait : done(result); }

std::size_t size_of(const Operation& operation) noexcept { return std::min<std::size_t>(operation.size, INT_MAX); }

template <class Write>
int write_without_sigpipe(const Write& write) noexcept {
  const WithoutSigpipe without;
  const int result = result_of(write);
  if (result == -EPIPE) without.take();
  return result;
}

// A file of a disk, which never says that it is not ready: it blocks all the same.
bool is_file(int fd) noexcept {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) || S_ISDIR(status.st_mode));
}

bool is_terminal_or_device(int fd) noexcept {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISCHR(status.st_mode);
}

bool is_nonblocking(int fd) noexcept {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

bool knows_no_nowait(int result) noexcept { return result == -EOPNOTSUPP || result == -ENOSYS; }

off_t position_of(const Operation& operation) noexcept {
  return operation.offset == Operation::kOwnPosition ? -1 : static_cast<off_t>(operation.offset);
}

// At an offset, or, where there is none to be at, as the ring takes it: without.
template <class Call>
int at_position(const Operation& operation, const Call& call) noexcept {
  const off_t position = position_of(operation);
  const int result = call(position);
  return result == -ESPIPE && position >= 0 ? call(off_t{-1}) : result;
}

Attempt try_read(const Operation& operation, bool told_ready) noexcept {
  const int fd = operation.fd;
  if (!told_ready && is_file(fd)) return kBlock;
  const iovec into{.iov_base = operation.data, .iov_len = size_of(operation)};
  const int result = at_position(operation, [&](off_t position) {
    return result_of([&] { return ::preadv2(fd, &into, 1, position, RWF_NOWAIT); });
  });
  if (!knows_no_nowait(result)) return done_or_wait(result);
  // Only what epoll can watch may be read here.
  if (!told_ready || (!is_nonblocking(fd) && poll_now(fd, POLLIN) == 0)) return kWait;
  return done_or_wait(result_of([&] { return ::read(fd, into.iov_base, into.iov_len); }));
}

// Terminals tell that there is room, not how much of it, and block for the rest: what is written goes through an open
// file of its own, which does not. Where there is no /proc, byte by byte.
Attempt write_to_terminal(const Operation& operation) noexcept {
  char path[32];
  (void)std::snprintf(path, sizeof path, "/proc/self/fd/%d", operation.fd);
  const UniqueFd own(::open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  const int fd = own ? own.get() : operation.fd;
  const std::size_t size = own ? size_of(operation) : std::min<std::size_t>(operation.size, 1);
  return done_or_wait(result_of([&] { return ::write(fd, operation.data, size); }));
}

Attempt try_write(const Operation& operation, bool told_ready) noexcept {
  const int fd = operation.fd;
  if (!told_ready && is_file(fd)) return kBlock;
  const iovec from{.iov_base = operation.data, .iov_len = size_of(operation)};
  const int result = at_position(operation, [&](off_t position) {
    return write_without_sigpipe([&] { return ::pwritev2(fd, &from, 1, position, RWF_NOWAIT); });
  });
  if (!knows_no_nowait(result)) return done_or_wait(result);
  if (!told_ready) return kWait;
  const auto write = [&](std::size_t size) {
    return done_or_wait(write_without_sigpipe([&] { return ::write(fd, from.iov_base, size); }));
  };
  if (is_nonblocking(fd)) return write(from.iov_len);
  if (poll_now(fd, POLLOUT) == 0) return kWait;
  if (is_terminal_or_device(fd)) return write_to_terminal(operation);
  return write(std::min<std::size_t>(from.iov_len, PIPE_BUF));  // a pipe that is ready has room for so much
}

Attempt try_poll(const Operation& operation) noexcept {
  const int ready = poll_now(operation.fd, operation.flags);
  return ready == 0 ? kWait : done(ready);
}

// A listener may be a blocking one, so it is looked at first.
Attempt try_accept(const Operation& operation) noexcept {
  const int ready = poll_now(operation.fd, POLLIN);
  if (ready <= 0) return ready == 0 ? kWait : done(ready);
  return done_or_wait(result_of([&] { return ::accept4(operation.fd, nullptr, nullptr, SOCK_CLOEXEC); }));
}

Attempt connected(const Operation& operation) noexcept {
  const int ready = poll_now(operation.fd, POLLOUT);
  if (ready <= 0) return ready == 0 ? kWait : done(ready);
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(operation.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return done(-errno);
  return done(-error);
}

// A socket that blocks does not for the moment in which it begins to connect. Nobody can notice: before it is connected
// there is nothing to be read from it or written to it. A thread instead could not be told to stop.
Attempt begin_connect(const Operation& operation) noexcept {
  const int fd = operation.fd;
  const int flags = ::fcntl(fd, F_GETFL);
  const bool blocks = flags >= 0 && (flags & O_NONBLOCK) == 0;
  if (blocks && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return done(-errno);
  const int result =
      ::connect(fd, static_cast<const sockaddr*>(operation.data), static_cast<socklen_t>(operation.size)) == 0 ? 0
                                                                                                               : -errno;
  if (blocks) (void)::fcntl(fd, F_SETFL, flags);
  switch (result) {
    case -EINPROGRESS:
    case -EINTR: return kWait;                            // it goes on by itself
    case -EAGAIN: return {.next = Attempt::Next::retry};  // a local listener has no room for more
    default: return done(result);
  }
}

Attempt try_message(const Operation& operation) noexcept {
  auto* const message = static_cast<msghdr*>(operation.data);
  return done_or_wait(result_of([&] {
    return operation.kind == Operation::Kind::recvmsg
               ? ::recvmsg(operation.fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
               : ::sendmsg(operation.fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }));
}

}  // namespace

std::uint32_t readiness_of(const Operation& operation) noexcept {
  switch (operation.kind) {
    case Operation::Kind::send:
    case Operation::Kind::sendmsg:
    case Operation::Kind::write:
    case Operation::Kind::connect: return POLLOUT;
    case Operation::Kind::poll:
    case Operation::Kind::poll_multishot: return static_cast<std::uint32_t>(operation.flags);
    case Operation::Kind::recv:
    case Operation::Kind::recvmsg:
    case Operation::Kind::read:
    case Operation::Kind::accept:
    case Operation::Kind::accept_multishot:
    case Operation::Kind::open:
    case Operation::Kind::sync: break;
  }
  return POLLIN;
}

int poll_now(int fd, int events) noexcept {
  if (fd < 0) return -EBADF;
  pollfd watched{.fd = fd, .events = static_cast<short>(events), .revents = 0};
  const int count = result_of([&] { return ::poll(&watched, 1, 0); });
  if (count < 0) return count;
  return (watched.revents & POLLNVAL) != 0 ? -EBADF : watched.revents;
}

Attempt try_operation(const Operation& operation, bool told_ready) noexcept {
  switch (operation.kind) {
    case Operation::Kind::recv:
      return done_or_wait(
          result_of([&] { return ::recv(operation.fd, operation.data, size_of(operation), MSG_DONTWAIT); }));
    case Operation::Kind::send:
      return done_or_wait(result_of(
          [&] { return ::send(operation.fd, operation.data, size_of(operation), MSG_DONTWAIT | MSG_NOSIGNAL); }));
    case Operation::Kind::recvmsg:
    case Operation::Kind::sendmsg: return try_message(operation);
    case Operation::Kind::read: return try_read(operation, told_ready);
    case Operation::Kind::write: return try_write(operation, told_ready);
    case Operation::Kind::poll:
    case Operation::Kind::poll_multishot: return try_poll(operation);
    case Operation::Kind::accept:
    case Operation::Kind::accept_multishot: return try_accept(operation);
    case Operation::Kind::connect: return told_ready ? connected(operation) : begin_connect(operation);
    case Operation::Kind::open:
    case Operation::Kind::sync: break;
  }
  return kBlock;
}

int run_blocking(const Operation& operation) noexcept {
  const int fd = operation.fd;
  const std::size_t size = size_of(operation);
  const off_t position = position_of(operation);
  switch (operation.kind) {
    case Operation::Kind::read:
      return result_of([&] {
        return position < 0 ? ::read(fd, operation.data, size) : ::pread(fd, operation.data, size, position);
      });
    case Operation::Kind::write:
      return result_of([&] {
        return position < 0 ? ::write(fd, operation.data, size) : ::pwrite(fd, operation.data, size, position);
      });
    case Operation::Kind::open:
      return result_of([&] {
        return ::open(static_cast<const char*>(operation.data), operation.flags | O_CLOEXEC, operation.mode);
      });
    case Operation::Kind::sync: return result_of([&] { return ::fsync(fd); });
    default: return -EINVAL;
  }
}

}  // namespace leasepool::detail
