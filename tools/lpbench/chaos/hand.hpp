// Hand: what does everything bad that happens in a chaos run, in an order that its seed decides.
#pragma once

#include <leasepool/leasepool.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "account.hpp"
#include "io_load.hpp"
#include "log_file.hpp"
#include "nodes.hpp"
#include "processes.hpp"
#include "side.hpp"

namespace lpbench::chaos {

// How often each thing was done.
using Deeds = std::map<std::string, std::uint64_t>;

// What it can do something to. What is null is not there.
struct Reach {
  std::vector<Side*> sides{};
  IoLoad* io = nullptr;
  Nodes* nodes = nullptr;
  LogFile* log = nullptr;
};

class Hand {
 public:
  Hand(leasepool::Loop& loop, Account& account, Deeds& deeds, Reach reach, std::uint64_t seed);
  Hand(const Hand&) = delete;
  Hand& operator=(const Hand&) = delete;
  ~Hand() { undo_all(); }

  // Until end() was called; then all is undone that can be.
  leasepool::Task<> play();
  void end() { over_ = true; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Deed {
    const char* name;
    unsigned weight;
    bool (Hand::*act)();  // false: there was nothing to do it to
  };
  struct Undo {
    Clock::time_point due;
    std::function<void()> act;
  };

  [[nodiscard]] std::uint64_t random(std::uint64_t from, std::uint64_t to) {
    return std::uniform_int_distribution(from, to)(random_);
  }
  [[nodiscard]] std::chrono::milliseconds random_time(std::uint64_t from, std::uint64_t to) {
    return std::chrono::milliseconds(random(from, to));
  }
  [[nodiscard]] Side& any_side() { return *reach_.sides[random(0, reach_.sides.size() - 1)]; }
  [[nodiscard]] bool is_of_node_that_starts(const std::vector<Relative>& all, pid_t pid) const;
  [[nodiscard]] std::vector<pid_t> all_that_are(Role role) const;
  bool kill_one(Role role);
  bool kill_server_or_reserve(Role role);
  bool stop_one(pid_t pid);
  bool strike_part(std::size_t first, std::size_t last, bool kills);

  bool kill_worker();
  bool kill_fork_server();
  bool kill_reserve();
  bool kill_node();
  bool kill_server();
  bool stop_worker();
  bool stop_fork_server();
  bool stop_node();
  bool stop_server();
  bool stop_program();
  bool fill_disk();
  bool exhaust_descriptors();
  bool exhaust_processes();
  bool expire_lease();
  bool restart_manager();
  bool drop_tasks();

  void act();
  void undo(Clock::time_point due);
  void undo_all() noexcept;
  void start_part(std::size_t part);
  void undo_after(std::chrono::milliseconds time, std::function<void()> act);
  void tend_nodes();

  static std::span<const Deed> all_deeds();

  leasepool::Loop& loop_;
  Account& account_;
  Deeds& deeds_;
  const Reach reach_;
  std::mt19937_64 sequence_;
  std::mt19937_64 random_;  // of one deed: the next one does not depend on how much this one drew
  const bool processes_are_limited_;
  bool disk_is_full_ = false;
  bool descriptors_are_exhausted_ = false;
  bool processes_are_exhausted_ = false;
  bool over_ = false;
  std::optional<ProcessRef> struck_;  // the fork server, or the one in reserve, that was killed last
  std::vector<Undo> undos_;
};

}  // namespace lpbench::chaos
