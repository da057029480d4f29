// An operation of ours as asio has them: a handler with its executor, work, allocator and cancellation slot. Of
// leasepool/asio.hpp.
#pragma once

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <variant>

#include "leasepool/detail/asio_outstanding.hpp"
#include "leasepool/detail/stored_call.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail::asio_side::inline LEASEPOOL_DETAIL_ASIO_KIND {

template <class R>
struct CompletionSignature {
  using Type = void(std::exception_ptr, R);
};
template <>
struct CompletionSignature<void> {
  using Type = void(std::exception_ptr);
};

// Their names are what the compiler says of a call that cannot be.
template <class R>  // for where there is an exception instead
concept ReturnsWhatIsDefaultConstructible = std::is_void_v<R> || std::default_initializable<R>;
template <class Split>
concept EndsWithAToken =
    PossibleCall<typename Split::Call> && ReturnsWhatIsDefaultConstructible<ResultOf<typename Split::Call>>;
template <class... Rest>
concept PossibleCallAndToken = sizeof...(Rest) > 1 && EndsWithAToken<CallAndCallback<CallOf, Rest...>>;

// Which cancellations an operation can keep to. A call that has begun may have had effects, so that "total", which asks
// for none, is not for it.
enum class Cancellable { no, with_effects, without_effects };

#ifdef LEASEPOOL_DETAIL_ASIO_SLOTS
// What the handler's slot asks to stop; none where there is no slot.
template <class Handler>
std::optional<std::stop_source> stop_source_of(const Handler& handler, Cancellable cancellable) {
  auto slot = net::get_associated_cancellation_slot(handler);
  if (cancellable == Cancellable::no || !slot.is_connected()) return std::nullopt;
  auto types = net::cancellation_type::terminal | net::cancellation_type::partial;
  if (cancellable == Cancellable::without_effects) types = types | net::cancellation_type::total;
  std::stop_source source;
  slot.assign([source, types](net::cancellation_type type) mutable {
    if ((type & types) != net::cancellation_type::none) source.request_stop();
  });
  return source;
}
template <class Handler>
void clear_slot(const Handler& handler) {
  net::get_associated_cancellation_slot(handler).clear();
}
#else
template <class Handler>
std::optional<std::stop_source> stop_source_of(const Handler& /*handler*/, Cancellable /*cancellable*/) {
  return std::nullopt;
}
template <class Handler>
void clear_slot(const Handler& /*handler*/) {}
#endif

struct RequestStop {
  std::stop_source source;
  void operator()() noexcept { source.request_stop(); }
};

// A call of the handler, on its way to its executor.
template <class R, class Handler>
struct Completion {
  using Value = std::conditional_t<std::is_void_v<R>, std::monostate, R>;
  using allocator_type = net::associated_allocator_t<Handler>;  // asio's names, these two
  [[nodiscard]] allocator_type get_allocator() const noexcept { return net::get_associated_allocator(handler); }

  void operator()() {
    if (holds_slot) clear_slot(handler);
    if constexpr (std::is_void_v<R>) {
      std::move(handler)(std::move(failure));
    } else {
      std::move(handler)(std::move(failure), std::move(value));
    }
  }

  Handler handler;
  net::executor_work_guard<net::associated_executor_t<Handler>> work;
  bool holds_slot;
  std::exception_ptr failure;
  Value value;
};

template <class R>
class OperationOf : public Outstanding {
 public:
  virtual void complete(Result<R>&& result) = 0;
};

// Dropped without being completed, because its loop is gone, it destroys the handler.
template <class R, class Handler>
class Operation final : public OperationOf<R> {
  using Executor = net::associated_executor_t<Handler>;

 public:
  explicit Operation(Handler&& handler)
      : handler_(std::move(handler)),
        work_(net::get_associated_executor(*handler_)),
        list_(outstanding_of(net::get_associated_executor(*handler_))) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() override { list_->remove(*this); }

  void begin() noexcept { list_->add(*this); }

  // Requested to stop by the handler's slot, or when `outer` is.
  [[nodiscard]] std::stop_token stop_token(const std::stop_token& outer, Cancellable cancellable) {
    const auto source = stop_source_of(*handler_, cancellable);
    if (!source) return outer;
    holds_slot_ = true;
    if (outer.stop_possible()) outer_stop_.emplace(outer, RequestStop{*source});
    return source->get_token();
  }

  void complete(Result<R>&& result) override {
    if (!list_->remove(*this)) return;
    const Executor executor = net::get_associated_executor(*handler_);
    if (!result) {
      net::dispatch(executor, take(result.error().exception(), Value{}));
    } else if constexpr (std::is_void_v<R>) {
      net::dispatch(executor, take(nullptr, Value{}));
    } else {
      net::dispatch(executor, take(nullptr, std::move(*result)));
    }
  }

  // What could not be started. No handler is called from the function that starts its operation.
  void fail_later(std::exception_ptr failure) {
    if (!list_->remove(*this)) return;
    const Executor executor = net::get_associated_executor(*handler_);
    net::post(executor, take(std::move(failure), Value{}));
  }

  void abandon() noexcept override {
    outer_stop_.reset();
    handler_.reset();
    work_.reset();
  }

 private:
  using Value = typename Completion<R, Handler>::Value;

  Completion<R, Handler> take(std::exception_ptr failure, Value value) {
    outer_stop_.reset();
    Completion<R, Handler> completion{.handler = std::move(*handler_),
                                      .work = std::move(*work_),
                                      .holds_slot = holds_slot_,
                                      .failure = std::move(failure),
                                      .value = std::move(value)};
    handler_.reset();
    work_.reset();
    return completion;
  }

  std::optional<Handler> handler_;
  std::optional<net::executor_work_guard<Executor>> work_;
  std::shared_ptr<OutstandingList> list_;
  std::optional<std::stop_callback<RequestStop>> outer_stop_;
  bool holds_slot_ = false;
};

// The callback that a verb of ours is given.
template <class R>
class OperationReceiver {
 public:
  explicit OperationReceiver(std::shared_ptr<OperationOf<R>> operation) noexcept : operation_(std::move(operation)) {}
  void operator()(Result<R>&& result) { operation_->complete(std::move(result)); }

 private:
  std::shared_ptr<OperationOf<R>> operation_;
};

// Begins an operation by start(receiver, stop token). An exception of that goes to the handler: a coroutine that is
// being suspended could not take it.
template <class R, class Token, class Start>
auto initiate(Token& token, Cancellable cancellable, std::stop_token outer, Start start) {
  auto begin = [cancellable, outer = std::move(outer), start = std::move(start)](auto&& handler) mutable {
    using Handler = std::decay_t<decltype(handler)>;
    auto operation = std::make_shared<Operation<R, Handler>>(Handler(std::forward<decltype(handler)>(handler)));
    operation->begin();
    try {
      start(OperationReceiver<R>(operation), operation->stop_token(outer, cancellable));
    } catch (...) {
      operation->fail_later(std::current_exception());
    }
  };
  return net::async_initiate<Token, typename CompletionSignature<R>::Type>(std::move(begin), token);
}

}  // namespace leasepool::detail::asio_side::inline LEASEPOOL_DETAIL_ASIO_KIND
