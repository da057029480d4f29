// Which types the archives can carry to another process and back.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "leasepool/detail/aggregate.hpp"
#include "leasepool/detail/archive_containers.hpp"
#include "leasepool/detail/archive_types.hpp"
#include "leasepool/detail/own_functions.hpp"
#include "leasepool/detail/std_types.hpp"

namespace leasepool::detail {

// Of which types the values of a standard container or wrapper are made. cereal's own traits do not look at those, and
// would stop the build deep inside.
template <class T>
struct PartsOf {};
template <class... T>
struct MadeOf {
  using Types = TypeList<T...>;
};
template <class T, std::size_t N>
struct PartsOf<T[N]> : MadeOf<T> {};
template <class T, std::size_t N>
struct PartsOf<std::array<T, N>> : MadeOf<T> {};
template <class T>
struct PartsOf<std::optional<T>> : MadeOf<T> {};
template <class T>
struct PartsOf<std::atomic<T>> : MadeOf<T> {};
template <class T>
struct PartsOf<std::valarray<T>> : MadeOf<T> {};
template <class T, class A>
struct PartsOf<std::vector<T, A>> : MadeOf<T> {};
template <class T, class A>
struct PartsOf<std::deque<T, A>> : MadeOf<T> {};
template <class T, class A>
struct PartsOf<std::list<T, A>> : MadeOf<T> {};
template <class T, class A>
struct PartsOf<std::forward_list<T, A>> : MadeOf<T> {};
template <class T, class C, class A>
struct PartsOf<std::set<T, C, A>> : MadeOf<T> {};
template <class T, class C, class A>
struct PartsOf<std::multiset<T, C, A>> : MadeOf<T> {};
template <class T, class H, class E, class A>
struct PartsOf<std::unordered_set<T, H, E, A>> : MadeOf<T> {};
template <class T, class H, class E, class A>
struct PartsOf<std::unordered_multiset<T, H, E, A>> : MadeOf<T> {};
template <class K, class V, class C, class A>
struct PartsOf<std::map<K, V, C, A>> : MadeOf<K, V> {};
template <class K, class V, class C, class A>
struct PartsOf<std::multimap<K, V, C, A>> : MadeOf<K, V> {};
template <class K, class V, class H, class E, class A>
struct PartsOf<std::unordered_map<K, V, H, E, A>> : MadeOf<K, V> {};
template <class K, class V, class H, class E, class A>
struct PartsOf<std::unordered_multimap<K, V, H, E, A>> : MadeOf<K, V> {};
template <class T, class C>
struct PartsOf<std::queue<T, C>> : MadeOf<C> {};
template <class T, class C>
struct PartsOf<std::stack<T, C>> : MadeOf<C> {};
template <class T, class C, class L>
struct PartsOf<std::priority_queue<T, C, L>> : MadeOf<C, L> {};
template <class A, class B>
struct PartsOf<std::pair<A, B>> : MadeOf<A, B> {};
template <class... T>
struct PartsOf<std::tuple<T...>> : MadeOf<T...> {};
template <class... T>
struct PartsOf<std::variant<T...>> : MadeOf<T...> {};

// What it points at, where it is a smart pointer.
template <class T>
struct PointsAt {};
template <class T, class D>
struct PointsAt<std::unique_ptr<T, D>> : std::type_identity<std::remove_const_t<T>> {};
template <class T>
struct PointsAt<std::shared_ptr<T>> : std::type_identity<std::remove_const_t<T>> {};
template <class T>
struct PointsAt<std::weak_ptr<T>> : std::type_identity<std::remove_const_t<T>> {};

// An object of a derived class, which needs cereal's header of those, or one that its load_and_construct() makes.
template <class T>
consteval bool made_behind_pointer() {
  if constexpr (std::is_polymorphic_v<T>) {
    return cereal::traits::is_output_serializable<std::unique_ptr<T>, EncodingArchive>::value;
  } else if constexpr (std::is_class_v<T> && !std::is_default_constructible_v<T>) {
    return cereal::traits::is_output_serializable<T, EncodingArchive>::value &&
           cereal::traits::has_load_and_construct<T, DecodingArchive>::value;
  } else {
    return false;
  }
}

template <class T>
consteval bool carried_by_itself() {
  if constexpr (std::is_pointer_v<T> || std::is_reference_v<T> || std::is_const_v<T> || std::is_volatile_v<T> ||
                !std::is_default_constructible_v<T>) {
    return false;
  } else if constexpr (EncodedAsNothing<T>) {
    return true;
  } else {
    return cereal::traits::is_output_serializable<T, EncodingArchive>::value &&
           cereal::traits::is_input_serializable<T, DecodingArchive>::value;
  }
}

template <class... Within, class... T>
consteval auto first_refused(TypeList<T...> types);

// The type because of which a T cannot be sent to another process and back: T, or what is in it; void where it can.
// Within are those that this one is a part of: trees have themselves as parts.
template <class T, class... Within>
consteval auto refused_of() {
  if constexpr ((std::is_same_v<T, Within> || ...)) {
    return std::type_identity<void>{};
  } else if constexpr (requires { typename PartsOf<T>::Types; }) {
    return first_refused<Within...>(typename PartsOf<T>::Types{});
  } else if constexpr (requires { typename PointsAt<T>::type; }) {
    using Pointed = typename PointsAt<T>::type;
    if constexpr (made_behind_pointer<Pointed>()) {
      return std::type_identity<void>{};
    } else if constexpr (std::is_polymorphic_v<Pointed>) {
      return std::type_identity<T>{};
    } else {
      return refused_of<Pointed, Within...>();
    }
  } else if constexpr (EncodedByMembers<T>) {
    return first_refused<T, Within...>(MembersOf<T>{});
  } else {
    return std::type_identity<std::conditional_t<carried_by_itself<T>(), void, T>>{};
  }
}
template <class... Within, class... T>
consteval auto first_refused(TypeList<T...> /*types*/) {
  if constexpr (sizeof...(T) == 0) {
    return std::type_identity<void>{};
  } else {
    return []<class First, class... Rest>(TypeList<First, Rest...> /*types*/) {
      using Found = decltype(refused_of<First, Within...>());
      if constexpr (std::is_void_v<typename Found::type>) {
        return first_refused<Within...>(TypeList<Rest...>{});
      } else {
        return Found{};
      }
    }(TypeList<T...>{});
  }
}

// The first type in or of a list that cannot be sent; void where all can.
template <class... T>
using FirstRefused = typename decltype(first_refused<>(TypeList<T...>{}))::type;

template <class T>
struct Serializable : std::is_void<FirstRefused<T>> {};
template <class T>
inline constexpr bool kSerializable = Serializable<T>::value;

}  // namespace leasepool::detail
