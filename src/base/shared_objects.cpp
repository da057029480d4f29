// What the numbers of shared objects may say.
#include "leasepool/detail/shared_objects.hpp"

#include <string>
#include <utility>

#include "leasepool/detail/bytes.hpp"

namespace leasepool::detail {

namespace {

constexpr std::uint32_t kFollows = 0x80000000;

}  // namespace

bool SharedObjects::begin(std::uint32_t number, const std::type_info& type, NestingBound& nesting) {
  const bool is_weak = std::exchange(is_weak_, false);
  const std::size_t at = (number & ~kFollows) - std::size_t{1};
  if ((number & kFollows) != 0) {
    if (at != objects_.size()) throw DecodeError("a shared object out of order");
    objects_.push_back({.type = &type});
    begun_.push_back({.object = at, .mark = nesting.begin()});
    return true;
  }
  if (number != 0) {
    if (at >= objects_.size()) throw DecodeError("a shared object that has not come");
    const Object& object = objects_[at];
    if (*object.type != type) throw DecodeError("a shared object that came as one of another type");
    if (!is_weak && !object.complete) {
      throw DecodeError("a std::shared_ptr to an object that it is a part of (let the way back be a std::weak_ptr)");
    }
    if (!is_weak) nesting.check_as_deep_as(object.depth);
  }
  begun_.push_back({.object = kNone, .mark = {}});
  return false;
}

void SharedObjects::end(NestingBound& nesting) {
  const Begun ended = begun_.back();
  begun_.pop_back();
  if (ended.object == kNone) return;
  Object& object = objects_[ended.object];
  object.depth = nesting.end(ended.mark);
  object.complete = true;
}

}  // namespace leasepool::detail
