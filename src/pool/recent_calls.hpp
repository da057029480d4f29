// RecentCalls: whose the last calls of a worker were, for what it printed in them and is read later.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "leasepool/detail/registry.hpp"

namespace leasepool::detail {

// Loop thread only.
class RecentCalls {
 public:
  // More than are answered in a turn of the loop, which takes lines, too.
  static constexpr std::size_t kMost = 128;

  struct Call {
    std::uint64_t id = 0;
    FunctionId function = 0;
    std::shared_ptr<const std::string> shared_owner{};  // with the calls beside it

    [[nodiscard]] std::string_view owner() const noexcept { return shared_owner ? *shared_owner : std::string_view(); }
  };

  void add(std::uint64_t id, FunctionId function, std::string_view owner) {
    if (last().owner() != owner) owner_ = std::make_shared<const std::string>(owner);
    Call& call = calls_[added_++ % kMost];
    call.id = id;
    call.function = function;
    if (call.shared_owner != owner_) call.shared_owner = owner_;
  }

  // Empty before the first.
  [[nodiscard]] const Call& last() const noexcept { return calls_[(added_ + kMost - 1) % kMost]; }

  // Null if it is not one of them.
  [[nodiscard]] const Call* find(std::uint64_t id) const noexcept {
    for (std::size_t back = 1; back <= kMost && back <= added_; ++back) {
      if (const Call& call = calls_[(added_ - back) % kMost]; call.id == id) return &call;
    }
    return nullptr;
  }

 private:
  std::array<Call, kMost> calls_;
  std::size_t added_ = 0;
  std::shared_ptr<const std::string> owner_;  // of the last
};

}  // namespace leasepool::detail
