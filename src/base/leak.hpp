// Letting go of what must never be destroyed.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

namespace leasepool::detail {

// Keeps one hold of the object until the process ends; takes no memory.
template <class T>
void leak(std::shared_ptr<T> object) noexcept {
  alignas(std::shared_ptr<T>) std::byte never_destroyed[sizeof(std::shared_ptr<T>)];
  ::new (static_cast<void*>(never_destroyed)) std::shared_ptr<T>(std::move(object));
}

}  // namespace leasepool::detail
