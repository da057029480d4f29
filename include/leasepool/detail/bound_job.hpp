// BoundJob: a callable, its arguments, and whoever gets the result, as a Job.
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/detail/keep_result.hpp"
#include "leasepool/detail/registry.hpp"
#include "leasepool/detail/serialize.hpp"
#include "leasepool/detail/std_types.hpp"
#include "leasepool/detail/stored_call.hpp"
#include "leasepool/detail/type_name.hpp"
#include "leasepool/error.hpp"
#include "leasepool/function.hpp"

namespace leasepool::detail {

// The other end of a future. Any thread may wait on that.
template <class R>
class PromiseReceiver {
  static_assert(requires { sizeof(std::promise<R>); }, "leasepool: submit() returns a std::future: #include <future>");

 public:
  [[nodiscard]] std::future<R> future() { return promise_.get_future(); }
  void operator()(Result<R>&& result) {
    if constexpr (!kMovesSurely) {
      promise_(std::move(result));
    } else if (!result) {
      promise_.set_exception(result.error().exception());
    } else if constexpr (std::is_void_v<R>) {
      promise_.set_value();
    } else {
      promise_.set_value(std::move(*result));
    }
  }

 private:
  static constexpr bool kMovesSurely = std::is_nothrow_move_constructible_v<Result<R>>;
  // What the move of a value throws leaves std::promise::set_value() by way of pthread_once(), which not every
  // implementation survives. A task keeps it.
  struct KeepingTask : std::packaged_task<R(Result<R>&&)> {
    KeepingTask()
        : std::packaged_task<R(Result<R>&&)>([](Result<R>&& result) -> R {
            if (!result) result.error().raise();
            return *std::move(result);
          }) {}
  };
  std::conditional_t<kMovesSurely, std::promise<R>, KeepingTask> promise_;
};

// A result's decoder, whatever the function is.
template <class R>
struct DecodedResult final : ResultDecoder {
  void decode(std::span<const std::byte> result, std::span<Fd> descriptors,
              const DecodeLimits& limits) noexcept override {
    try {
      ByteReader reader(result);
      DescriptorReader beside(descriptors);
      decode_within(limits, reader, beside, value.emplace());
    } catch (...) {
      failure = std::current_exception();
      value.reset();
    }
  }

  std::optional<R> value;
  std::exception_ptr failure;  // where there is no value
};

// A template, for a std::stop_token that may be a name alone until there is such a call.
template <class Call, class State>
auto stop_token_of(const State& state) {
  return state.stop.token();
}

// Call is a StoredCall of an F.
template <class F, class Call, class Receiver>
class BoundJob final : public Job {
  using R = std::remove_cvref_t<typename Call::Raw>;

 public:
  template <class... A>
  explicit BoundJob(F function, A&&... arguments)
      : function_(std::move(function)), arguments_(std::in_place, std::forward<A>(arguments)...) {}

  void set_receiver(Receiver receiver) { receiver_.emplace(std::move(receiver)); }

  void run() noexcept override {
    try {
      const auto call = [this]<class... P>(P&&... argument) -> decltype(auto) {
        if constexpr (Call::kTakesStopToken) {
          return std::invoke(callee(), stop_token_of<Call>(state), std::forward<P>(argument)...);
        } else {
          return std::invoke(callee(), std::forward<P>(argument)...);
        }
      };
      if constexpr (std::is_void_v<R>) {
        std::apply(call, std::move(*arguments_));
        outcome_.emplace();
      } else {
        outcome_.emplace(std::in_place, std::apply(call, std::move(*arguments_)));
      }
    } catch (...) {
      outcome_.emplace(std::unexpect, thrown_error());
    }
  }

  Result<FunctionId> encode([[maybe_unused]] Bytes& out, [[maybe_unused]] Descriptors& descriptors,
                            [[maybe_unused]] std::size_t limit) const override {
    if constexpr (FunctionPointer<F>) {
      using Sig = Signature<F>;
      using Types = Carried<typename Sig::Return, typename Sig::Parameters>;
      const auto address = reinterpret_cast<FunctionAddress>(*function_);
      if constexpr (!Types::kPossible) {  // nor could it be registered
        return std::unexpected(not_serializable_error(address, type_name<F>(), type_name<typename Types::Refused>()));
      } else {
        const RegisteredFunction* const known = find_function(address);
        if (known == nullptr) return std::unexpected(unregistered_function_error(address, type_name<F>()));
        ByteWriter writer(out, limit);
        DescriptorWriter beside;
        try {
          encode_as(typename Sig::Parameters{}, writer, beside);
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
        return known->id.load();
      }
    } else {
      return std::unexpected(unregistered_function_error(type_name<F>()));
    }
  }

  void accept([[maybe_unused]] std::span<const std::byte> result, [[maybe_unused]] std::span<Fd> descriptors,
              [[maybe_unused]] const DecodeLimits& limits) noexcept override {
    if constexpr (std::is_void_v<R>) {
      if (result.empty() && descriptors.empty()) {
        outcome_.emplace();
      } else {
        outcome_.emplace(std::unexpect, unexpected_result_error(function_name()));
      }
    } else if constexpr (kDecodes) {
      DecodedResult<R> decoded;
      decoded.decode(result, descriptors, limits);
      accept(decoded);
    }
  }

  [[nodiscard]] std::unique_ptr<ResultDecoder> make_decoder() const override {
    if constexpr (kDecodes) return std::make_unique<DecodedResult<R>>();
    return nullptr;
  }

  void accept([[maybe_unused]] ResultDecoder& decoded) noexcept override {
    if constexpr (kDecodes) {
      auto& result = static_cast<DecodedResult<R>&>(decoded);
      try {
        if (result.value) return void(outcome_.emplace(std::move(*result.value)));
      } catch (...) {  // a type that is copied
        result.failure = std::current_exception();
      }
      outcome_.emplace(std::unexpect, decoding_error(function_name(), result.failure));
    }
  }

  void fail(Error error) override { outcome_.emplace(std::unexpect, std::move(error)); }

  void deliver() override {
    arguments_.reset();  // the receiver may wait for the end of what the call owns, as the reader of a pipe does
    if constexpr (!FunctionPointer<F>) function_.reset();  // its name can still be asked for
    if (receiver_) (*receiver_)(std::move(*outcome_));
  }

  void deliver_early(Error error) override {
    auto receiver = std::exchange(receiver_, std::nullopt);
    if (receiver) (*receiver)(Result<R>(std::unexpect, std::move(error)));
  }

  [[nodiscard]] bool take_back([[maybe_unused]] std::unique_ptr<Job>& self) noexcept override {
    if constexpr (requires { receiver_->take_back(self, *arguments_); }) {
      return receiver_ && arguments_ && receiver_->take_back(self, *arguments_);
    } else {
      return false;
    }
  }

  [[nodiscard]] const Error* error() const noexcept override {
    return outcome_ && !*outcome_ ? &outcome_->error() : nullptr;
  }

  [[nodiscard]] bool takes_stop_token() const noexcept override { return Call::kTakesStopToken; }

  [[nodiscard]] std::string_view function_name() const override {
    if constexpr (FunctionPointer<F>) {
      return name_of_callable(*function_);
    } else {
      return type_name<F>();  // it may be gone
    }
  }

 private:
  [[nodiscard]] typename Call::Callee callee() noexcept { return static_cast<typename Call::Callee>(*function_); }

  // As the parameters' types, in which the worker decodes.
  template <class... P>
  void encode_as(TypeList<P...> /*parameters*/, ByteWriter& writer, DescriptorWriter& beside) const {
    std::apply(
        [&](const auto&... argument) {
          detail::encode(writer, beside, static_cast<const std::remove_cvref_t<P>&>(argument)...);
        },
        *arguments_);
  }

  static constexpr bool kDecodes = [] {
    if constexpr (std::is_void_v<R> || !FunctionPointer<F>) {
      return false;
    } else {
      return kSerializable<R>;
    }
  }();

  // Destroyed from the last on: what the call owns before a receiver that was not called, whose end may be heard of.
  std::optional<Receiver> receiver_;
  std::optional<Result<R>> outcome_;
  std::optional<F> function_;  // these two until it is delivered
  std::optional<typename Call::Arguments> arguments_;
};

// The job for a call; its receiver is set when the call starts.
template <class Receiver, class F, class... A>
  requires CallableWith<F, A...>
auto make_job(F&& function, A&&... arguments) {
  using Bound = BoundJob<std::decay_t<F>, StoredCall<std::decay_t<F>, A...>, Receiver>;
  return std::make_unique<Bound>(std::forward<F>(function), std::forward<A>(arguments)...);
}

}  // namespace leasepool::detail
