// Which types the archives can carry to another process and back.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <stack>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <valarray>
#include <variant>
#include <vector>

#include "leasepool/detail/archive_types.hpp"
#include "leasepool/detail/type_name.hpp"

namespace leasepool::detail {

// Whether cereal can carry a type to another process and back. Looks into the standard containers, because cereal's
// own traits do not and would stop the build deep inside.
template <class T>
consteval bool carried_by_cereal() {
  if constexpr (std::is_pointer_v<T> || std::is_reference_v<T> || std::is_const_v<T> ||
                !std::is_default_constructible_v<T>) {
    return false;
  } else {
    return cereal::traits::is_output_serializable<T, EncodingArchive>::value &&
           cereal::traits::is_input_serializable<T, DecodingArchive>::value;
  }
}
template <class T>
struct Serializable : std::bool_constant<carried_by_cereal<T>()> {};
template <class T>
inline constexpr bool kSerializable = Serializable<T>::value;

template <class T, class A>
struct Serializable<std::vector<T, A>> : Serializable<T> {};
template <class T, class A>
struct Serializable<std::deque<T, A>> : Serializable<T> {};
template <class T, class A>
struct Serializable<std::list<T, A>> : Serializable<T> {};
template <class T, std::size_t N>
struct Serializable<std::array<T, N>> : Serializable<T> {};
template <class T>
struct Serializable<std::optional<T>> : Serializable<T> {};
template <class T>
struct Serializable<std::atomic<T>> : Serializable<T> {};
template <class T>
struct Serializable<std::valarray<T>> : Serializable<T> {};
template <class T, class A>
struct Serializable<std::forward_list<T, A>> : Serializable<T> {};
template <class T, class C>
struct Serializable<std::queue<T, C>> : Serializable<C> {};
template <class T, class C>
struct Serializable<std::stack<T, C>> : Serializable<C> {};
template <class T, class C, class L>
struct Serializable<std::priority_queue<T, C, L>> : std::bool_constant<kSerializable<C> && kSerializable<L>> {};

// What a smart pointer points at may be an object of a derived class, or one that its load_and_construct() makes.
template <class T>
consteval bool carried_by_pointer() {
  if constexpr (std::is_abstract_v<T> || kSerializable<T>) {
    return true;
  } else if constexpr (std::is_class_v<T> && !std::is_default_constructible_v<T>) {
    return cereal::traits::is_output_serializable<T, EncodingArchive>::value &&
           cereal::traits::has_load_and_construct<T, DecodingArchive>::value;
  } else {
    return false;
  }
}
template <class T, class D>
struct Serializable<std::unique_ptr<T, D>> : std::bool_constant<carried_by_pointer<std::remove_const_t<T>>()> {};
template <class T>
struct Serializable<std::shared_ptr<T>> : std::bool_constant<carried_by_pointer<std::remove_const_t<T>>()> {};
template <class T>
struct Serializable<std::weak_ptr<T>> : std::bool_constant<carried_by_pointer<std::remove_const_t<T>>()> {};
template <class T, class C, class A>
struct Serializable<std::set<T, C, A>> : Serializable<T> {};
template <class T, class C, class A>
struct Serializable<std::multiset<T, C, A>> : Serializable<T> {};
template <class T, class H, class E, class A>
struct Serializable<std::unordered_set<T, H, E, A>> : Serializable<T> {};
template <class T, class H, class E, class A>
struct Serializable<std::unordered_multiset<T, H, E, A>> : Serializable<T> {};
template <class K, class V, class C, class A>
struct Serializable<std::map<K, V, C, A>> : std::bool_constant<kSerializable<K> && kSerializable<V>> {};
template <class K, class V, class C, class A>
struct Serializable<std::multimap<K, V, C, A>> : std::bool_constant<kSerializable<K> && kSerializable<V>> {};
template <class K, class V, class H, class E, class A>
struct Serializable<std::unordered_map<K, V, H, E, A>> : std::bool_constant<kSerializable<K> && kSerializable<V>> {};
template <class K, class V, class H, class E, class A>
struct Serializable<std::unordered_multimap<K, V, H, E, A>> : std::bool_constant<kSerializable<K> && kSerializable<V>> {
};
template <class A, class B>
struct Serializable<std::pair<A, B>> : std::bool_constant<kSerializable<A> && kSerializable<B>> {};
template <class... T>
struct Serializable<std::tuple<T...>> : std::bool_constant<(kSerializable<T> && ...)> {};
template <class... T>
struct Serializable<std::variant<T...>> : std::bool_constant<(kSerializable<T> && ...)> {};

// The name of the first type of a list that cannot be carried; empty if all can.
template <class... T>
constexpr std::string_view first_not_serializable() {
  std::string_view name;
  ((name.empty() && !kSerializable<T> ? void(name = type_name<T>()) : void()), ...);
  return name;
}

}  // namespace leasepool::detail
