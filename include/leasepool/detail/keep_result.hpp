// What came of a call, kept until it is asked for, even where its move throws: std::deque's makes an allocation.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "leasepool/detail/export.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

// For a catch block.
LEASEPOOL_EXPORT std::string describe_current_exception();
// It as what a function threw, with a general text where there is no memory for its own.
LEASEPOOL_EXPORT Error thrown_error() noexcept;

// Whoever waits is told in any case: what the move throws takes the place of a result that cannot be moved.
template <class R>
void keep_result(std::optional<Result<R>>& kept, Result<R>&& result) noexcept {
  if constexpr (std::is_nothrow_move_constructible_v<Result<R>>) {
    kept.emplace(std::move(result));
  } else {
    try {
      kept.emplace(std::move(result));
    } catch (...) {
      kept.emplace(std::unexpect, thrown_error());
    }
  }
}

}  // namespace leasepool::detail
