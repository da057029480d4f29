// LEASEPOOL_REGISTER: gives a function the id by which worker processes know it.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <source_location>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/parameter.hpp"
#include "leasepool/detail/registry.hpp"
#include "leasepool/detail/serialize.hpp"
#include "leasepool/detail/std_types.hpp"
#include "leasepool/detail/type_name.hpp"

namespace leasepool::detail {

// Splits a function's type; a leading std::stop_token is not an argument of the caller's.
template <class F>
struct Signature;
template <class R, class... P>
struct Signature<R (*)(P...)> {
  using Return = R;
  using Parameters = TypeList<P...>;
  static constexpr bool kTakesStopToken = false;
};
template <class R, class... P>
struct Signature<R (*)(std::stop_token, P...)> {
  using StopToken = std::stop_token;
  using Return = R;
  using Parameters = TypeList<P...>;
  static constexpr bool kTakesStopToken = true;
};
template <class R, class... P>
struct Signature<R (*)(const std::stop_token&, P...)> : Signature<R (*)(std::stop_token, P...)> {};
template <class R, class... P>
struct Signature<R (*)(P...) noexcept> : Signature<R (*)(P...)> {};

// What LEASEPOOL_REGISTER takes: no lambda or other object, no member function, none with C's variable arguments. Its
// name is what the compiler says of those.
template <auto F>
concept IsAFreeFunction = std::is_pointer_v<decltype(F)> && requires { typename Signature<decltype(F)>::Return; };

// A parameter by non-const reference cannot bring its change back from another process.
template <class P>
using CarriedType = std::conditional_t<kChangeable<P>, P, std::remove_cvref_t<P>>;

template <class R, class List>
struct Carried;
template <class R, class... P>
struct Carried<R, TypeList<P...>> {
  using Arguments = std::tuple<std::remove_cvref_t<P>...>;
  using Refused = FirstRefused<CarriedType<P>..., std::conditional_t<std::is_void_v<R>, int, std::remove_cvref_t<R>>>;
  static constexpr bool kPossible = std::is_void_v<Refused>;
};

// Calls the function, in a frame that is always there: a crash in a function that was inlined into it is shown as the
// function's.
template <auto F, class... A>
[[gnu::noinline]] typename Signature<decltype(F)>::Return call_registered(A&... arguments) {
  if constexpr (Signature<decltype(F)>::kTakesStopToken) {
    return F(typename Signature<decltype(F)>::StopToken(),
             std::move(arguments)...);  // a worker is cancelled by killing it
  } else {
    return F(std::move(arguments)...);
  }
}

template <auto F>
void invoke_registered(Invocation& call) {
  using Sig = Signature<decltype(F)>;
  typename Carried<typename Sig::Return, typename Sig::Parameters>::Arguments arguments;
  ByteReader reader(call.arguments);
  DescriptorReader descriptors(call.descriptors);
  std::apply([&](auto&... argument) { decode(reader, descriptors, argument...); }, arguments);

  call.phase = CallPhase::running;
  const auto run = [&]() -> decltype(auto) {
    return std::apply([](auto&... argument) -> decltype(auto) { return call_registered<F>(argument...); }, arguments);
  };
  if constexpr (std::is_void_v<typename Sig::Return>) {
    run();
    call.phase = CallPhase::encoding;
  } else {
    const std::remove_cvref_t<typename Sig::Return> result = run();
    call.phase = CallPhase::encoding;
    encode(*call.result, *call.result_descriptors, result);
  }
}

// The address of call_registered() for a function.
template <auto F, class... P>
FunctionAddress caller_of(std::type_identity<std::tuple<P...>> /*arguments*/) {
  return reinterpret_cast<FunctionAddress>(&call_registered<F, P...>);
}

template <auto F>
  requires IsAFreeFunction<F>
FunctionDescription describe_function(std::source_location where) {
  using Sig = Signature<decltype(F)>;
  using Types = Carried<typename Sig::Return, typename Sig::Parameters>;
  FunctionDescription function{.address = reinterpret_cast<FunctionAddress>(F),
                               .name = function_name<F>(),
                               .signature = function_id(type_name<decltype(F)>()),
                               .where = where};
  if constexpr (Types::kPossible) {
    function.invoke = &invoke_registered<F>;
    function.caller = caller_of<F>(std::type_identity<typename Types::Arguments>{});
  }
  return function;
}

// Their names, the type, and the message of LEASEPOOL_REGISTER are what the compiler says of a function with a type
// that cannot be sent to a worker process.
template <auto F>
struct RefusedIn : std::type_identity<void> {};
template <auto F>
  requires IsAFreeFunction<F>
struct RefusedIn<F> : std::type_identity<typename Carried<typename Signature<decltype(F)>::Return,
                                                          typename Signature<decltype(F)>::Parameters>::Refused> {};

// Each a single expression, for GCC to print its type.
template <class T>
inline constexpr bool kIsEncoded = std::is_void_v<T> || std::is_reference_v<T> || kPointsElsewhere<T>;
template <class T>
concept IsNoReference = !std::is_reference_v<T>;
template <class T>
concept OwnsItsMemory = !kPointsElsewhere<T>;
template <class T>
concept CanBeEncoded = kIsEncoded<T>;

template <auto F>
concept ChangesNoArgument = IsNoReference<typename RefusedIn<F>::type>;
template <auto F>
concept PassesWhatOwnsItsMemory = OwnsItsMemory<typename RefusedIn<F>::type>;
template <auto F>
concept PassesWhatCanBeEncoded = CanBeEncoded<typename RefusedIn<F>::type>;

}  // namespace leasepool::detail

#define LEASEPOOL_DETAIL_JOIN2(a, b) a##b
#define LEASEPOOL_DETAIL_JOIN(a, b) LEASEPOOL_DETAIL_JOIN2(a, b)

/// Registers a free function, so that it can run in worker processes. At namespace scope, where the function is
/// declared, once for each function (again in another file is harmless, and so is a header). Its parameters and result
/// must be types that can be sent there: numbers, enums, what the standard library has to hold such, structs of such
/// members, and types with functions for cereal, which are declared before. Overloads need a cast that picks one. The
/// functions of a library that is closed with dlclose() are registered until then.
#define LEASEPOOL_REGISTER(...)                                                                                      \
  static_assert(::leasepool::detail::ChangesNoArgument<(__VA_ARGS__)>,                                               \
                "a worker process cannot change an argument of its caller: take it by value or by const reference, " \
                "and return what changed");                                                                          \
  static_assert(::leasepool::detail::PassesWhatOwnsItsMemory<(__VA_ARGS__)>,                                         \
                "a worker process cannot look at memory of its caller: take and return a type that owns what it "    \
                "holds, such as std::string, std::vector or leasepool::SharedBuffer");                               \
  static_assert(::leasepool::detail::PassesWhatCanBeEncoded<(__VA_ARGS__)>,                                          \
                "a type of this function, named below, cannot be sent to a worker process: make it "                 \
                "default-constructible, and a struct of public members (at most 64; no base class, union, "          \
                "bit-field, reference or constant), or give it, before this line: "                                  \
                "template <class Archive> void serialize(Archive& archive) { archive(member1, member2); }");         \
  [[maybe_unused]] static const ::leasepool::detail::Registration LEASEPOOL_DETAIL_JOIN(leasepool_registered_,       \
                                                                                        __COUNTER__) {               \
    ::leasepool::detail::describe_function<(__VA_ARGS__)>(std::source_location::current())                           \
  }

#endif
