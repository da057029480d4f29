// `lpbench chaos`: its options, and what came of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "account.hpp"
#include "hand.hpp"
#include "resources.hpp"

namespace lpbench::chaos {

struct ChaosOptions {
  double seconds = 10;
  std::optional<std::uint64_t> seed{};
  std::vector<std::string> backends{};  // thread, process, remote; empty: all that there are
  bool json = false;
  bool progress = false;
};

struct ChaosReport {
  std::uint64_t seed = 0;
  double seconds = 0;  // as asked for
  std::size_t rounds = 0;
  Deeds deeds{};
  std::uint64_t calls = 0;
  Account::Counts counts{};
  std::uint64_t leases_revoked = 0;
  std::uint64_t log_lines = 0;
  std::uint64_t log_lines_refused = 0;
  Resources before{};  // after the first rounds, which leave what a first use keeps for good
  Resources after{};
  std::vector<std::string> skipped{};  // what was not done, and why
  std::uint64_t wrong_count = 0;
  std::vector<std::string> wrongs{};

  [[nodiscard]] bool passed() const { return wrong_count == 0; }
};

// Throws Interrupted; and where it cannot begin.
ChaosReport run_chaos(const ChaosOptions& options);

void print_table(const ChaosReport& report);
void print_json(const ChaosReport& report);

}  // namespace lpbench::chaos
