// When a batch is due and which items it takes, by size, age and priority. Pure: no clock and no system call.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "base/clock.hpp"

namespace leasepool::detail {

struct BatchRules {
  std::size_t threshold = 1;
  Duration max_wait{};
  Duration ageing{};  // what one step of priority is worth; kStrictAgeing and longer: any time
};

inline constexpr Duration kStrictAgeing = std::chrono::hours(24 * 30);

// Items that wait for a batch. One thread.
template <class Item>
class BatchQueue {
 public:
  explicit BatchQueue(BatchRules rules) : rules_(rules) {}

  // Times do not go back from one item to the next. Gives the item's id.
  std::uint64_t add(Item item, TimePoint now, int priority) {
    const std::uint64_t id = ++last_id_;
    const Place place = place_of(id, now, priority);
    order_.insert(order_.end(), place);
    items_.emplace_hint(items_.end(), id, Waiting{std::move(item), now, place});
    return id;
  }

  [[nodiscard]] Item remove(std::uint64_t id) {
    const auto found = items_.find(id);
    check(found != items_.end(), "an item that is removed from the queue is in it");
    order_.erase(found->second.place);
    Item item = std::move(found->second.item);
    items_.erase(found);
    return item;
  }

  // The next batch: those of the highest priority first, the oldest of them first, and no more than the threshold.
  [[nodiscard]] std::vector<Item> take() {
    std::vector<Item> batch;
    batch.reserve(std::min(rules_.threshold, size()));
    while (!order_.empty() && batch.size() < rules_.threshold) batch.push_back(remove(std::get<2>(*order_.begin())));
    return batch;
  }

  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }

  // When the item that has waited longest was added; kNever if there is none.
  [[nodiscard]] TimePoint oldest() const noexcept { return empty() ? kNever : items_.begin()->second.since; }

  // When a batch is due whatever its size.
  [[nodiscard]] TimePoint deadline() const noexcept { return deadline_after(oldest(), rules_.max_wait); }

  // How many batches are due: full ones; where there is none, one if the first item has waited long enough; with `all`,
  // as many as it takes to leave nothing.
  [[nodiscard]] std::size_t due(TimePoint now, bool all) const noexcept {
    const std::size_t full = size() / rules_.threshold;
    const bool rest = size() % rules_.threshold != 0;
    return full + (rest && (all || (full == 0 && deadline() <= now)) ? 1 : 0);
  }

  // In the order in which they were added.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [id, waiting] : items_) visit(waiting.item);
  }

 private:
  // Ordered: strict priorities first, then the time of adding, moved back by what the priority is worth, then the id.
  using Place = std::tuple<std::int64_t, std::int64_t, std::uint64_t>;
  struct Waiting {
    Item item;
    TimePoint since{};
    Place place{};
  };

  [[nodiscard]] Place place_of(std::uint64_t id, TimePoint now, int priority) const noexcept {
    const std::int64_t since = now.time_since_epoch().count();
    if (rules_.ageing >= kStrictAgeing) return {-priority, since, id};
    return {0, since - priority * rules_.ageing.count(), id};
  }

  const BatchRules rules_;
  std::map<std::uint64_t, Waiting> items_;  // by id, so oldest first
  std::set<Place> order_;
  std::uint64_t last_id_ = 0;
};

}  // namespace leasepool::detail
