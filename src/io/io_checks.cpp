// The texts of what can go wrong with I/O.
#include "io/io_checks.hpp"

#include <memory>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "base/in_words.hpp"
#include "io/socket_address.hpp"
#include "leasepool/detail/access.hpp"

namespace leasepool::detail {

void check_verb(const LoopCore& loop, const char* verb, Duration timeout) {
  loop.check_thread(verb);
  if (loop.closed()) throw_closed(verb, "its Loop");
  if (timeout >= Duration::zero()) return;
  throw std::invalid_argument("leasepool: " + std::string(verb) + "(): timeout = " + in_words(timeout) +
                              " must not be negative (Duration::max() means never)");
}

void throw_closed(const char* verb, const char* what) {
  throw LeasePoolError(Errc::cancelled, std::string(verb) + "(): " + what + " was closed");
}

Error failed_call(int error, const std::string& what, std::size_t transferred) noexcept {
  if (what.empty()) return with_transferred(Error::out_of_memory(), transferred);
  return Access::of_system_call<Error>(error, what, transferred);
}

std::string late(const std::string& what, Duration timeout) {
  return what + " took longer than timeout = " + in_words(timeout);
}

Error timed_out(const std::string& what, Duration timeout, std::size_t transferred) noexcept {
  if (what.empty()) return with_transferred(Error::without_message(Errc::timed_out), transferred);
  return with_transferred(Error::make(Errc::timed_out, [&] { return late(what, timeout); }), transferred);
}

Error cancelled_io(const std::string& what, std::string_view why, std::size_t transferred) noexcept {
  if (what.empty()) return with_transferred(Error::without_message(Errc::cancelled), transferred);
  return with_transferred(Error::make(Errc::cancelled, [&] { return what + ": " + std::string(why); }), transferred);
}

Error with_transferred(const Error& error, std::size_t transferred) noexcept {
  if (transferred == 0) return error;
  try {
    return Access::with_details(error, std::make_shared<const ErrorDetails>(
                                           ErrorDetails{.crash = {}, .stack = {}, .transferred = transferred}));
  } catch (const std::bad_alloc&) {
    return error;
  }
}

std::string name_of(int fd) {
  try {
    const std::string peer = peer_of(fd).text();
    if (!peer.empty()) return peer;
  } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): it has none, or not any more
  }
  return "descriptor " + std::to_string(fd);
}

}  // namespace leasepool::detail
