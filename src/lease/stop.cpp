// The stop tokens of calls.
#include "leasepool/detail/stop.hpp"

#include <memory>
#include <new>
#include <stop_token>
#include <utility>

namespace leasepool::detail {

CallerStop::CallerStop(const std::stop_token& token) noexcept {
  // A counted pointer, so that it may also be moved by its bytes.
  static_assert(sizeof(std::stop_token) == sizeof(Storage) && alignof(std::stop_token) <= alignof(Storage));
  if (!token.stop_possible()) return;
  new (token_.bytes) std::stop_token(token);
  is_set_ = true;
}
void CallerStop::copy(const CallerStop& other) noexcept {
  new (token_.bytes) std::stop_token(*other.get());
  is_set_ = true;
}
void CallerStop::destroy() noexcept { std::destroy_at(std::launder(reinterpret_cast<std::stop_token*>(token_.bytes))); }
const std::stop_token* CallerStop::get() const noexcept {
  return is_set_ ? std::launder(reinterpret_cast<const std::stop_token*>(token_.bytes)) : nullptr;
}

FunctionStop& FunctionStop::operator=(const std::stop_source& source) {
  delete std::exchange(source_, new std::stop_source(source));
  return *this;
}
void FunctionStop::request_stop() const noexcept {
  if (source_ != nullptr) source_->request_stop();
}
std::stop_token FunctionStop::token() const noexcept {
  return source_ != nullptr ? source_->get_token() : std::stop_token();
}
void FunctionStop::release() noexcept { delete source_; }

}  // namespace leasepool::detail
