// What must hold of a grinder whatever is done to it and to its manager. The model knows what was submitted, taken
// back, run and answered, and what gives an item a reason to fail; it does not know how batches are made.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "grinder/grinder_core.hpp"
#include "lease/manager_core.hpp"
#include "sim_pool.hpp"
#include "sim_scheduler.hpp"

namespace leasepool::test {

class GrinderModel {
 public:
  // What of the options gives items reasons to fail.
  struct Reasons {
    bool processes = false;
    bool bounded_queue = false;
    bool bounded_waiters = false;
    Duration lease_life{};  // until hard expiry
  };
  enum class Run { none, well, threw, wrong_length };

  explicit GrinderModel(const SimScheduler& scheduler) : scheduler_(scheduler) {}
  void set_reasons(Reasons reasons) { reasons_ = reasons; }

  static void require(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error("does not hold: " + what);
  }

  std::uint64_t submitted(std::optional<Duration> timeout) {
    items_.emplace(++last_item_, Item{.since = scheduler_.now(), .timeout = timeout});
    return last_item_;
  }
  // Its Pending was cancelled.
  void cancelled(std::uint64_t item, bool waited) {
    items_.at(item).cancelled = true;
    items_.at(item).taken_back = items_.at(item).taken_back || waited;
  }
  void runs(std::uint64_t item, Run run) {
    require(items_.at(item).run == Run::none, "an item runs once");
    runs_in_batch(item, run);
  }
  // A batch function may see an item more than once.
  void runs_in_batch(std::uint64_t item, Run run) {
    require(!items_.at(item).taken_back, "an item that was taken back while it waited never runs");
    items_.at(item).run = run;
  }

  // Grinder or manager do not run; in-flight items are given up on, now or later; a worker has crashed.
  void not_running() { not_running_ = scheduler_.now(); }
  void gives_up(TimePoint when) { gives_up_.push_back(when); }
  void crashed() { crashed_ = scheduler_.now(); }

  void answered(std::uint64_t item, std::optional<Errc> failure, bool gives_own_result) {
    Item& ended = items_.at(item);
    require(!ended.answered, "an item is answered once");
    ended.answered = true;
    ++answers_;
    if (failure) {
      require(has_reason(ended, *failure), "an item fails for a reason: " + make_error_code(*failure).message());
      require(ended.run != Run::well, "what ran without a failure succeeds");
      require(!ended.taken_back || *failure == Errc::cancelled, "an item that was taken back was cancelled");
    } else {
      require(ended.run == Run::well, "an item that did not run well has no result");
      require(gives_own_result, "each submitter has its own result");
      require(!ended.taken_back, "an item that was taken back has no result");
    }
  }
  [[nodiscard]] bool is_answered(std::uint64_t item) const { return items_.at(item).answered; }

  // After every step.
  static void check(const detail::GrinderCore& grinder, const SimWorld& world) {
    grinder.check_consistency();
    const GrinderStats stats = grinder.stats();
    require(world.double_leases == 0, "no pool has calls of two leases");
    require(world.late_submits == 0, "a pool that was closed gets no calls");
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

  // After every step and every callback, if after any: a batch that goes by age had an item old enough.
  void check_flushes(const detail::GrinderCore& grinder) {
    const GrinderStats stats = grinder.stats();
    require(stats.flushed_by_age == flushed_by_age_ || scheduler_.now() - oldest_ >= stats.max_wait,
            "a batch that is not full goes when its first item has waited for max_wait");
    flushed_by_age_ = stats.flushed_by_age;
    oldest_ = scheduler_.now() - stats.oldest_wait;
  }

  // When nothing is due at this time.
  void check_settled(const detail::GrinderCore& grinder, const detail::ManagerCore& manager) const {
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
    const Duration longest = longest_wait();
    require(stats.oldest_wait <= longest, "no item has waited longer than since its submission");
    if (stats.items_in_flight > 0 || stats.max_pending != 0) return;  // the model cannot tell which ones wait
    require(stats.oldest_wait == longest, "what has waited longest is the first that has no answer");
  }

  // When everything has ended.
  void check_empty() const {
    require(answers_ == items_.size(), "every item was answered");
    require(scheduler_.idle(), "no timer and no callback is left");
  }

 private:
  struct Item {
    TimePoint since{};
    std::optional<Duration> timeout;
    bool cancelled = false;   // in whatever state it was
    bool taken_back = false;  // it waited, and no longer does
    Run run = Run::none;      // the last one
    bool answered = false;
  };

  [[nodiscard]] bool has_reason(const Item& item, Errc failure) const {
    const Duration age = scheduler_.now() - item.since;
    switch (failure) {
      case Errc::remote_exception: return item.run == Run::threw;
      case Errc::bad_payload: return item.run == Run::wrong_length;
      case Errc::worker_crashed: return reasons_.processes && crashed_ >= item.since;
      case Errc::timed_out: return item.timeout && age >= *item.timeout;
      case Errc::lease_expired: return age >= reasons_.lease_life;
      case Errc::cancelled: return item.cancelled || given_up_since(item.since);
      case Errc::not_started: return not_running_ >= item.since;
      case Errc::queue_full: return reasons_.bounded_queue;
      case Errc::lease_unavailable: return reasons_.bounded_waiters;
      default: return false;
    }
  }
  [[nodiscard]] bool given_up_since(TimePoint since) const {
    return std::ranges::any_of(gives_up_, [&](TimePoint when) { return when >= since && when <= scheduler_.now(); });
  }
  [[nodiscard]] Duration longest_wait() const {
    Duration longest{};
    for (const auto& [id, item] : items_) {
      if (!item.answered) longest = std::max(longest, scheduler_.now() - item.since);
    }
    return longest;
  }

  const SimScheduler& scheduler_;
  Reasons reasons_;
  std::map<std::uint64_t, Item> items_;
  std::uint64_t last_item_ = 0;
  std::uint64_t answers_ = 0;
  TimePoint not_running_ = TimePoint::min();
  std::vector<TimePoint> gives_up_;
  TimePoint crashed_ = TimePoint::min();
  std::uint64_t flushed_by_age_ = 0;
  TimePoint oldest_{};
};

}  // namespace leasepool::test
