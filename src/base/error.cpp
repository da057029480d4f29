// The error category, and what Error throws.
#include "leasepool/error.hpp"

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "leasepool/detail/access.hpp"
#include "leasepool/detail/keep_result.hpp"

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
      case Errc::end_of_stream: return "end of stream";
      case Errc::node_lost: return "node lost";
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

// The errors for where there is no memory to make one: a state and an exception for each code, made when the library is
// loaded and never destroyed.
struct [[gnu::visibility("hidden")]] Error::Premade {
  static constexpr int kCodes = static_cast<int>(detail::kLastErrc);

  struct Entry {
    State state;
    std::exception_ptr exception;
  };

  Premade() noexcept {
    for (int code = 1; code <= kCodes; ++code) {
      State& state = of_code[code].state;
      state.code = static_cast<Errc>(code);
      state.message = "out of memory: no more can be said than " + state.code.message();
      state.may_have_run = detail::may_have_run(state.code);
      of_code[code].exception = std::make_exception_ptr(LeasePoolError(state.code, state.message));
    }
    no_memory.state = {.code = std::make_error_code(std::errc::not_enough_memory),
                       .message = "out of memory",
                       .thrown = std::make_exception_ptr(std::bad_alloc()),
                       .details = {}};
    no_memory.exception = no_memory.state.thrown;
  }

  static const Premade& instance() noexcept {
    // While the library is loaded. NOLINTNEXTLINE(bugprone-unhandled-exception-at-new)
    static const auto* const premade = new Premade;
    return *premade;
  }

  [[nodiscard]] const Entry& entry(std::error_code code) const noexcept {
    const bool is_ours = code.category() == error_category() && code.value() >= 1 && code.value() <= kCodes;
    return is_ours ? of_code[code.value()] : no_memory;
  }
  [[nodiscard]] static Error error(const Entry& entry) noexcept {
    return Error(std::shared_ptr<const State>(std::shared_ptr<void>(), &entry.state));  // owns nothing
  }

  Entry of_code[kCodes + 1];
  Entry no_memory;

  static const Premade& at_load;
};

const Error::Premade& Error::Premade::at_load = instance();

Error Error::without_message(Errc code) noexcept {
  const Premade& premade = Premade::instance();
  return Premade::error(premade.entry(code));
}

Error Error::out_of_memory() noexcept { return Premade::error(Premade::instance().no_memory); }

Error::Error(Errc code, std::string message) noexcept {
  try {
    state_ = std::make_shared<const State>(State{.code = code,
                                                 .message = std::move(message),
                                                 .thrown = {},
                                                 .details = {},
                                                 .may_have_run = detail::may_have_run(code)});
  } catch (const std::bad_alloc&) {
    *this = without_message(code);
  }
}

Error::Error(std::exception_ptr thrown, std::string message) noexcept {
  try {
    state_ = std::make_shared<const State>(State{
        .code = Errc::remote_exception, .message = std::move(message), .thrown = std::move(thrown), .details = {}});
  } catch (const std::bad_alloc&) {
    *this = without_message(Errc::remote_exception);
  }
}

Error Error::of_system_call(int error, const std::string& what, std::size_t transferred) noexcept {
  try {
    const std::error_code code(error, std::generic_category());
    const IoError thrown(code, what, transferred);
    return Error(
        std::make_shared<const State>(State{.code = code,
                                            .message = thrown.what(),
                                            .thrown = std::make_exception_ptr(thrown),
                                            .details = std::make_shared<detail::ErrorDetails>(detail::ErrorDetails{
                                                .crash = {}, .stack = {}, .transferred = transferred})}));
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  }
}

template <std::invocable<Error::State&> Change>
Error Error::changed(const Change& change) const noexcept {
  try {
    State state = *state_;
    change(state);
    return Error(std::make_shared<const State>(std::move(state)));
  } catch (const std::bad_alloc&) {
    return *this;
  }
}

Error Error::with_message(std::string message) const noexcept {
  return changed([&](State& state) { state.message = std::move(message); });
}

Error Error::with_details(std::shared_ptr<const detail::ErrorDetails> details) const noexcept {
  return changed([&](State& state) { state.details = std::move(details); });
}

Error Error::not_run() const noexcept {
  if (!state_->may_have_run) return *this;
  return changed([](State& state) { state.may_have_run = false; });
}

std::exception_ptr Error::exception() const noexcept {
  if (state_->thrown) return state_->thrown;
  try {
    return std::make_exception_ptr(
        detail::Access::make<LeasePoolError>(state_->code, state_->message, state_->details, state_->may_have_run));
  } catch (const std::bad_alloc&) {
    return Premade::instance().entry(state_->code).exception;
  }
}

void Error::raise() const { std::rethrow_exception(exception()); }

namespace detail {

bool may_have_run(std::error_code code) noexcept {
  switch (errc_of(code)) {
    case Errc::not_started:
    case Errc::lease_unavailable:
    case Errc::queue_full:
    case Errc::wrong_thread:
    case Errc::unregistered_function:
    case Errc::not_serializable: return false;
    default: return true;  // unless whoever ended the call knows better
  }
}

std::string describe_current_exception() {
  try {
    throw;
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

Error thrown_error() noexcept {
  std::string message = "out of memory";  // needs none
  try {
    message = describe_current_exception();
  } catch (...) {  // NOLINT(bugprone-empty-catch): as it stands
  }
  return {std::current_exception(), std::move(message)};
}

}  // namespace detail

}  // namespace leasepool
