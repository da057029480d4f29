// File: bytes of a file on disk, read and written at any place without blocking the loop.
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

#include "leasepool/detail/access.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/io.hpp"

namespace leasepool {

namespace detail {

class FileCore;

}  // namespace detail

/// How a file is opened.
enum class FileMode {
  read,        ///< it must exist
  write,       ///< it is made, or emptied
  append,      ///< it is made, and all writes go to its end
  read_write,  ///< it is made, and keeps what it has
  create_new,  ///< to read and write; it must not exist
};

struct OpenOptions {
  TimeSpan timeout = Duration::max();
  /// Of a file that is made, less the process's umask.
  unsigned permissions = 0666;
};

/// An open file. Loop thread only; move-only, and may be moved while operations are in flight, of which there may be
/// any number. Its destructor is close(); it may outlive its loop, closed. Errors and the two forms of each verb are as
/// in Stream. What goes to and from the disk passes through a buffer of the library's, as the system cannot always
/// cancel that: a coroutine may be destroyed at any time. After a cancelled write all writes fail with cancelled.
class LEASEPOOL_EXPORT File {
 public:
  /// Takes over an open descriptor.
  File(Loop& loop, Fd fd);
  File(File&&) noexcept = default;
  File& operator=(File&& other) noexcept;
  ~File();

  /// The other end of a FIFO is not waited for: one that nobody reads cannot be opened to write.
  /// Throws IoError (no such file ...), LeasePoolError (timed_out, cancelled, wrong_thread), std::invalid_argument for
  /// an empty path, one with a zero byte, or permissions above 07777.
  static auto open(Loop& loop, std::string_view path, FileMode mode, OpenOptions options = {}) {
    check_open(loop, "open", path, options);
    return detail::make_io_awaitable<File>(
        [&loop, name = std::string(path), mode, options](detail::IoCallback<File> done) {
          return begin_open(loop, name, mode, options, std::move(done));
        });
  }
  static void open_async(Loop& loop, std::string_view path, FileMode mode, OpenOptions options,
                         detail::IoCallback<File> done);

  /// A file without a name, to read and write, that is gone when it is closed: in $TMPDIR or /tmp, or, where that
  /// cannot be, in memory.
  static auto temporary(Loop& loop, IoOptions options = {}) {
    check_temporary(loop, options);
    return detail::make_io_awaitable<File>(
        [&loop, options](detail::IoCallback<File> done) { return begin_temporary(loop, options, std::move(done)); });
  }
  static void temporary_async(Loop& loop, IoOptions options, detail::IoCallback<File> done);

  /// Reads until the buffer is full or the file ends; returns how many bytes.
  auto read_at(std::uint64_t offset, std::span<std::byte> buffer, IoOptions options = {}) {
    check("read_at", offset, options);
    return detail::make_io_awaitable<std::size_t>(
        [core = core_, offset, buffer, options](detail::IoCallback<std::size_t> done) {
          return begin_read(core, offset, buffer, options, std::move(done));
        });
  }
  void read_at_async(std::uint64_t offset, std::span<std::byte> buffer, IoOptions options,
                     detail::IoCallback<std::size_t> done);

  /// Writes all bytes.
  auto write_at(std::uint64_t offset, std::span<const std::byte> bytes, IoOptions options = {}) {
    check("write_at", offset, options);
    return detail::make_io_awaitable<void>([core = core_, offset, bytes, options](detail::IoCallback<void> done) {
      return begin_write(core, offset, bytes, options, std::move(done));
    });
  }
  auto write_at(std::uint64_t offset, std::string_view text, IoOptions options = {}) {
    return write_at(offset, std::as_bytes(std::span(text)), options);
  }
  void write_at_async(std::uint64_t offset, std::span<const std::byte> bytes, IoOptions options,
                      detail::IoCallback<void> done);

  /// Returns when what was written is on the disk (fsync(2)).
  auto sync(IoOptions options = {}) {
    check("sync", 0, options);
    return detail::make_io_awaitable<void>(
        [core = core_, options](detail::IoCallback<void> done) { return begin_sync(core, options, std::move(done)); });
  }
  void sync_async(IoOptions options, detail::IoCallback<void> done);

  /// How many bytes it has (fstat(2), which needs no disk).
  auto size(IoOptions options = {}) {
    check("size", 0, options);
    return detail::make_io_awaitable<std::uint64_t>([core = core_, options](detail::IoCallback<std::uint64_t> done) {
      return begin_size(core, options, std::move(done));
    });
  }
  void size_async(IoOptions options, detail::IoCallback<std::uint64_t> done);

  /// The whole of a small file, as one below /proc; more than `max_size` bytes are payload_too_large.
  static auto read_all(Loop& loop, std::string_view path, std::size_t max_size = kMaxWhole, IoOptions options = {}) {
    check_open(loop, "read_all", path, {.timeout = options.timeout});
    return detail::make_io_awaitable<std::string>(
        [&loop, name = std::string(path), max_size, options](detail::IoCallback<std::string> done) {
          return begin_read_all(loop, name, max_size, options, std::move(done));
        });
  }
  static void read_all_async(Loop& loop, std::string_view path, std::size_t max_size, IoOptions options,
                             detail::IoCallback<std::string> done);
  static constexpr std::size_t kMaxWhole = std::size_t{1} << 20;

  /// Ends what is in flight with cancelled; the descriptor is closed when the system has let go of it. Again, it does
  /// nothing.
  void close() noexcept;

  /// -1 once it is closed.
  [[nodiscard]] int fd() const noexcept;

 private:
  friend struct detail::Access;
  using Core = std::shared_ptr<detail::FileCore>;
  explicit File(Core core) noexcept : core_(std::move(core)) {}

  void check(const char* verb, std::uint64_t offset, const IoOptions& options) const;
  static void check_open(const Loop& loop, const char* verb, std::string_view path, const OpenOptions& options);
  static void check_temporary(const Loop& loop, const IoOptions& options);
  static detail::IoTicket begin_open(Loop& loop, const std::string& path, FileMode mode, OpenOptions options,
                                     detail::IoCallback<File> done);
  static detail::IoTicket begin_temporary(Loop& loop, IoOptions options, detail::IoCallback<File> done);
  static detail::IoTicket begin_read(const Core& core, std::uint64_t offset, std::span<std::byte> buffer,
                                     IoOptions options, detail::IoCallback<std::size_t> done);
  static detail::IoTicket begin_write(const Core& core, std::uint64_t offset, std::span<const std::byte> bytes,
                                      IoOptions options, detail::IoCallback<void> done);
  static detail::IoTicket begin_sync(const Core& core, IoOptions options, detail::IoCallback<void> done);
  static detail::IoTicket begin_size(const Core& core, IoOptions options, detail::IoCallback<std::uint64_t> done);
  static detail::IoTicket begin_read_all(Loop& loop, const std::string& path, std::size_t max_size, IoOptions options,
                                         detail::IoCallback<std::string> done);

  Core core_;
};

}  // namespace leasepool

#endif
