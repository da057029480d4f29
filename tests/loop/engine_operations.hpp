// What the tests of both engines share: operations in few words.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "catch.hpp"
#include "loop/engine.hpp"
#include "ring_turns.hpp"

namespace leasepool::test {

using detail::Completion;
using detail::Engine;
using detail::kNever;
using detail::Operation;
using detail::OperationId;
using Kind = Operation::Kind;

inline Operation reading(int fd, std::span<char> into, std::uint64_t offset = Operation::kOwnPosition) {
  return {.kind = Kind::read, .fd = fd, .data = into.data(), .size = into.size(), .offset = offset};
}
inline Operation writing(int fd, std::string_view text, std::uint64_t offset = Operation::kOwnPosition) {
  return {.kind = Kind::write, .fd = fd, .data = const_cast<char*>(text.data()), .size = text.size(), .offset = offset};
}
inline Operation opening(const std::string& path, int flags, mode_t mode = 0600) {
  return {
      .kind = Kind::open, .data = const_cast<char*>(path.c_str()), .size = path.size(), .flags = flags, .mode = mode};
}
inline Operation accepting(int fd, Kind kind = Kind::accept) { return {.kind = kind, .fd = fd}; }

// The one completion of an operation, while all others that end have their turns, too.
inline Completion completion_of(Engine& engine, const Operation& operation, TimePoint deadline = kNever) {
  Record record;
  engine.start(operation, record.handler(), deadline);
  while (record.all.empty()) turn(engine);
  REQUIRE_FALSE(record.all[0].more);
  return record.all[0];
}
inline int result_of(Engine& engine, const Operation& operation) { return completion_of(engine, operation).result; }

// Lets everything go on that can without being waited for.
inline void settle(Engine& engine) {
  for (int i = 0; i < 5; ++i) {
    engine.submit_and_reap();
    engine.run_handlers();
  }
}

}  // namespace leasepool::test
