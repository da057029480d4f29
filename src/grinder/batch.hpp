// When a batch is due and which items it takes, by size, age and priority. Pure: no clock and no system call.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
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

// Items that wait for a batch: a line for each priority, in the order in which they came. One thread.
template <class Item>
class BatchQueue {
 public:
  explicit BatchQueue(BatchRules rules) : rules_(rules) {}

  // Times do not go back from one item to the next. Returns the item's id. Throws std::bad_alloc, and then the item is
  // left where it was.
  template <class I>
  std::uint64_t add(I&& item, TimePoint now, int priority) {
    Waiting& waiting = lines_[priority].waiting.emplace_back();
    waiting.id = ++last_id_;
    waiting.since = now;
    waiting.item.emplace(std::forward<I>(item));
    ++size_;
    return last_id_;
  }

  // Puts one that was taken back to where it was: its id and its time are those of its add(). Throws std::bad_alloc,
  // and then the item is left where it was.
  template <class I>
  void put_back(I&& item, std::uint64_t id, TimePoint since, int priority) {
    auto& waiting = lines_[priority].waiting;
    const auto place = std::ranges::lower_bound(waiting, id, {}, &Waiting::id);
    check(place == waiting.end() || place->id != id, "an item that is put back is not there");
    const auto added = waiting.emplace(place);
    added->id = id;
    added->since = since;
    added->item.emplace(std::forward<I>(item));
    ++size_;
  }

  [[nodiscard]] Item remove(std::uint64_t id, int priority) noexcept {
    const auto place = lines_.find(priority);
    check(place != lines_.end(), "an item that is removed from the queue is in a line of its priority");
    Line& line = place->second;
    const auto found = std::ranges::lower_bound(line.waiting, id, {}, &Waiting::id);
    check(found != line.waiting.end() && found->id == id, "an item that is removed from the queue is in it");
    check(found->item.has_value(), "an item is removed from the queue once");
    Item item = *std::exchange(found->item, std::nullopt);
    ++line.gone;
    --size_;
    tidy(line);
    return item;
  }

  // The next batch: those of the highest priority first, the oldest of them first, and no more than the threshold.
  // Throws std::bad_alloc, and then nothing has been taken.
  [[nodiscard]] std::vector<Item> take() {
    std::vector<Item> batch;
    batch.reserve(next_size());
    for (std::size_t left = next_size(); left > 0; --left) batch.push_back(take_first());
    return batch;
  }
  // How many of them there are.
  [[nodiscard]] std::size_t next_size() const noexcept { return std::min(rules_.threshold, size_); }

  // The first of them, where there are any.
  [[nodiscard]] Item take_first() noexcept {
    check(size_ > 0, "an item that is taken was added");
    Line& line = first_line();
    check(line.waiting.front().item.has_value(), "the first of a line has not been removed");
    Item item = *std::move(line.waiting.front().item);
    line.waiting.pop_front();
    --size_;
    tidy(line);
    if (line.waiting.empty()) {
      std::erase_if(lines_, [this](const auto& each) { return lines_.size() > 1 && each.second.waiting.empty(); });
    }
    return item;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  // When the item that has waited longest was added; kNever if there is none.
  [[nodiscard]] TimePoint oldest() const noexcept {
    TimePoint oldest = kNever;
    for (const auto& [priority, line] : lines_) {
      if (!line.waiting.empty()) oldest = std::min(oldest, line.waiting.front().since);
    }
    return oldest;
  }

  // When a batch is due whatever its size.
  [[nodiscard]] TimePoint deadline() const noexcept { return deadline_after(oldest(), rules_.max_wait); }

  // How many batches are due: full ones; where there is none, one if the first item has waited long enough; with `all`,
  // as many as it takes to leave nothing.
  [[nodiscard]] std::size_t due(TimePoint now, bool all) const noexcept {
    const std::size_t full = size_ / rules_.threshold;
    const bool rest = size_ % rules_.threshold != 0;
    return full + (rest && (all || (full == 0 && deadline() <= now)) ? 1 : 0);
  }

  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [priority, line] : lines_) {
      for (const Waiting& waiting : line.waiting) {
        if (waiting.item) visit(*waiting.item);
      }
    }
  }

 private:
  struct Waiting {
    std::uint64_t id = 0;
    TimePoint since{};
    std::optional<Item> item;  // none once it was removed
  };
  struct Line {
    std::deque<Waiting> waiting;  // the first has an item
    std::size_t gone = 0;         // that have none
  };
  // Ordered: strict priorities first, then the time of adding, moved back by what the priority is worth, then the id.
  using Place = std::tuple<std::int64_t, std::int64_t, std::uint64_t>;

  [[nodiscard]] Place place_of_first(int priority, const Line& line) const noexcept {
    const Waiting& first = line.waiting.front();
    const std::int64_t since = first.since.time_since_epoch().count();
    if (rules_.ageing >= kStrictAgeing) return {-priority, since, first.id};
    return {0, since - priority * rules_.ageing.count(), first.id};
  }

  // Of those that are not empty, the one whose first item comes first of all; there is one.
  [[nodiscard]] Line& first_line() noexcept {
    Line* first = nullptr;
    Place best;
    for (auto& [priority, line] : lines_) {
      if (line.waiting.empty()) continue;
      const Place place = place_of_first(priority, line);
      if (first == nullptr || place < best) {
        first = &line;
        best = place;
      }
    }
    check(first != nullptr, "there is a line where there are items");
    return *first;
  }

  // Those that have no item go as soon as they are at the front, or when they are the most.
  static void tidy(Line& line) {
    for (; !line.waiting.empty() && !line.waiting.front().item; --line.gone) line.waiting.pop_front();
    if (2 * line.gone <= line.waiting.size()) return;
    std::erase_if(line.waiting, [](const Waiting& waiting) { return !waiting.item; });
    line.gone = 0;
  }

  const BatchRules rules_;
  std::map<int, Line> lines_;
  std::size_t size_ = 0;
  std::uint64_t last_id_ = 0;
};

}  // namespace leasepool::detail
