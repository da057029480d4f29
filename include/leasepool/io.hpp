// IoOptions, and waiting for a descriptor to become ready.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstdint>
#include <utility>

#include "leasepool/detail/export.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "leasepool/duration.hpp"

namespace leasepool {

class Loop;

/// Of every verb of I/O.
struct IoOptions {
  /// Of the whole verb, however many operations it takes: it then fails with timed_out, never early.
  TimeSpan timeout = Duration::max();
};

namespace detail {

enum class Readiness : std::uint8_t { to_read, to_write };

LEASEPOOL_EXPORT void check_ready(const Loop& loop, const char* verb, int fd, const IoOptions& options);
LEASEPOOL_EXPORT IoTicket begin_ready(Loop& loop, int fd, Readiness wanted, IoOptions options, IoCallback<void> done);

inline auto when_ready(Loop& loop, const char* verb, int fd, Readiness wanted, IoOptions options) {
  check_ready(loop, verb, fd, options);
  return make_io_awaitable<void>([&loop, fd, wanted, options](IoCallback<void> done) {
    return begin_ready(loop, fd, wanted, options, std::move(done));
  });
}

}  // namespace detail

/// Awaitable: waits until `fd` can be read without blocking, or has ended or failed. What cannot be polled, as a file
/// on disk, is ready at once. The descriptor is the caller's, and stays open until the wait has ended. Throws
/// LeasePoolError (wrong_thread; cancelled, when the loop has closed), IoError, std::invalid_argument.
inline auto readable(Loop& loop, int fd, IoOptions options = {}) {
  return detail::when_ready(loop, "readable", fd, detail::Readiness::to_read, options);
}
/// The same for writing.
inline auto writable(Loop& loop, int fd, IoOptions options = {}) {
  return detail::when_ready(loop, "writable", fd, detail::Readiness::to_write, options);
}

/// The same for callbacks, which run from the loop, never inside the call.
LEASEPOOL_EXPORT void readable_async(Loop& loop, int fd, IoOptions options, detail::IoCallback<void> done);
LEASEPOOL_EXPORT void readable_async(Loop& loop, int fd, detail::IoCallback<void> done);
LEASEPOOL_EXPORT void writable_async(Loop& loop, int fd, IoOptions options, detail::IoCallback<void> done);
LEASEPOOL_EXPORT void writable_async(Loop& loop, int fd, detail::IoCallback<void> done);

}  // namespace leasepool

#endif
