// The one header that includes cereal: the archives that encode and decode over memory, with every read checked.
#pragma once

// Beside cereal itself, what costs little: no header of a container. std_types.hpp says why.
#include <cereal/cereal.hpp>
#include <cereal/types/array.hpp>
#include <cereal/types/atomic.hpp>
#include <cereal/types/concepts/pair_associative_container.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/tuple.hpp>
#include <cereal/types/unordered_set.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>

// cereal's pointers end with those to polymorphic types, and these bring three containers. A program that has such
// types includes <cereal/types/polymorphic.hpp> to register them.
#ifndef CEREAL_TYPES_POLYMORPHIC_HPP_
#define CEREAL_TYPES_POLYMORPHIC_HPP_
#include <cereal/types/memory.hpp>
#undef CEREAL_TYPES_POLYMORPHIC_HPP_
#endif

#include <cstddef>
#include <cstdint>
#include <string>
#include <typeinfo>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/decode_limits.hpp"
#include "leasepool/detail/descriptors.hpp"
#include "leasepool/detail/nesting.hpp"
#include "leasepool/detail/shared_objects.hpp"

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
  template <class T>
  void load_number(T& value) {
    reader_->read_number(value);
  }
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

}  // namespace leasepool::detail

CEREAL_REGISTER_ARCHIVE(leasepool::detail::EncodingArchive)
CEREAL_REGISTER_ARCHIVE(leasepool::detail::DecodingArchive)
CEREAL_SETUP_ARCHIVE_TRAITS(leasepool::detail::DecodingArchive, leasepool::detail::EncodingArchive)
