// Slots: places that are taken and given back, each named by an id of its index and a generation, so that an id that is
// kept too long does not name the place's next user.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.hpp"

namespace leasepool::detail {

// An id is at least 2^32, and is not used again within 2^32 uses of its place. With a std::deque, places keep their
// addresses. Only to take one more than there ever were at once takes memory. One thread.
template <class T, template <class...> class Sequence = std::vector>
class Slots {
 public:
  using Id = std::uint64_t;
  static constexpr std::uint32_t kNone = UINT32_MAX;

  // Throws std::bad_alloc, and then nothing has changed.
  [[nodiscard]] std::uint32_t take() {
    if (free_.empty()) add();
    const std::uint32_t index = free_.back();
    free_.pop_back();
    check(!places_[index].taken, "a slot that is free is not in use");
    places_[index].taken = true;
    return index;
  }
  // From here on its id names nothing.
  void give_back(std::uint32_t index) noexcept {
    Place& place = places_[index];
    check(place.taken, "a slot is given back once");
    place.taken = false;
    if (++place.generation == 0) place.generation = 1;  // 0 would make ids below 2^32
    free_.push_back(index);
  }

  // Of one that is taken.
  [[nodiscard]] Id id_of(std::uint32_t index) const noexcept { return (Id{places_[index].generation} << 32) | index; }
  // Its index; kNone if it names nothing, or nothing any more.
  [[nodiscard]] std::uint32_t find(Id id) const noexcept {
    const auto index = static_cast<std::uint32_t>(id);
    return index < places_.size() && places_[index].taken && id_of(index) == id ? index : kNone;
  }

  [[nodiscard]] T& operator[](std::uint32_t index) noexcept { return places_[index].value; }
  [[nodiscard]] const T& operator[](std::uint32_t index) const noexcept { return places_[index].value; }
  // How many there are, taken or free; and how many are taken.
  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
  [[nodiscard]] std::size_t taken() const noexcept { return places_.size() - free_.size(); }

 private:
  struct Place {
    T value{};
    std::uint32_t generation = 1;
    bool taken = false;
  };

  void add() {
    if (free_.capacity() == places_.size()) free_.reserve(2 * places_.size() + 16);
    places_.emplace_back();
    free_.push_back(static_cast<std::uint32_t>(places_.size() - 1));
  }

  Sequence<Place> places_;
  std::vector<std::uint32_t> free_;  // has room for all
};

}  // namespace leasepool::detail
