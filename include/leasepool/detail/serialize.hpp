// Values encoded into bytes and descriptors, and decoded from them. A struct is its members; other types of the user's
// own need a serialize() as https://uscilab.github.io/cereal describes.
#pragma once

#include <string>
#include <type_traits>

#include "leasepool/detail/aggregate.hpp"
#include "leasepool/detail/archive.hpp"
#include "leasepool/detail/archive_types.hpp"
#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/decode_limits.hpp"
#include "leasepool/detail/descriptors.hpp"
#include "leasepool/detail/own_functions.hpp"
#include "leasepool/detail/serializable.hpp"

namespace leasepool::detail {

// Numbers alone, structs of such, or nothing. An archive writes and reads the same bytes of them; but to make one and
// end it, with cereal's tables of pointers and types, takes longer than a quick call runs.
template <class T>
consteval bool numbers_alone() {
  if constexpr (std::is_arithmetic_v<T>) {
    return true;
  } else if constexpr (EncodedByMembers<T>) {
    return []<class... M>(TypeList<M...> /*members*/) { return (numbers_alone<M>() && ...); }(MembersOf<T>{});
  } else {
    return false;
  }
}
template <class... T>
inline constexpr bool kNeedsNoArchive = (numbers_alone<T>() && ...);

template <class T>
void write_numbers(ByteWriter& writer, const T& value) {
  if constexpr (std::is_arithmetic_v<T>) {
    writer.write(&value, sizeof value);
  } else {
    visit_members<kMemberCount<T>>(value, [&](const auto&... members) { (write_numbers(writer, members), ...); });
  }
}
template <class T>
void read_numbers(ByteReader& reader, T& value) {
  if constexpr (std::is_arithmetic_v<T>) {
    reader.read_number(value);
  } else {
    visit_members<kMemberCount<T>>(value, [&](auto&... members) { (read_numbers(reader, members), ...); });
  }
}

template <class... T>
void encode(ByteWriter& writer, [[maybe_unused]] DescriptorWriter& descriptors, const T&... values) {
  if constexpr (kNeedsNoArchive<T...>) {
    (write_numbers(writer, values), ...);
  } else {
    EncodingArchive archive(writer, descriptors);
    (archive(values), ...);
  }
}

// Throws DecodeError when bytes or descriptors are too few, too many or not what they should be, and what the limits
// say.
template <class... T>
void decode_within([[maybe_unused]] const DecodeLimits& limits, ByteReader& reader, DescriptorReader& descriptors,
                   T&... values) {
  if constexpr (kNeedsNoArchive<T...>) {
    (read_numbers(reader, values), ...);
  } else {
    DecodingArchive archive(reader, descriptors, limits);
    (archive(values), ...);
  }
  if (reader.left() != 0) throw DecodeError(std::to_string(reader.left()) + " bytes too many");
  if (descriptors.left() != 0) throw DecodeError(std::to_string(descriptors.left()) + " descriptors too many");
}
template <class... T>
void decode(ByteReader& reader, DescriptorReader& descriptors, T&... values) {
  decode_within({}, reader, descriptors, values...);
}

}  // namespace leasepool::detail
