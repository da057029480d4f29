// RecentCalls: whose the last calls of a worker were, for what it printed in them and is read later.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "leasepool/detail/registry.hpp"

namespace leasepool::detail {

// Loop thread only.
class RecentCalls {
 public:
  // More than are answered in a turn of the loop, which takes lines, too.
  static constexpr std::size_t kMax = 128;

  struct Call {
    std::uint64_t id = 0;
    FunctionId function = 0;
    std::shared_ptr<const std::string> shared_owner{};  // with the calls beside it

    [[nodiscard]] std::string_view owner() const noexcept { return shared_owner ? *shared_owner : std::string_view(); }
  };

  // Where there is no memory for the owner's name, it is not known.
  void add(std::uint64_t id, FunctionId function, std::string_view owner) noexcept {
    if (last().owner() != owner) {
      try {
        owner_ = std::make_shared<const std::string>(owner);
      } catch (const std::bad_alloc&) {
        owner_.reset();
      }
    }
    Call& call = calls_[added_++ % kMax];
    call.id = id;
    call.function = function;
    if (call.shared_owner != owner_) call.shared_owner = owner_;
  }

  // Empty before the first.
  [[nodiscard]] const Call& last() const noexcept { return calls_[(added_ + kMax - 1) % kMax]; }

  // Null if it is not one of them.
  [[nodiscard]] const Call* find(std::uint64_t id) const noexcept {
    for (std::size_t back = 1; back <= kMax && back <= added_; ++back) {
      if (const Call& call = calls_[(added_ - back) % kMax]; call.id == id) return &call;
    }
    return nullptr;
  }

 private:
  std::array<Call, kMax> calls_;
  std::size_t added_ = 0;
  std::shared_ptr<const std::string> owner_;  // of the last
};

}  // namespace leasepool::detail
