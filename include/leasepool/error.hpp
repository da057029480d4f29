// What can go wrong: Errc names it, Error carries it as a value, LeasePoolError is what an await throws.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <concepts>
#include <cstddef>
#include <exception>
#include <expected>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "leasepool/crash.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/export.hpp"

namespace leasepool {

/// Why a call, an acquire or a start failed.
enum class Errc {
  not_started = 1,        ///< the manager or the grinder is not running
  lease_unavailable,      ///< no pool is free and the caller did not want to wait
  lease_expired,          ///< the lease was released or revoked
  timed_out,              ///< a deadline passed
  cancelled,              ///< the caller, or a stop, took it back
  queue_full,             ///< a bounded queue has no room
  wrong_thread,           ///< called from a thread that may not
  worker_crashed,         ///< the worker process died while it ran the call
  pool_broken,            ///< workers cannot be started or keep dying
  remote_exception,       ///< the function itself threw
  unregistered_function,  ///< LEASEPOOL_REGISTER is missing for the function
  not_serializable,       ///< a type cannot be sent to a worker process
  payload_too_large,      ///< over max_payload, max_decoded_bytes, the descriptors that fit, or a reader's bound
  bad_payload,            ///< bytes that do not decode
  unsupported,            ///< this system lacks what was asked for
  end_of_stream,          ///< the other end has closed before all had come
  node_lost,              ///< the machine that the lease's pool is on cannot be reached any more
};

/// The category of every Errc; its name is "leasepool".
LEASEPOOL_EXPORT const std::error_category& error_category() noexcept;
LEASEPOOL_EXPORT std::error_code make_error_code(Errc code) noexcept;

namespace detail {
// What is known beyond the message.
struct ErrorDetails {
  std::optional<WorkerCrash> crash{};
  StackTrace stack{};
  std::size_t transferred = 0;
};
}  // namespace detail

/// What failed, as a value. Cheap to move and to copy; any thread. Making one never fails: what ends a call must be
/// able to say so where there is no memory. A moved-from one may only be destroyed or assigned to.
class LEASEPOOL_EXPORT Error {
 public:
  /// A failure that the library itself found. Where there is no memory to keep the message, a general one stands in its
  /// place.
  Error(Errc code, std::string message) noexcept;

  /// The same; `make_message` returns the message, or throws std::bad_alloc where there is no memory for it.
  template <std::invocable MakeMessage>
  static Error make(Errc code, MakeMessage&& make_message) noexcept {
    try {
      return Error(code, std::forward<MakeMessage>(make_message)());
    } catch (const std::bad_alloc&) {
      return without_message(code);
    }
  }

  /// The same with the general message: for where there is no memory. Makes nothing.
  static Error without_message(Errc code) noexcept;

  /// An exception that the called function threw: code() is Errc::remote_exception and raise() throws `thrown`.
  Error(std::exception_ptr thrown, std::string message) noexcept;

  /// There is no memory: code() is std::errc::not_enough_memory and raise() throws std::bad_alloc.
  static Error out_of_memory() noexcept;

  [[nodiscard]] std::error_code code() const noexcept { return state_->code; }
  [[nodiscard]] const std::string& message() const noexcept { return state_->message; }

  /// Of worker_crashed: how the worker ended, and what it was doing; null of all others. Lives as long as any copy of
  /// this error.
  [[nodiscard]] const WorkerCrash* crash() const noexcept {
    return state_->details && state_->details->crash ? &*state_->details->crash : nullptr;
  }

  /// Where the call was when its worker crashed, or, of one that was ended for its deadline, where it was at its
  /// lease's soft expiry or late in its time-out. Empty where that is not known: on threads, for one.
  [[nodiscard]] const StackTrace& stack() const noexcept;

  /// Of I/O: how many bytes had been read or written by then. Zero of all others.
  [[nodiscard]] std::size_t transferred() const noexcept { return state_->details ? state_->details->transferred : 0; }

  /// Of a call: whether its function may have run, in part or in full. False only where it is certain that it has not
  /// begun, so that the call can safely be made again. Of a failed acquire: false.
  [[nodiscard]] bool may_have_run() const noexcept { return state_->may_have_run; }

  /// What raise() would throw.
  [[nodiscard]] std::exception_ptr exception() const noexcept;

  /// Throws: the function's own exception if there is one, IoError for a system call that failed, else LeasePoolError.
  [[noreturn]] void raise() const;

  /// Equal when code and message are.
  friend bool operator==(const Error& left, const Error& right) noexcept {
    return left.code() == right.code() && left.message() == right.message();
  }

 private:
  struct State {
    std::error_code code{};
    std::string message{};
    std::exception_ptr thrown{};
    std::shared_ptr<const detail::ErrorDetails> details{};
    bool may_have_run = true;
  };
  struct Premade;
  friend struct detail::Access;
  explicit Error(std::shared_ptr<const State> state) noexcept : state_(std::move(state)) {}

  // A system call that failed: code() is the errno's, and raise() throws an IoError.
  static Error of_system_call(int error, const std::string& what, std::size_t transferred) noexcept;

  // The same failure with other words, or with what is known of it; as it is where there is no memory for that.
  [[nodiscard]] Error with_message(std::string message) const noexcept;
  template <std::invocable MakeMessage>
  [[nodiscard]] Error with_message(MakeMessage&& make_message) const noexcept {
    try {
      return with_message(std::string(std::forward<MakeMessage>(make_message)()));
    } catch (const std::bad_alloc&) {
      return *this;
    }
  }
  [[nodiscard]] Error with_details(std::shared_ptr<const detail::ErrorDetails> details) const noexcept;

  // The same failure, of a call whose function has certainly not begun. Where there is no memory to say so it may have.
  [[nodiscard]] Error not_run() const noexcept;

  // The same with `change` made; as it is where there is no memory for that.
  template <std::invocable<State&> Change>
  [[nodiscard]] Error changed(const Change& change) const noexcept;

  std::shared_ptr<const State> state_;  // a Result has room for it in each call, though few fail
};

/// A value or the Error that took its place.
template <class T>
using Result = std::expected<T, Error>;

/// The value; or throws what an await would have thrown: the function's own exception, or LeasePoolError, whose what()
/// has the message. (std::expected's own value() throws an exception that has none.)
template <class T>
T value_or_raise(Result<T> result) {
  if (!result) result.error().raise();
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

namespace detail {
// Whether a call that failed so may have run, where nothing else is said.
LEASEPOOL_EXPORT bool may_have_run(std::error_code code) noexcept;
}  // namespace detail

/// What an await throws for the library's own failures; code() compares with Errc.
class LEASEPOOL_EXPORT LeasePoolError : public std::system_error {
 public:
  LeasePoolError(std::error_code code, const std::string& message)
      : std::system_error(code, message), may_have_run_(detail::may_have_run(code)) {}

  /// As Error::may_have_run(). One that the function itself threw says what it was thrown for.
  [[nodiscard]] bool may_have_run() const noexcept { return may_have_run_; }

  /// As Error::crash() and Error::stack().
  [[nodiscard]] const WorkerCrash* crash() const noexcept {
    return details_ && details_->crash ? &*details_->crash : nullptr;
  }
  [[nodiscard]] const StackTrace& stack() const noexcept;
  [[nodiscard]] std::size_t transferred() const noexcept { return details_ ? details_->transferred : 0; }

 private:
  friend struct detail::Access;
  LeasePoolError(std::error_code code, const std::string& message, std::shared_ptr<const detail::ErrorDetails> details,
                 bool may_have_run)
      : std::system_error(code, message), details_(std::move(details)), may_have_run_(may_have_run) {}

  std::shared_ptr<const detail::ErrorDetails> details_;
  bool may_have_run_;
};

/// What an await throws for a system call that failed: code() is the errno's own, what() says which verb that was, and
/// of what.
class LEASEPOOL_EXPORT IoError : public std::system_error {
 public:
  IoError(std::error_code code, const std::string& what, std::size_t transferred = 0)
      : std::system_error(code, what), transferred_(transferred) {}

  /// How many bytes the verb had read or written by then.
  [[nodiscard]] std::size_t transferred() const noexcept { return transferred_; }

 private:
  std::size_t transferred_;
};

namespace detail {
/// The last of Errc.
inline constexpr Errc kLastErrc = Errc::node_lost;

// The code as one of Errc; Errc{} if it is of another category.
inline Errc errc_of(std::error_code code) noexcept {
  return code.category() == error_category() ? static_cast<Errc>(code.value()) : Errc{};
}

inline std::unexpected<Error> failure(Errc code, std::string message) noexcept {
  return std::unexpected<Error>(std::in_place, code, std::move(message));
}
}  // namespace detail

}  // namespace leasepool

template <>
struct std::is_error_code_enum<leasepool::Errc> : std::true_type {};

#endif
