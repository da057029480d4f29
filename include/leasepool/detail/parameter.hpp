// What the type of a parameter says.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>

namespace leasepool::detail {

// By non-const reference: what the function does to its argument is meant to be seen by the caller.
template <class P>
inline constexpr bool kChangeable = std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>>;

// Whether its objects, as far as the type tells, are only valid while somebody else keeps what they point at.
template <class T>
inline constexpr bool kPointsElsewhere = std::is_pointer_v<T>;
template <class C, class Traits>
inline constexpr bool kPointsElsewhere<std::basic_string_view<C, Traits>> = true;
template <class T, std::size_t N>
inline constexpr bool kPointsElsewhere<std::span<T, N>> = true;
template <class T>
inline constexpr bool kPointsElsewhere<std::initializer_list<T>> = true;

}  // namespace leasepool::detail
