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
  const bool is_new =
      wants_.try_emplace(id, State{.since = now, .next_ask = now, .asked_last = {}, .asked = {}}).second;
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
  knows_ = true;
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
  want.highest = kMaxLevel;
  want.pause = kPause;
}

void Wants::nobody_listens(unsigned level, std::uint64_t bucket, TimePoint now) noexcept {
  const unsigned lower = knows_ ? level - std::min(level, 1U) : level_below(level);
  // That one subject has no listener where two are to be expected says little.
  if (!knows_ || level < first_level()) nodes_ = std::min(nodes_, kAskedFirst << (level - std::min(level, 1U)));
  for (auto& [id, want] : wants_) {
    const bool was_asked = want.asked_last && want.asked_last->level == level && want.asked_last->bucket == bucket;
    if (want.taken_from != 0 || !was_asked || level == 0) continue;
    std::erase(want.asked, *want.asked_last);
    want.highest = lower;
    want.asked_next = kAskedFirst;
    want.pause = kPause;
    want.next_ask = now;
  }
}

std::optional<Ask> Wants::asked_last(std::uint64_t id) const noexcept {
  const auto found = wants_.find(id);
  return found == wants_.end() || found->second.taken_from != 0 ? std::nullopt : found->second.asked_last;
}

void Wants::ask_more(std::uint64_t id, TimePoint now) noexcept {
  const auto found = wants_.find(id);
  if (found == wants_.end() || found->second.taken_from != 0) return;
  if (found->second.pause == kPause) found->second.next_ask = now;
}

std::size_t Wants::taken() const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(wants_, [](const auto& want) { return want.second.taken_from != 0; }));
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
    const unsigned level = std::min(level_for(nodes_, want.asked_next), want.highest);
    const bool asks_more = level != 0 && (nodes_ <= kFew || want.asked_next < kAskedLast);
    const bool asked_all = level == 0;
    if (!asks_more) want.pause = asked_all ? kRepeat : std::min(2 * want.pause, kRepeat);
    const Ask ask{.want = id, .level = level, .bucket = draw_(std::uint64_t{1} << level), .lasts = 3 * want.pause};
    asks.push_back(ask);
    want.asked_last = ask;
    if (want.pause >= kTold && std::ranges::find(want.asked, ask) == want.asked.end()) want.asked.push_back(ask);
    if (asks_more) want.asked_next *= 2;
    want.next_ask = deadline_after(now, want.pause);
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

void Wants::ask_youngest_again(TimePoint now) noexcept {
  for (auto at = wants_.rbegin(); at != wants_.rend(); ++at) {
    if (at->second.taken_from == 0) return start_over(at->second, now);
  }
}

void Wants::ask_again(TimePoint now) noexcept {
  for (auto& [id, want] : wants_) {
    if (want.taken_from == 0) start_over(want, now);
  }
}

}  // namespace leasepool::detail::remote
