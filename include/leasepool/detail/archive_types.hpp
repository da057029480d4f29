// How the archives save and load what cereal would carry otherwise than a parent can trust: lengths, sequences,
// pointers, and the library's own types.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "leasepool/detail/archive.hpp"
#include "leasepool/detail/descriptors.hpp"
#include "leasepool/detail/own_functions.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/shared_buffer.hpp"

namespace leasepool::detail {

template <class T>
inline constexpr bool kObject = std::is_class_v<T>;
template <class T>
inline constexpr bool kObject<cereal::BinaryData<T>> = false;  // a part of one, and may well be empty

// What containers of nodes, pointers and their allocators add to each element, or nearly so.
inline constexpr std::size_t kNodeSize = 48;

// What begins with one of these: how many bytes loading it makes beside it, if any, as an element of a map, or what a
// pointer owns. The latter as far as its first bytes say.
template <class T>
std::size_t begin_loading(DecodingArchive&, const T&) {
  return 0;
}
template <class K, class V>
std::size_t begin_loading(DecodingArchive&, const cereal::MapItem<K, V>&) {
  return sizeof(std::remove_cvref_t<K>) + sizeof(std::remove_cvref_t<V>) + kNodeSize;
}
template <class T, class D>
std::size_t begin_loading(DecodingArchive& archive, const cereal::memory_detail::PtrWrapper<std::unique_ptr<T, D>&>&) {
  const auto* const valid = archive.peek<std::byte>(1);
  return valid != nullptr && *valid != std::byte{0} ? sizeof(T) + kNodeSize : 0;
}
template <class T>
std::size_t begin_loading(DecodingArchive& archive, const cereal::memory_detail::PtrWrapper<std::shared_ptr<T>&>&) {
  std::uint32_t number = 0;
  const auto* const bytes = archive.peek<std::byte>(sizeof number);
  if (bytes != nullptr) std::memcpy(&number, bytes, sizeof number);
  return archive.begin_pointer(number, typeid(T)) ? sizeof(T) + kNodeSize : 0;
}
template <class T>
std::size_t begin_loading(DecodingArchive& archive, const std::weak_ptr<T>&) {
  archive.begin_weak();
  return 0;
}

// What ends with it.
template <class T>
void end_loading(DecodingArchive&, const T&) {}
template <class T>
void end_loading(DecodingArchive& archive, const cereal::memory_detail::PtrWrapper<std::shared_ptr<T>&>&) {
  archive.end_pointer();
}
template <class T>
void end_loading(DecodingArchive& archive, const std::weak_ptr<T>&) {
  archive.end_weak();
}

// cereal calls these, by their names, before and after what it saves and loads.
template <class Archive, class T>
  requires std::is_same_v<Archive, EncodingArchive> || std::is_same_v<Archive, DecodingArchive>
void prologue(Archive& archive, const T& value) {
  archive.begin_value();
  if constexpr (kObject<T>) {
    if constexpr (std::is_same_v<Archive, DecodingArchive>) {
      if (const std::size_t bytes = begin_loading(archive, value); bytes != 0) archive.make(bytes);
    }
    archive.begin_object();
  }
}
template <class Archive, class T>
  requires std::is_same_v<Archive, EncodingArchive> || std::is_same_v<Archive, DecodingArchive>
void epilogue(Archive& archive, const T& value) {
  if constexpr (kObject<T>) {
    archive.end_object();
    if constexpr (std::is_same_v<Archive, DecodingArchive>) end_loading(archive, value);
  }
}

template <class T>
  requires std::is_arithmetic_v<T>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const T& value) {
  archive.saveBinary(std::addressof(value), sizeof(value));
}
template <class T>
  requires(std::is_arithmetic_v<T> && !std::is_const_v<T>)
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, T& value) {
  archive.load_number(value);
}
template <class Archive, class T>
  requires std::is_same_v<Archive, EncodingArchive> || std::is_same_v<Archive, DecodingArchive>
void CEREAL_SERIALIZE_FUNCTION_NAME(Archive& archive, cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const cereal::SizeTag<T>& length) {
  archive(length.size);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, cereal::SizeTag<T>& length) {
  archive(length.size);
  archive.check_length(length.size);
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const cereal::BinaryData<T>& data) {
  archive.saveBinary(data.data, static_cast<std::size_t>(data.size));
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, cereal::BinaryData<T>& data) {
  archive.loadBinary(data.data, static_cast<std::size_t>(data.size));
  using Element = std::remove_all_extents_t<std::remove_pointer_t<std::decay_t<T>>>;
  if constexpr (std::is_same_v<Element, bool>) {  // an array of them, with the same restriction
    auto* const bytes = static_cast<unsigned char*>(data.data);
    for (std::size_t i = 0; i < data.size; ++i) bytes[i] = bytes[i] != 0 ? 1 : 0;
  }
}

// A descriptor's bytes are its number among those that travel beside them; so are shared memory's, whatever its size.
// Templates, so that a program in which no argument and no result has one, however deep, does not note that.
template <class Archive>
inline const bool kDescriptorsNoted = note_descriptors();
template <class Archive>
  requires std::is_same_v<Archive, EncodingArchive>
void CEREAL_SAVE_FUNCTION_NAME(Archive& archive, const Fd& fd) {
  (void)kDescriptorsNoted<Archive>;
  archive(archive.descriptors().add(fd));
}
template <class Archive>
  requires std::is_same_v<Archive, DecodingArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, Fd& fd) {
  (void)kDescriptorsNoted<Archive>;
  std::uint32_t number = kNoDescriptor;
  archive(number);
  fd = archive.descriptors().take(number);
}
template <class Archive>
  requires std::is_same_v<Archive, EncodingArchive>
void CEREAL_SAVE_FUNCTION_NAME(Archive& archive, const SharedBuffer& buffer) {
  archive(buffer.fd());
}
template <class Archive>
  requires std::is_same_v<Archive, DecodingArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, SharedBuffer& buffer) {
  Fd memory;
  archive(memory);
  buffer = memory ? SharedBuffer::map(std::move(memory)) : SharedBuffer();
}

// Nothing is sent of an array without elements: cereal's own would read the one byte that it is long, where none is.
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive&, const std::array<T, 0>&) {}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive&, std::array<T, 0>&) {}

// Sequences, and sets, grow with what is decoded: cereal's own would first make room for as many elements as are
// announced, and an element in memory may be far wider than its bytes.
template <class Sequence>
void load_growing(DecodingArchive& archive, Sequence& sequence, std::size_t beside_each = 0) {
  cereal::size_type length = 0;
  archive(cereal::make_size_tag(length));
  sequence.clear();
  for (; length > 0; --length) {
    archive.make(sizeof(typename Sequence::value_type) + beside_each);
    archive(sequence.emplace_back());
  }
}
template <class T, class A>
  requires(!std::is_arithmetic_v<T>)
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::vector<T, A>& vector) {
  load_growing(archive, vector);
}
template <class T, class A>
  requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::vector<T, A>& vector) {
  cereal::size_type length = 0;
  archive(cereal::make_size_tag(length));
  archive.check_length(length, sizeof(T));
  const auto count = static_cast<std::size_t>(length);
  archive.make(count * sizeof(T));
  if (const T* const elements = archive.template peek<T>(count)) {  // copied once, not cleared before
    vector.assign(elements, elements + count);
    return archive.skip(count * sizeof(T));
  }
  vector.resize(count);
  archive(cereal::binary_data(vector.data(), count * sizeof(T)));
}
template <class C, class T, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::basic_string<C, T, A>& string) {
  cereal::size_type length = 0;
  archive(cereal::make_size_tag(length));
  archive.check_length(length, sizeof(C));
  archive.make(static_cast<std::size_t>(length) * sizeof(C));
  string.resize(static_cast<std::size_t>(length));
  archive(cereal::binary_data(string.data(), static_cast<std::size_t>(length) * sizeof(C)));
}
// A plain struct is its members, one after the other.
template <EncodedByMembers T>
void CEREAL_SAVE_FUNCTION_NAME(EncodingArchive& archive, const T& value) {
  visit_members<kMemberCount<T>>(value, [&](const auto&... members) { archive(members...); });
}
template <EncodedByMembers T>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, T& value) {
  visit_members<kMemberCount<T>>(value, [&](auto&... members) { archive(members...); });
}

}  // namespace leasepool::detail
