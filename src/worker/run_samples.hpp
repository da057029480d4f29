// RunSamples: which calls a worker measures. Of a function that is quick one in so many will do: the parent asks how
// long it takes only to know whether others may wait behind it, and two readings of the clock are a good part of a
// short call.
#pragma once

#include <chrono>

#include "leasepool/detail/registry.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail {

// One thread.
class RunSamples {
 public:
  // Whether the next call is to be measured: of another function than the last one, or of one that is not known to be
  // quick, always.
  [[nodiscard]] bool wanted(FunctionId function) noexcept {
    if (function == quick_ && unmeasured_ != kOneIn - 1) {
      ++unmeasured_;
      return false;
    }
    return true;
  }
  void measured(FunctionId function, Duration ran) noexcept {
    quick_ = ran < kQuick ? function : FunctionId{};
    unmeasured_ = 0;
  }

 private:
  static constexpr Duration kQuick = std::chrono::microseconds(2);  // a tenth of what is waited for
  static constexpr int kOneIn = 8;

  FunctionId quick_{};  // none
  int unmeasured_ = 0;  // calls of it since
};

}  // namespace leasepool::detail
