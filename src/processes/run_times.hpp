// RunTimes: how long a pool's functions take, as their workers say: a hint, by which calls are sent ahead or not.
#pragma once

#include <algorithm>
#include <chrono>
#include <new>
#include <unordered_map>

#include "leasepool/detail/registry.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail {

// Loop thread only.
class RunTimes {
 public:
  // What a call of the function is expected to take; of one that has not been seen, more than is waited for.
  static constexpr Duration kUnknown = std::chrono::seconds(1);
  [[nodiscard]] Duration expected(FunctionId function) const {
    const auto known = times_.find(function);
    return known == times_.end() ? kUnknown : known->second;
  }

  // A long run counts at once, shorter ones little by little: what is sometimes long is taken for long.
  void ran(FunctionId function, Duration time) noexcept {
    time = std::clamp(time, Duration::zero(), kUnknown);
    try {
      const auto [known, is_new] = times_.try_emplace(function, time);
      if (!is_new) known->second = std::max(time, known->second - (known->second - time) / kSlowness);
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it stays unknown
    }
  }

 private:
  static constexpr int kSlowness = 16;

  std::unordered_map<FunctionId, Duration> times_;
};

}  // namespace leasepool::detail
