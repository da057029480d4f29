// The error category, and what Error throws.
#include "leasepool/error.hpp"

namespace leasepool {

namespace {

class Category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "leasepool"; }
  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::not_started: return "not started";
      case Errc::lease_unavailable: return "no lease available";
      case Errc::lease_expired: return "lease expired";
      case Errc::timed_out: return "timed out";
      case Errc::cancelled: return "cancelled";
      case Errc::queue_full: return "queue full";
      case Errc::wrong_thread: return "wrong thread";
      case Errc::worker_crashed: return "worker crashed";
      case Errc::pool_broken: return "pool broken";
      case Errc::remote_exception: return "the function threw an exception";
      case Errc::unregistered_function: return "function not registered";
      case Errc::not_serializable: return "type not serializable";
      case Errc::payload_too_large: return "payload too large";
      case Errc::bad_payload: return "bad payload";
      case Errc::unsupported: return "not supported by this system";
    }
    return "unknown leasepool error " + std::to_string(code);
  }
};

}  // namespace

const std::error_category& error_category() noexcept {
  static const Category category;
  return category;
}

std::error_code make_error_code(Errc code) noexcept { return {static_cast<int>(code), error_category()}; }

namespace {

const StackTrace& stack_of(const detail::ErrorDetails* details) noexcept {
  static const StackTrace unknown;
  if (details == nullptr) return unknown;
  return details->crash ? details->crash->stack : details->stack;
}

}  // namespace

const StackTrace& Error::stack() const noexcept { return stack_of(state_->details.get()); }

const StackTrace& LeasePoolError::stack() const noexcept { return stack_of(details_.get()); }

Error Error::with_message(std::string message) const {
  State state = *state_;
  state.message = std::move(message);
  return Error(std::move(state));
}

Error Error::with_details(std::shared_ptr<const detail::ErrorDetails> details) const {
  State state = *state_;
  state.details = std::move(details);
  return Error(std::move(state));
}

std::exception_ptr Error::exception() const {
  return state_->thrown ? state_->thrown
                        : std::make_exception_ptr(LeasePoolError(state_->code, state_->message, state_->details));
}

void Error::raise() const {
  if (state_->thrown) std::rethrow_exception(state_->thrown);
  throw LeasePoolError(state_->code, state_->message, state_->details);
}

}  // namespace leasepool
