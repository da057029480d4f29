// Functions that a grinder calls once a batch, while each submitter still awaits its own result.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "leasepool/detail/access.hpp"
#include "leasepool/detail/batch_call.hpp"
#include "leasepool/detail/item_verbs.hpp"

namespace leasepool {

namespace detail {

template <class Arg, class R>
struct BatchCallOf {
  template <class... A>
  struct Item : KeptArguments<TypeList<>, void> {
    using Raw = R;
  };
  template <class A>
  struct Item<A> {
    static constexpr bool kRightNumber = true;
    static constexpr bool kReferencesGiven = true;
    // An item keeps an element of the vector and nothing else: what a view of an argument looks at would be gone.
    static constexpr bool kLooksAtKept = !kPointsElsewhere<Arg> || kPointsElsewhere<std::decay_t<A>>;
    static constexpr bool kConvert = std::is_convertible_v<A, Arg>;
    static constexpr bool kPossible = true;
    using Raw = R;
  };
};

}  // namespace detail

/// The verbs for the items of a batch function: what WorkGrinder::batch() returns; submit(argument) and so on. Copies
/// share their batches, two of WorkGrinder::batch() do not. May outlive the grinder: items then fail with not_started.
template <class Arg, class R>
class BatchVerbs : public detail::ItemVerbs<BatchVerbs<Arg, R>, detail::BatchCallOf<Arg, R>::template Item> {
 public:
  /// The verbs with an owner, a priority or a time-out.
  [[nodiscard]] BatchVerbs with(ItemOptions options) const {
    return detail::Access::make<BatchVerbs>(grinder_, function_, detail::make_item_settings(options));
  }

 private:
  friend struct detail::Access;
  BatchVerbs(std::shared_ptr<detail::GrinderCore> grinder, std::shared_ptr<detail::BatchFunction> function,
             detail::ItemSettings settings)
      : grinder_(std::move(grinder)), function_(std::move(function)), settings_(std::move(settings)) {}

  template <class... A>
  static void check_item(const char* /*verb*/, const A&... /*arguments*/) {}  // batch() has seen the function
  template <class Receiver, class A>
  auto make_item(std::shared_ptr<detail::ItemState> state, A&& argument) const {
    return std::make_unique<detail::BoundBatchItem<Arg, R, Receiver>>(std::move(state), function_,
                                                                      std::forward<A>(argument));
  }
  [[nodiscard]] const std::shared_ptr<detail::GrinderCore>& grinder() const noexcept { return grinder_; }
  [[nodiscard]] const detail::ItemSettings& settings() const noexcept { return settings_; }

  std::shared_ptr<detail::GrinderCore> grinder_;
  std::shared_ptr<detail::BatchFunction> function_;
  detail::ItemSettings settings_;
};

namespace detail {

template <class F>
auto make_batch_verbs(const std::shared_ptr<GrinderCore>& grinder, F function, BatchOptions options) {
  using Types = BatchTypes<F>;
  auto bound = std::make_shared<BoundBatchFunction<F>>(std::move(function), options, needs_encoding(*grinder));
  return Access::make<BatchVerbs<typename Types::Argument, typename Types::Result>>(grinder, std::move(bound),
                                                                                    ItemSettings{});
}

}  // namespace detail

}  // namespace leasepool

#endif
