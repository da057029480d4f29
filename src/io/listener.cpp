// The public listeners: sockets that are bound and listen.
#include "leasepool/listener.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "base/unique_fd.hpp"
#include "io/io_checks.hpp"
#include "io/listener_core.hpp"
#include "io/socket_address.hpp"
#include "io/socket_file.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"

namespace leasepool {

namespace detail {

namespace {

std::shared_ptr<ListenerCore> adopt(Loop& loop, const char* what, Fd fd) {
  const auto& core = Access::core(loop);
  check_verb(*core, what, Duration::zero());
  int listens = 0;
  socklen_t size = sizeof listens;
  const int result = ::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
  if (result != 0 && errno != ENOTSOCK && errno != EBADF) {
    throw IoError(std::error_code(errno, std::generic_category()), std::string("getsockopt for ") + what);
  }
  if (result != 0 || listens == 0) {
    throw std::invalid_argument("leasepool: " + std::string(what) + "(): fd = " + std::to_string(fd.get()) +
                                " is no socket that listens");
  }
  return ListenerCore::make(core, std::move(fd));
}

std::shared_ptr<ListenerCore> listen(Loop& loop, const char* what, const SocketAddress& address) {
  const auto& core = Access::core(loop);
  check_verb(*core, what, Duration::zero());
  const Address wanted = to_address(address);
  const auto refused = [&](const char* call) -> IoError {
    return {std::error_code(errno, std::generic_category()),
            std::string(call) + " for " + what + " on " + wanted.text()};
  };
  Fd socket = try_above_standard_streams(Fd(::socket(family_of(address), SOCK_STREAM | SOCK_CLOEXEC, 0)));
  if (!socket) throw refused("socket");
  const int on = 1;
  if (wanted.path.empty()) (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.size) != 0) throw refused("bind");
  const bool has_file = !wanted.path.empty() && wanted.path[0] != '\0';
  SocketFile file = has_file ? SocketFile(wanted.path) : SocketFile();
  if (::listen(socket.get(), SOMAXCONN) != 0) throw refused("listen");
  return ListenerCore::make(core, std::move(socket), std::move(file));
}

}  // namespace

Listener& Listener::operator=(Listener&& other) noexcept {
  if (this != &other) {
    let_go(core_);
    core_ = std::move(other.core_);
  }
  return *this;
}

Listener::~Listener() { let_go(core_); }

void Listener::check(const char* verb, const IoOptions& options) const {
  if (!core_) throw_closed(verb, "the listener was moved from, or it");
  core_->check(verb, options);
}

IoTicket Listener::begin_accept(const Core& core, IoOptions options, IoCallback<Stream> done) {
  core->check("accept", options);
  return {core, core->accept(options, std::move(done))};
}

void Listener::accept_async(IoOptions options, IoCallback<Stream> done) {
  check("accept_async", options);
  check_io_callback("accept_async", done);
  core_->accept(options, std::move(done));
}

void Listener::close() noexcept {
  if (core_) core_->close();
}

int Listener::fd() const noexcept { return core_ ? core_->fd() : -1; }

Address Listener::local_address() const { return address_of(fd()); }

}  // namespace detail

TcpListener::TcpListener(Loop& loop, Endpoint endpoint)
    : Listener(detail::listen(loop, "TcpListener", detail::SocketAddress("TcpListener", endpoint, true))) {}
TcpListener::TcpListener(Loop& loop, Fd fd) : Listener(detail::adopt(loop, "TcpListener", std::move(fd))) {}

std::uint16_t TcpListener::port() const { return local_address().port; }

UnixListener::UnixListener(Loop& loop, UnixEndpoint endpoint)
    : Listener(detail::listen(loop, "UnixListener", detail::SocketAddress("UnixListener", endpoint))) {}
UnixListener::UnixListener(Loop& loop, Fd fd) : Listener(detail::adopt(loop, "UnixListener", std::move(fd))) {}

}  // namespace leasepool
