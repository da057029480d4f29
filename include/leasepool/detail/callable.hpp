// Refuses what cannot be called before anything starts: empty std::functions, null pointers, moved-from wrappers.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace leasepool::detail {

// Throws std::invalid_argument for a callable that can be empty and is. Lambdas, which compare with nullptr only
// because they convert to pointers, cannot.
template <class F>
void check_callable(const char* verb, const char* what, const F& callable) {
  if constexpr (std::is_constructible_v<F, std::nullptr_t> && requires { callable == nullptr; }) {
    if (callable == nullptr) {
      throw std::invalid_argument(std::string("leasepool: ") + verb + "() needs a " + what + ", and this one is empty");
    }
  }
}

}  // namespace leasepool::detail
