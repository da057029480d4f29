// What all verbs of I/O check before they begin, and how their failures read.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "base/leak.hpp"
#include "leasepool/error.hpp"
#include "leasepool/io.hpp"
#include "loop/loop_core.hpp"

namespace leasepool::detail {

// Throws LeasePoolError (wrong_thread, or cancelled where the loop has closed) and std::invalid_argument.
void check_verb(const LoopCore& loop, const char* verb, Duration timeout);
// Throws LeasePoolError (cancelled).
[[noreturn]] void throw_closed(const char* verb, const char* what);

template <class T>
void check_io_callback(const char* verb, const IoCallback<T>& done) {
  if (!done) {
    throw std::invalid_argument("leasepool: " + std::string(verb) + "() needs a callback, and this one is empty");
  }
}

// What a public object does with its core when it goes. A copy of the process touches nothing of the loop's.
template <class Core>
void let_go(std::shared_ptr<Core>& core) noexcept {
  if (!core) return;
  core->loop().is_copy() ? leak(std::move(core)) : core->close();
}

// For a verb that has no use for the number of bytes.
inline IoCallback<std::size_t> without_count(IoCallback<void> done) {
  return [done = std::move(done)](const Result<std::size_t>& count) mutable {
    count ? done({}) : done(std::unexpected(count.error()));
  };
}

// What `describe` returns; nothing where there is no memory for it: an error must not fail to come for want of its
// words.
template <class Describe>
std::string in_words_if_room(Describe describe) noexcept {
  try {
    return describe();
  } catch (const std::bad_alloc&) {
    return {};
  }
}

// `what` is what a verb is about, as "read from 127.0.0.1:80"; of an empty one, nothing is said.
[[nodiscard]] Error failed_call(int error, const std::string& what, std::size_t transferred = 0) noexcept;
[[nodiscard]] std::string late(const std::string& what, Duration timeout);
[[nodiscard]] Error timed_out(const std::string& what, Duration timeout, std::size_t transferred = 0) noexcept;
[[nodiscard]] Error cancelled_io(const std::string& what, std::string_view why, std::size_t transferred = 0) noexcept;
[[nodiscard]] Error with_transferred(const Error& error, std::size_t transferred) noexcept;

// Of what a descriptor is connected to, or its number.
[[nodiscard]] std::string name_of(int fd);

}  // namespace leasepool::detail
