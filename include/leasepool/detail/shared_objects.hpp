// SharedObjects: the objects that the std::shared_ptr of one decoded value share. cereal knows them by a number alone,
// whatever their types are, and hands them out while they are not complete; so what a number says is checked before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <typeinfo>
#include <vector>

#include "leasepool/detail/export.hpp"
#include "leasepool/detail/nesting.hpp"

namespace leasepool::detail {

// One decoding, on its thread. Each pointer is begun and ended, and those within its object meanwhile.
class LEASEPOOL_EXPORT SharedObjects {
 public:
  // Its first bytes are the number of its object, with the highest bit set where the object follows, or zero. True
  // where it follows. Throws DecodeError for what no encoder sends, and for an object that owns itself; and as the
  // bound does, since an object that is referred to is destroyed as deeply as one in its place would be.
  bool begin(std::uint32_t number, const std::type_info& type, NestingBound& nesting);
  void end(NestingBound& nesting);

  // Around a std::weak_ptr, whose own pointer may refer to what it is a part of.
  void begin_weak() noexcept { is_weak_ = true; }
  void end_weak() noexcept { is_weak_ = false; }

 private:
  static constexpr std::size_t kNone = SIZE_MAX;

  struct Object {
    const std::type_info* type = nullptr;
    std::size_t depth = 0;  // bytes of stack that decoding it took
    bool complete = false;
  };
  struct Begun {
    std::size_t object = kNone;  // of a reference
    NestingBound::Mark mark{};
  };

  std::vector<Object> objects_;  // the first has number 1
  std::vector<Begun> begun_;
  bool is_weak_ = false;
};

}  // namespace leasepool::detail
