// What must hold of a grinder whatever is done to it and to its manager. The model knows what was submitted, taken back
// and answered; it does not know how batches are made.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

#include "grinder/grinder_core.hpp"
#include "lease/manager_core.hpp"
#include "sim_scheduler.hpp"

namespace leasepool::test {

class GrinderModel {
 public:
  static void require(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error("does not hold: " + what);
  }

  std::uint64_t submitted(TimePoint now) {
    items_.emplace(++last_item_, Item{.since = now});
    return last_item_;
  }
  // It waited, and no longer does.
  void taken_back(std::uint64_t item) { items_.at(item).taken_back = true; }
  void runs(std::uint64_t item) {
    Item& running = items_.at(item);
    require(!running.taken_back, "an item that was taken back while it waited never runs");
    require(!running.ran, "an item runs once");
    running.ran = true;
  }
  void answered(std::uint64_t item, bool succeeded, bool gives_own_result) {
    Item& ended = items_.at(item);
    require(!ended.answered, "an item is answered once");
    require(!succeeded || ended.ran, "an item that did not run has no result");
    require(!succeeded || gives_own_result, "each submitter has its own result");
    require(!(succeeded && ended.taken_back), "an item that was taken back has no result");
    ended.answered = true;
    ++answers_;
  }
  [[nodiscard]] bool is_answered(std::uint64_t item) const { return items_.at(item).answered; }

  // After every step.
  static void check(const detail::GrinderCore& grinder) {
    const GrinderStats stats = grinder.stats();
    require(stats.items_submitted == stats.pending + stats.items_in_flight + stats.items_completed +
                                         stats.items_failed + stats.items_cancelled,
            "every item is somewhere, and only there");
    require(stats.max_pending == 0 || stats.pending <= stats.max_pending, "no more items wait than may");
    require(stats.waiting_for_room == 0 || stats.max_pending != 0, "without a limit nobody waits for room");
    require(stats.batches_in_flight <= stats.max_inflight_batches, "no more batches are in flight than may be");
    require(stats.batches_in_flight + stats.batches_waiting <= stats.max_inflight_batches,
            "no more leases are asked for than may be used");
    require(stats.batch_sizes.empty() || stats.batch_sizes.back().first <= stats.batch_size_threshold,
            "no batch is larger than the threshold");
    std::uint64_t full = 0;
    for (const auto& [size, count] : stats.batch_sizes) full += size == stats.batch_size_threshold ? count : 0;
    require(full == stats.flushed_by_size, "batches that go by size are full, and full ones go by size");
  }

  // When nothing is due at this time.
  static void check_settled(const detail::GrinderCore& grinder, const detail::ManagerCore& manager) {
    const GrinderStats stats = grinder.stats();
    require(stats.started || stats.stopping || stats.pending == 0, "a grinder that does not run holds no items");
    require(stats.started || stats.stopping || stats.batches_waiting == 0, "... and asks for no lease");
    require(stats.waiting_for_room == 0 || stats.pending == stats.max_pending, "nobody waits while there is room");
    const bool due = stats.pending >= stats.batch_size_threshold ||
                     (stats.pending > 0 && (stats.stopping || stats.oldest_wait >= stats.max_wait));
    const bool may_go = stats.batches_in_flight < stats.max_inflight_batches;
    require(!due || !may_go || stats.batches_waiting > 0, "a batch that is due asks for a lease");
    require(due || stats.batches_waiting == 0, "no lease is asked for without a batch that is due");
    require(stats.batches_waiting == 0 || manager.available() == 0, "no batch waits while a pool is free");
    require((stats.batches_in_flight == 0) == (stats.items_in_flight == 0),
            "a batch is as long in flight as its items");
  }

  // When everything has ended.
  void check_empty(const SimScheduler& scheduler) const {
    require(answers_ == items_.size(), "every item was answered");
    require(scheduler.idle(), "no timer and no callback is left");
  }

 private:
  struct Item {
    TimePoint since{};
    bool taken_back = false;
    bool ran = false;
    bool answered = false;
  };
  std::map<std::uint64_t, Item> items_;
  std::uint64_t last_item_ = 0;
  std::uint64_t answers_ = 0;
};

}  // namespace leasepool::test
