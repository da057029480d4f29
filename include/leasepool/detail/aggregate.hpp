// Which plain structs can be taken apart into their members, and into how many.
#pragma once

#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "leasepool/detail/aggregate_members.hpp"
#include "leasepool/detail/type_name.hpp"

namespace leasepool::detail {

// Initializers of members, by what they convert to. Const, so that a constructor that takes anything is preferred.
template <std::size_t>
struct OfAnyMember {
  template <class M>
  operator M() const;  // NOLINT(google-explicit-constructor)
};
template <class T>
struct OfBase {
  template <class M>
    requires(std::is_base_of_v<M, T> && !std::is_same_v<M, T>)
  operator M() const;  // NOLINT(google-explicit-constructor)
};

// A union, or a struct that may be an anonymous one: its members would be those of what it is in.
template <class M>
consteval bool has_no_binding() {
  const std::string_view name = type_name<M>();
  return std::is_union_v<M> || name.find("<unnamed ") != std::string_view::npos ||
         name.find("(unnamed ") != std::string_view::npos || name.find("(anonymous struct") != std::string_view::npos ||
         name.find("(anonymous union") != std::string_view::npos;
}
struct OfUnbound {
  template <class M>
    requires(has_no_binding<M>())
  operator M() const;  // NOLINT(google-explicit-constructor)
};

// Tells members that take anything, as std::any does, from those.
struct OfNothing {};

template <class T, class Before, class After = std::index_sequence<>>
struct Initialized;
template <class T, std::size_t... B, std::size_t... A>
struct Initialized<T, std::index_sequence<B...>, std::index_sequence<A...>> {
  static constexpr bool kByAny = requires { T{OfAnyMember<B>{}...}; };
  static constexpr bool kThenNothing = requires { T{OfAnyMember<B>{}..., {}, OfAnyMember<A>{}...}; };
  template <class Probe>
  static constexpr bool kThen = requires { T{OfAnyMember<B>{}..., Probe{}}; };
};
template <class T, std::size_t kBefore, std::size_t kAfter = 0>
using InitializedBy = Initialized<T, std::make_index_sequence<kBefore>, std::make_index_sequence<kAfter>>;

template <class T, std::size_t kBefore, class Probe>
consteval bool takes_but_not_all() {
  using At = InitializedBy<T, kBefore>;
  return At::template kThen<Probe> && !At::template kThen<OfNothing>;
}

// An array of a member counts with each of its elements here, as those may stand there without braces.
inline constexpr std::size_t kMaxInitializers = 1024;

// Between a number of initializers that can be and one that cannot.
template <class T, std::size_t kGood, std::size_t kBad>
consteval std::size_t count_initializers_between() {
  if constexpr (kGood + 1 == kBad) {
    return kGood;
  } else if constexpr (constexpr std::size_t kMiddle = (kGood + kBad) / 2; InitializedBy<T, kMiddle>::kByAny) {
    return count_initializers_between<T, kMiddle, kBad>();
  } else {
    return count_initializers_between<T, kGood, kMiddle>();
  }
}
template <class T, std::size_t kTried = 1>
consteval std::size_t count_initializers() {
  if constexpr (kTried > kMaxInitializers) {
    return kTried;
  } else if constexpr (InitializedBy<T, kTried>::kByAny) {
    return count_initializers<T, 2 * kTried>();
  } else {
    return count_initializers_between<T, kTried / 2, kTried>();
  }
}

// How many of those that are left the member behind kBefore takes: as many as are one too many where `{}` stands for
// it. None where `{}` cannot.
template <class T, std::size_t kBefore, std::size_t kBad, std::size_t kGood>
consteval std::size_t initializers_of_member() {
  constexpr std::size_t kAll = count_initializers<T>();
  if constexpr (kBad + 1 == kGood) {
    return kGood;
  } else if constexpr (constexpr std::size_t kMiddle = kBad == 0 ? 1 : (kBad + kGood) / 2;
                       InitializedBy<T, kBefore, kAll - kBefore - kMiddle>::kThenNothing) {
    return initializers_of_member<T, kBefore, kBad, kMiddle>();
  } else {
    return initializers_of_member<T, kBefore, kMiddle, kGood>();
  }
}

// Zero where T cannot be taken apart.
template <class T, std::size_t kBefore = 0, std::size_t kCounted = 0>
consteval std::size_t count_members_from() {
  constexpr std::size_t kLeft = count_initializers<T>() - kBefore;
  if constexpr (kLeft == 0) {
    return InitializedBy<T, kBefore>::kThenNothing ? 0 : kCounted;  // there is one more, of a strange kind
  } else if constexpr (kCounted == kMaxMembers || takes_but_not_all<T, kBefore, OfUnbound>() ||
                       !InitializedBy<T, kBefore>::kThenNothing) {
    return 0;
  } else {
    return count_members_from<T, kBefore + initializers_of_member<T, kBefore, 0, kLeft>(), kCounted + 1>();
  }
}

template <class T>
concept LikeTuple = requires { std::tuple_size<T>::value; };

// A struct of members alone, by the count of them; zero for whatever else there is. Which has a reference or a constant
// in it cannot be assigned to, and a base's members are not its own.
template <class T>
consteval std::size_t count_members() {
  if constexpr (std::is_class_v<T> && std::is_aggregate_v<T> && !std::is_empty_v<T> && !LikeTuple<T> &&
                std::is_default_constructible_v<T> && std::is_move_assignable_v<T>) {
    if constexpr (!takes_but_not_all<T, 0, OfBase<T>>() && count_initializers<T>() <= kMaxInitializers) {
      return count_members_from<T>();
    }
  }
  return 0;
}
template <class T>
inline constexpr std::size_t kMemberCount = count_members<T>();

// TypeList of the types of members, without const; HasBitField where there is one.
template <class... M>
struct TypeList {};
struct ListTypes {
  template <class... M>
  constexpr TypeList<M...> operator()(const M&... /*members*/) const {
    return {};
  }
};
template <class T>
using MembersOf = decltype(visit_members<kMemberCount<T>>(std::declval<T&>(), ListTypes{}));

}  // namespace leasepool::detail
