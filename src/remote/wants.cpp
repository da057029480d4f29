// Whom to ask next.
#include "remote/wants.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"

namespace leasepool::detail::remote {

std::uint64_t bucket_of(std::uint64_t node, unsigned level) noexcept {
  check(level <= kMaxLevel, "there are so many levels");
  return level == 0 ? 0 : node * 0x9e3779b97f4a7c15U >> (64 - level);
}

unsigned level_for(std::size_t nodes, std::size_t wanted) noexcept {
  check(wanted > 0, "somebody is to be asked");
  const std::size_t parts = (std::max<std::size_t>(nodes, 1) + wanted - 1) / wanted;
  return std::min(kMaxLevel, static_cast<unsigned>(std::bit_width(parts - 1)));
}

void Wants::want(std::uint64_t id, TimePoint now) {
  const bool is_new = wants_.try_emplace(id, State{.since = now, .next_ask = now, .asked = {}}).second;
  check(is_new, "a want has an id of its own");
}

Wants::Over Wants::unwant(std::uint64_t id) {
  const auto found = wants_.find(id);
  if (found == wants_.end()) return {};
  State over = std::move(wants_.extract(found).mapped());
  return {.asked = std::move(over.asked), .taken_from = over.taken_from};
}

bool Wants::take(std::uint64_t id, std::uint64_t node, std::uint64_t offer, TimePoint now) {
  const auto found = wants_.find(id);
  if (found == wants_.end() || found->second.taken_from != 0) return false;
  found->second.taken_from = node;
  found->second.offer = offer;
  found->second.take_until = deadline_after(now, kTakeTimeout);
  return true;
}

std::optional<std::vector<Ask>> Wants::granted(std::uint64_t id, std::uint64_t node) {
  const auto found = wants_.find(id);
  if (found == wants_.end() || found->second.taken_from != node) return std::nullopt;
  return unwant(id).asked;
}

void Wants::refused(std::uint64_t id, std::uint64_t node, std::uint64_t offer, TimePoint now) noexcept {
  const auto found = wants_.find(id);
  if (found == wants_.end() || found->second.taken_from != node || found->second.offer != offer) return;
  start_over(found->second, now);
}

void Wants::start_over(State& want, TimePoint now) noexcept {
  want.taken_from = 0;
  want.next_ask = now;
  want.asked_next = kAskedFirst;
}

std::vector<std::uint64_t> Wants::untaken(std::size_t most) const {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, want] : wants_) {
    if (ids.size() == most) break;
    if (want.taken_from == 0) ids.push_back(id);
  }
  return ids;
}

std::vector<Ask> Wants::due(TimePoint now) {
  std::vector<Ask> asks;
  for (auto& [id, want] : wants_) {
    if (want.taken_from != 0 || want.next_ask > now) continue;
    const unsigned level = level_for(nodes_, want.asked_next);
    const bool asks_more = level != 0 && (nodes_ <= kFew || want.asked_next < kAskedLast);
    const Ask ask{
        .want = id, .level = level, .bucket = draw_(std::uint64_t{1} << level), .lasts = asks_more ? kShort : kLong};
    asks.push_back(ask);
    if (!asks_more && std::ranges::find(want.asked, ask) == want.asked.end()) want.asked.push_back(ask);
    want.asked_next = asks_more ? want.asked_next * 2 : kAskedFirst;
    want.next_ask = deadline_after(now, asks_more ? kPause : kRepeat);
  }
  return asks;
}

std::vector<std::uint64_t> Wants::overdue(TimePoint now) const {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, want] : wants_) {
    if (want.taken_from != 0 && want.take_until <= now) ids.push_back(id);
  }
  return ids;
}

TimePoint Wants::next_time() const noexcept {
  TimePoint next = kNever;
  for (const auto& [id, want] : wants_) next = std::min(next, want.taken_from != 0 ? want.take_until : want.next_ask);
  return next;
}

void Wants::ask_again(TimePoint now) noexcept {
  for (auto& [id, want] : wants_) {
    if (want.taken_from == 0) start_over(want, now);
  }
}

}  // namespace leasepool::detail::remote
