// Target: code that reads bytes of somebody who may mean harm, and what must hold of it whatever they are. Each is run
// by libFuzzer (tools/fuzz) and, on its corpus and on random changes of that, by the test `fuzz`.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "leasepool/detail/bytes.hpp"

namespace leasepool::fuzz {

struct Target {
  std::string_view name;  // and of its folder in corpus/
  std::size_t max_size;   // of an input, in bytes
  // Aborts where something does not hold. What it is given is all that it goes by: the same input does the same again.
  void (*run)(std::span<const std::byte> input);
  // What an honest other end sends. Its corpus is made of these.
  std::vector<detail::Bytes> (*make_seeds)();
};

// What must hold; else the program ends by SIGABRT.
inline void require(bool holds, const char* what) noexcept {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace leasepool::fuzz
