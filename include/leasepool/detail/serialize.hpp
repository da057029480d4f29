// The one header that knows cereal: what can be encoded, and the archives that do it over memory with every read
// checked. Types of the user's own need a serialize() as https://uscilab.github.io/cereal describes.
#pragma once

#include <array>
#include <atomic>
#include <cereal/archives/adapters.hpp>
#include <cereal/cereal.hpp>
#include <cereal/types/array.hpp>
#include <cereal/types/atomic.hpp>
#include <cereal/types/bitset.hpp>
#include <cereal/types/chrono.hpp>
#include <cereal/types/complex.hpp>
#include <cereal/types/deque.hpp>
#include <cereal/types/forward_list.hpp>
#include <cereal/types/list.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/polymorphic.hpp>
#include <cereal/types/queue.hpp>
#include <cereal/types/set.hpp>
#include <cereal/types/stack.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/tuple.hpp>
#include <cereal/types/unordered_map.hpp>
#include <cereal/types/unordered_set.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/valarray.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <forward_list>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <stack>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <valarray>
#include <variant>
#include <vector>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/decode_limits.hpp"
#include "leasepool/detail/descriptors.hpp"
#include "leasepool/detail/nesting.hpp"
#include "leasepool/detail/registry.hpp"
#include "leasepool/detail/shared_objects.hpp"
#include "leasepool/detail/type_name.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/shared_buffer.hpp"

namespace leasepool::detail {

class EncodingArchive : public cereal::OutputArchive<EncodingArchive, cereal::AllowEmptyClassElision> {
 public:
  EncodingArchive(ByteWriter& writer, DescriptorWriter& descriptors)
      : OutputArchive(this), writer_(&writer), descriptors_(&descriptors) {}
  void saveBinary(const void* data, std::size_t size) { writer_->write(data, size); }
  [[nodiscard]] DescriptorWriter& descriptors() const noexcept { return *descriptors_; }

  void begin_value() { nesting_.check(); }

  // Around each object. One that has nothing to send is sent as a byte, so that no length is more than the bytes after
  // it. Only the innermost needs to be remembered: those around it have its byte at least.
  void begin_object() noexcept { begun_at_ = writer_->written(); }
  void end_object() {
    if (writer_->written() == begun_at_) saveBinary("", 1);
  }

 private:
  ByteWriter* writer_;
  DescriptorWriter* descriptors_;
  NestingBound nesting_;
  std::size_t begun_at_ = 0;
};

class DecodingArchive : public cereal::InputArchive<DecodingArchive, cereal::AllowEmptyClassElision> {
 public:
  DecodingArchive(ByteReader& reader, DescriptorReader& descriptors, const DecodeLimits& limits)
      : InputArchive(this),
        reader_(&reader),
        descriptors_(&descriptors),
        nesting_(limits.most_stack),
        patience_(limits),
        most_bytes_(limits.most_bytes),
        left_to_make_(limits.most_bytes) {}
  void loadBinary(void* data, std::size_t size) { reader_->read(data, size); }
  [[nodiscard]] DescriptorReader& descriptors() const noexcept { return *descriptors_; }

  void begin_value() {
    nesting_.check();
    patience_.check();
  }

  // Before something of so many bytes is made, beyond the value that it is a part of.
  void make(std::size_t bytes) {
    if (bytes > left_to_make_) throw DecodedTooLarge(most_bytes_);
    left_to_make_ -= bytes;
  }

  void begin_object() noexcept { begun_at_ = reader_->left(); }
  void end_object() {
    char byte = 0;
    if (reader_->left() == begun_at_) loadBinary(&byte, 1);
  }

  template <class T>
  [[nodiscard]] const T* peek(std::size_t count) const noexcept {
    return reader_->peek<T>(count);
  }
  void skip(std::size_t size) noexcept { reader_->skip(size); }

  // What std::shared_ptr and std::weak_ptr refer to.
  bool begin_pointer(std::uint32_t number, const std::type_info& type) { return shared_.begin(number, type, nesting_); }
  void end_pointer() { shared_.end(nesting_); }
  void begin_weak() noexcept { shared_.begin_weak(); }
  void end_weak() noexcept { shared_.end_weak(); }

  // A container of n elements needs at least n more bytes: a length that cannot be true allocates nothing.
  void check_length(cereal::size_type length, std::size_t element_size = 1) const {
    if (length > reader_->left() / element_size) {
      throw DecodeError("a length of " + std::to_string(length) + " where " + std::to_string(reader_->left()) +
                        " bytes are left");
    }
  }

 private:
  ByteReader* reader_;
  DescriptorReader* descriptors_;
  NestingBound nesting_;
  DecodingPatience patience_;
  std::size_t most_bytes_;
  std::size_t left_to_make_;
  std::size_t begun_at_ = 0;
  SharedObjects shared_;
};

template <class T>
inline constexpr bool kObject = std::is_class_v<T>;
template <class T>
inline constexpr bool kObject<cereal::BinaryData<T>> = false;  // a part of one, and may well be empty

// What containers of nodes, pointers and their allocators add to each element, or nearly so.
inline constexpr std::size_t kNodeSize = 48;
// What a std::deque without elements has beside it: a block, and a list of blocks.
inline constexpr std::size_t kEmptyDeque = 512 + 64;

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
  if constexpr (std::is_same_v<T, bool>) {  // any byte but 0 and 1 in a bool is undefined behaviour
    unsigned char byte = 0;
    archive.loadBinary(&byte, 1);
    value = byte != 0;
  } else {
    archive.loadBinary(std::addressof(value), sizeof(value));
  }
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

// Sequences and sets grow with what is decoded: cereal's own would first make room for as many elements as are
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
template <class T, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::deque<T, A>& deque) {
  archive.make(kEmptyDeque);
  load_growing(archive, deque);
}
template <class T, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::list<T, A>& list) {
  load_growing(archive, list, kNodeSize);
}
template <class T, class C, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::set<T, C, A>& set) {
  load_set(archive, set);
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
// These are sent as a list and a vector are.
template <class T, class A>
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::forward_list<T, A>& list) {
  std::list<T> elements;
  archive(elements);
  list.assign(std::move_iterator(elements.begin()), std::move_iterator(elements.end()));
}
template <class T>
  requires(!std::is_same_v<T, bool>)  // a std::vector<bool> is another thing
void CEREAL_LOAD_FUNCTION_NAME(DecodingArchive& archive, std::valarray<T>& array) {
  std::vector<T> elements;
  archive(elements);
  array = std::valarray<T>(elements.data(), elements.size());
}

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

template <class... T>
void encode(ByteWriter& writer, DescriptorWriter& descriptors, const T&... values) {
  EncodingArchive archive(writer, descriptors);
  (archive(values), ...);
}

// Throws DecodeError when bytes or descriptors are too few, too many or not what they should be, and what the limits
// say.
template <class... T>
void decode_within(const DecodeLimits& limits, ByteReader& reader, DescriptorReader& descriptors, T&... values) {
  DecodingArchive archive(reader, descriptors, limits);
  (archive(values), ...);
  if (reader.left() != 0) throw DecodeError(std::to_string(reader.left()) + " bytes too many");
  if (descriptors.left() != 0) throw DecodeError(std::to_string(descriptors.left()) + " descriptors too many");
}
template <class... T>
void decode(ByteReader& reader, DescriptorReader& descriptors, T&... values) {
  decode_within({}, reader, descriptors, values...);
}

}  // namespace leasepool::detail

CEREAL_REGISTER_ARCHIVE(leasepool::detail::EncodingArchive)
CEREAL_REGISTER_ARCHIVE(leasepool::detail::DecodingArchive)
CEREAL_SETUP_ARCHIVE_TRAITS(leasepool::detail::DecodingArchive, leasepool::detail::EncodingArchive)
