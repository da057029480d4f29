// RunTimes: how long a pool's functions take, as their workers say: a hint, by which calls are sent ahead or not.
#pragma once

#include <algorithm>
#include <chrono>
#include <new>
#include <unordered_map>
#include <utility>

#include "leasepool/detail/registry.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail {

// Loop thread only.
class RunTimes {
 public:
  // What a call of the function is expected to take; of one that has not been seen, more than is waited for.
  static constexpr Duration kUnknown = std::chrono::seconds(1);
  [[nodiscard]] Duration expected(FunctionId function) {
    const Duration* const known = find(function);
    return known == nullptr ? kUnknown : *known;
  }

  // A long run counts at once, shorter ones little by little: what is sometimes long is taken for long.
  void ran(FunctionId function, Duration time) noexcept {
    time = std::clamp(time, Duration::zero(), kUnknown);
    if (Duration* const known = find(function)) {
      *known = std::max(time, *known - (*known - time) / kSlowness);
      return;
    }
    try {
      times_.emplace(function, time);
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it stays unknown
    }
  }

 private:
  static constexpr int kSlowness = 16;

  // Calls of one function follow each other, so that the last one found is mostly the next one.
  [[nodiscard]] Duration* find(FunctionId function) {
    if (latest_ == nullptr || latest_->first != function) {
      const auto known = times_.find(function);
      if (known == times_.end()) return nullptr;
      latest_ = &*known;
    }
    return &latest_->second;
  }

  std::unordered_map<FunctionId, Duration> times_;           // none is ever removed
  std::pair<const FunctionId, Duration>* latest_ = nullptr;  // among them
};

}  // namespace leasepool::detail
