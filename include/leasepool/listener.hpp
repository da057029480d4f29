// TcpListener and UnixListener: where connections come from.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstdint>
#include <memory>
#include <utility>

#include "leasepool/detail/export.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "leasepool/endpoint.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/io.hpp"
#include "leasepool/stream.hpp"

namespace leasepool {

namespace detail {

class ListenerCore;

// What both kinds of listeners do.
class LEASEPOOL_EXPORT Listener {
 public:
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&& other) noexcept;

  /// The next connection. Several may wait, and are served in order. Where the process or the system has no descriptor
  /// left it keeps waiting, and tries again every 100 ms. Destroying the coroutine that waits loses no connection.
  /// Throws LeasePoolError (timed_out; cancelled, when it was closed, or its loop; wrong_thread), IoError.
  auto accept(IoOptions options = {}) {
    check("accept", options);
    return make_io_awaitable<Stream>(
        [core = core_, options](IoCallback<Stream> done) { return begin_accept(core, options, std::move(done)); });
  }
  void accept_async(IoOptions options, IoCallback<Stream> done);
  void accept_async(IoCallback<Stream> done) { accept_async({}, std::move(done)); }

  /// Ends what waits with cancelled, and then closes the descriptor. At once; again, it does nothing.
  void close() noexcept;

  /// -1 once it is closed.
  [[nodiscard]] int fd() const noexcept;

  [[nodiscard]] Address local_address() const;

 protected:
  using Core = std::shared_ptr<ListenerCore>;
  explicit Listener(Core core) noexcept : core_(std::move(core)) {}
  ~Listener();

 private:
  void check(const char* verb, const IoOptions& options) const;
  static IoTicket begin_accept(const Core& core, IoOptions options, IoCallback<Stream> done);

  Core core_;
};

}  // namespace detail

/// Listens for TCP connections, which have TCP_NODELAY on. Loop thread only; move-only, also while somebody waits. Its
/// destructor is close(); it may outlive its loop, closed.
class LEASEPOOL_EXPORT TcpListener : public detail::Listener {
 public:
  /// Binds and listens, with SO_REUSEADDR. Throws IoError (the address is in use ...), std::invalid_argument,
  /// LeasePoolError (wrong_thread).
  TcpListener(Loop& loop, Endpoint endpoint);
  /// Takes over a socket that listens, as systemd hands over.
  TcpListener(Loop& loop, Fd fd);

  /// Which it listens on.
  [[nodiscard]] std::uint16_t port() const;
};

/// The same for Unix sockets. The file of one that it has bound is removed when it is closed; one that is there
/// already, is IoError (address in use): remove it before, if nobody listens there any more.
class LEASEPOOL_EXPORT UnixListener : public detail::Listener {
 public:
  UnixListener(Loop& loop, UnixEndpoint endpoint);
  UnixListener(Loop& loop, Fd fd);
};

}  // namespace leasepool

#endif
