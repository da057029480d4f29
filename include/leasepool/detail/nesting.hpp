// How deep values may be nested that are encoded or decoded: by the stack that the thread has left.
#pragma once

#include <cstddef>
#include <cstdint>

#include "leasepool/detail/export.hpp"

namespace leasepool::detail {

// How many bytes of this thread's stack encoding or decoding may take from here on: a quarter of what is left, so
// that the rest is there for what moves and destroys the value afterwards (in a build that is not optimized, destroying
// a level takes more than twice the stack of decoding it), and at most 4 MiB. The first call of a thread looks its
// stack up, for which a sandbox may leave no way later.
[[nodiscard]] LEASEPOOL_EXPORT std::size_t room_for_nesting() noexcept;

[[noreturn]] LEASEPOOL_EXPORT void throw_nested_too_deeply();

// One encoding or decoding, on the thread that constructs it. What goes into no value does not ask how much room there
// is.
class NestingBound {
 public:
  explicit NestingBound(std::size_t most = SIZE_MAX) noexcept : most_(most), begin_(here()), reached_(begin_) {}

  // Before going into a value.
  void check() { check(here()); }

  // Where something goes that went so many bytes deep elsewhere.
  void check_as_deep_as(std::size_t bytes) {
    const std::uintptr_t from = here();
    if (bytes > from) throw_nested_too_deeply();
    check(from - bytes);
  }

  // How many bytes deep it has gone between the two.
  struct Mark {
    std::uintptr_t at = 0;
    std::uintptr_t reached_before = 0;
  };
  [[nodiscard]] Mark begin() noexcept {
    const Mark mark{.at = here(), .reached_before = reached_};
    reached_ = mark.at;
    return mark;
  }
  [[nodiscard]] std::size_t end(const Mark& mark) noexcept {
    const std::size_t depth = mark.at - lower(mark.at, reached_);
    reached_ = lower(reached_, mark.reached_before);
    return depth;
  }

 private:
  // std::min(), without all of <algorithm>.
  static std::uintptr_t lower(std::uintptr_t left, std::uintptr_t right) noexcept {
    return right < left ? right : left;
  }
  static std::uintptr_t here() noexcept { return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)); }

  void check(std::uintptr_t at) {
    if (lowest_ == 0) lowest_ = begin_ - lower(most_, room_for_nesting());
    if (at < lowest_) throw_nested_too_deeply();
    reached_ = lower(reached_, at);
  }

  std::size_t most_;
  std::uintptr_t begin_;  // address of a frame, as are those below: stacks grow downwards
  std::uintptr_t lowest_ = 0;
  std::uintptr_t reached_;  // the lowest of those checked
};

}  // namespace leasepool::detail
