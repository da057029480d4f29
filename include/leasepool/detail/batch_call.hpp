// One call of a batch function: the arguments of several items go in, and each item gets its own result.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "leasepool/detail/export.hpp"
#include "leasepool/detail/keep_result.hpp"
#include "leasepool/detail/parameter.hpp"
#include "leasepool/detail/stored_call.hpp"
#include "leasepool/detail/type_name.hpp"
#include "leasepool/detail/work_item.hpp"

namespace leasepool::detail {

using WorkItems = std::vector<std::unique_ptr<WorkItem>>;

// What a call of a batch function needs of the grinder when it has ended. Loop thread only.
struct LEASEPOOL_EXPORT BatchCall {
  std::weak_ptr<GrinderCore> grinder;
  std::uint64_t batch = 0;
  std::shared_ptr<BatchFunction> function;

  // Each item has a result: hands them out.
  void succeeded(WorkItems items) const;
  // Fails them, or calls again with halves.
  void failed(WorkItems items, const Error& error) const;
  // It has certainly not run, as its node was lost: puts the items, which have their arguments again, back to their
  // places in the queue. False, and they are left, where one of them has been put back often enough, or cannot be.
  [[nodiscard]] bool may_put_back(const WorkItems& items) const noexcept;
  void put_back(WorkItems items, const Error& error) const noexcept;
  // The function returned so many results.
  [[nodiscard]] Error wrong_length(std::size_t items, std::size_t results) const noexcept;
};

class BatchFunction {
 public:
  explicit BatchFunction(BatchOptions batch_options) : options(batch_options) {}
  BatchFunction(const BatchFunction&) = delete;
  BatchFunction& operator=(const BatchFunction&) = delete;
  virtual ~BatchFunction() = default;

  // A job that calls it with the arguments of these items, and takes them. Where it throws, as there is no memory or as
  // an argument's copying does, they are left, to be failed.
  virtual std::unique_ptr<Job> bind(BatchCall call, WorkItems& items) = 0;
  [[nodiscard]] virtual std::string_view name() const = 0;

  const BatchOptions options;
};

template <class Arg, class R>
class BatchItem : public WorkItem {
 public:
  template <class A>
  BatchItem(std::shared_ptr<ItemState> item_state, std::shared_ptr<BatchFunction> function, A&& item_argument)
      : WorkItem(std::move(item_state)),
        argument(std::in_place, std::forward<A>(item_argument)),
        function_(std::move(function)) {}

  void set_result(R&& result) noexcept {
    try {
      outcome.emplace(std::move(result));
    } catch (...) {  // from its move
      outcome.emplace(std::unexpect, thrown_error());
    }
  }
  void set_argument(Arg&& item_argument) noexcept
    requires std::is_nothrow_move_constructible_v<Arg>
  {
    argument.emplace(std::move(item_argument));
  }
  void fail(Error error) override { outcome.emplace(std::unexpect, std::move(error)); }
  std::unique_ptr<Job> take_job() override { return nullptr; }
  [[nodiscard]] const std::shared_ptr<BatchFunction>* batch_function() const noexcept override { return &function_; }
  [[nodiscard]] std::string_view function_name() const override { return function_->name(); }

  std::optional<Arg> argument;  // until it is delivered
  std::optional<Result<R>> outcome;

 private:
  const std::shared_ptr<BatchFunction> function_;
};

template <class Arg, class R, class Receiver>
class BoundBatchItem final : public BatchItem<Arg, R> {
 public:
  using BatchItem<Arg, R>::BatchItem;
  void set_receiver(Receiver receiver) { receiver_.emplace(ItemReceiver<Receiver>(this->state, std::move(receiver))); }
  void deliver() override {
    this->argument.reset();  // the receiver may wait for the end of what it owns
    (*receiver_)(std::move(*this->outcome));
  }

 private:
  std::optional<ItemReceiver<Receiver>> receiver_;
};

// Gives each item its result.
template <class Arg, class R>
class BatchReceiver {
 public:
  BatchReceiver(BatchCall call, WorkItems items) : call_(std::move(call)), items_(std::move(items)) {}
  // Its elements are moved. NOLINTNEXTLINE(cppcoreguidelines-rvalue-reference-param-not-moved)
  void operator()(Result<std::vector<R>>&& results) {
    if (!results) return call_.failed(std::move(items_), results.error());
    if (results->size() != items_.size()) {
      const Error error = call_.wrong_length(items_.size(), results->size());
      return call_.failed(std::move(items_), error);
    }
    for (std::size_t i = 0; i < items_.size(); ++i) {
      static_cast<BatchItem<Arg, R>&>(*items_[i]).set_result(std::move((*results)[i]));
    }
    call_.succeeded(std::move(items_));
  }
  [[nodiscard]] bool take_back(std::unique_ptr<Job>& job, std::tuple<std::vector<Arg>>& arguments) noexcept
    requires std::is_nothrow_move_constructible_v<Arg> && (!std::same_as<Arg, bool>)
  {
    if (!call_.may_put_back(items_)) return false;
    auto& kept = std::get<0>(arguments);
    for (std::size_t i = 0; i < items_.size(); ++i) {
      static_cast<BatchItem<Arg, R>&>(*items_[i]).set_argument(std::move(kept[i]));
    }
    call_.put_back(std::move(items_), *job->error());
    return true;
  }

 private:
  BatchCall call_;
  WorkItems items_;
};

// The types of a batch function, from its one parameter and its return type.
template <class T>
struct BatchParameter {};
template <class T, class Allocator>
struct BatchParameter<std::vector<T, Allocator>> {
  using Element = T;
  static constexpr bool kIsSpan = false;
};
template <class T>
struct BatchParameter<std::span<T>> {
  using Element = std::remove_const_t<T>;
  static constexpr bool kIsSpan = true;
};
template <class T>
struct BatchReturn {};
template <class T>
struct BatchReturn<std::vector<T>> {
  using Element = T;
};

// The function type behind a callable.
template <class F>
struct PlainSignature {};
template <class F>
  requires requires { &F::operator(); }
struct PlainSignature<F> : PlainSignature<decltype(&F::operator())> {};
template <FunctionPointer F>
struct PlainSignature<F> : Signature<F> {};
template <class C, class R, class... P>
struct PlainSignature<R (C::*)(P...)> : Signature<R (*)(P...)> {};
template <class C, class R, class... P>
struct PlainSignature<R (C::*)(P...) const> : Signature<R (*)(P...)> {};
template <class C, class R, class... P>
struct PlainSignature<R (C::*)(P...) noexcept> : Signature<R (*)(P...)> {};
template <class C, class R, class... P>
struct PlainSignature<R (C::*)(P...) const noexcept> : Signature<R (*)(P...)> {};

template <class List>
struct OnlyParameter {};
template <class P>
struct OnlyParameter<TypeList<P>> {
  using Type = std::remove_cvref_t<P>;
  static constexpr bool kByReference = kChangeable<P>;
};

// Of one parameter, std::vector<Arg> or (on threads) std::span<Arg>, and of std::vector<Result>. Overloads and generic
// lambdas need a cast or types that pick one.
template <class F>
concept TakesAndReturnsVectors = requires {
  typename BatchParameter<typename OnlyParameter<typename PlainSignature<F>::Parameters>::Type>::Element;
  typename BatchReturn<std::remove_cvref_t<typename PlainSignature<F>::Return>>::Element;
} && !OnlyParameter<typename PlainSignature<F>::Parameters>::kByReference;

template <class F>
struct BatchTypes {
  using Parameter = BatchParameter<typename OnlyParameter<typename PlainSignature<F>::Parameters>::Type>;
  using Argument = typename Parameter::Element;
  using Result = typename BatchReturn<std::remove_cvref_t<typename PlainSignature<F>::Return>>::Element;
};

template <class F>
concept TakesNoSpanOfBool =  // a std::vector<bool> has no memory for one
    !(BatchTypes<F>::Parameter::kIsSpan && std::same_as<typename BatchTypes<F>::Argument, bool>);
template <class F>
concept CanBeCopiedForEachBatch = std::copy_constructible<F>;
template <class F>
concept CallableWithBatches = TakesAndReturnsVectors<F> && TakesNoSpanOfBool<F> && CanBeCopiedForEachBatch<F>;

// Whether calls go to another process.
LEASEPOOL_EXPORT bool needs_encoding(const GrinderCore& grinder);
LEASEPOOL_EXPORT std::invalid_argument not_copyable(std::string_view type);

template <class F>
class BoundBatchFunction final : public BatchFunction {
 public:
  BoundBatchFunction(F function, BatchOptions batch_options, bool encodes)
      : BatchFunction(batch_options), function_(std::move(function)), encodes_(encodes) {
    if (options.isolate_failures && !std::is_copy_constructible_v<Argument>) throw not_copyable(type_name<Argument>());
  }

  std::unique_ptr<Job> bind(BatchCall call, WorkItems& items) override {
    std::vector<Argument> arguments;
    arguments.reserve(items.size());
    for (const auto& item : items) arguments.push_back(argument_of(*item));
    if constexpr (!Types::Parameter::kIsSpan)
      return with_receiver(std::move(call), items, function_, std::move(arguments));
    // A span cannot go to another process, and encoding the call says so.
    else if (encodes_)
      return with_receiver(std::move(call), items, function_, std::span<Argument>{});
    else
      return with_receiver(std::move(call), items, SpanCaller{function_}, std::move(arguments));
  }

  [[nodiscard]] std::string_view name() const override { return name_of_callable(function_); }

 private:
  using Types = BatchTypes<F>;
  using Argument = typename Types::Argument;
  using Result = typename Types::Result;

  // Keeps the arguments for the time of the call.
  struct SpanCaller {
    F function;
    std::vector<Result> operator()(std::vector<Argument> arguments) { return function(std::span(arguments)); }
  };

  // Kept where the call may have to be made again.
  Argument argument_of(WorkItem& item) {
    Argument& argument = *static_cast<BatchItem<Argument, Result>&>(item).argument;
    if constexpr (std::is_copy_constructible_v<Argument>) {
      if (options.isolate_failures) return argument;
    }
    return std::move(argument);
  }
  template <class Callable, class Arguments>
  static std::unique_ptr<Job> with_receiver(BatchCall call, WorkItems& items, Callable callable, Arguments arguments) {
    auto job = make_job<BatchReceiver<Argument, Result>>(std::move(callable), std::move(arguments));
    job->set_receiver(BatchReceiver<Argument, Result>(std::move(call), std::move(items)));
    return job;
  }

  F function_;
  const bool encodes_;
};

}  // namespace leasepool::detail
