// How the archives save and load the standard containers of which no header is included (std_types.hpp), and spans and
// points of time. The bytes are those that cereal would write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "leasepool/detail/archive.hpp"
#include "leasepool/detail/archive_types.hpp"
#include "leasepool/detail/std_types.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail {

// What a std::deque without elements has beside it: a block, and a list of blocks.
inline constexpr std::size_t kEmptyDeque = 512 + 64;

template <class Container>
void save_elements(EncodingArchive& archive, const Container& container, std::size_t length) {
  archive(cereal::make_size_tag(static_cast<cereal::size_type>(length)));
  for (const auto& element : container) archive(element);
}
template <class Set>
void load_set(DecodingArchive& archive, Set& set) {
  cereal::size_type length = 0;
  archive(cereal::make_size_tag(length));
  set.clear();
  for (; length > 0; --length) {
    archive.make(sizeof(typename Set::value_type) + kNodeSize);
    typename Set::value_type element;
    archive(element);
    set.emplace_hint(set.end(), std::move(element));
  }
}

template <class T, class A>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::deque<T, A>& deque) {
  save_elements(archive, deque, deque.size());
}
template <class T, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::deque<T, A>& deque) {
  archive.make(kEmptyDeque);
  load_growing(archive, deque);
}
template <class T, class A>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::list<T, A>& list) {
  save_elements(archive, list, list.size());
}
template <class T, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::list<T, A>& list) {
  load_growing(archive, list, kNodeSize);
}
template <class T, class A>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::forward_list<T, A>& list) {
  std::size_t length = 0;
  for (auto at = list.begin(); at != list.end(); ++at) ++length;
  save_elements(archive, list, length);
}
template <class T, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::forward_list<T, A>& list) {
  cereal::size_type length = 0;
  archive(cereal::make_size_tag(length));
  list.clear();
  for (auto last = list.before_begin(); length > 0; --length) {
    archive.make(sizeof(T) + kNodeSize);
    last = list.emplace_after(last);
    archive(*last);
  }
}

template <class T, class C, class A>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::set<T, C, A>& set) {
  save_elements(archive, set, set.size());
}
template <class T, class C, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::set<T, C, A>& set) {
  load_set(archive, set);
}
template <class T, class C, class A>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::multiset<T, C, A>& set) {
  save_elements(archive, set, set.size());
}
template <class T, class C, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::multiset<T, C, A>& set) {
  load_set(archive, set);
}
template <class T, class H, class E, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::unordered_set<T, H, E, A>& set) {
  load_set(archive, set);
}
template <class T, class H, class E, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::unordered_multiset<T, H, E, A>& set) {
  load_set(archive, set);
}

// The protected members of queues and stacks.
template <class Adapter>
struct InsideOf : Adapter {
  static const auto& container(const Adapter& adapter) noexcept { return adapter.*(&InsideOf::c); }
  static const auto& comparison(const Adapter& adapter) noexcept { return adapter.*(&InsideOf::comp); }
};
template <class T, class C>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::queue<T, C>& queue) {
  archive(InsideOf<std::queue<T, C>>::container(queue));
}
template <class T, class C>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::queue<T, C>& queue) {
  C elements;
  archive(elements);
  queue = std::queue<T, C>(std::move(elements));
}
template <class T, class C>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::stack<T, C>& stack) {
  archive(InsideOf<std::stack<T, C>>::container(stack));
}
template <class T, class C>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::stack<T, C>& stack) {
  C elements;
  archive(elements);
  stack = std::stack<T, C>(std::move(elements));
}
template <class T, class C, class L>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::priority_queue<T, C, L>& queue) {
  using Inside = InsideOf<std::priority_queue<T, C, L>>;
  archive(Inside::comparison(queue));
  archive(Inside::container(queue));
}
template <class T, class C, class L>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::priority_queue<T, C, L>& queue) {
  L less;
  archive(less);
  C elements;
  archive(elements);
  queue = std::priority_queue<T, C, L>(less, std::move(elements));
}

template <class T>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::valarray<T>& array) {
  save_elements(archive, array, array.size());
}
template <class T>
  requires(!std::is_same_v<T, bool>)  // a std::vector<bool> is another thing
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::valarray<T>& array) {
  std::vector<T> elements;
  archive(elements);
  array = std::valarray<T>(elements.data(), elements.size());
}
template <class T>
  requires std::is_same_v<T, bool>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::valarray<T>& array) {
  std::vector<char> elements;  // as wide, and as many bytes
  archive(elements);
  array.resize(elements.size());
  for (std::size_t i = 0; i < elements.size(); ++i) array[i] = elements[i] != 0;
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::complex<T>& number) {
  archive(number.real(), number.imag());
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::complex<T>& number) {
  T real{};
  T imaginary{};
  archive(real, imaginary);
  number = std::complex<T>(real, imaginary);
}

// A number of its kind, then the bits, eight in a byte, the first of them in its highest.
inline constexpr std::uint8_t kBits = 3;
template <std::size_t N>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::bitset<N>& bits) {
  archive(kBits);
  for (std::size_t begin = 0; begin < bits.size(); begin += 8) {
    unsigned byte = 0;
    for (std::size_t i = begin; i < begin + 8 && i < N; ++i) byte |= (bits[i] ? 0x80U : 0U) >> (i - begin);
    archive(static_cast<std::uint8_t>(byte));
  }
}
template <std::size_t N>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::bitset<N>& bits) {
  std::uint8_t kind = 0;
  archive(kind);
  if (kind != kBits) throw DecodeError("a std::bitset of an unknown kind");
  for (std::size_t begin = 0; begin < bits.size(); begin += 8) {
    std::uint8_t byte = 0;
    archive(byte);
    for (std::size_t i = begin; i < begin + 8 && i < N; ++i) bits[i] = (byte << (i - begin) & 0x80) != 0;
  }
}

template <class R, class P>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::chrono::duration<R, P>& span) {
  archive(span.count());
}
template <class R, class P>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::chrono::duration<R, P>& span) {
  R count{};
  archive(count);
  span = std::chrono::duration<R, P>(count);
}
template <class C, class D>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const std::chrono::time_point<C, D>& point) {
  archive(point.time_since_epoch());
}
template <class C, class D>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::chrono::time_point<C, D>& point) {
  D since_epoch{};
  archive(since_epoch);
  point = std::chrono::time_point<C, D>(since_epoch);
}

}  // namespace leasepool::detail
