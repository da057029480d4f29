// HeldCalls: worker processes that are busy until a test lets them go on.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"

namespace leasepool::test {

// A pool of worker processes, so many of which run pool_functions::hold().
class HeldCalls {
 public:
  HeldCalls(std::size_t workers, std::size_t held) : pool(loop, ExecutorBackend::process, workers) {
    pool_functions::reset_shared();
    REQUIRE(pool.start().has_value());
    for (std::size_t i = 0; i < held; ++i) calls.push_back(pool.call(pool_functions::hold));
    REQUIRE(pool.wait([&] { return pool_functions::shared().holding == held; }));
  }
  HeldCalls(const HeldCalls&) = delete;
  HeldCalls& operator=(const HeldCalls&) = delete;

  // Lets them go on; nothing must have befallen them meanwhile.
  void check_go_on() {
    for (const auto& call : calls) CHECK_FALSE(call->ended());
    pool_functions::shared().gate = 1;
    for (const auto& call : calls) {
      CHECK(pool.wait([&] { return call->ended(); }));
      CHECK(call->succeeded());
    }
  }

  Loop loop;
  TestPool pool;
  std::vector<std::shared_ptr<Call<pid_t>>> calls;
};

}  // namespace leasepool::test
