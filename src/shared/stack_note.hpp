// StackNote: the place in a worker's status page where a signal handler writes down a stack, for the parent to read.
// What stands in it is the worker's word: the parent checks every number, and opens no file that it names.
#pragma once

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>

namespace leasepool::detail {

// What the parent sends to ask for one: ignored by processes that do not handle it.
inline constexpr int kStackSignal = SIGURG;

struct StackNote {
  static constexpr std::size_t kMaxFrames = 64;
  static constexpr std::size_t kMaxModules = 8;
  static constexpr std::size_t kMaxName = 200;

  struct Frame {
    std::uint64_t address;
    std::uint64_t module;  // an index; kMaxModules or more: none
  };
  struct Module {
    std::uint64_t base;  // what the addresses in its file are counted from
    std::array<char, kMaxName> name;
  };

  std::atomic<std::uint64_t> call_id;  // of the call that ran; stored last, and zero while the rest is written
  std::uint64_t stack_overflow;
  std::uint64_t depth;
  std::array<Frame, kMaxFrames> frames;
  std::array<Module, kMaxModules> modules;
};

}  // namespace leasepool::detail
