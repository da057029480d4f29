// CallTable: a lease's calls that have not ended, in the order of their ids; and those that are watched, by id.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "leasepool/detail/job.hpp"

namespace leasepool::detail {

// One thread. The jobs carry the links, and belong to others: each is taken out before it is destroyed, but for those
// that a thread still runs when the loop is destroyed. Nobody looks at the table then.
class CallTable {
 public:
  CallTable() = default;
  CallTable(const CallTable&) = delete;
  CallTable& operator=(const CallTable&) = delete;

  // Adds a job whose id is greater than all that are here; takes one out, and what watches it with it.
  void add(Job& job) noexcept;
  void remove(Job& job) noexcept;

  // Has a job found by its id, added or about to be; throws std::bad_alloc. And no more: of any job.
  void watch(Job& job);
  void unwatch(const Job& job) noexcept;
  // Null if it has ended, or is not watched.
  [[nodiscard]] Job* watched(std::uint64_t job_id) const noexcept;

  // The same of any job, by looking through them from both ends.
  [[nodiscard]] Job* find(std::uint64_t job_id) const noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  // The oldest first, while the action may take out any of them; it ends early where the action returns false.
  template <std::predicate<Job&> Action>
  void for_each_while(const Action& action) const {
    const Walk walk(*this);
    while (Job* const job = walk.next()) {
      if (!action(*job)) return;
    }
  }
  template <std::invocable<Job&> Action>
  void for_each(const Action& action) const {
    for_each_while([&](Job& job) {
      action(job);
      return true;
    });
  }

 private:
  // Who goes through the table; walks within walks end in turn.
  class Walk {
   public:
    // Defined where no caller sees it: GCC 14 takes the table's pointer to a walk for one that outlives it.
    explicit Walk(const CallTable& table) noexcept;
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;
    ~Walk() { table_.innermost_ = outer_; }

    [[nodiscard]] Job* next() const noexcept {
      Job* const job = next_;
      if (job != nullptr) next_ = job->state.in_flight_next;
      return job;
    }
    void passes(const Job& removed) const noexcept {
      for (const Walk* walk = this; walk != nullptr; walk = walk->outer_) {
        if (walk->next_ == &removed) walk->next_ = removed.state.in_flight_next;
      }
    }

   private:
    const CallTable& table_;
    const Walk* const outer_;
    mutable Job* next_;
  };

  Job* first_ = nullptr;
  Job* last_ = nullptr;
  std::size_t size_ = 0;
  std::unordered_map<std::uint64_t, Job*> watched_;
  mutable const Walk* innermost_ = nullptr;
};

}  // namespace leasepool::detail
