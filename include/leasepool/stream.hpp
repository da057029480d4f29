// Stream: bytes to and from a socket, a pipe, a terminal; and connect(), which makes one.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "leasepool/detail/access.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "leasepool/endpoint.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/io.hpp"

namespace leasepool {

namespace detail {

class StreamCore;

// The parts of a gathered write.
using Parts = std::span<const std::span<const std::byte>>;

}  // namespace detail

/// A stream of bytes on a loop: a TCP connection, a Unix socket, a pipe, or any other descriptor. Loop thread only;
/// move-only, and may be moved while operations are in flight. One read and one write at a time: a second one of the
/// same kind is std::logic_error. Its destructor is close(); it may outlive its loop, closed.
///
/// `verb(...)` is awaitable and throws; `verb_async(..., done)` calls `done` from the loop, never inside the call. Both
/// fail with IoError for a system call, LeasePoolError timed_out, end_of_stream or cancelled (it was closed, or its
/// loop), and the error's transferred() says how many bytes had been read or written. Wrong calls throw from the call:
/// LeasePoolError (wrong_thread; cancelled, of a stream that is closed), std::invalid_argument.
///
/// Buffers are the caller's. A coroutine that is destroyed while it waits cancels the operation, and nothing uses the
/// buffer afterwards; what had been read by then is kept for the next read, and after a cancelled write all writes fail
/// with cancelled, as a part of it may have been sent. A callback's buffer lives until the callback.
class LEASEPOOL_EXPORT Stream {
 public:
  /// Takes over a descriptor, blocking or not; its flags stay as they are. Throws std::invalid_argument for an empty
  /// one, std::bad_alloc, LeasePoolError (wrong_thread).
  Stream(Loop& loop, Fd fd);
  Stream(Stream&& other) noexcept = default;
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();

  /// Reads at least one byte and at most what fits; returns how many, 0 at the end.
  auto read(std::span<std::byte> buffer, IoOptions options = {}) {
    check("read", buffer, options);
    return detail::make_io_awaitable<std::size_t>(
        [core = core_, buffer, options](detail::IoCallback<std::size_t> done) {
          return begin_read(core, buffer, options, std::move(done));
        });
  }
  void read_async(std::span<std::byte> buffer, IoOptions options, detail::IoCallback<std::size_t> done);
  void read_async(std::span<std::byte> buffer, detail::IoCallback<std::size_t> done) {
    read_async(buffer, {}, std::move(done));
  }

  /// Fills the buffer. Fails with end_of_stream when the other end closes before; transferred() bytes are in the buffer
  /// then.
  auto read_exactly(std::span<std::byte> buffer, IoOptions options = {}) {
    check("read_exactly", buffer, options);
    return detail::make_io_awaitable<void>([core = core_, buffer, options](detail::IoCallback<void> done) {
      return begin_read_exactly(core, buffer, options, std::move(done));
    });
  }
  void read_exactly_async(std::span<std::byte> buffer, IoOptions options, detail::IoCallback<void> done);
  void read_exactly_async(std::span<std::byte> buffer, detail::IoCallback<void> done) {
    read_exactly_async(buffer, {}, std::move(done));
  }

  /// Reads up to and with `delimiter`; returns how many bytes that is. What came behind it is kept for the next read.
  /// Fails with payload_too_large when the buffer is full without one, and with end_of_stream at the end; nothing is
  /// lost then: the next read has those bytes again.
  auto read_until(std::span<std::byte> buffer, std::string_view delimiter, IoOptions options = {}) {
    check("read_until", buffer, options);
    check_delimiter(delimiter);
    return detail::make_io_awaitable<std::size_t>(
        [core = core_, buffer, text = std::string(delimiter), options](detail::IoCallback<std::size_t> done) {
          return begin_read_until(core, buffer, text, options, std::move(done));
        });
  }
  void read_until_async(std::span<std::byte> buffer, std::string_view delimiter, IoOptions options,
                        detail::IoCallback<std::size_t> done);
  void read_until_async(std::span<std::byte> buffer, std::string_view delimiter, detail::IoCallback<std::size_t> done) {
    read_until_async(buffer, delimiter, {}, std::move(done));
  }

  /// Writes all bytes. The other end's close is IoError (broken pipe), never a signal.
  auto write(std::span<const std::byte> bytes, IoOptions options = {}) {
    check("write", options);
    return detail::make_io_awaitable<void>([core = core_, bytes, options](detail::IoCallback<void> done) {
      return begin_write(core, detail::Parts(&bytes, 1), options, std::move(done));
    });
  }
  auto write(std::string_view text, IoOptions options = {}) { return write(std::as_bytes(std::span(text)), options); }
  void write_async(std::span<const std::byte> bytes, IoOptions options, detail::IoCallback<void> done);
  void write_async(std::span<const std::byte> bytes, detail::IoCallback<void> done) {
    write_async(bytes, {}, std::move(done));
  }
  void write_async(std::string_view text, IoOptions options, detail::IoCallback<void> done) {
    write_async(std::as_bytes(std::span(text)), options, std::move(done));
  }
  void write_async(std::string_view text, detail::IoCallback<void> done) {
    write_async(std::as_bytes(std::span(text)), {}, std::move(done));
  }

  /// The same with bytes from several places, in order: a header and a body without copying them together. The list
  /// itself is copied when the verb is called.
  auto write(std::span<const std::span<const std::byte>> parts, IoOptions options = {}) {
    check("write", options);
    return detail::make_io_awaitable<void>(
        [core = core_, list = std::vector(parts.begin(), parts.end()), options](detail::IoCallback<void> done) {
          return begin_write(core, list, options, std::move(done));
        });
  }
  void write_async(std::span<const std::span<const std::byte>> parts, IoOptions options, detail::IoCallback<void> done);

  /// The other end reads to the end of what was written, and then 0. At once; a write in flight is cancelled. On what
  /// is no socket, this end of writing cannot be parted from reading: IoError.
  void shutdown_write();

  /// Ends what is in flight with cancelled, and then closes the descriptor. At once; again, it does nothing.
  void close() noexcept;

  /// -1 once it is closed.
  [[nodiscard]] int fd() const noexcept;

  /// Of a socket; throws IoError where it has none, or is closed.
  [[nodiscard]] Address local_address() const;
  [[nodiscard]] Address peer_address() const;

 private:
  friend struct detail::Access;
  using Core = std::shared_ptr<detail::StreamCore>;
  explicit Stream(Core core) noexcept : core_(std::move(core)) {}

  void check(const char* verb, const IoOptions& options) const;
  void check(const char* verb, std::span<std::byte> buffer, const IoOptions& options) const;
  static void check_delimiter(std::string_view delimiter);
  static detail::IoTicket begin_read(const Core& core, std::span<std::byte> buffer, IoOptions options,
                                     detail::IoCallback<std::size_t> done);
  static detail::IoTicket begin_read_exactly(const Core& core, std::span<std::byte> buffer, IoOptions options,
                                             detail::IoCallback<void> done);
  static detail::IoTicket begin_read_until(const Core& core, std::span<std::byte> buffer, std::string_view delimiter,
                                           IoOptions options, detail::IoCallback<std::size_t> done);
  static detail::IoTicket begin_write(const Core& core, detail::Parts parts, IoOptions options,
                                      detail::IoCallback<void> done);

  Core core_;
};

namespace detail {

// A copy of an Endpoint or UnixEndpoint as the system has it.
class LEASEPOOL_EXPORT SocketAddress {
 public:
  // Throws std::invalid_argument, naming the verb and the field.
  SocketAddress(const char* verb, const Endpoint& endpoint, bool to_listen = false);
  SocketAddress(const char* verb, const UnixEndpoint& endpoint);

  static constexpr std::size_t kSize = 128;  // of sockaddr_storage
  alignas(std::max_align_t) std::byte bytes[kSize]{};
  unsigned size = 0;
};

LEASEPOOL_EXPORT void check_connect(const Loop& loop, const IoOptions& options);
LEASEPOOL_EXPORT IoTicket begin_connect(Loop& loop, const SocketAddress& address, IoOptions options,
                                        IoCallback<Stream> done);

inline auto connect_to(Loop& loop, const SocketAddress& address, IoOptions options) {
  check_connect(loop, options);
  return make_io_awaitable<Stream>([&loop, address, options](IoCallback<Stream> done) {
    return begin_connect(loop, address, options, std::move(done));
  });
}

}  // namespace detail

/// Awaitable: a connection to a TCP address, with TCP_NODELAY on. Throws IoError (refused, unreachable ...),
/// LeasePoolError (timed_out, cancelled, wrong_thread), std::invalid_argument for what is no address: resolve() looks
/// names up.
inline auto connect(Loop& loop, Endpoint endpoint, IoOptions options = {}) {
  return detail::connect_to(loop, detail::SocketAddress("connect", endpoint), options);
}
/// The same to a Unix socket.
inline auto connect(Loop& loop, UnixEndpoint endpoint, IoOptions options = {}) {
  return detail::connect_to(loop, detail::SocketAddress("connect", endpoint), options);
}

/// The same for callbacks.
LEASEPOOL_EXPORT void connect_async(Loop& loop, Endpoint endpoint, IoOptions options, detail::IoCallback<Stream> done);
LEASEPOOL_EXPORT void connect_async(Loop& loop, UnixEndpoint endpoint, IoOptions options,
                                    detail::IoCallback<Stream> done);

}  // namespace leasepool

#endif
