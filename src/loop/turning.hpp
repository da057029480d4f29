// Turning: marks the time in which a loop takes a turn.
#pragma once

#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

// The loop's thread.
class Turning {
 public:
  explicit Turning(bool& turning) : turning_(turning) {
    check(!std::exchange(turning_, true), "a loop takes one turn at a time");
  }
  Turning(const Turning&) = delete;
  Turning& operator=(const Turning&) = delete;
  ~Turning() { turning_ = false; }

 private:
  bool& turning_;
};

}  // namespace leasepool::detail
