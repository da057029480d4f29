// BoundJob: a callable, its arguments, and whoever gets the result, as a Job.
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/detail/registry.hpp"
#include "leasepool/detail/serialize.hpp"
#include "leasepool/detail/type_name.hpp"
#include "leasepool/error.hpp"
#include "leasepool/function.hpp"

namespace leasepool::detail {

// A promise as a receiver. Any thread may wait on its future.
template <class R>
class PromiseReceiver {
 public:
  explicit PromiseReceiver(std::promise<R> promise) : promise_(std::move(promise)) {}
  void operator()(Result<R> result) {
    if (!result) {
      promise_.set_exception(result.error().exception());
    } else if constexpr (std::is_void_v<R>) {
      promise_.set_value();
    } else {
      promise_.set_value(std::move(*result));
    }
  }

 private:
  std::promise<R> promise_;
};

// How a callable is called with decayed arguments: directly, or with a std::stop_token in front.
template <class F, class... A>
struct CallTraits {
  static constexpr bool kDirect = std::invocable<F&, A...>;
  static constexpr bool kWithStopToken = !kDirect && std::invocable<F&, std::stop_token, A...>;
  static_assert(kDirect || kWithStopToken,
                "leasepool: the function cannot be called with these arguments (they are stored by value and moved "
                "in; std::ref() passes a reference)");
};

template <class F>
concept FunctionPointer = std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;

// A function pointer's arguments are converted to its parameter types at once, any other callable's are decayed.
template <class F, class... A>
struct StoredCall {
  using Arguments = std::tuple<std::decay_t<A>...>;
  using Raw = typename std::conditional_t<CallTraits<F, std::decay_t<A>...>::kDirect,
                                          std::invoke_result<F&, std::decay_t<A>...>,
                                          std::invoke_result<F&, std::stop_token, std::decay_t<A>...>>::type;
  static constexpr bool kTakesStopToken = CallTraits<F, std::decay_t<A>...>::kWithStopToken;
};
template <class List>
struct ParameterTuple;
template <class... P>
struct ParameterTuple<TypeList<P...>> {
  using Arguments = std::tuple<CarriedType<P>...>;
  template <class... A>
  static constexpr bool kConvertible = [] {
    if constexpr (sizeof...(A) == sizeof...(P)) {
      return (std::is_convertible_v<A, P> && ...);
    } else {
      return false;
    }
  }();
};
template <FunctionPointer F, class... A>
struct StoredCall<F, A...> {
  using Sig = Signature<F>;
  using Parameters = ParameterTuple<typename Sig::Parameters>;
  static_assert(Parameters::template kConvertible<A...>,
                "leasepool: wrong number or types of arguments for this function");
  using Arguments = typename Parameters::Arguments;
  using Raw = typename Sig::Return;
  static constexpr bool kTakesStopToken = Sig::kTakesStopToken;
};

template <class F, class... A>
using CallResult = std::remove_cvref_t<typename StoredCall<std::decay_t<F>, A...>::Raw>;

template <class F, class R, class Arguments, bool kTakesStopToken, class Receiver>
class BoundJob final : public Job {
 public:
  template <class... A>
  explicit BoundJob(F function, A&&... arguments)
      : function_(std::move(function)), arguments_(std::in_place, std::forward<A>(arguments)...) {}

  void set_receiver(Receiver receiver) { receiver_.emplace(std::move(receiver)); }

  void run() noexcept override {
    try {
      const auto call = [this]<class... P>(P&&... argument) -> decltype(auto) {
        if constexpr (kTakesStopToken) {
          return std::invoke(function_, booking.stop.get_token(), std::forward<P>(argument)...);
        } else {
          return std::invoke(function_, std::forward<P>(argument)...);
        }
      };
      if constexpr (std::is_void_v<R>) {
        std::apply(call, std::move(*arguments_));
        outcome_.emplace();
      } else {
        outcome_.emplace(std::apply(call, std::move(*arguments_)));
      }
    } catch (...) {
      outcome_.emplace(std::unexpect, std::current_exception(), describe_current_exception());
    }
  }

  Result<FunctionId> encode([[maybe_unused]] Bytes& out, [[maybe_unused]] Descriptors& descriptors,
                            [[maybe_unused]] std::size_t limit) const override {
    if constexpr (FunctionPointer<F>) {
      using Sig = Signature<F>;
      using Types = Carried<typename Sig::Return, typename Sig::Parameters>;
      const RegisteredFunction* const known = find_function(reinterpret_cast<FunctionAddress>(function_));
      if (known == nullptr) return std::unexpected(unregistered_function_error(type_name<F>()));
      if constexpr (!Types::kPossible) {
        return std::unexpected(not_serializable_error(known->name, Types::kNotSerializable));
      } else {
        ByteWriter writer(out, limit);
        DescriptorWriter beside;
        try {
          std::apply([&](const auto&... argument) { detail::encode(writer, beside, argument...); }, *arguments_);
        } catch (...) {
          return std::unexpected(
              bad_payload_error(known->name, "encoding its arguments", describe_current_exception()));
        }
        if (!writer.fits()) {
          return std::unexpected(payload_too_large_error(known->name, "the arguments", writer.written(), limit));
        }
        if (!beside.fits()) {
          return std::unexpected(too_many_descriptors_error(known->name, "the arguments", beside.written()));
        }
        descriptors = beside.take();
        return known->id;
      }
    } else {
      return std::unexpected(unregistered_function_error(type_name<F>()));
    }
  }

  void accept([[maybe_unused]] std::span<const std::byte> result, [[maybe_unused]] std::span<Fd> descriptors) override {
    if constexpr (std::is_void_v<R>) {
      if (result.empty() && descriptors.empty()) {
        outcome_.emplace();
      } else {
        fail(bad_payload_error(function_name(), "decoding its result", "something where there should be nothing"));
      }
    } else if constexpr (kSerializable<R>) {
      try {
        ByteReader reader(result);
        DescriptorReader beside(descriptors);
        R value{};
        decode(reader, beside, value);
        outcome_.emplace(std::move(value));
      } catch (...) {
        fail(bad_payload_error(function_name(), "decoding its result", describe_current_exception()));
      }
    }
  }

  void fail(Error error) override { outcome_.emplace(std::unexpect, std::move(error)); }

  void deliver() override {
    arguments_.reset();  // the receiver may wait for their end, as the reader of a pipe does
    if (receiver_) (*receiver_)(std::move(*outcome_));
  }

  std::move_only_function<void()> take_delivery(Error error) override {
    return [receiver = std::exchange(receiver_, std::nullopt), error = std::move(error)]() mutable {
      if (receiver) (*receiver)(Result<R>(std::unexpect, std::move(error)));
    };
  }

  [[nodiscard]] const Error* error() const noexcept override {
    return outcome_ && !*outcome_ ? &outcome_->error() : nullptr;
  }

  [[nodiscard]] bool takes_stop_token() const noexcept override { return kTakesStopToken; }

  [[nodiscard]] std::string_view function_name() const override {
    if constexpr (FunctionPointer<F>) {
      const RegisteredFunction* const known = find_function(reinterpret_cast<FunctionAddress>(function_));
      if (known != nullptr) return known->name;
    }
    return type_name<F>();
  }

 private:
  F function_;
  std::optional<Arguments> arguments_;  // until it is delivered
  std::optional<Result<R>> outcome_;
  std::optional<Receiver> receiver_;
};

// The job for a call; its receiver is set when the call starts.
template <class Receiver, class F, class... A>
auto make_job(F&& function, A&&... arguments) {
  using Stored = StoredCall<std::decay_t<F>, A...>;
  using Bound = BoundJob<std::decay_t<F>, std::remove_cvref_t<typename Stored::Raw>, typename Stored::Arguments,
                         Stored::kTakesStopToken, Receiver>;
  return std::make_unique<Bound>(std::forward<F>(function), std::forward<A>(arguments)...);
}

}  // namespace leasepool::detail
