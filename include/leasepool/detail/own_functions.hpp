// Whether a type has functions for cereal, by whomever: those come before what is encoded member by member.
#pragma once

#include <type_traits>

#include "leasepool/detail/aggregate.hpp"
#include "leasepool/detail/archive.hpp"

// Archives that nothing is written to. In a namespace of their own, where no function of the library's is found for
// them. They take anything: the compiler goes into a function whose result is deduced.
namespace leasepool::detail::function_probe {

class Output : public cereal::OutputArchive<Output> {
 public:
  template <class... T>
  Output& operator()(T&&... /*values*/) {
    return *this;
  }
  template <class T>
  Output& operator&(T&& /*value*/) {
    return *this;
  }
};
class Input : public cereal::InputArchive<Input> {
 public:
  template <class... T>
  Input& operator()(T&&... /*values*/) {
    return *this;
  }
  template <class T>
  Input& operator&(T&& /*value*/) {
    return *this;
  }
};

}  // namespace leasepool::detail::function_probe

CEREAL_SETUP_ARCHIVE_TRAITS(leasepool::detail::function_probe::Input, leasepool::detail::function_probe::Output)

namespace leasepool::detail {

template <class T>
inline constexpr bool kIsSaved =
    cereal::traits::detail::count_output_serializers<T, function_probe::Output>::value != 0;
template <class T>
inline constexpr bool kIsLoaded = cereal::traits::detail::count_input_serializers<T, function_probe::Input>::value != 0;
// For many types they are the same.
template <class T>
inline constexpr bool kHasOwnFunctions = kIsSaved<T> || kIsLoaded<T>;  // NOLINT(misc-redundant-expression)

template <class T>
consteval bool encoded_by_members() {
  if constexpr (kMemberCount<T> != 0) {
    if constexpr (!kHasOwnFunctions<T>) return !std::is_same_v<MembersOf<T>, HasBitField>;
  }
  return false;
}
template <class T>
concept EncodedByMembers = encoded_by_members<T>();

// Nothing is in it, and nothing is sent.
template <class T>
concept EncodedAsNothing = std::is_empty_v<T> && !kHasOwnFunctions<T>;

}  // namespace leasepool::detail
