// What calls have of std::stop_token, whose header a program includes that uses it: it costs a small one 3,000 lines.
#pragma once

#include <memory>

#include "leasepool/detail/export.hpp"
#include "leasepool/detail/std_types.hpp"

namespace leasepool::detail {

// A caller's token, kept for its calls; null for one that never stops. Throws std::bad_alloc.
using CallerStop = std::shared_ptr<const std::stop_token>;
[[nodiscard]] LEASEPOOL_EXPORT CallerStop keep_stop_token(const std::stop_token& token);

// Asks a running function to end early. Any thread, but for making and destroying it. Empty until it is assigned to.
class LEASEPOOL_EXPORT FunctionStop {
 public:
  FunctionStop() noexcept = default;
  FunctionStop(const FunctionStop&) = delete;
  FunctionStop& operator=(const FunctionStop&) = delete;
  ~FunctionStop() {
    if (source_ != nullptr) release();
  }

  // Throws std::bad_alloc.
  FunctionStop& operator=(const std::stop_source& source);
  void request_stop() const noexcept;
  [[nodiscard]] std::stop_token token() const noexcept;

 private:
  void release() noexcept;
  std::stop_source* source_ = nullptr;
};

}  // namespace leasepool::detail
