// StackNote: the place in a worker's status page where a signal handler writes down a stack, for the parent to read.
// What stands in it is the worker's word: the parent checks every number, and opens no file that it names.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace leasepool::detail {

struct StackNote {
  static constexpr std::size_t kMostFrames = 64;
  static constexpr std::size_t kMostModules = 8;
  static constexpr std::size_t kLongestName = 200;

  struct Frame {
    std::uint64_t address;
    std::uint64_t module;  // an index; kMostModules or more: none
  };
  struct Module {
    std::uint64_t base;  // what the addresses in its file are counted from
    std::array<char, kLongestName> name;
  };

  std::atomic<std::uint64_t> call_id;  // of the call that ran; stored last, and zero while the rest is written
  std::uint64_t stack_overflow;
  std::uint64_t depth;
  std::array<Frame, kMostFrames> frames;
  std::array<Module, kMostModules> modules;
};

}  // namespace leasepool::detail
