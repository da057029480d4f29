// Whom to ask next.
#include "remote/wants.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <ranges>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"

namespace leasepool::detail::remote {

namespace {

struct Round {
  std::size_t nodes;  // to be asked, on average
  Duration pause;     // without an offer before the next round
};

// Where a tenth of the nodes have a pool, one of the first seven rounds finds it nearly always. What is asked then
// grows with the pauses; all are asked within 0.6 s.
constexpr std::array kRounds = {Round{.nodes = 2, .pause = Wants::kPause},
                                Round{.nodes = 4, .pause = Wants::kPause},
                                Round{.nodes = 8, .pause = Wants::kPause},
                                Round{.nodes = 8, .pause = Wants::kPause},
                                Round{.nodes = 8, .pause = Wants::kPause},
                                Round{.nodes = 8, .pause = Wants::kPause},
                                Round{.nodes = 8, .pause = Wants::kPause},
                                Round{.nodes = 32, .pause = 4 * Wants::kPause},
                                Round{.nodes = 128, .pause = 16 * Wants::kPause},
                                Round{.nodes = 512, .pause = 32 * Wants::kPause},
                                Round{.nodes = Wants::kMostNodes, .pause = Wants::kRepeat}};

// The round for answers; the first where it is not known how many nodes there are.
constexpr std::size_t kAnswered = 2;

// Of so few nodes all are asked behind that round.
constexpr std::size_t kFew = 32;

}  // namespace

std::uint64_t bucket_of(std::uint64_t node, unsigned level) noexcept {
  check(level <= kMaxLevel, "there are so many levels");
  return level == 0 ? 0 : node * 0x9e3779b97f4a7c15U >> (64 - level);
}

unsigned level_for(std::size_t nodes, std::size_t wanted) noexcept {
  check(wanted > 0, "somebody is to be asked");
  const std::size_t parts = (std::max<std::size_t>(nodes, 1) + wanted - 1) / wanted;
  return std::min(kMaxLevel, static_cast<unsigned>(std::bit_width(parts - 1)));
}

std::size_t Wants::first_round() const noexcept { return knows_ ? 0 : kAnswered; }

unsigned Wants::first_level() const noexcept { return level_for(nodes_, kRounds[first_round()].nodes); }

void Wants::want(std::uint64_t id, TimePoint now) {
  const bool is_new =
      wants_.try_emplace(id, State{.since = now, .next_ask = now, .round = first_round(), .last = {}, .asked = {}})
          .second;
  check(is_new, "a want has an id of its own");
}

Wants::Over Wants::unwant(std::uint64_t id) {
  const auto found = wants_.find(id);
  if (found == wants_.end()) return {};
  State over = std::move(wants_.extract(found).mapped());
  learn(over);
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
  want.round = first_round();
  want.last.reset();
  want.patience = kSoonest;
}

void Wants::forget_nodes() noexcept {
  nodes_ = kMostNodes;
  knows_ = false;
}

// As many as have answered, of all that were asked to. So few are a rough measure: what was known counts for more.
void Wants::learn(const State& want) noexcept {
  if (!want.last || !want.last->answers || want.answers == 0) return;
  const std::size_t measured = std::min(std::min(want.answers, kMostNodes) << want.last->level, kMostNodes);
  nodes_ = knows_ && want.last->level != 0 ? (3 * nodes_ + measured + 2) / 4 : measured;
  knows_ = true;
}

// None has answered at this level.
void Wants::are_fewer(unsigned level) noexcept {
  // Of 1,000 nodes four are asked at the level that it begins with: now and then none by chance.
  const std::size_t part = level >= level_for(kMostNodes, kRounds[kAnswered].nodes) ? 2 : 4;
  nodes_ = std::min(nodes_, std::max<std::size_t>((kRounds[kAnswered].nodes << level) / part, 1));
  knows_ = false;
}

void Wants::answered(std::uint64_t id) noexcept {
  const auto found = wants_.find(id);
  if (found == wants_.end() || !found->second.last) return;
  const std::size_t answers = ++found->second.answers;
  const Ask& ask = *found->second.last;
  if (ask.answers) return;
  if (ask.level == 0) nodes_ = std::min(std::max(nodes_, answers), kMostNodes);
  // So many are there by chance once in hundreds of asks.
  else if (answers > (4 * nodes_) >> ask.level)
    nodes_ = std::min(2 * nodes_, kMostNodes);
}

void Wants::nobody_listens(unsigned level, std::uint64_t bucket, TimePoint now) noexcept {
  if (level > kMaxLevel) return;
  if (!knows_) are_fewer(level);
  for (auto& [id, want] : wants_) {
    if (want.taken_from != 0 || level == 0 || !want.last) continue;
    if (want.last->level == level && want.last->bucket == bucket) want.next_ask = now;
  }
}

std::optional<Ask> Wants::asked_last(std::uint64_t id) const noexcept {
  const auto found = wants_.find(id);
  return found == wants_.end() || found->second.taken_from != 0 ? std::nullopt : found->second.last;
}

void Wants::ask_more(std::uint64_t id, TimePoint now) noexcept {
  const auto found = wants_.find(id);
  if (found == wants_.end() || found->second.taken_from != 0) return;
  State& want = found->second;
  if (want.last && want.last->lasts == 3 * kPause) want.next_ask = now;
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
    if (want.last && want.last->level == 0 && want.answers > 0 && now < deadline_after(want.all_asked, kRepeat)) {
      want.next_ask = deadline_after(want.all_asked, kRepeat);  // who has answered remembers it
      continue;
    }
    learn(want);
    if (want.last && want.last->answers && want.answers == 0 && want.last->level != 0) {
      are_fewer(want.last->level);
      want.round = kAnswered;
    }
    const unsigned level = level_for(nodes_, kRounds[want.round].nodes);
    const Duration pause = level == 0 ? kRepeat : kRounds[want.round].pause;
    const Ask ask{.want = id,
                  .level = level,
                  .bucket = draw_(std::uint64_t{1} << level),
                  .lasts = 3 * pause,
                  .answers = want.round == kAnswered || level == 0};
    asks.push_back(ask);
    if (pause >= kTold && std::ranges::find(want.asked, ask) == want.asked.end()) want.asked.push_back(ask);
    want.last = ask;
    want.answers = 0;
    const bool asks_all = want.round == kRounds.size() - 1 || (want.round == kAnswered && nodes_ <= kFew);
    want.round = asks_all ? kRounds.size() - 1 : want.round + 1;
    want.next_ask = deadline_after(now, level == 0 ? want.patience : pause);
    if (level != 0) continue;
    want.all_asked = now;
    want.patience = std::min(2 * want.patience, kRepeat);
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
  for (auto& [id, want] : wants_ | std::views::reverse) {
    if (want.taken_from == 0) return start_over(want, now);
  }
}

void Wants::ask_again(TimePoint now) noexcept {
  for (auto& [id, want] : wants_) {
    if (want.taken_from == 0) start_over(want, now);
  }
}

}  // namespace leasepool::detail::remote
