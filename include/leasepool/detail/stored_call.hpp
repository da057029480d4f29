// How a call keeps its function and arguments until it is made, as std::async does, and which calls there can be.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "leasepool/detail/parameter.hpp"
#include "leasepool/detail/registry.hpp"
#include "leasepool/detail/std_types.hpp"
#include "leasepool/detail/type_name.hpp"
#include "leasepool/error.hpp"
#include "leasepool/function.hpp"

namespace leasepool::detail {

// One with C's variable arguments, which cannot be registered, is called as any other callable.
template <class F>
concept FunctionPointer = std::is_pointer_v<F> && requires { typename Signature<F>::Return; };

// A registered function by its name, whatever else by its type's.
template <class F>
std::string_view name_of_callable([[maybe_unused]] const F& callable) {
  if constexpr (FunctionPointer<F>) {
    const RegisteredFunction* const known = last_function(reinterpret_cast<FunctionAddress>(callable));
    if (known != nullptr) return known->name;
  }
  return type_name<F>();
}

// What is kept of an argument for a parameter of the type P: a decayed copy, which is converted when the call is made.
// So what a view looks at is kept with the call, an object keeps the class it has, and a std::reference_wrapper refers.
// Converted at once is only a pointer or a view for a parameter that owns (the text in a buffer for a std::string), as
// nothing keeps what it points at; and what does not convert from the copy, or not so that it is there once more for
// another worker process.
template <class P, class A>
struct KeptArgument {
  using Copy = std::decay_t<A>;
  using Owned = std::remove_cvref_t<P>;
  static constexpr bool kOwnsAtOnce = kPointsElsewhere<Copy> && std::is_class_v<Owned> && !kPointsElsewhere<Owned>;
  static constexpr bool kFromCopy = std::is_convertible_v<Copy, P> &&
                                    (kChangeable<P> || std::is_convertible_v<const Copy&, const Owned&>) &&
                                    !kOwnsAtOnce;
  static constexpr bool kAtOnce = !kFromCopy && !kChangeable<P> && std::is_convertible_v<A, Owned>;
  using Type = std::conditional_t<kAtOnce, Owned, Copy>;
};

template <class Parameters, class... A>
struct KeptArguments {
  static constexpr bool kRightNumber = false;
  static constexpr bool kLooksAtKept = false;
  static constexpr bool kReferencesGiven = false;
  static constexpr bool kConvert = false;
  static constexpr bool kPossible = false;
  using Tuple = std::tuple<>;
};
template <class... P, class... A>
  requires(sizeof...(P) == sizeof...(A))
struct KeptArguments<TypeList<P...>, A...> {
  static constexpr bool kRightNumber = true;
  static constexpr bool kLooksAtKept = true;
  static constexpr bool kReferencesGiven =
      ((!kChangeable<P> || std::is_convertible_v<typename KeptArgument<P, A>::Copy, P>) && ...);
  static constexpr bool kConvert = ((KeptArgument<P, A>::kFromCopy || KeptArgument<P, A>::kAtOnce) && ...);
  static constexpr bool kPossible = (std::is_constructible_v<typename KeptArgument<P, A>::Type, A> && ...);
  using Tuple = std::tuple<typename KeptArgument<P, A>::Type...>;
};

// Where <stop_token> is not included, nothing takes one.
template <class Any>
struct DependentStopToken {
  using Type = std::stop_token;
};
template <class F, class... A>
concept TakesAStopToken =
    requires { sizeof(typename DependentStopToken<F>::Type); } && std::invocable<F, std::stop_token, A...>;

// A call of a callable of the decayed type F with arguments of the types A: decayed copies are moved in, with a
// std::stop_token before them where it takes them only so.
template <class F, class... A>
struct StoredCall {
  template <class Callee>
  static constexpr bool kCalls =
      std::invocable<Callee, std::decay_t<A>...> || TakesAStopToken<Callee, std::decay_t<A>...>;
  using Callee = std::conditional_t<kCalls<F&>, F&, F&&>;  // some can be called but once
  static constexpr bool kDirect = std::invocable<Callee, std::decay_t<A>...>;

  static constexpr bool kRightNumber = true;
  static constexpr bool kLooksAtKept = true;
  static constexpr bool kReferencesGiven = true;
  static constexpr bool kConvert = kCalls<Callee>;
  static constexpr bool kPossible = (std::is_constructible_v<std::decay_t<A>, A> && ...);
  static constexpr bool kTakesStopToken = kConvert && !kDirect;
  using Arguments = std::tuple<std::decay_t<A>...>;
  using Raw = typename std::conditional_t<
      kDirect, std::invoke_result<Callee, std::decay_t<A>...>,
      std::conditional_t<kTakesStopToken, std::invoke_result<Callee, std::stop_token, std::decay_t<A>...>,
                         std::type_identity<void>>>::type;
};

template <FunctionPointer F, class... A>
struct StoredCall<F, A...> : KeptArguments<typename Signature<F>::Parameters, A...> {
  using Callee = F&;
  static constexpr bool kTakesStopToken = Signature<F>::kTakesStopToken;
  using Arguments = typename StoredCall::Tuple;
  using Raw = typename Signature<F>::Return;
};

// A call as a verb is given it: a function and its arguments.
template <class... A>
struct CallOf : KeptArguments<TypeList<>, void> {
  using Raw = void;
};
template <class F, class... A>
struct CallOf<F, A...> : StoredCall<std::decay_t<F>, A...> {
  static constexpr bool kPossible =
      StoredCall<std::decay_t<F>, A...>::kPossible && std::constructible_from<std::decay_t<F>, F>;
};

template <class Call>
using ResultOf = std::remove_cvref_t<typename Call::Raw>;
template <class F, class... A>
using CallResult = ResultOf<CallOf<F, A...>>;

// Their names are what the compiler says of a call that cannot be.
template <class Call>
concept HasAnArgumentForEachParameter = Call::kRightNumber;
template <class Call>  // what it changes would be the copy that is kept
concept PassesNonConstReferencesByStdRef = Call::kReferencesGiven;
template <class Call>
concept CanBeCalledWithCopiesOfItsArguments = Call::kConvert;
template <class Call>
concept KeepsWhatItsArgumentsLookAt = Call::kLooksAtKept;
template <class Call>  // what is no lvalue is moved
concept CopiesNoLvalueThatOnlyMoves = Call::kPossible;
template <class Call>
concept ReturnsWhatCanBeMoved =
    std::is_void_v<typename Call::Raw> || std::constructible_from<ResultOf<Call>, typename Call::Raw>;
template <class Call>
concept PossibleCall = HasAnArgumentForEachParameter<Call> && PassesNonConstReferencesByStdRef<Call> &&
                       CanBeCalledWithCopiesOfItsArguments<Call> && KeepsWhatItsArgumentsLookAt<Call> &&
                       CopiesNoLvalueThatOnlyMoves<Call> && ReturnsWhatCanBeMoved<Call>;
template <class F, class... A>
concept CallableWith = PossibleCall<CallOf<F, A...>>;

// A call with its callback behind it; OfCall is CallOf or what another verb has in its place.
template <template <class...> class OfCall, class Indices, class... Rest>
struct SplitCall;
template <template <class...> class OfCall, std::size_t... I, class... Rest>
struct SplitCall<OfCall, std::index_sequence<I...>, Rest...> {
  using Call = OfCall<std::tuple_element_t<I, std::tuple<Rest...>>...>;
  using Callback = std::tuple_element_t<sizeof...(I), std::tuple<Rest...>>;
};
template <template <class...> class OfCall, class... Rest>
using CallAndCallback = SplitCall<OfCall, std::make_index_sequence<sizeof...(Rest) - 1>, Rest...>;

template <class Callback>
concept CanBeACallback =
    std::is_class_v<std::remove_cvref_t<Callback>> || std::is_function_v<std::remove_pointer_t<std::decay_t<Callback>>>;
template <class Split>
concept CallbackTakesTheResult =
    std::constructible_from<std::decay_t<typename Split::Callback>, typename Split::Callback> &&
    std::invocable<std::decay_t<typename Split::Callback>&, Result<ResultOf<typename Split::Call>>>;
template <class Split>
concept EndsWithACallback =
    CanBeACallback<typename Split::Callback> && PossibleCall<typename Split::Call> && CallbackTakesTheResult<Split>;
template <template <class...> class OfCall, class... Rest>
concept PossibleCallAndCallback = sizeof...(Rest) > 0 && EndsWithACallback<CallAndCallback<OfCall, Rest...>>;

}  // namespace leasepool::detail
