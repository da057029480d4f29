// Initializer: what each worker runs before its first call.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <concepts>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "leasepool/detail/access.hpp"
#include "leasepool/detail/bound_job.hpp"

namespace leasepool {

class Initializer;

namespace detail {

template <class F, class Arguments>
inline constexpr bool kCallableWithCopies = false;
template <class F, class... Kept>
inline constexpr bool kCallableWithCopies<F, std::tuple<Kept...>> =
    std::copy_constructible<F> && (std::copy_constructible<Kept> && ...) && CallableWith<const F&, const Kept&...>;

template <class F, class... A>
concept CanBeCopiedForEachWorker = kCallableWithCopies<F, typename StoredCall<F, A...>::Arguments>;
template <class F, class... A>
concept InitializerCall = !std::same_as<F, Initializer> && CallableWith<F, A...> && CanBeCopiedForEachWorker<F, A...>;

}  // namespace detail

/// A function and its arguments, for ManagerOptions::initializer: `options.initializer = {load_model, "model.bin"};`.
/// For worker processes the function must be registered, as for a call; its result is dropped.
class Initializer {
 public:
  /// Nothing to run.
  Initializer() = default;

  /// Keeps the function and the arguments as a call does; each run is given copies of them.
  template <class F, class... A>
    requires detail::InitializerCall<F, A...>
  Initializer(F function, A... arguments)  // NOLINT(google-explicit-constructor): options are assigned
      : make_([function = std::move(function),
               stored = typename detail::StoredCall<F, A...>::Arguments(std::move(arguments)...)] {
          return std::apply(
              [&](const auto&... argument) -> std::unique_ptr<detail::Job> {
                return detail::make_job<Drop>(function, argument...);
              },
              stored);
        }) {}

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(make_); }

 private:
  friend struct detail::Access;
  struct Drop {
    template <class R>
    void operator()(Result<R> /*outcome*/) const {}
  };

  std::function<std::unique_ptr<detail::Job>()> make_;
};

}  // namespace leasepool

#endif
