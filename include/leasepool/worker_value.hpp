// make_worker_value and worker_value: an object of each worker's own, such as a model, a connection or a cache.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <concepts>
#include <memory>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "leasepool/detail/export.hpp"
#include "leasepool/detail/type_name.hpp"

namespace leasepool {

namespace detail {

using WorkerValue = std::unique_ptr<void, void (*)(void*)>;

// Of the worker whose thread this is; null where there is none, or elsewhere.
LEASEPOOL_EXPORT void* find_worker_value(const std::type_info& type) noexcept;
// These throw std::logic_error: elsewhere, or where there is one already, or none.
LEASEPOOL_EXPORT void check_worker_lacks_value(const std::type_info& type, std::string_view name);
LEASEPOOL_EXPORT void keep_worker_value(const std::type_info& type, std::string_view name, WorkerValue value);
[[noreturn]] LEASEPOOL_EXPORT void throw_no_worker_value(std::string_view name);

template <class T>
concept PlainObject = std::is_object_v<T> && !std::is_array_v<T> && std::same_as<T, std::remove_cv_t<T>>;

}  // namespace detail

/// Makes the worker that runs this an object, which functions that run there later find with worker_value<T>(). Call it
/// in ManagerOptions::initializer, so that each worker has one before its first call, or in any other function that
/// runs on a lease. There is one of each type: of a second, std::logic_error is thrown. What the constructor throws
/// leaves this.
///
/// The object lives as long as the worker and is destroyed on the worker's thread, the last one first: when the thread
/// of a pool ends, and when a worker process ends in order (the pool is stopped, is not needed any more, or the process
/// is replaced by age, calls or memory); it gets 10 s for that. A process that crashes or is killed (for a time-out, an
/// expired lease, a cancelled call, worker_reuse, a manager that is destroyed without stop()) takes it along, and its
/// destructor does not run.
template <detail::PlainObject T, class... A>
  requires std::constructible_from<T, A...>
T& make_worker_value(A&&... arguments) {
  detail::check_worker_lacks_value(typeid(T), detail::type_name<T>());
  auto made = std::make_unique<T>(std::forward<A>(arguments)...);
  T& value = *made;
  detail::keep_worker_value(typeid(T), detail::type_name<T>(),
                            detail::WorkerValue(made.release(), [](void* object) { delete static_cast<T*>(object); }));
  return value;
}

/// The object that make_worker_value<T>() made in the worker that runs this; null where there is none, and elsewhere
/// than in a worker. For what the first call makes that wants it.
template <detail::PlainObject T>
[[nodiscard]] T* find_worker_value() noexcept {
  return static_cast<T*>(detail::find_worker_value(typeid(T)));
}

/// The same, where there is one; std::logic_error, which names the type, where there is none. It is used by one call at
/// a time, so it needs no lock, and on the thread of the function alone: threads that this starts are given a
/// reference.
template <detail::PlainObject T>
[[nodiscard]] T& worker_value() {
  if (T* const value = find_worker_value<T>()) return *value;
  detail::throw_no_worker_value(detail::type_name<T>());
}

}  // namespace leasepool

#endif
