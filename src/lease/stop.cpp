// The stop tokens of calls.
#include "leasepool/detail/stop.hpp"

#include <memory>
#include <stop_token>
#include <utility>

namespace leasepool::detail {

CallerStop keep_stop_token(const std::stop_token& token) {
  return token.stop_possible() ? std::make_shared<const std::stop_token>(token) : nullptr;
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
