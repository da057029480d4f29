// What the type of a parameter says.
#pragma once

#include <type_traits>

namespace leasepool::detail {

// By non-const reference: what the function does to its argument is meant to be seen by the caller.
template <class P>
inline constexpr bool kChangeable = std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>>;

}  // namespace leasepool::detail
