// Runs a simulation for many seeds: for all where LEASEPOOL_LONG is set, else for one in four of them.
// LEASEPOOL_SIM_ONE_IN sets another part; LEASEPOOL_SIM_SEED replays one.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "catch.hpp"
#include "support/long_run.hpp"
#include "support/number_from.hpp"

namespace leasepool::test {

template <class Run>
void run_sequences(Run run, std::uint64_t all = 100'000) {
  const auto run_seed = [&run](std::uint64_t seed) {
    try {
      run(seed);
    } catch (const std::exception& error) {
      FAIL("sequence " << seed << " " << error.what() << "; replay it with LEASEPOOL_SIM_SEED=" << seed);
    }
  };
  if (std::getenv("LEASEPOOL_SIM_SEED") != nullptr) return run_seed(number_from("LEASEPOOL_SIM_SEED", 0));
  const std::uint64_t one_in = number_from("LEASEPOOL_SIM_ONE_IN", long_run() ? 1 : 4);
  REQUIRE(one_in != 0);
  const std::uint64_t sequences = all / one_in;
  REQUIRE(sequences != 0);
  auto last_line = std::chrono::steady_clock::now();
  for (std::uint64_t seed = 1; seed <= sequences; ++seed) {
    run_seed(seed);
    if (seed % 1000 == 0 && std::chrono::steady_clock::now() - last_line > std::chrono::seconds(10)) {
      last_line = std::chrono::steady_clock::now();
      std::cerr << seed << " of " << sequences << " sequences\n";
    }
  }
  SUCCEED(sequences << " sequences");
}

}  // namespace leasepool::test
