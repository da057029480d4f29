// CancellationGroup: calls in flight of one lease that were submitted with the same stop token. One stop callback and
// one post are theirs together, however many they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "leasepool/detail/job.hpp"
#include "loop/deferred.hpp"
#include "loop/scheduler.hpp"

namespace leasepool::detail {

class CancellationGroup;
class LeaseRecord;

// Those groups of a lease that have calls. They go with the lease, whose calls may all have gone with their loop.
class CancellationGroups {
 public:
  // Throws std::bad_alloc.
  void add(std::shared_ptr<CancellationGroup> group);
  // Returns what may be the last hold of it.
  [[nodiscard]] std::shared_ptr<CancellationGroup> remove(CancellationGroup& group) noexcept;

 private:
  std::vector<std::shared_ptr<CancellationGroup>> groups_;
};

// Loop thread only, but for the stop. Its lease keeps it while it has calls, and those keep the lease.
class CancellationGroup final : public std::enable_shared_from_this<CancellationGroup> {
 public:
  CancellationGroup(LeaseRecord& lease, std::shared_ptr<Scheduler> loop) noexcept
      : lease_(lease), loop_(std::move(loop)) {}
  CancellationGroup(const CancellationGroup&) = delete;
  CancellationGroup& operator=(const CancellationGroup&) = delete;

  // A group of calls of that token, which has none yet: the first is to be added. Throws std::bad_alloc.
  static std::shared_ptr<CancellationGroup> make(LeaseRecord& lease, std::shared_ptr<Scheduler> loop,
                                                 const std::stop_token& token);

  // Calls come in the order of their ids. add() throws std::bad_alloc.
  void add(Job& job);
  static void remove(Job& job) noexcept;

  [[nodiscard]] bool has_token(const std::stop_token& token) const noexcept { return token_ == token; }
  [[nodiscard]] bool empty() const noexcept { return left_ == 0; }

 private:
  friend class CancellationGroups;
  struct Entry {
    std::uint64_t id = 0;
    Job* job = nullptr;  // null once it has left
  };
  struct Post {
    CancellationGroup& group;
    void operator()() const noexcept { group.stop_requested(); }
  };

  void stop_requested() noexcept;
  void cancel();
  template <class Action>
  void for_each(const Action& action);
  [[nodiscard]] Entry& entry_of(const Job& job) noexcept;
  void left(Entry& entry) noexcept;

  LeaseRecord& lease_;  // while there are calls
  const std::shared_ptr<Scheduler> loop_;
  std::vector<Entry> entries_;  // those before first_ have left, and some others
  std::size_t first_ = 0;
  std::size_t left_ = 0;     // calls that are here
  bool cancelling_ = false;  // the entries stay in their places
  std::size_t place_ = 0;    // among those of its lease, while there are calls
  DeferredMember<CancellationGroup, &CancellationGroup::cancel> cancels_;
  std::stop_token token_;
  std::optional<std::stop_callback<Post>> callback_;  // goes first: it may run until then
};

}  // namespace leasepool::detail
