// Initializer: what each worker runs before its first call.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "leasepool/detail/bound_job.hpp"

namespace leasepool {

/// A function and its arguments, for ManagerOptions::initializer: `options.initializer = {load_model, "model.bin"};`.
/// For worker processes the function must be registered, as for a call; its result is dropped.
class Initializer {
 public:
  /// Nothing to run.
  Initializer() = default;

  /// Keeps copies of the arguments, converted as those of a call are.
  template <class F, class... A>
    requires(!std::same_as<std::remove_cvref_t<F>, Initializer>)
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

  /// The library's own: one run of it.
  [[nodiscard]] std::unique_ptr<detail::Job> make_job() const { return make_(); }

 private:
  struct Drop {
    template <class R>
    void operator()(Result<R> /*outcome*/) const {}
  };

  std::function<std::unique_ptr<detail::Job>()> make_;
};

}  // namespace leasepool
